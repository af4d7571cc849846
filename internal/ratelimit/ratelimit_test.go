package ratelimit_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/internal/ratelimit"
	"latchkey/internal/test/check"
)

// clock is a clock that the test sets.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(c.at.Load()))
}
func (c *clock) advance(d time.Duration)           { c.at.Add(int64(d)) }
func rateOf(n int, w time.Duration) ratelimit.Rate { return ratelimit.Rate{Requests: n, Window: w} }

func buckets(t *testing.T, r ratelimit.Rate) *ratelimit.Buckets[string] {
	t.Helper()
	b, err := ratelimit.New[string](r, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTake(t *testing.T) {
	var c clock
	b := buckets(t, rateOf(4, 8*time.Second))
	for _, step := range []struct {
		name       string
		after      time.Duration
		key        string
		taken      bool
		left       int
		full, wait time.Duration
	}{
		{"first", 0, "a", true, 3, 2 * time.Second, 0},
		{"second", 0, "a", true, 2, 4 * time.Second, 0},
		{"another key", 0, "b", true, 3, 2 * time.Second, 0},
		{"third", 0, "a", true, 1, 6 * time.Second, 0},
		{"last", 0, "a", true, 0, 8 * time.Second, 2 * time.Second},
		{"one too many", 0, "a", false, 0, 8 * time.Second, 2 * time.Second},
		{"too early", 1500 * time.Millisecond, "a", false, 0, 6500 * time.Millisecond, 500 * time.Millisecond},
		{"one refilled", 500 * time.Millisecond, "a", true, 0, 8 * time.Second, 2 * time.Second},
		{"full again, and not more", time.Hour, "a", true, 3, 2 * time.Second, 0},
	} {
		c.advance(step.after)
		got, taken := b.Take(step.key, c.now())
		want := ratelimit.State{Left: step.left, Full: step.full, Wait: step.wait}
		if taken != step.taken || got != want {
			t.Errorf("%s: got %v, %+v, want %v, %+v", step.name, taken, got, step.taken, want)
		}
		check.Equal(t, b.Peek(step.key, c.now()), want, "%s: Peek returned", step.name)
	}
}

// Several requests are taken together or not at all.
func TestTakeN(t *testing.T) {
	var c clock
	b := buckets(t, rateOf(4, 8*time.Second))
	for _, step := range []struct {
		name       string
		after      time.Duration
		n          int
		taken      bool
		left       int
		full, wait time.Duration
	}{
		{"none", 0, 0, true, 4, 0, 0},
		{"three", 0, 3, true, 1, 6 * time.Second, 0},
		{"two, one left", 0, 2, false, 1, 6 * time.Second, 2 * time.Second},
		{"one", 0, 1, true, 0, 8 * time.Second, 2 * time.Second},
		{"none, none left", 0, 0, true, 0, 8 * time.Second, 2 * time.Second},
		{"all, none left", 0, 4, false, 0, 8 * time.Second, 8 * time.Second},
		{"all, one left", 2 * time.Second, 4, false, 1, 6 * time.Second, 6 * time.Second},
		{"all", 6 * time.Second, 4, true, 0, 8 * time.Second, 2 * time.Second},
	} {
		c.advance(step.after)
		got, taken := b.TakeN("a", step.n, c.now())
		if want := (ratelimit.State{Left: step.left, Full: step.full, Wait: step.wait}); taken != step.taken ||
			got != want {
			t.Errorf("%s: got %v, %+v, want %v, %+v", step.name, taken, got, step.taken, want)
		}
	}
	check.Equal(t, b.Limit(), 4, "Limit()")
}

func TestPeekUnknownKey(t *testing.T) {
	b := buckets(t, rateOf(4, time.Second))
	if got := b.Peek("never seen", time.Now()); got.Left != 4 || got.Wait != 0 || got.Full != 0 {
		t.Errorf("Peek() of an unknown key = %+v, want 4 left and no wait", got)
	}
}

func TestShouldReport(t *testing.T) {
	var c clock
	b := buckets(t, rateOf(1, time.Minute))
	b.Take("a", c.now())
	var reported []bool
	for _, after := range []time.Duration{0, 0, 30 * time.Second, 29 * time.Second, time.Second, 0} {
		c.advance(after)
		reported = append(reported, b.ShouldReport("a", c.now()))
	}
	check.Equal(t, fmt.Sprint(reported), "[true false false false true false]", "got %v", reported)
	if b.ShouldReport("b", c.now()) {
		t.Error("ShouldReport of a key that was never refused = true, want false")
	}
}

// A clock that is set back does not make requests wait until it reaches the same time again.
func TestClockSetBack(t *testing.T) {
	for _, tc := range []struct {
		name       string
		by         time.Duration
		left       int
		full, wait time.Duration
	}{
		{"by an hour", time.Hour, 4, 0, 0},
		{"by a window", 8 * time.Second, 4, 0, 0},
		{"by more than half a window", 4*time.Second + 1, 4, 0, 0},
		{"by half a window", 4 * time.Second, 0, 12 * time.Second, 6 * time.Second},
		{"by a second", time.Second, 0, 9 * time.Second, 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c clock
			b := buckets(t, rateOf(4, 8*time.Second))
			for range 5 {
				b.Take("a", c.now())
			}
			b.ShouldReport("a", c.now())
			c.advance(-tc.by)
			check.Equal(t, b.Peek("a", c.now()), (ratelimit.State{Left: tc.left, Full: tc.full, Wait: tc.wait}),
				"Peek returned")
			if reported := b.ShouldReport("a", c.now()); reported != (tc.by >= 8*time.Second) {
				t.Errorf("ShouldReport() = %v, want %v", reported, tc.by >= 8*time.Second)
			}
			if _, taken := b.Take("a", c.now()); taken != (tc.left > 0) {
				t.Errorf("Take() = %v, want %v", taken, tc.left > 0)
			}
			if tc.left > 0 {
				b.Return("a", c.now())
			}
			c.advance(tc.wait)
			if state, taken := b.Take("a", c.now()); !taken {
				t.Errorf("Take after the wait: got none with %+v, want one", state)
			}
		})
	}
}

func TestReturnWithClockSetBack(t *testing.T) {
	var c clock
	b := buckets(t, rateOf(4, 8*time.Second))
	b.Take("a", c.now())
	c.advance(-time.Hour)
	b.Return("a", c.now())
	check.Equal(t, b.Peek("a", c.now()).Left, 4, "left")
	c.advance(time.Hour)
	check.Equal(t, b.Peek("a", c.now()).Left, 4, "left an hour later")
}

// In no interval are more requests allowed than a full bucket and the refill of the
// interval.
func TestNeverMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var c clock
		r := rateOf(rapid.IntRange(1, 50).Draw(rt, "requests"),
			time.Duration(rapid.IntRange(1, 100_000).Draw(rt, "window"))*time.Millisecond)
		b, err := ratelimit.New[string](r, 10)
		if err != nil {
			rt.Fatal(err)
		}
		taken := 0
		for range rapid.IntRange(1, 200).Draw(rt, "tries") {
			c.advance(time.Duration(rapid.Int64Range(0, int64(r.Window/10)).Draw(rt, "pause")))
			state, ok := b.Take("a", c.now())
			if ok {
				taken++
			}
			if !ok && state.Wait <= 0 || state.Left < 0 || state.Left >= r.Requests || state.Full > r.Window ||
				state.Full < state.Wait {
				rt.Fatalf("Take() = %v with state %+v, want a wait if refused, and a state within %+v", ok, state, r)
			}
			most := float64(r.Requests)*(1+float64(c.at.Load())/float64(r.Window)) + 1e-6
			if float64(taken) > most {
				rt.Fatalf("%d were allowed in %v at %+v, want %v at most", taken, time.Duration(c.at.Load()), r, most)
			}
		}
	})
}

// A window that is not a multiple of the number of requests does not allow more of them.
func TestNeverMoreThanTheRateOfAShortWindow(t *testing.T) {
	var c clock
	r := rateOf(36, time.Millisecond)
	b := buckets(t, r)
	allowed := 0
	for c.at.Load() < int64(time.Second) {
		state, ok := b.Take("a", c.now())
		if ok {
			allowed++
		}
		c.advance(state.Wait)
	}
	if most := r.Requests * 1001; allowed > most || allowed < most-2 {
		t.Errorf("allowed in 1,000 windows of %d: got %d, want %d, or 2 fewer", r.Requests, allowed, most)
	}
}

func TestTakenAtOnce(t *testing.T) {
	var c clock
	b := buckets(t, rateOf(100, time.Minute))
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if _, ok := b.Take("a", c.now()); ok {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	check.Equal(t, taken.Load(), 100, "taken.Load()")
}

func TestNotPositive(t *testing.T) {
	for name, make := range map[string]func() error{
		"requests": func() error {
			_, err := ratelimit.New[string](rateOf(0, time.Second),
				1)
			return err
		},
		"window": func() error {
			_, err := ratelimit.New[string](rateOf(1, 0),
				1)
			return err
		},
		"more than one request per nanosecond": func() error {
			_, err := ratelimit.New[string](rateOf(2, 1),
				1)
			return err
		},
		"keys": func() error {
			_, err := ratelimit.New[string](rateOf(1, time.Second),
				0)
			return err
		},
		"addresses": func() error {
			_, err := ratelimit.NewFailures(rateOf(1, time.Second),
				0)
			return err
		},
	} {
		if make() == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
}

func failures(t *testing.T, r ratelimit.Rate) *ratelimit.Failures {
	t.Helper()
	f, err := ratelimit.NewFailures(r, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFailures(t *testing.T) {
	var c clock
	f := failures(t, rateOf(2, 10*time.Second))
	here, elsewhere := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	expect := func(what string, from netip.Addr, credential string, want ratelimit.Admission) {
		t.Helper()
		if _, got := f.Admit(from, credential, c.now()); got != want {
			t.Errorf("%s: admission %v, want %v", what, got, want)
		}
	}
	const refused, admitted, onTrial = ratelimit.Refused, ratelimit.Admitted, ratelimit.OnTrial
	f.Worked("good")
	f.Worked("revoked later")
	f.Failed(here, "bad", c.now())
	expect("one is left", here, "bad", admitted)
	f.Failed(here, "worse", c.now())
	expect("over", here, "worse", refused)
	expect("over, a credential that worked", here, "good", admitted)
	expect("over, a credential that was never seen", here, "new", onTrial)
	f.Returned(here, c.now())
	f.Worked("new")
	expect("over, and it worked", here, "new", admitted)
	expect("over, a guess", here, "guess 1", onTrial)
	f.Failed(here, "guess 1", c.now())
	for range 10 {
		expect("over, the same guess again", here, "guess 1", refused)
	}
	expect("over, another guess", here, "guess 2", onTrial)
	expect("over, one guess too many", here, "guess 3", refused)
	expect("over, it failed before it worked", here, "worse", refused)
	f.Worked("worse")
	expect("over, it failed before it worked", here, "worse", admitted)
	expect("another address", elsewhere, "bad", admitted)
	expect("over, it worked until now", here, "revoked later", admitted)
	f.Failed(here, "revoked later", c.now())
	expect("over, it works no more", here, "revoked later", refused)
	if !f.ShouldReport(here, c.now()) || f.ShouldReport(here, c.now()) || f.ShouldReport(elsewhere, c.now()) {
		t.Error("refusals are not reported once, want one report, and none of another address")
	}
	c.advance(10 * time.Second)
	expect("a window later", here, "bad", admitted)
	f.Failed(here, "bad", c.now())
	f.Failed(here, "bad", c.now())
	expect("a window later, over", here, "guess 1", onTrial)
}

func TestFailuresShareANetwork(t *testing.T) {
	for _, tc := range []struct {
		name, failing, other string
		shared               bool
	}{
		{"IPv4 addresses", "192.0.2.1", "192.0.2.2", false},
		{"IPv4-mapped address", "::ffff:192.0.2.1", "192.0.2.1", true},
		{"IPv4-mapped addresses", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"one /64", "2001:db8::1", "2001:db8::ffff:1:2:3", true},
		{"another /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"a zone", "fe80::1%eth0", "fe80::2", true},
		{"unknown addresses", "", "", false},
		{"an unknown address", "", "::", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := failures(t, rateOf(1, time.Hour))
			failing, _ := netip.ParseAddr(tc.failing)
			other, _ := netip.ParseAddr(tc.other)
			f.Failed(failing, "bad", time.Now())
			if _, admission := f.Admit(other, "bad", time.Now()); (admission == ratelimit.Refused) != tc.shared {
				t.Errorf("Admit() = %v, want it refused: %t", admission, tc.shared)
			}
		})
	}
}
