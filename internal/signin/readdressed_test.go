package signin_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// readdresses changes the address of an account's user, as the account's identity provider does.
func (w *fixture) readdresses(in dbtest.World, id uuid.UUID, email string) {
	w.Helper()
	by := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "Provider",
		AccountID: in.Account.ID, Scopes: scope.NewSet(scope.AccountUsersWrite, scope.AccountUsersDelete)}
	_, err := w.Memberships.Edit(w.Context(), by, membership.Edit{Update: user.Update{UserID: id}, Email: &email}, nil)
	w.must(err)
}

// Nothing with which the former person signed in remains once the account's record has another address: neither
// passwords and factors nor what was begun with them.
func TestNewAddressRemovesEveryWayToSignIn(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		const former = "former@acme.example"
		record, err := w.Users.CreateWithPassword(w.Context(), owner(w.home),
			user.Details{Email: former, FirstName: "N", LastName: "N", Locale: "en"}, twice(phrase))
		w.must(err)
		p, err := w.signIn.VerifyPassword(w.Context(), former, secret.NewPassword(phrase), here)
		w.must(err)
		check.Equal(w.T, p.User.ID, record.ID, "who signs in with the account's password")
		by := w.begins(p.User, w.home.Account.ID)
		key := w.registers(by, "Key")
		w.enrols(by)
		_, err = w.comes(o, by, signin.ToLink, signin.Claims{Subject: "1", Email: former, EmailVerified: true})
		w.must(err)
		begun, err := w.proves(key)
		w.must(err)
		byPassword := w.proof(p.User)

		w.readdresses(w.home, record.ID, "next@acme.example")
		check.Equal(w.T, w.live(user.User{Email: "next@acme.example"}), 0, "live sessions")
		for name, proof := range map[string]signin.Proof{"passkey": begun.Proof, "password": byPassword} {
			if _, _, err = w.signIn.Begin(w.Context(), proof, w.home.Account.ID, here); err == nil {
				w.Errorf("a sign-in by %s that was begun before: got a session, want none", name)
			}
		}
		if _, err := w.proves(key); err == nil {
			w.Error("the former person's passkey: got a proof, want none")
		}
		_, err = w.signIn.VerifyPassword(w.Context(), "next@acme.example", secret.NewPassword(phrase), here)
		if err == nil {
			w.Error("the former person's password: got a proof, want none")
		}
		left, err := w.signIn.Security(w.Context(), &auth.Principal{Kind: auth.Session, ID: record.ID,
			PersonID: record.ID})
		w.must(err)
		if left.Password || !left.TOTPSince.IsZero() || len(left.Passkeys)+len(left.Identities) > 0 ||
			left.RecoveryCodes > 0 {
			w.Errorf("the record's ways to sign in: got %+v, want none", left)
		}
		members, err := w.signIn.OperatorProof(w.Context(), "next@acme.example")
		w.must(err)
		w.begins(members.User, w.home.Account.ID)
		if _, err := w.proves(key); err == nil {
			w.Error("the former person's passkey after the acceptance: got a proof, want none")
		}
	})
}

// interrupted calls meanwhile once before a session begins or a membership is accepted.
type interrupted struct {
	signin.Repository

	meanwhile func()
}

func (r *interrupted) interrupt() {
	if run := r.meanwhile; run != nil {
		r.meanwhile = nil
		run()
	}
}

func (r *interrupted) Begin(ctx context.Context, by auth.Actor, n signin.NewSession) error {
	r.interrupt()
	return r.Repository.Begin(ctx, by, n)
}

func (r *interrupted) Accept(ctx context.Context, by auth.Actor, a signin.Acceptance) error {
	r.interrupt()
	return r.Repository.Accept(ctx, by, a)
}

// A person who signs in or accepts while the membership gets another address has no session in it, and does not accept
// it for the other person.
func TestNewAddressDuringSignIn(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		repo := &interrupted{Repository: w.DB.SignIn()}
		late := w.service(func(c *signin.Config) { c.Repository = repo })
		w.gives(w.away.Owner)
		by := w.begins(w.away.Owner, w.away.Account.ID)
		p := w.proof(w.away.Owner)
		added := func() uuid.UUID {
			u, err := w.Users.AddToAccount(w.Context(), operator(w.home), w.away.Owner.Email)
			w.must(err)
			return u.ID
		}
		for i, enter := range []func() error{
			func() error { _, _, err := late.Begin(w.Context(), p, w.home.Account.ID, here); return err },
			func() error { _, err := late.Accept(w.Context(), by, w.home.Account.ID); return err },
		} {
			next := []string{"first@acme.example", "second@acme.example"}[i]
			id := added()
			repo.meanwhile = func() { w.readdresses(w.home, id, next) }
			check.Equal(w.T, fault.KindOf(enter()), fault.NotFound, "attempt %d", i)
			found, err := w.DB.Users().UsersByID(w.Context(), w.home.Account.ID, []uuid.UUID{id})
			w.must(err)
			check.Equal(w.T, found[id].Email, next, "the address")
			check.Equal(w.T, found[id].Pending, true, "the membership of %s is pending", next)
			check.Equal(w.T, w.live(user.User{Email: next}), 0, "live sessions of %s", next)
		}
	})
}

// A changed address counts from the time of the change, so mails to a person go to the spelling that another account
// recorded before. An address that an account only writes with other letters in upper case does not change: neither
// account changes where the person's mails go.
func TestNewAddressIsNotRecordedFirst(t *testing.T) {
	const written, other = "kim.sato@mail.example", "KIM.sato@mail.example"
	for _, tc := range []struct {
		name                   string
		former, latter, change string
		byFormer               bool
	}{
		{"another address", "former@mail.example", written, other, true},
		{"another spelling by the account that was first", written, other, "Kim.Sato@mail.example", true},
		{"another spelling by the other account", written, "Kim.sato@mail.example", other, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachFixture(t, func(w *fixture) {
				create := func(in dbtest.World, email string) uuid.UUID {
					record, err := w.Users.Create(w.Context(), owner(in),
						user.Details{Email: email, FirstName: "Kim", LastName: "Sato", Locale: "en"})
					w.must(err)
					w.Clock.Advance(time.Minute)
					return record.ID
				}
				first, second := create(w.away, tc.former), create(w.home, tc.latter)
				if tc.byFormer {
					w.readdresses(w.away, first, tc.change)
				} else {
					w.readdresses(w.home, second, tc.change)
				}
				to, err := w.signIn.Recipient(w.Context(), user.User{Email: other})
				w.must(err)
				check.Equal(w.T, to.Email, written, "where mails go")
			})
		})
	}
}
