package user_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

var (
	ctx         = context.Background()
	now         = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	home, other = uuid.New(), uuid.New()
	elsewhere   = uuid.New()
)

// persons is a repository in memory for sessions.
type persons struct {
	user.Repository

	owners    map[string][]user.AccountUser // by folded address
	stored    []user.Session
	digests   []secret.KeyedDigest
	events    []audit.Event
	failing   error
	accountID uuid.UUID      // account of the last page request
	window    *paging.Window // and its window
}

func (p *persons) Memberships(_ context.Context, email string) ([]user.AccountUser, error) {
	return p.owners[email], nil
}

func (p *persons) StartSession(_ context.Context, _ auth.Actor, s user.Session, digest secret.KeyedDigest, e,
	accepted audit.Event) error {
	if p.failing != nil {
		return p.failing
	}
	p.stored, p.digests, p.events = append(p.stored, s), append(p.digests, digest), append(p.events, e, accepted)
	return nil
}

func (p *persons) Users(_ context.Context, accountID uuid.UUID, _ user.Filter, w paging.Window) (paging.Page[user.User],
	error) {
	p.accountID, p.window = accountID, &w
	return paging.Page[user.User]{}, nil
}

func acmeUsers() *persons {
	in := func(email string, accounts ...uuid.UUID) (all []user.AccountUser) {
		for _, id := range accounts {
			all = append(all, user.AccountUser{AccountID: id, User: user.User{ID: uuid.New(), Email: email}})
		}
		return all
	}
	invited := func(all []user.AccountUser, pending ...int) []user.AccountUser {
		for _, i := range pending {
			all[i].User.Pending = true
		}
		return all
	}
	return &persons{owners: map[string][]user.AccountUser{
		"one@acme.example":     in("One@acme.example", home),
		"two@acme.example":     in("two@acme.example", home, other),
		"wanted@acme.example":  invited(in("wanted@acme.example", other, home), 0),
		"invited@acme.example": invited(in("invited@acme.example", home), 0),
		"twice@acme.example":   invited(in("twice@acme.example", home, other), 0, 1),
	}}
}

func service(t *testing.T, repo user.Repository) (*user.Service, *secret.Keyring) {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return user.NewService(repo, keys, rand.Reader, func() time.Time { return now.Add(999) }), keys
}

func TestStartSession(t *testing.T) {
	for _, tc := range []struct {
		name    string
		req     user.SessionRequest
		account uuid.UUID
	}{
		{"in the only account", user.SessionRequest{Email: "one@acme.example", TTL: time.Hour}, home},
		{"in the only account, named", user.SessionRequest{Email: "one@acme.example", AccountID: home, TTL: time.Hour},
			home},
		{"in one of several", user.SessionRequest{Email: "two@acme.example", AccountID: other, TTL: time.Hour}, other},
		{"in the only accepted account", user.SessionRequest{Email: "wanted@acme.example", TTL: time.Hour}, home},
		{"in a named account, pending", user.SessionRequest{Email: "wanted@acme.example", AccountID: other,
			TTL: time.Hour}, other},
		{"in the only account, pending", user.SessionRequest{Email: "invited@acme.example", TTL: time.Hour}, home},
		{"an address in another case", user.SessionRequest{Email: " ONE@Acme.Example ", TTL: time.Hour}, home},
		{"the shortest lifetime", user.SessionRequest{Email: "one@acme.example", TTL: time.Minute}, home},
		{"the longest lifetime", user.SessionRequest{Email: "one@acme.example", TTL: user.MaxSessionTTL}, home},
	} {
		t.Run(tc.name, func(t *testing.T) {
			repo := acmeUsers()
			s, keys := service(t, repo)
			operator := auth.OperatorPrincipal()
			session, value, err := s.StartSession(ctx, &operator, tc.req)
			if err != nil {
				t.Fatal(err)
			}
			var person user.User
			for _, in := range repo.owners[user.Fold(tc.req.Email)] {
				if in.AccountID == tc.account {
					person = in.User
				}
			}
			if session.AccountID != tc.account || session.UserID != person.ID || session.CreatedAt != now ||
				session.ExpiresAt != now.Add(tc.req.TTL) {
				t.Errorf("session: got %+v, want one of user %s in account %s from %v for %v",
					session, person.ID, tc.account, now, tc.req.TTL)
			}
			if value.Kind() != secret.UserSession || len(repo.stored) != 1 || repo.stored[0] != session ||
				repo.digests[0] != keys.Digest(value) {
				t.Errorf("stored: got %+v under %v, want only %+v under its digest", repo.stored, repo.digests, session)
			}
			e := repo.events[0]
			if e.Action != audit.SessionStarted || e.AccountID != tc.account || e.At != now ||
				e.Actor.Kind != audit.ActorOperator ||
				e.Target != (audit.Target{Kind: audit.TargetSession, Key: session.ID.String(), Name: person.Email}) {
				t.Errorf("event: got %+v, want %s by an operator for %s", e, audit.SessionStarted, person.Email)
			}
			if a := repo.events[1]; a.Action != audit.UserAccepted || a.AccountID != tc.account ||
				a.Actor.Kind != audit.ActorOperator || a.Target != person.Target() {
				t.Errorf("event: got %+v, want %s by an operator for %+v", a, audit.UserAccepted, person.Target())
			}
		})
	}
}

func TestStartSessionRefuses(t *testing.T) {
	hour := time.Hour
	for _, tc := range []struct {
		name  string
		by    auth.Kind
		req   user.SessionRequest
		kind  fault.Kind
		field string
	}{
		{"not the operator", auth.Session, user.SessionRequest{Email: "one@acme.example", TTL: hour}, fault.Forbidden,
			""},
		{"a token", auth.APIToken, user.SessionRequest{Email: "one@acme.example", TTL: hour}, fault.Forbidden, ""},
		{"a lifetime that is too short", auth.Operator,
			user.SessionRequest{Email: "one@acme.example", TTL: time.Minute - 1}, fault.Invalid, "ttl"},
		{"a lifetime that is too long", auth.Operator,
			user.SessionRequest{Email: "one@acme.example", TTL: user.MaxSessionTTL + 1}, fault.Invalid, "ttl"},
		{"an unknown address", auth.Operator, user.SessionRequest{Email: "nobody@acme.example", TTL: hour},
			fault.NotFound, "email"},
		{"no address", auth.Operator, user.SessionRequest{TTL: hour}, fault.NotFound, "email"},
		{"a user in no account", auth.Operator, user.SessionRequest{Email: "staff@acme.example", TTL: hour},
			fault.NotFound, "email"},
		{"a user in no account, with an account", auth.Operator,
			user.SessionRequest{Email: "staff@acme.example", AccountID: home, TTL: hour}, fault.NotFound, "email"},
		{"several accounts", auth.Operator, user.SessionRequest{Email: "two@acme.example", TTL: hour}, fault.Invalid,
			"account"},
		{"several pending accounts", auth.Operator, user.SessionRequest{Email: "twice@acme.example", TTL: hour},
			fault.Invalid, "account"},
		{"another account", auth.Operator, user.SessionRequest{Email: "one@acme.example", AccountID: elsewhere,
			TTL: hour}, fault.NotFound, "account"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			repo := acmeUsers()
			s, _ := service(t, repo)
			session, value, err := s.StartSession(ctx,
				&auth.Principal{Kind: tc.by, AccountID: home, AccountOwner: true}, tc.req)
			failures := fault.Flatten(err)
			if len(failures) != 1 || failures[0].Kind != tc.kind || failures[0].Field != tc.field {
				t.Errorf("got %v, want %s on %q", err, tc.kind, tc.field)
			}
			if session != (user.Session{}) || value.Reveal() != "" || len(repo.stored) > 0 {
				t.Errorf("a refused request: got session %+v, %d stored, want none", session, len(repo.stored))
			}
		})
	}
}

func TestStartSessionFails(t *testing.T) {
	broken := errors.New("the disk is full")
	operator := auth.OperatorPrincipal()
	req := user.SessionRequest{Email: "one@acme.example", TTL: time.Hour}
	t.Run("with the repository", func(t *testing.T) {
		repo := acmeUsers()
		repo.failing = broken
		s, _ := service(t, repo)
		session, value, err := s.StartSession(ctx, &operator, req)
		if !errors.Is(err, broken) || value.Reveal() != "" || session != (user.Session{}) {
			t.Errorf("StartSession() = %v, %v, want no session and the error %v", session, err, broken)
		}
	})
	t.Run("with randomness", func(t *testing.T) {
		repo := acmeUsers()
		keys, err := secret.NewKeyring(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = user.NewService(repo, keys, bytes.NewReader(nil), time.Now).StartSession(ctx, &operator, req)
		if fault.KindOf(err) != fault.Internal || len(repo.stored) > 0 {
			t.Errorf("StartSession without randomness: error %v, %d stored, want kind %s and none",
				err, len(repo.stored), fault.Internal)
		}
	})
}

func TestUsers(t *testing.T) {
	repo := acmeUsers()
	s, _ := service(t, repo)
	if _, err := s.Users(ctx, &auth.Principal{AccountID: home}, user.Filter{},
		paging.Request{First: new(paging.MaxSize)}); err != nil || repo.accountID != home ||
		repo.window.Size != paging.MaxSize {
		t.Errorf("Users(): window %v of account %s, %v, want a page of %d of %s",
			repo.window, repo.accountID, err, paging.MaxSize, home)
	}
	if _, err := s.Users(ctx, &auth.Principal{AccountID: home}, user.Filter{},
		paging.Request{First: new(paging.MaxSize + 1)}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a page too large: got error %v, want kind %s", err, fault.Invalid)
	}
}

func TestFold(t *testing.T) {
	for _, tc := range []struct{ email, want string }{
		{"owner@acme.example", "owner@acme.example"},
		{" Owner@ACME.example\t", "owner@acme.example"},
		{"ÄRGER@Straße.example", "ärger@straße.example"},
		{"A\u0308rger@STRAẞE.example", "ärger@strasse.example"}, // composed first; ẞ in a domain is looked up as ss
		{"ann@xn--strae-oqa.example", "ann@straße.example"},
		{"J\u030c@acme.example", "\u01f0@acme.example"}, // composed after folding, too
		{"\u01f0@acme.example", "\u01f0@acme.example"},
		{"ιωτα@acme.example", "ιωτα@acme.example"},                  // not a mark below the letter before it
		{"\u212aelvin@ΟΔΥΣΣΕΥΣ.example", "kelvin@οδυσσευσ.example"}, // the kelvin sign; Σ is σ in a domain
		{"kelvin@οδυσσευς.example", "kelvin@οδυσσευς.example"},      // ς differs from σ in a domain
		{"kelvin@xn--nxasmm1c.example", "kelvin@βόλος.example"},
		{"kelvin@xn--nxasmq6b.example", "kelvin@βόλοσ.example"},
		{"οδυσσευς@acme.example", "οδυσσευσ@acme.example"},
		// İ is not i with another case, neither in a name nor, by IDNA, in a domain.
		{"İ@acme.example", "İ@acme.example"},
		{"ann@maİl.example", "ann@mai\u0307l.example"},
		{"ann@s_ub.φίλος.gr", "ann@s_ub.φίλος.gr"}, // _ is not allowed in a label
		{"ann@S_ub.xn--nxasmm1c.example", "ann@s_ub.βόλος.example"},
		{"ann@ä。example", "ann@ä.example"},
		{"ann@xn--.example", "ann@xn--.example"},
	} {
		check.Equal(t, user.Fold(tc.email), tc.want, "Fold(%q)", tc.email)
	}
}

// Every query about users is limited to the principal's account, except ByID:
// its IDs come from the account's own records.
func TestUsersOfTheAccount(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		seed := dbtest.Seed{Users: 2, MembersPerStore: 2, StoreOwner: true}
		w, other := seed.Make(t, db), seed.Make(t, db)
		s, _ := service(t, db.Users())
		by := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, AccountID: w.Account.ID}
		listed, err := s.Users(ctx, by, user.Filter{}, paging.Request{First: new(100)})
		if err != nil || len(listed.Items) != len(w.Users) || listed.Items[0].Node.ID != w.Users[len(w.Users)-1].ID {
			t.Errorf("Users() = %+v, %v, want the account's %d, the newest first", listed, err, len(w.Users))
		}
		if n, err := s.CountUsers(ctx, by, user.Filter{}); err != nil || n != int64(len(w.Users)) {
			t.Errorf("CountUsers() = %d, %v, want %d", n, err, len(w.Users))
		}
		ids := []uuid.UUID{w.Users[0].ID, other.Users[0].ID, uuid.New()}
		if got, err := s.MembersByID(ctx, by, ids); err != nil || len(got) != 1 ||
			got[ids[0]].Email != w.Users[0].Email {
			t.Errorf("MembersByID() = %+v, %v, want only %s", got, err, w.Users[0].Email)
		}
		if got, err := s.ByID(ctx, by, ids); err != nil || len(got) != 2 {
			t.Errorf("ByID() = %+v, %v, want 2", got, err)
		}
		stores := []uuid.UUID{w.Stores[0].ID, other.Stores[0].ID}
		members, err := s.StoreUsers(ctx, by, stores, paging.Window{Size: 10})
		if err != nil || len(members[stores[0]].Items) != 2 || len(members[stores[1]].Items) != 0 {
			t.Errorf("StoreUsers() = %+v, %v, want 2 in the first store and none in the other account's", members, err)
		}
		if counts, err := s.CountStoreUsers(ctx, by, stores); err != nil || counts[stores[0]] != 2 ||
			counts[stores[1]] != 0 {
			t.Errorf("CountStoreUsers() = %v, %v, want 2 in the first store and none in the other account's",
				counts, err)
		}
	})
}

// A session is not started if its event cannot be stored (docs/promises.md: 5).
func TestNoSessionWithoutItsEvent(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		s, _ := service(t, db.Users())
		operator := auth.OperatorPrincipal()
		req := user.SessionRequest{Email: w.Owner.Email, TTL: time.Hour}
		if _, _, err := s.StartSession(ctx, &operator, req); err != nil {
			t.Fatal(err)
		}
		dbtest.Exec(t, url,
			"CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no events today'); END",
			"ALTER TABLE audit_events ADD CHECK (false) NOT VALID")
		before := dbtest.Dump(t, url)
		_, value, err := s.StartSession(ctx, &operator, req)
		if fault.KindOf(err) != fault.Internal || value.Reveal() != "" {
			t.Errorf("StartSession without an event: error %v, want kind %s and no session", err, fault.Internal)
		}
		check.Equal(t, dbtest.Dump(t, url), before, "the database")
	})
}
