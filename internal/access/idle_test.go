package access_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// idling is a gate whose sessions end after ten minutes without a use, and
// a session with a function that says when the database recorded a use.
func idling(t *testing.T, idle time.Duration) (g *gate, s secret.Secret, usedAt func(time.Time)) {
	t.Helper()
	g = open(t)
	g.setIdle(idle)
	s = g.secret(secret.UserSession)
	p := auth.Principal{Kind: auth.Session, ID: uuid.New(), SessionID: uuid.New(), AccountID: account}
	usedAt = func(at time.Time) { g.keep(s, access.Record{Principal: p, LastUsedAt: at}) }
	usedAt(g.clock)
	return g, s, usedAt
}

// ends has sessions end after a time without a use.
func (g *gate) setIdle(idle time.Duration) {
	g.Verifier = access.NewVerifier(access.Config{
		Repository: g.repo, Keys: g.keys, Catalogue: scope.Default(), Caches: g.caches, SessionUses: g.uses,
		SessionIdle: idle,
		Now:         func() time.Time { return g.clock },
	})
}

func (g *gate) isIdle(s secret.Secret) bool {
	g.t.Helper()
	_, err := g.Principal(ctx, s.Reveal(), auth.Origin{})
	if err != nil && !errors.Is(err, access.ReasonIdle) {
		g.t.Fatalf("the session: got error %v, want none, or %v", err, access.ReasonIdle)
	}
	return err != nil
}

// A session that is used goes on from memory; one that is not ends, unless the
// database has a later use.
func TestIdle(t *testing.T) {
	g, s, usedAt := idling(t, 10*time.Minute)
	for range 5 {
		g.verify(s)
		g.clock = g.clock.Add(10 * time.Minute)
	}
	g.verify(s)
	check.Equal(t, g.repo.queries.Load(), 1, "queries")
	g.clock = g.clock.Add(10*time.Minute + time.Nanosecond)
	for range 2 {
		if !g.isIdle(s) {
			t.Error("an idle session works, want it refused")
		}
	}
	usedAt(g.clock.Add(-time.Minute)) // at another server
	g.verify(s)
	queries := g.repo.queries.Load()
	g.clock = g.clock.Add(9 * time.Minute)
	g.verify(s)
	if n := g.repo.queries.Load(); n != queries {
		t.Errorf("queries for a session in use: got %d, want none", n-queries)
	}
	if err := g.uses.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if kept := g.used.kept; len(kept) != 1 || len(kept[0]) != 1 || !kept[0][0].Session ||
		!kept[0][0].At.Equal(g.clock) {
		t.Errorf("uses: got %v, want one batch of one session's use at %v", g.used.kept, g.clock)
	}
}

// A session that was idle when it is first seen here is refused, and a database
// that is away does not make it idle or used.
func TestIdleAtFirst(t *testing.T) {
	g, s, usedAt := idling(t, 10*time.Minute)
	usedAt(g.clock.Add(-11 * time.Minute))
	if !g.isIdle(s) {
		t.Error("an idle session works, want it refused")
	}
	g.repo.failing = errors.New("away")
	if _, err := g.Principal(ctx, s.Reveal(), auth.Origin{}); !errors.Is(err, g.repo.failing) {
		t.Errorf("Principal over a failing database: got error %v, want %v", err, g.repo.failing)
	}
}

// Without an idle end sessions stay valid, with any last use.
func TestNoIdleEnd(t *testing.T) {
	g, s, _ := idling(t, 0)
	g.verify(s)
	g.clock = g.clock.Add(300 * time.Hour)
	g.verify(s)
}
