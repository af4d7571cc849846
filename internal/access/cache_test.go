package access_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// together lets n verifications of the secret wait for one look-up that goes on until release is called, and returns
// how many succeeded.
func (g *gate) verifyAtOnce(n int, s secret.Secret, release func()) int64 {
	var succeeded atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if _, err := g.Principal(ctx, s.Reveal(), auth.Origin{}); err == nil {
				succeeded.Add(1)
			}
		})
	}
	synctest.Wait()
	release()
	all.Wait()
	return succeeded.Load()
}

// held makes look-ups wait until release is called.
func (g *gate) holdQueries() (release func()) {
	gone := make(chan struct{})
	g.repo.reading = func() { <-gone }
	return func() { close(gone) }
}

// Of concurrent misses of the same key, one queries the database.
func TestMissesShareOneLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		s := g.token(nil)
		check.Equal(t, g.verifyAtOnce(50, s, g.holdQueries()), 50, "g.verifyAtOnce(50, s, g.holdQueries())")
		check.Equal(t, g.repo.queries.Load(), 1, "queries")
		g.caches.Close()
	})
}

// A request that begins after a change was received does not get a value whose read began before it.
func TestNoLookUpIsSharedAcrossAChange(t *testing.T) {
	for name, change := range map[string]func(*gate){
		"changed": func(g *gate) { g.caches.Invalidate(account) },
		"missed":  func(g *gate) { g.caches.InvalidateAll() },
		"deaf":    func(g *gate) { g.unsubscribed.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := open(t)
				s := g.token(nil)
				release := g.holdQueries()
				var first sync.WaitGroup
				first.Go(func() { g.verify(s) })
				synctest.Wait()
				g.rename(s, "after")
				change(g)
				names := make(chan string, 10)
				var later sync.WaitGroup
				for range cap(names) {
					later.Go(func() {
						p, err := g.Principal(ctx, s.Reveal(), auth.Origin{})
						if err == nil {
							names <- p.Name
						}
					})
				}
				synctest.Wait()
				release()
				first.Wait()
				later.Wait()
				close(names)
				count := 0
				for name := range names {
					count++
					check.Equal(t, name, "after", "read before the change")
				}
				check.Equal(t, count, cap(names), "count")
				g.caches.Close()
			})
		})
	}
}

// What a request read is not believed when its server stood still meanwhile, or heard of a change: the token was
// revoked.
func TestWhatWasReadIsOld(t *testing.T) {
	stopped := func(*gate) { time.Sleep(2 * time.Second) }
	for _, tc := range []struct {
		name string
		// deaf says that the server receives nothing from the start; meanwhile
		// happens while it reads for the first time, later while it reads again.
		deaf             bool
		meanwhile, later func(*gate)
		want             fault.Kind
		queries          int64
	}{
		{"stopped, and deaf since", false, func(g *gate) { stopped(g); g.unsubscribed.Store(true) }, nil,
			fault.Unauthenticated, 2},
		{"stopped, and the change heard", false, func(g *gate) { stopped(g); g.caches.Invalidate(account) }, nil,
			fault.Unauthenticated, 2},
		{"a change heard", false, func(g *gate) { g.caches.Invalidate(account) }, nil, fault.Unauthenticated, 2},
		{"changes missed", false, func(g *gate) { g.caches.InvalidateAll() }, nil, fault.Unauthenticated, 2},
		{"a change of another account heard", false, func(g *gate) { g.caches.Invalidate(uuid.New()) }, nil, "", 1},
		{"slow", false, stopped, nil, "", 1},
		{"deaf", true, func(*gate) { time.Sleep(1900 * time.Millisecond) }, nil, "", 1},
		{"deaf and stopped", true, stopped, nil, fault.Unauthenticated, 2},
		{"deaf and stopped twice", true, stopped, stopped, fault.Internal, 2},
		{"stopped twice, and deaf since", false, func(g *gate) { stopped(g); g.unsubscribed.Store(true) }, stopped,
			fault.Unauthenticated, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := open(t)
				s := g.token(nil)
				g.unsubscribed.Store(tc.deaf)
				g.repo.reading = func() {
					change := tc.meanwhile
					switch g.repo.queries.Load() {
					case 1:
						g.keep(s, access.Record{Principal: auth.Principal{Kind: auth.APIToken, AccountID: account},
							Revoked: true})
					case 2:
						change = tc.later
					default:
						return
					}
					if change != nil {
						change(g)
					}
				}
				_, err := g.Principal(ctx, s.Reveal(), auth.Origin{})
				if err == nil && tc.want != "" || err != nil && fault.KindOf(err) != tc.want {
					t.Errorf("got %v, want kind %q", err, tc.want)
				}
				if tc.want == fault.Internal && !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("got %v, want fault.ErrUnavailable", err)
				}
				check.Equal(t, g.repo.queries.Load(), tc.queries, "queries")
				g.caches.Close()
			})
		})
	}
}

func TestWhatWasReadIsOldWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		s := g.token(nil)
		g.repo.stores["acme1us"] = access.Store{ID: uuid.New(), AccountID: account}
		v := access.NewVerifier(access.Config{Repository: g.repo, Keys: g.keys, Catalogue: scope.Default(),
			Now: time.Now})
		g.repo.reading = func() { time.Sleep(2 * time.Second) }
		if _, err := v.Principal(ctx, s.Reveal(), auth.Origin{}); !errors.Is(err, fault.ErrUnavailable) ||
			g.repo.queries.Load() != 2 {
			t.Errorf("Principal over a slow database: got error %v after %d queries, want %v after 2",
				err, g.repo.queries.Load(), fault.ErrUnavailable)
		}
		if _, err := v.Store(ctx, "acme1us"); err != nil {
			t.Errorf("a store, at once: %v", err)
		}
		g.caches.Close()
	})
}

// A failure can be due to the caller, whose request was canceled for instance: the others load again.
func TestFailuresAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		s := g.token(nil)
		g.repo.failing = errors.New("the request was given up")
		if n := g.verifyAtOnce(10, s, g.holdQueries()); n != 0 || g.repo.queries.Load() != 10 {
			t.Errorf("%d succeeded, asked %d times, want each once", n, g.repo.queries.Load())
		}
		g.repo.failing = nil
		g.verify(s)
		g.caches.Close()
	})
}

// What is not there is asked for once in a while, and again after anything changed.
func TestAbsenceIsRememberedShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		s := g.secret(secret.StoreAccessToken)
		for _, step := range []struct {
			name    string
			change  func()
			queries int64
		}{
			{"at first", func() {}, 1},
			{"again", func() {}, 1},
			{"after a change of any account", func() { g.caches.Invalidate(uuid.New()) }, 2},
			{"again after it", func() {}, 2},
			{"after changes were missed", func() { g.caches.InvalidateAll() }, 3},
			{"within its time", func() { time.Sleep(4 * time.Second) }, 3},
			{"after its time", func() { time.Sleep(2 * time.Second) }, 4},
			{"receiving nothing", func() { g.unsubscribed.Store(true) }, 5},
			{"receiving nothing, again", func() {}, 6},
		} {
			step.change()
			if _, err := g.Principal(ctx, s.Reveal(), auth.Origin{}); fault.KindOf(err) != fault.Unauthenticated {
				t.Fatalf("%s: got error %v, want kind %s", step.name, err, fault.Unauthenticated)
			}
			check.Equal(t, g.repo.queries.Load(), step.queries, "%s: queries", step.name)
		}
		g.caches.Close()
	})
}

// Made-up secrets do not evict cached records.
func TestAbsencePushesNothingOut(t *testing.T) {
	g := openWith(t, 100, time.Hour)
	known := make([]secret.Secret, 50)
	for i := range known {
		known[i] = g.token(nil)
		g.verify(known[i])
		g.verify(known[i])
	}
	for range 2000 {
		_, _ = g.Principal(ctx, g.secret(secret.StoreAccessToken).Reveal(), auth.Origin{})
	}
	queries := g.repo.queries.Load()
	for _, s := range known {
		g.verify(s)
	}
	if n := g.repo.queries.Load() - queries; n > 0 {
		t.Errorf("%d of %d were read again, want none", n, len(known))
	}
}

func TestStore(t *testing.T) {
	g := open(t)
	want := access.Store{ID: uuid.New(), AccountID: account}
	g.repo.stores["acme1us"] = want
	for _, step := range []struct {
		name    string
		change  func()
		hash    string
		found   bool
		queries int64
	}{
		{"at first", func() {}, "acme1us", true, 1},
		{"remembered", func() {}, "acme1us", true, 1},
		{"one that is not there", func() {}, "acme2eu", false, 2},
		{"remembered as not there", func() {}, "acme2eu", false, 2},
		{"one that was added", func() { g.repo.stores["acme2eu"] = want; g.caches.Invalidate(account) }, "acme2eu",
			true, 3},
		{"after the change", func() {}, "acme1us", true, 4},
	} {
		step.change()
		got, err := g.Store(ctx, step.hash)
		if step.found && (err != nil || *got != want) || !step.found && fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: Store(%q) = %v, %v, want %v, found: %t", step.name, step.hash, got, err, want, step.found)
		}
		check.Equal(t, g.repo.queries.Load(), step.queries, "%s: queries", step.name)
	}
}

// A client's secret opens nothing for gateways, and a gateway's key nothing for clients.
func TestGateway(t *testing.T) {
	g := open(t)
	key, token := g.secret(secret.GatewayKey), g.token(nil)
	id := uuid.New()
	g.keep(key, access.Record{Principal: auth.Principal{Kind: auth.Gateway, ID: id, Name: "edge"}})
	if r, err := g.VerifyGateway(ctx, key.Reveal(), auth.Origin{}); err != nil || r.Principal.ID != id {
		t.Errorf("VerifyGateway of the key = %v, %v, want the principal %s", r, err, id)
	}
	if _, err := g.VerifyGateway(ctx, token.Reveal(), auth.Origin{}); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("a token in place of a key: got error %v, want kind %s", err, fault.Unauthenticated)
	}
	if _, err := g.Principal(ctx, key.Reveal(), auth.Origin{}); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("a key in place of a token: got error %v, want kind %s", err, fault.Unauthenticated)
	}
}
