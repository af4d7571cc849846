package gormdb_test

import (
	"context"
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
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// joiner adds a user to the account and returns the user, and the person who signs in with the user's address.
func joiner(t *testing.T, db *gormdb.DB, w dbtest.World) (user.User, signin.Person) {
	t.Helper()
	fresh := newcomers(1)
	change(t, db, w, func(c user.Change) error {
		if err := c.CreateUsers(t.Context(), fresh); err != nil {
			return err
		}
		return c.SaveMembers(t.Context(), []user.Membership{membershipOf(fresh[0].User)})
	})
	person, err := db.SignIn().EnsurePerson(t.Context(), user.Fold(fresh[0].Email), noon)
	must(t, err)
	return fresh[0].User, person
}

// Sessions of either kind, and links that the account sends, are created before the removal or deactivation of their
// membership, which revokes them, or are refused.
func TestBeginningsBesideTheRemoval(t *testing.T) {
	for name, leave := range map[string]func(context.Context, user.Change, *auth.Principal, []user.Person, time.Time,
		user.Review) error{"removal": user.Leave, "deactivation": user.Deactivate} {
		t.Run(name, func(t *testing.T) { beginningsBeside(t, leave) })
	}
}

func beginningsBeside(t *testing.T, leave func(context.Context, user.Change, *auth.Principal, []user.Person, time.Time,
	user.Review) error) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{Stores: 1}.Make(t, handles[0])
		by := auth.NoActor("a test")
		for range 3 {
			u, person := joiner(t, handles[0], w)
			session := func() (user.Session, secret.KeyedDigest, audit.Event) {
				s := user.Session{
					ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, UserID: u.ID, PersonID: person.ID,
					CreatedAt: noon, ExpiresAt: later(time.Hour),
				}
				started := endedEvent(s)
				started.Action = audit.SessionStarted
				return s, keyring.Digest(newSecret(secret.UserSession)), started
			}
			links := make([]secret.Secret, 2)
			link := func(i int, db *gormdb.DB, to uuid.UUID) error {
				value := newSecret(secret.OneTimeLink)
				l := signin.Link{ID: uuid.New(), Purpose: signin.Invitation, UserID: to, AccountID: w.Account.ID,
					CreatedAt: noon, ExpiresAt: later(time.Hour)}
				err := db.SignIn().SaveLink(t.Context(), by, l, keyring.Digest(value), nil)
				if err == nil {
					links[i] = value
				}
				return err
			}
			var gone atomic.Bool
			var begun sync.WaitGroup
			begun.Add(4)
			var all sync.WaitGroup
			for i, begin := range []func() error{
				func() error {
					s, digest, started := session()
					return handles[0].Users().StartSession(t.Context(), by, s, digest, started, endedEvent(s))
				},
				func() error {
					s, digest, started := session()
					grounds := signin.Grounds{UserID: person.ID, Password: signin.VersionOf("", uuid.Nil)}
					return handles[1].SignIn().Begin(t.Context(), by,
						signin.NewSession{Session: s, Digest: digest, Grounds: grounds, Started: started})
				},
				func() error { return link(0, handles[0], u.ID) },
				func() error { return link(1, handles[1], person.ID) },
			} {
				all.Go(func() {
					ready := sync.OnceFunc(begun.Done)
					defer ready()
					for n := 0; ; n++ {
						if n == 2 {
							ready()
						}
						late := gone.Load()
						if err := begin(); err != nil {
							check.Equal(t, fault.KindOf(err), fault.NotFound, "beginning %d: %v", i, err)
							return
						}
						if late {
							t.Errorf("beginning %d: got no error after the removal, want it refused", i)
							return
						}
					}
				})
			}
			begun.Wait()
			change(t, handles[1], w, func(c user.Change) error {
				return leave(t.Context(), c, &auth.Principal{Kind: auth.Operator, AccountID: w.Account.ID},
					[]user.Person{{User: u}}, noon, nil)
			})
			gone.Store(true)
			all.Wait()
			left, err := handles[0].Users().Sessions(t.Context(), user.SessionSelection{UserID: u.ID}, noon)
			if err != nil || len(left) > 0 {
				t.Fatalf("sessions after the removal: got %d, %v, want none", len(left), err)
			}
			for i, value := range links {
				if _, err := handles[0].SignIn().Link(t.Context(), keyring.Candidates(value),
					noon); fault.KindOf(err) != fault.NotFound {
					t.Fatalf("link %d after the removal: got error %v, want kind %s", i, err, fault.NotFound)
				}
			}
		}
	})
}

// A removal or a deactivation that revokes the tokens known to the user also revokes the tokens that these issue
// meanwhile.
func TestIssuingByTokensOfTheRemoved(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{Stores: 2}.Make(t, handles[0])
		leaving := membership.NewService(handles[1].Memberships(), func() time.Time { return noon })
		owner := &auth.Principal{NoCredential: "a test", Kind: auth.Operator, AccountID: w.Account.ID}
		for round := range 4 {
			u, _ := joiner(t, handles[0], w)
			made, value := issue(t, handles[0], w, uuid.Nil, func(d *token.Draft) {
				d.Token.CreatedBy = audit.Actor{Kind: audit.ActorUser, ID: u.ID, Name: u.Email}
			})
			by := actorOf(t, handles[0], value)
			var begun sync.WaitGroup
			begun.Add(4)
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					ready := sync.OnceFunc(begun.Done)
					defer ready()
					for n := range 5000 {
						if n == 2 {
							ready()
						}
						d, _ := draft(w, w.Stores[i%2].ID, createdBy(made), func(d *token.Draft) { d.MaxLive = 10_000 })
						if err := handles[i%2].Tokens().Insert(t.Context(), by, d); err != nil {
							if fault.KindOf(err) != fault.Unauthenticated {
								t.Errorf("issuing: got error %v, want kind %s", err, fault.Unauthenticated)
							}
							return
						}
					}
					t.Error("issuing is never refused, want it refused after the removal")
				})
			}
			begun.Wait()
			r := membership.Removal{User: user.Ref{ID: &u.ID}, Offboarding: account.RevokeTokens}
			leave := leaving.Remove
			if round%2 == 1 {
				leave = func(ctx context.Context, by *auth.Principal, r membership.Removal) (membership.RemovalResult,
					error) {
					return leaving.Deactivate(ctx, by, membership.Deactivation(r))
				}
			}
			removed, err := leave(t.Context(), owner, r)
			must(t, err)
			all.Wait()
			issued, err := handles[0].Tokens().IssuedBy(t.Context(), w.Account.ID, []uuid.UUID{made.ID}, noon)
			must(t, err)
			if len(issued)+1 != len(removed.Review) || len(removed.Review) != len(removed.Revoked) {
				t.Errorf("tokens: got %d to review and %d revoked, want %d of each",
					len(removed.Review), len(removed.Revoked), len(issued)+1)
			}
			if i := slices.IndexFunc(issued,
				func(one token.Token) bool { return one.Status(noon) == token.Active }); i >= 0 {
				t.Fatalf("token %d of %d outlives the removal, want every token revoked", i, len(issued))
			}
			if i := slices.IndexFunc(removed.Review,
				func(one token.Token) bool { return one.Revocation == nil }); i >= 0 {
				t.Errorf("token %d to review: got no revocation, want one", i)
			}
		}
	})
}
