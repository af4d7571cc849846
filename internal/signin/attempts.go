package signin

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
)

// mostCounted is how many addresses, people and browsers are counted at most.
const mostCounted = 100_000

// The rates of passwords that are wrong, and of wishes for another password.
// Buckets fill again with time, so that nobody is locked out for good.
var (
	wrongPerAddress = ratelimit.Rate{Requests: 30, Window: time.Minute}
	// wrongPerPerson is also that of one browser that its person used before.
	wrongPerPerson      = ratelimit.Rate{Requests: 10, Window: 10 * time.Minute}
	forgottenPerAddress = ratelimit.Rate{Requests: 20, Window: 10 * time.Minute}
	forgottenPerPerson  = ratelimit.Rate{Requests: 3, Window: time.Hour}
	// begunPerAddress is that of flows, each of which leaves a row for a while.
	begunPerAddress = ratelimit.Rate{Requests: 300, Window: time.Minute}
)

// attempts bounds how often somebody may be wrong. Only what is wrong counts: a
// thousand people behind one address sign in at nine. What is tried is taken
// from the buckets before it is judged, and given back when it is right, so that
// many at once do not get further than one after another.
type attempts struct {
	addresses  *ratelimit.Buckets[netip.Addr]
	people     *ratelimit.Buckets[string]
	browsers   *ratelimit.Buckets[string]
	askedFrom  *ratelimit.Buckets[netip.Addr]
	askedAbout *ratelimit.Buckets[string]
	begunFrom  *ratelimit.Buckets[netip.Addr]
	// judging are those who are being judged: with few of them, few tries are
	// taken and not given back yet.
	judging chan struct{}
	// off says that nothing is counted.
	off bool
}

func newAttempts(off bool) (*attempts, error) {
	a := &attempts{judging: make(chan struct{}, password.AtOnce), off: off}
	var errs [6]error
	a.addresses, errs[0] = ratelimit.New[netip.Addr](wrongPerAddress, mostCounted)
	a.people, errs[1] = ratelimit.New[string](wrongPerPerson, mostCounted)
	a.browsers, errs[2] = ratelimit.New[string](wrongPerPerson, mostCounted)
	a.askedFrom, errs[3] = ratelimit.New[netip.Addr](forgottenPerAddress, mostCounted)
	a.askedAbout, errs[4] = ratelimit.New[string](forgottenPerPerson, mostCounted)
	a.begunFrom, errs[5] = ratelimit.New[netip.Addr](begunPerAddress, mostCounted)
	return a, errors.Join(errs[:]...)
}

// try is one attempt of somebody.
type try struct {
	from netip.Addr
	// person is the folded address that is tried.
	person string
	// browser is one that the person signed in with before; empty for none. It
	// has a bucket of its own: whoever empties the person's, or the office's,
	// does not keep them out (OWASP, "Slow Down Online Guessing Attacks with
	// Device Cookies").
	browser string
}

// judge lets work judge a try, unless there were too many wrong ones: then it
// returns fault.RateLimited, with how long to wait (Wait).
func (a *attempts) judge(ctx context.Context, t try, now func() time.Time, work func() (right bool, err error)) (bool, error) {
	if a.off {
		return work()
	}
	if err := a.look(t, now()); err != nil {
		return false, err
	}
	select {
	case a.judging <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-a.judging }()
	if err := a.take(t, now()); err != nil {
		return false, err
	}
	right, err := work()
	if right || err != nil {
		a.giveBack(t, now())
	}
	return right, err
}

// look refuses without waiting those who would be refused after it.
func (a *attempts) look(t try, now time.Time) error {
	if t.browser != "" {
		return spent(a.browsers.Look(t.browser, now))
	}
	if t.from.IsValid() {
		if err := spent(a.addresses.Look(ratelimit.Network(t.from), now)); err != nil {
			return err
		}
	}
	return spent(a.people.Look(t.person, now))
}

func spent(s ratelimit.State) error {
	if s.Left > 0 {
		return nil
	}
	return tooMany(s.Wait)
}

func (a *attempts) take(t try, now time.Time) error {
	if t.browser != "" {
		return taken(a.browsers.Take(t.browser, now))
	}
	if t.from.IsValid() {
		if err := taken(a.addresses.Take(ratelimit.Network(t.from), now)); err != nil {
			return err
		}
	}
	return taken(a.people.Take(t.person, now))
}

func taken(s ratelimit.State, ok bool) error {
	if ok {
		return nil
	}
	return tooMany(s.Wait)
}

func (a *attempts) giveBack(t try, now time.Time) {
	if t.browser != "" {
		a.browsers.Return(t.browser, now)
		return
	}
	a.addresses.Return(ratelimit.Network(t.from), now)
	a.people.Return(t.person, now)
}

// admit counts a try of what takes no time to judge. It returns
// fault.RateLimited for one too many.
func (a *attempts) admit(from netip.Addr, person string, now time.Time) error {
	if a.off {
		return nil
	}
	return a.take(try{from: from, person: person}, now)
}

// worked takes back a try that admit counted, since it was right.
func (a *attempts) worked(from netip.Addr, person string, now time.Time) {
	a.giveBack(try{from: from, person: person}, now)
}

// admitForgot counts a wish for another password. It returns fault.RateLimited
// for too many from an address, and whether the person may be mailed again.
func (a *attempts) admitForgot(from netip.Addr, foldedEmail string, now time.Time) (bool, error) {
	if a.off {
		return true, nil
	}
	if from.IsValid() {
		if err := taken(a.askedFrom.Take(ratelimit.Network(from), now)); err != nil {
			return false, err
		}
	}
	_, ok := a.askedAbout.Take(foldedEmail, now)
	return ok, nil
}

// waiting is the cause of a refusal of too many attempts.
type waiting struct{ wait time.Duration }

func (w waiting) Error() string { return "too many attempts" }

// Wait returns how long whoever made too many attempts is to wait; zero for
// other errors.
func Wait(err error) time.Duration {
	var w waiting
	errors.As(err, &w)
	return w.wait
}

// begin counts a flow that nobody in particular begins from an address. It
// returns fault.RateLimited for one too many.
func (a *attempts) begin(from netip.Addr, now time.Time) error {
	if a.off || !from.IsValid() {
		return nil
	}
	return taken(a.begunFrom.Take(ratelimit.Network(from), now))
}

func tooMany(wait time.Duration) error {
	wait = wait.Truncate(time.Second) + time.Second
	return fault.Wrap(waiting{wait}, fault.RateLimited, "There were too many attempts. Try again later.")
}
