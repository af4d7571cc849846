package gormdb_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/oauth"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// actorOf returns the actor that verifying the secret yields now.
func actorOf(t testing.TB, db *gormdb.DB, value secret.Secret) auth.Actor {
	t.Helper()
	record, err := db.Access().Credential(t.Context(), value.Kind(), keyring.Candidates(value))
	if err != nil {
		t.Fatal(err)
	}
	return record.Principal.Actor()
}

// attempts are writes by an actor: one through each way to the database.
func attempts(t testing.TB, db *gormdb.DB, w dbtest.World, by auth.Actor) map[string]func() error {
	victim, _ := issue(t, db, w, uuid.Nil)
	account, _ := draft(w, uuid.Nil)
	store, _ := draft(w, w.Stores[0].ID)
	invited := keyring.Digest(newSecret(secret.OneTimeLink))
	return map[string]func() error{
		"issue for the account": func() error { return db.Tokens().Insert(t.Context(), by, account) },
		"issue for a store":     func() error { return db.Tokens().Insert(t.Context(), by, store) },
		"change a token": func() error {
			return db.Tokens().Change(t.Context(), by, w.Account.ID, victim.ID,
				func(got token.Token, _ []token.AccessToken) (token.Change, error) {
					got.Name = "Changed"
					return token.Change{Token: &got, Event: event(got, "API_TOKEN_UPDATED")}, nil
				})
		},
		"revoke": func() error {
			_, err := db.Tokens().Revoke(t.Context(), by, revocationOf([]uuid.UUID{victim.ID}, victim))
			return err
		},
		"change users": func() error {
			return db.Users().Change(t.Context(), by, w.Account.ID,
				func(c user.Change) error { return c.SetOwner(t.Context(), w.Stores[1].ID, w.Users[0].ID) })
		},
		"remove users": func() error {
			return db.Memberships().Change(t.Context(), by, w.Account.ID, func(membership.Change) error { return nil })
		},
		"invite": func() error {
			link := signin.Link{ID: uuid.New(), Purpose: signin.Invitation, UserID: w.Users[0].ID,
				AccountID: w.Account.ID, CreatedAt: noon, ExpiresAt: later(1)}
			return db.SignIn().SaveLink(t.Context(), by, link, invited, nil)
		},
		"send a form": func() error {
			_, err := db.SentForms().Claim(t.Context(), by, w.Account.ID, uuid.New(), noon, noon)
			return err
		},
	}
}

// A write is refused if its actor may not perform it any more at the time of the write.
func TestWritesJudgeTheirActor(t *testing.T) {
	narrow := func(t *testing.T, db *gormdb.DB, made token.Token, change func(*token.Token)) {
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), made.AccountID, made.ID,
			func(got token.Token, _ []token.AccessToken) (token.Change, error) {
				change(&got)
				return token.Change{Token: &got, Event: event(got, "API_TOKEN_UPDATED")}, nil
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	changeUsers := func(t *testing.T, db *gormdb.DB, w dbtest.World, work func(user.Change) error) {
		if err := db.Users().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, work); err != nil {
			t.Fatal(err)
		}
	}
	end := func(t *testing.T, db *gormdb.DB, s user.Session) {
		if _, err := db.Users().EndSessions(t.Context(), auth.NoActor("a test"),
			user.SessionSelection{IDs: []uuid.UUID{s.ID}}, noon, endedEvent); err != nil {
			t.Fatal(err)
		}
	}
	byToken := func(t *testing.T, db *gormdb.DB, w dbtest.World) (token.Token, auth.Actor) {
		made, value := issue(t, db, w, uuid.Nil)
		return made, actorOf(t, db, value)
	}
	bySession := func(t *testing.T, db *gormdb.DB, w dbtest.World, who user.User) (user.Session, auth.Actor) {
		s, value := startSession(t, db, w, who)
		return s, actorOf(t, db, value)
	}
	for _, tc := range []struct {
		name string
		take func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor
		want fault.Kind
	}{
		{"a revoked token", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			made, by := byToken(t, db, w)
			revoke(t, db, made)
			return by
		}, fault.Unauthenticated},
		{"a narrowed token", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			made, by := byToken(t, db, w)
			narrow(t, db, made, func(t *token.Token) { t.Scopes = scope.NewSet("store_cart") })
			return by
		}, fault.Conflict},
		{"a token that got a charge limit", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			made, by := byToken(t, db, w)
			narrow(t, db, made, func(t *token.Token) { t.ChargeLimit = auth.ChargeLimit{Currency: "USD"} })
			return by
		}, fault.Conflict},
		{"a token whose charge limit was lowered", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			made, _ := byToken(t, db, w)
			lower := func(minor int64) func(*token.Token) {
				return func(t *token.Token) { t.ChargeLimit = auth.ChargeLimit{Minor: minor, Currency: "USD"} }
			}
			narrow(t, db, made, lower(2))
			d, value := grantDraft(made, noon, oauth.MaxLive)
			if err := db.Grants().Grant(t.Context(), auth.NoActor("a test"), d); err != nil {
				t.Fatal(err)
			}
			by := actorOf(t, db, value)
			narrow(t, db, made, lower(1))
			return by
		}, fault.Conflict},
		{"an access token that was rotated away", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			made, by := byToken(t, db, w)
			err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), made.AccountID, made.ID,
				func(got token.Token, old []token.AccessToken) (token.Change, error) {
					return token.Change{Ended: []uuid.UUID{old[0].ID}, Event: event(got, "API_TOKEN_ROTATED")}, nil
				})
			if err != nil {
				t.Fatal(err)
			}
			return by
		}, fault.Unauthenticated},
		{"a granted access token that ended", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			made, _ := issue(t, db, w, uuid.Nil)
			d, value := grantDraft(made, noon, oauth.MaxLive)
			if err := db.Grants().Grant(t.Context(), auth.NoActor("a test"), d); err != nil {
				t.Fatal(err)
			}
			by := actorOf(t, db, value)
			end := oauth.Revocation{AccountID: made.AccountID, TokenID: made.ID, Kind: value.Kind(),
				Candidates: keyring.Candidates(value), At: noon, Event: event(made, "ACCESS_TOKEN_REVOKED")}
			if err := db.Grants().Revoke(t.Context(), auth.NoActor("a test"), end); err != nil {
				t.Fatal(err)
			}
			return by
		}, fault.Unauthenticated},
		{"an ended session of the account's owner", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			s, by := bySession(t, db, w, w.Owner)
			end(t, db, s)
			return by
		}, fault.Unauthenticated},
		{"an ended session of a store's owner", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			s, by := bySession(t, db, w, w.StoreOwner)
			end(t, db, s)
			return by
		}, fault.Unauthenticated},
		{"a former owner of a store", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			_, by := bySession(t, db, w, w.StoreOwner)
			changeUsers(t, db, w, func(c user.Change) error {
				return c.SetOwner(t.Context(), w.Stores[0].ID,
					w.Owner.ID)
			})
			return by
		}, fault.Conflict},
		{"a former owner of the account", func(t *testing.T, db *gormdb.DB, w dbtest.World) auth.Actor {
			_, by := bySession(t, db, w, w.Owner)
			changeUsers(t, db, w, func(c user.Change) error {
				return c.SetOwner(t.Context(), uuid.Nil,
					w.StoreOwner.ID)
			})
			return by
		}, fault.Conflict},
		{"no actor at all", func(*testing.T, *gormdb.DB, dbtest.World) auth.Actor { return auth.Actor{} },
			fault.Internal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
				w := dbtest.Seed{Stores: 3, Users: 3, StoreOwner: true}.Make(t, db)
				by := tc.take(t, db, w)
				for what, attempt := range attempts(t, db, w, by) {
					if err := attempt(); fault.KindOf(err) != tc.want {
						t.Errorf("%s: %v, want %s", what, err, tc.want)
					}
				}
			})
		})
	}
}

// A write of an actor whose rights have not changed succeeds, for each kind of credential: the checks in Go and in
// SQL agree.
func TestWritesOfLiveActors(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 3, Users: 3, StoreOwner: true}.Make(t, db)
		made, value := issue(t, db, w, uuid.Nil)
		d, granted := grantDraft(made, noon, oauth.MaxLive)
		if err := db.Grants().Grant(t.Context(), auth.NoActor("a test"), d); err != nil {
			t.Fatal(err)
		}
		actors := map[string]auth.Actor{"token": actorOf(t, db, value), "grant": actorOf(t, db, granted)}
		for name, who := range map[string]user.User{"owner": w.Owner, "store owner": w.StoreOwner} {
			_, session := startSession(t, db, w, who)
			actors[name] = actorOf(t, db, session)
		}
		for name, by := range actors {
			for what, attempt := range attempts(t, db, w, by) {
				if what == "change users" {
					continue // it would change the rights of the others
				}
				if err := attempt(); err != nil {
					t.Errorf("%s: %s: %v", name, what, err)
				}
			}
		}
	})
}

// No token is issued after the revocation of the actor has been answered, even if both run at the same time.
func TestNothingIsIssuedAfterTheRevocation(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{Stores: 3, Users: 3, StoreOwner: true}.Make(t, handles[0])
		for range 10 {
			made, value := issue(t, handles[0], w, uuid.Nil)
			by := actorOf(t, handles[0], value)
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					for { // until it is refused
						d, _ := draft(w, w.Stores[i%2].ID, func(d *token.Draft) { d.MaxLive = 10_000 })
						if err := handles[i%3].Tokens().Insert(t.Context(), by, d); err != nil {
							if fault.KindOf(err) != fault.Unauthenticated {
								t.Errorf("issuing while it is revoked: got error %v, want kind %s",
									err, fault.Unauthenticated)
							}
							return
						}
					}
				})
			}
			revoke(t, handles[1], made)
			before := countTokens(t, handles[2], w)
			all.Wait()
			if after := countTokens(t, handles[2], w); after != before {
				t.Fatalf("tokens issued after the revocation had been answered: got %d, want none", after-before)
			}
		}
	})
}

func countTokens(t testing.TB, db *gormdb.DB, w dbtest.World) (n int64) {
	t.Helper()
	stores := []uuid.UUID{w.Stores[0].ID, w.Stores[1].ID}
	counts, err := db.Tokens().CountStoreTokens(t.Context(), w.Account.ID, stores, token.Query{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return counts[stores[0]] + counts[stores[1]]
}

// Two tokens that revoke each other do not deadlock.
func TestTokensThatRevokeEachOther(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 3, Users: 3, StoreOwner: true}.Make(t, db)
		for range 10 {
			a, valueA := issue(t, db, w, uuid.Nil)
			b, valueB := issue(t, db, w, uuid.Nil)
			byA, byB := actorOf(t, db, valueA), actorOf(t, db, valueB)
			var all sync.WaitGroup
			revokes := func(by auth.Actor, victim token.Token) {
				if _, err := db.Tokens().Revoke(t.Context(), by, revocationOf([]uuid.UUID{victim.ID},
					victim)); err != nil &&
					fault.KindOf(err) != fault.Unauthenticated {
					t.Errorf("revoking each other: got error %v, want kind %s", err, fault.Unauthenticated)
				}
			}
			all.Go(func() { revokes(byA, b) })
			all.Go(func() { revokes(byB, a) })
			all.Wait()
		}
	})
}

// All writes go through DB.write. Only these files use the PostgreSQL pool directly, and each takes an actor or needs
// none.
func TestOneWayToWrite(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 40 {
		t.Fatalf("files of the package: got %d, %v, want 40 at least", len(files), err)
	}
	direct := map[string]string{
		"postgres.go":        "the pool's own file",
		"postgres_tokens.go": "statements with a guard, and last uses",
		"postgres_grants.go": "statements with a guard",
		"postgres_usage.go":  "statements with a guard",
		"queue_postgres.go":  "attempts of deliveries, which change no data of an account",
		"legacy.go":          "last uses",
		"session_uses.go":    "last uses",
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), ".transaction(") && file != "write.go" {
			t.Errorf("%s writes without an actor, want it to use DB.write", file)
		}
		if strings.Contains(string(text), "writeSQL.") && file != "sqlite.go" {
			t.Errorf("%s uses SQLite's writer without a turn, want it to use DB.write", file)
		}
		for _, call := range []string{".pool.Exec", ".pool.Query", ".pool.SendBatch", ".pool.Begin"} {
			if strings.Contains(string(text), call) && direct[file] == "" {
				t.Errorf("%s calls %s, want it to use DB.write", file, call)
			}
		}
	}
}

// The feed writes without an actor, and only to its own tables, which contain no user data.
func TestFeedWritesToItsOwnTables(t *testing.T) {
	files, err := filepath.Glob("../feed/*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("files of the feed: got %d, %v, want 10 at least", len(files), err)
	}
	written := regexp.MustCompile(`(?:INSERT INTO|DELETE FROM|UPDATE) (\w+)`)
	// Two are keywords.
	own := []string{"changes", "heartbeats", "registry", "replica_questions", "replicas", "SET", "SKIP"}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range written.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasSuffix(file, "_test.go") && !slices.Contains(own, match[1]) {
				t.Errorf("%s writes to the table %s, want only %q", file, match[1], own)
			}
		}
	}
}
