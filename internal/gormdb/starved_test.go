package gormdb_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// flood are clients that write to one row all the time, each with the same credential, until it is refused.
type flood struct {
	clients sync.WaitGroup
	written atomic.Int64
}

// clientWrite is one write of a client.
type clientWrite func(context.Context, *gormdb.DB) error

// startFlood starts eight clients on the databases. Their writes overlap, since each keeps its transaction open.
func startFlood(t *testing.T, dbs []*gormdb.DB, write clientWrite) *flood {
	t.Helper()
	var f flood
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	for i := range 8 {
		f.clients.Go(func() {
			for {
				switch err := write(ctx, dbs[i%len(dbs)]); {
				case err == nil:
					f.written.Add(1)
				case fault.KindOf(err) == fault.Unauthenticated:
					return
				case fault.KindOf(err) != fault.Conflict: // its rights changed
					t.Errorf("client %d: got error %v, want kind %s", i, err, fault.Unauthenticated)
					return
				}
			}
		})
	}
	within(t, 10*time.Second, "writes of the clients", func() bool { return f.written.Load() > 20 })
	return &f
}

// open is how long the clients keep a transaction open.
const open = 2 * time.Millisecond

// rehook returns a write by an actor that changes a webhook, with an event.
func rehook(by auth.Actor, hook webhook.Webhook) clientWrite {
	return func(ctx context.Context, db *gormdb.DB) error {
		return db.Webhooks().Change(ctx, by, hook.AccountID, hook.ID,
			func(h webhook.Webhook) (webhook.Webhook, []audit.Event, error) {
				time.Sleep(open)
				e := hookEvent(h, audit.WebhookUpdated)
				e.Actor = audit.Actor{Kind: audit.ActorAPIToken, ID: by.ID, Name: "Token"}
				return h, []audit.Event{e}, nil
			})
	}
}

// rename returns a write by an actor that changes a token.
func rename(by auth.Actor, made token.Token) clientWrite {
	return func(ctx context.Context, db *gormdb.DB) error {
		return db.Tokens().Change(ctx, by, made.AccountID, made.ID,
			func(got token.Token, _ []token.AccessToken) (token.Change, error) {
				time.Sleep(open)
				got.Name = "Renamed"
				return token.Change{Token: &got, Event: event(got, audit.APITokenUpdated)}, nil
			})
	}
}

// starving is a credential that writes, and what may be taken from it.
type starving struct {
	dbs   []*gormdb.DB
	w     dbtest.World
	owner auth.Actor
	// own is the API token of token.
	own                token.Token
	token, session     auth.Actor
	sessionID, ofClerk uuid.UUID
	hook               webhook.Webhook
	other              token.Token
}

func newStarving(t *testing.T, url string) starving {
	t.Helper()
	dbs := []*gormdb.DB{dbtest.Open(t, url)}
	if dbs[0].Dialect() == "postgres" { // SQLite has one server
		dbs = append(dbs, dbtest.Open(t, url), dbtest.Open(t, url))
	}
	return starvingOn(t, dbs)
}

func starvingOn(t *testing.T, dbs []*gormdb.DB) starving {
	t.Helper()
	s, db := starving{dbs: dbs}, dbs[0]
	s.w = dbtest.Seed{Stores: 1, Users: 2}.Make(t, db)
	_, value := startSession(t, db, s.w, s.w.Owner)
	s.owner = actorOf(t, db, value)
	clerk, value := startSession(t, db, s.w, s.w.Users[0])
	s.session, s.sessionID, s.ofClerk = actorOf(t, db, value), clerk.ID, s.w.Users[0].ID
	s.own, value = issue(t, db, s.w, uuid.Nil)
	s.token = actorOf(t, db, value)
	s.other, _ = issue(t, db, s.w, s.w.Stores[0].ID)
	s.hook = addHook(t, db, s.w)
	return s
}

func (s starving) revoke(ctx context.Context, by auth.Actor, issued bool) error {
	e := revocationOf([]uuid.UUID{s.own.ID}, s.own)
	e.Issued = issued
	if issued {
		e.Event.Target = audit.Target{}
	}
	_, err := s.dbs[0].Tokens().Revoke(ctx, by, e)
	return err
}

// remove removes the clerk, and revokes the token.
func (s starving) remove(ctx context.Context, by auth.Actor) error {
	return s.dbs[0].Memberships().Change(ctx, by, s.w.Account.ID, func(c membership.Change) error {
		if _, err := c.RevokeTokens(ctx, revocationOf([]uuid.UUID{s.own.ID}, s.own)); err != nil {
			return err
		}
		if err := c.EndSessions(ctx, []uuid.UUID{s.ofClerk}, noon, endedEvent); err != nil {
			return err
		}
		return c.RemoveMembers(ctx, []uuid.UUID{s.ofClerk})
	})
}

func (s starving) suspend(ctx context.Context) error {
	suspended := s.w.Account
	suspended.Status = account.Suspended
	return s.dbs[0].Manifest().SaveAccount(ctx, suspended)
}

// A bearer cannot delay the revocation of its rights by writing all the time.
func TestRevocationIsNotStarved(t *testing.T) {
	const limit = 3 * time.Second
	operator := auth.NoActor("a test")
	byToken := func(s starving) auth.Actor { return s.token }
	bySession := func(s starving) auth.Actor { return s.session }
	revoke := func(ctx context.Context, s starving) error { return s.revoke(ctx, s.owner, false) }
	for _, tc := range []struct {
		what string
		by   func(starving) auth.Actor
		take func(context.Context, starving) error
	}{
		{"a token, revoked by the owner", byToken, revoke},
		{"a token, revoked by the operator", byToken,
			func(ctx context.Context, s starving) error { return s.revoke(ctx, operator, false) }},
		{"a token, revoked with the tokens it issued", byToken,
			func(ctx context.Context, s starving) error { return s.revoke(ctx, s.owner, true) }},
		{"a token, revoked with a user", byToken,
			func(ctx context.Context, s starving) error { return s.remove(ctx, s.owner) }},
		{"a token of a suspended account", byToken,
			func(ctx context.Context, s starving) error { return s.suspend(ctx) }},
		{"a session of a removed user", bySession,
			func(ctx context.Context, s starving) error { return s.remove(ctx, s.owner) }},
		{"a session of a suspended account", bySession,
			func(ctx context.Context, s starving) error { return s.suspend(ctx) }},
		{"a revoked session", bySession, func(ctx context.Context, s starving) error {
			_, err := s.dbs[0].Users().EndSessions(ctx, s.owner, user.SessionSelection{IDs: []uuid.UUID{s.sessionID}},
				noon, endedEvent)
			return err
		}},
	} {
		for name, write := range map[string]func(starving) clientWrite{
			"changes a webhook": func(s starving) clientWrite { return rehook(tc.by(s), s.hook) },
			"renames a token":   func(s starving) clientWrite { return rename(tc.by(s), s.other) },
		} {
			t.Run(fmt.Sprintf("%s/%s", tc.what, name), func(t *testing.T) {
				dbtest.EachURL(t, func(t *testing.T, url string) {
					s := newStarving(t, url)
					f := startFlood(t, s.dbs, write(s))
					ctx, cancel := context.WithTimeout(t.Context(), 5*limit)
					defer cancel()
					began := time.Now()
					if err := tc.take(ctx, s); err != nil {
						t.Errorf("taking the rights: got error %v after %s, want none", err, time.Since(began))
						return
					}
					if took := time.Since(began); took > limit {
						t.Errorf("taking the rights took %s, want %s at most", took, limit)
					}
					f.clients.Wait()
				})
			})
		}
	}
}

// A pooler that keeps a connection only for the length of a transaction does not change that.
func TestRevocationIsNotStarvedBehindAPooler(t *testing.T) {
	direct := dbtest.PostgresURL(t)
	url := dbtest.PgbouncerURL(t, direct)
	dbs := make([]*gormdb.DB, 3)
	for i := range dbs {
		dbs[i] = dbtest.OpenWith(t, gormdb.Config{URL: url, FeedURL: direct})
	}
	s := starvingOn(t, dbs)
	f := startFlood(t, s.dbs, rehook(s.token, s.hook))
	began := time.Now()
	must(t, s.revoke(t.Context(), s.owner, false))
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("revoking took %s, want 3s at most", took)
	}
	f.clients.Wait()
	var held int64
	if err := connect(t, direct).QueryRow(t.Context(), `SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d
		ON d.oid = l.database WHERE l.locktype = 'advisory' AND d.datname = current_database()`).Scan(&held); err != nil {
		t.Fatal(err)
	}
	if held > 0 {
		t.Errorf("advisory locks after the transactions: got %d, want 0", held)
	}
}

// In the log, no event of a token comes after the event of its revocation.
func TestEventsOfATokenPrecedeItsRevocation(t *testing.T) {
	for what, revoke := range map[string]func(context.Context, starving) error{
		"by a session":        func(ctx context.Context, s starving) error { return s.revoke(ctx, s.owner, false) },
		"by itself":           func(ctx context.Context, s starving) error { return s.revoke(ctx, s.token, false) },
		"with what it issued": func(ctx context.Context, s starving) error { return s.revoke(ctx, s.owner, true) },
		"with a user":         func(ctx context.Context, s starving) error { return s.remove(ctx, s.owner) },
	} {
		t.Run(what, func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) {
				s := newStarving(t, url)
				f := startFlood(t, s.dbs, rehook(s.token, s.hook))
				must(t, revoke(t.Context(), s))
				f.clients.Wait()
				reader := follower{log: s.dbs[0].Log(), account: s.w.Account.ID}
				dbtest.AwaitLog(t, s.dbs[0], s.w.Account.ID)
				must(t, reader.read(t.Context(), 100))
				at := slices.IndexFunc(reader.seen, func(e audit.Event) bool {
					return e.Action == audit.APITokenRevoked && e.Target.Key == s.own.ID.String()
				})
				if at < 0 {
					t.Fatalf("the log's %d events: got no %s, want one", len(reader.seen), audit.APITokenRevoked)
				}
				late := 0
				for _, e := range reader.seen[at+1:] {
					if e.Actor.ID == s.token.ID && e.Action == audit.WebhookUpdated {
						late++
					}
				}
				if late > 0 {
					t.Errorf("events of the token after its revocation: got %d of %d, want 0", late, f.written.Load())
				}
			})
		})
	}
}
