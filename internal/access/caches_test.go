package access_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// rename changes what the database says of a token.
func (g *gate) rename(s secret.Secret, name string) {
	g.repo.mu.Lock()
	defer g.repo.mu.Unlock()
	digest := g.keys.Digest(s).Digest
	r := g.repo.records[s.Kind()][digest]
	r.Principal.Name = name
	g.repo.records[s.Kind()][digest] = r
}

// A change that may end what is remembered of an account's tokens.
func TestWhatEndsMemory(t *testing.T) {
	other := uuid.New()
	for _, tc := range []struct {
		name    string
		change  func(*gate, auth.Principal)
		queries int64 // for the second verification
	}{
		{"nothing", func(*gate, auth.Principal) {}, 0},
		{"a change of the account", func(g *gate, _ auth.Principal) { g.caches.Invalidate(account) }, 1},
		{"a change of the token", func(g *gate, p auth.Principal) { g.caches.Invalidate(p.ID) }, 1},
		{"a change of another account or token", func(g *gate, _ auth.Principal) { g.caches.Invalidate(other) }, 0},
		{"changes that may have been missed", func(g *gate, _ auth.Principal) { g.caches.InvalidateAll() }, 1},
		{"receiving nothing", func(g *gate, _ auth.Principal) { g.unsubscribed.Store(true) }, 1},
	} {
		for _, size := range []int{3, 1000} { // too small for familiar secrets, and not
			t.Run(fmt.Sprintf("%s/%d", tc.name, size), func(t *testing.T) {
				g := openWith(t, size, time.Hour)
				s := g.token(nil)
				tc.change(g, *g.verify(s))
				g.verify(s)
				check.Equal(t, g.repo.queries.Load()-1, tc.queries, "queries")
			})
		}
	}
}

func TestRememberedAgainAfterAChange(t *testing.T) {
	g := open(t)
	s := g.token(nil)
	for i := range 3 {
		g.rename(s, strconv.Itoa(i))
		g.caches.Invalidate(account)
		for range 2 {
			if p := g.verify(s); p.Name != strconv.Itoa(i) {
				t.Fatalf("the name after change %d: got %q, want %q", i, p.Name, strconv.Itoa(i))
			}
		}
	}
	check.Equal(t, g.repo.queries.Load(), 3, "queries")
}

// While nothing is heard the database is asked every time, and none of its answers is remembered for later.
func TestDeafMemoryIsNotUsed(t *testing.T) {
	g := open(t)
	s := g.token(nil)
	g.unsubscribed.Store(true)
	for range 3 {
		g.verify(s)
	}
	g.unsubscribed.Store(false)
	g.verify(s)
	check.Equal(t, g.repo.queries.Load(), 4, "queries")
}

// A record that was being read while a change came in may be older than the change: it is not returned, and is
// not cached.
func TestReadingDuringAChange(t *testing.T) {
	for name, change := range map[string]func(*gate){
		"changed": func(g *gate) { g.caches.Invalidate(account) },
		"missed":  func(g *gate) { g.caches.InvalidateAll() },
	} {
		t.Run(name, func(t *testing.T) {
			g := open(t)
			s := g.token(nil)
			g.repo.reading = func() {
				g.repo.reading = nil
				g.rename(s, "after")
				change(g)
			}
			for range 2 {
				if p := g.verify(s); p.Name != "after" {
					t.Errorf("the name: got %q, read before the change, want %q", p.Name, "after")
				}
			}
		})
	}
}

// Of all the requests that begin after Changed or Forget returned, none gets a record that was read before: with real
// goroutines, many tokens and accounts, some of which share a slot.
func TestNothingOldAfterAChange(t *testing.T) {
	g := open(t)
	// The last two bytes choose the slot: of the four accounts each two are neighbours in one.
	accounts := make([]uuid.UUID, 4)
	for i := range accounts {
		accounts[i] = uuid.New()
		binary.BigEndian.PutUint16(accounts[i][14:], uint16(i/2))
	}
	type subject struct {
		secret  secret.Secret
		account uuid.UUID
		told    atomic.Int64 // the last change that the caches were notified of
	}
	subjects := make([]*subject, 12)
	for i := range subjects {
		subjects[i] = &subject{account: accounts[i%len(accounts)]}
		subjects[i].secret = g.token(func(r *access.Record) {
			r.Principal.AccountID, r.Principal.Name = subjects[i].account, "0"
		})
	}
	g.repo.reading = func() {
		if rand.IntN(4) == 0 {
			time.Sleep(time.Duration(rand.IntN(50)) * time.Microsecond)
		}
	}
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := subjects[rand.IntN(len(subjects))]
				told := s.told.Load()
				p, err := g.Principal(ctx, s.secret.Reveal(), auth.Origin{})
				if err != nil {
					t.Error(err)
					return
				}
				if got, _ := strconv.ParseInt(p.Name, 10, 64); got < told {
					t.Errorf("got change %d, want %d or later, which had been heard of before", got, told)
					return
				}
			}
		})
	}
	for w := range 3 {
		writers.Go(func() {
			for n := int64(1); n <= 400; n++ {
				s := subjects[w+3*rand.IntN(len(subjects)/3)] // each subject has one writer
				change := s.told.Load() + 1
				g.rename(s.secret, strconv.FormatInt(change, 10))
				if rand.IntN(8) == 0 {
					g.caches.InvalidateAll()
				} else {
					g.caches.Invalidate(s.account)
				}
				s.told.Store(change)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	queries := g.repo.queries.Load()
	for _, s := range subjects {
		g.verify(s.secret)
		g.verify(s.secret)
	}
	if again := g.repo.queries.Load() - queries; again > int64(len(subjects)) {
		t.Errorf("queries when nothing changes: got %d, want %d at most, one for each token", again, len(subjects))
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const size, tokens = 50, 1000
	g := openWith(t, size, time.Hour)
	secrets := make([]secret.Secret, tokens)
	for i := range secrets {
		secrets[i] = g.token(nil)
		g.verify(secrets[i])
	}
	queries := g.repo.queries.Load()
	for _, s := range secrets {
		g.verify(s)
	}
	// Eviction is asynchronous, so a few more may be there.
	if remembered := tokens - (g.repo.queries.Load() - queries); remembered > 3*size {
		t.Errorf("%d records were remembered, want about %d", remembered, size)
	}
}

func TestRecordsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openWith(t, 1000, time.Minute)
		s := g.token(nil)
		for _, tc := range []struct {
			after   time.Duration
			queries int64
		}{{0, 1}, {59 * time.Second, 1}, {2 * time.Second, 2}, {59 * time.Second, 2}, {2 * time.Second, 3}} {
			g.sleep(tc.after)
			g.verify(s)
			if n := g.repo.queries.Load(); n != tc.queries {
				t.Fatalf(
					"%v later the database was asked %d times, want %d: a record's age counts from when it was read",
					tc.after, n, tc.queries)
			}
		}
		g.caches.Close()
	})
}

func TestNewMemoryRefuses(t *testing.T) {
	if _, err := access.NewCaches(-1, time.Hour, func() bool { return true }, time.Now); err == nil {
		t.Error("NewCaches of -1 records: got no error, want one")
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, warm := range []bool{true, false} {
		b.Run(fmt.Sprintf("warm=%v", warm), func(b *testing.B) {
			g := open(b)
			g.unsubscribed.Store(!warm)
			presented := g.token(nil).Reveal()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := g.Principal(ctx, presented, auth.Origin{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A change of one account leaves what is cached of others, of which there may
// be tens of thousands.
func TestChangeOfAnotherAccount(t *testing.T) {
	g := open(t)
	var account, other uuid.UUID
	account[14], other[14] = 0x10, 0x20
	value := g.token(func(r *access.Record) { r.Principal.AccountID = account })
	for range 2 {
		if _, err := g.Principal(ctx, value.Reveal(), auth.Origin{}); err != nil {
			t.Fatal(err)
		}
		g.caches.Invalidate(other)
	}
	check.Equal(t, g.repo.queries.Load(), 1, "queries")
}

// Look-ups are counted by cache, in every part of the cache, and so are those that it may not answer.
func TestStats(t *testing.T) {
	for _, size := range []int{3, 1000} { // without the hot cache, and with it
		g := openWith(t, size, time.Hour)
		known, unknown := g.token(nil), g.secret(secret.AccountAccessToken)
		for range 3 {
			g.verify(known)
			_, _ = g.Principal(ctx, unknown.Reveal(), auth.Origin{})
		}
		g.unsubscribed.Store(true)
		g.verify(known)
		got := g.caches.Stats()
		check.Equal(t, got[0].Name, "credentials", "the first cache")
		check.Equal(t, got[0].Hits, 4, "hits with %d places", size)
		check.Equal(t, got[0].Misses, 3, "misses with %d places", size)
		check.Equal(t, got[0].Size, 1, "values with %d places", size)
		check.Equal(t, got[1], access.CacheStats{Name: "stores"}, "a cache that is not used")
	}
}
