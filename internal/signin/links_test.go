package signin_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// invites invites a user, and returns the secret of the link that is shown.
func (w *fixture) invites(by *auth.Principal, email string) string {
	w.Helper()
	done, err := w.signIn.Invite(w.Context(), by, signin.Invitee{
		Details: user.Details{Email: email, FirstName: "Nora", LastName: "New"}, Show: true,
	})
	w.must(err)
	if done.Outcome != signin.Shown || !strings.HasPrefix(done.Address, "https://keys.example/link/lkl_") {
		w.Fatalf("Invite(%s): got outcome %s, want %s with a link", email, done.Outcome, signin.Shown)
	}
	return secretIn(done.Address)
}

func (w *fixture) redeems(link string) error {
	_, err := w.signIn.Redeem(w.Context(), link, twice(phrase), here)
	return err
}

func TestInviteAndRedeem(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		link := w.invites(owner(w.home), "nora@acme.example")
		found, err := w.signIn.Link(w.Context(), link)
		w.must(err)
		if found.Purpose != signin.Invitation || found.Person.FirstName != "Nora" ||
			found.AccountName != w.home.Account.Name {
			w.Errorf("Link() = %+v, want an invitation of Nora to %s", found, w.home.Account.Name)
		}
		_, err = w.signIn.Redeem(w.Context(), link, twice("short"), here)
		w.wants(err, fault.Invalid, "password")
		who, err := w.signIn.Redeem(w.Context(), link, twice(phrase), here)
		w.must(err)
		check.Equal(w, who.User.Email, "nora@acme.example", "Redeem()")
		w.wants(w.redeems(link), fault.NotFound, "")
		if _, err := w.signIn.VerifyPassword(w.Context(), "NORA@acme.example", secret.NewPassword(phrase),
			here); err != nil {
			w.Error(err)
		}
		if events := w.events(w.home, audit.UserInvited); len(events) != 1 || events[0].Actor.ID != w.home.Owner.ID ||
			events[0].Target.Name != "nora@acme.example" || events[0].Details[0].Value != "shown" {
			w.Errorf("events of the invitation: got %+v, want 1 by the owner, with the link shown", events)
		}
		if events := w.events(w.home, audit.PasswordSet); len(events) != 1 ||
			events[0].Target.Key != events[0].Actor.ID.String() || events[0].IP != "192.0.2.1" {
			w.Errorf("events of the password: got %+v, want 1 by the user from 192.0.2.1", events)
		}
	})
}

// Choosing another password by a link ends the user's sessions.
func TestRedeemEndsSessions(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		u := w.home.Users[2]
		w.begins(u, w.home.Account.ID)
		w.begins(w.home.Owner, w.home.Account.ID)
		w.must(w.redeems(w.invites(operator(w.home), u.Email)))
		if w.live(u) != 0 || w.live(w.home.Owner) != 1 {
			w.Errorf("live sessions: got %d of theirs and %d of others, want none and 1",
				w.live(u), w.live(w.home.Owner))
		}
	})
}

// Of concurrent calls, one sets the password.
func TestRedeemAtOnce(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		link := w.invites(operator(w.home), "nora@acme.example")
		var done atomic.Int64
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				switch err := w.redeems(link); fault.KindOf(err) {
				case "":
					done.Add(1)
				case fault.NotFound:
				default:
					w.Errorf("a link that was used: got error %v, want kind %s", err, fault.NotFound)
				}
			})
		}
		all.Wait()
		if done.Load() != 1 || w.countEvents(w.home, audit.PasswordSet) != 1 {
			w.Errorf("set the password: got %d and %d events, want 1 and 1",
				done.Load(), w.countEvents(w.home, audit.PasswordSet))
		}
	})
}

// A link can end before it is used.
func TestLinksEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(w *fixture, u user.User)
	}{
		{"by time", func(w *fixture, _ user.User) { w.Clock.Advance(7*24*time.Hour + time.Second) }},
		{"by a newer one", func(w *fixture, u user.User) { w.invites(operator(w.home), u.Email) }},
		{"by a password", func(w *fixture, u user.User) { w.gives(u) }},
		{"by leaving the account", func(w *fixture, u user.User) {
			_, err := membership.NewService(w.DB.Memberships(), w.Clock.Now).Remove(w.Context(), owner(w.home),
				membership.Removal{User: user.Ref{Email: &u.Email}})
			w.must(err)
			// Adding the user again does not restore the link.
			_, err = w.Users.AddToAccount(w.Context(), owner(w.home), u.Email)
			w.must(err)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachFixture(t, func(w *fixture) {
				u := w.home.Users[2]
				link := w.invites(operator(w.home), u.Email)
				tc.end(w, u)
				_, err := w.signIn.Link(w.Context(), link)
				w.wants(err, fault.NotFound, "")
				w.wants(w.redeems(link), fault.NotFound, "")
			})
		})
	}
}

// Links for one purpose do not replace those for another.
func TestPurposesDoNotMix(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		invitation := w.invites(operator(w.home), w.home.Users[2].Email)
		other := w.invites(operator(w.home), w.home.Users[3].Email)
		for _, link := range []string{invitation, other} {
			if _, err := w.signIn.Link(w.Context(), link); err != nil {
				w.Error(err)
			}
		}
	})
}

// A link that an owner was shown gives no access to another account
// (docs/promises.md: 4).
func TestShownLinkStaysWithinTheAccount(t *testing.T) {
	t.Run("another account does not end it", func(t *testing.T) {
		eachFixture(t, func(w *fixture) {
			link := w.invites(owner(w.home), "nora@acme.example")
			_, err := w.Users.AddToAccount(w.Context(), owner(w.away), "nora@acme.example")
			w.must(err)
			w.must(w.redeems(link))
		})
	})
	t.Run("it ends with the account's owner", func(t *testing.T) {
		eachFixture(t, func(w *fixture) {
			link := w.invites(owner(w.home), "nora@acme.example")
			_, err := w.Users.TransferOwnership(w.Context(), owner(w.home), w.home.Users[1].ID, nil)
			w.must(err)
			w.wants(w.redeems(link), fault.NotFound, "")
		})
	})
	t.Run("its password opens no other account", func(t *testing.T) {
		eachFixture(t, func(w *fixture) {
			w.must(w.redeems(w.invites(owner(w.home), "nora@acme.example")))
			_, err := w.Users.AddToAccount(w.Context(), owner(w.away), "nora@acme.example")
			w.must(err)
			w.confined("nora@acme.example", phrase)
		})
	})
	t.Run("nor does what they change it to", func(t *testing.T) {
		eachFixture(t, func(w *fixture) {
			w.must(w.redeems(w.invites(owner(w.home), "nora@acme.example")))
			who, err := w.signIn.VerifyPassword(w.Context(), "nora@acme.example", secret.NewPassword(phrase), here)
			w.must(err)
			w.must(w.signIn.ChangePassword(w.Context(), w.begins(who.User, w.home.Account.ID),
				secret.NewPassword(phrase), twice("another phrase"), here))
			_, err = w.Users.AddToAccount(w.Context(), owner(w.away), "nora@acme.example")
			w.must(err)
			w.confined("nora@acme.example", "another phrase")
		})
	})
	t.Run("nor does one that the account chose", func(t *testing.T) {
		eachFixture(t, func(w *fixture) {
			_, err := w.Users.CreateWithPassword(w.Context(), owner(w.home),
				user.Details{Email: "nora@acme.example", FirstName: "Nora", LastName: "New", Locale: "en"},
				twice(phrase))
			w.must(err)
			_, err = w.Users.AddToAccount(w.Context(), owner(w.away), "nora@acme.example")
			w.must(err)
			w.confined("nora@acme.example", phrase)
		})
	})
}

// A link that an owner was shown stops working when the user gets a password,
// in either order.
func TestShownLinkBesideAPassword(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		u := w.home.Users[2]
		w.gives(u)
		value, err := secret.Generate(rand.Reader, secret.OneTimeLink)
		w.must(err)
		link := signin.Link{
			ID: uuid.New(), Purpose: signin.Invitation, UserID: u.ID, AccountID: w.home.Account.ID,
			ShownTo:   w.home.Owner.ID,
			CreatedAt: w.Clock.Now(), ExpiresAt: w.Clock.Now().Add(time.Hour),
		}
		w.must(w.DB.SignIn().SaveLink(w.Context(), auth.NoActor("a test"), link, w.Keys.Digest(value), nil))
		w.wants(w.redeems(value.Reveal()), fault.NotFound, "")
	})
}

// confined fails the test unless the password signs in to the home account
// only, until the person proves that the address is theirs.
func (w *fixture) confined(email, text string) {
	w.Helper()
	who, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword(text), here)
	w.must(err)
	_, _, err = w.signIn.Begin(w.Context(), who, w.away.Account.ID, here)
	w.wants(err, fault.NotFound, "")
	by := w.begins(who.User, w.home.Account.ID)
	_, _, err = w.signIn.Switch(w.Context(), by, w.away.Account.ID, signin.ByPassword, w.Clock.Now(), here)
	w.wants(err, fault.NotFound, "")
	_, err = w.signIn.Accept(w.Context(), by, w.away.Account.ID)
	w.wants(err, fault.NotFound, "")
	if open, err := w.signIn.Accounts(w.Context(), who.User.ID); err != nil || len(open) != 1 ||
		open[0].ID != w.home.Account.ID {
		w.Errorf("Accounts() = %v, %v, want only %s", open, err, w.home.Account.ID)
	}
	// The other account's owner gets the same answer as for a new user.
	w.invites(owner(w.away), email)
	own := w.invites(operator(w.away), email)
	_, err = w.signIn.Redeem(w.Context(), own, twice("my own phrase"), here)
	w.must(err)
	person, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword("my own phrase"), here)
	w.must(err)
	open, err := w.signIn.Accounts(w.Context(), person.User.ID)
	invited, err2 := w.signIn.Invitations(w.Context(), person.User.ID)
	if errors.Join(err, err2) != nil || len(open) != 1 || open[0].ID != w.away.Account.ID || len(invited) != 1 ||
		invited[0].ID != w.home.Account.ID {
		w.Errorf("Accounts() = %v and Invitations() = %v, %v, %v, want %s and %s",
			open, invited, err, err2, w.away.Account.ID, w.home.Account.ID)
	}
}

func TestWhoIsShownALink(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		member, signsIn := w.home.Users[1], w.home.Users[2]
		w.gives(signsIn)
		admin := &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: member.ID, Name: member.Email,
			AccountID: w.home.Account.ID,
			Places:    []auth.Place{{StoreID: w.home.Stores[0].ID, May: auth.AddUsers | auth.ManageUsers}}}
		store := account.StoreRef{ID: w.home.Stores[0].ID}
		fresh := user.Details{Email: "nora@acme.example", FirstName: "Nora", LastName: "New"}
		// Has a password of an account that they left.
		moved := user.Details{Email: "mo@acme.example", FirstName: "Mo", LastName: "Moved", Locale: "en"}
		_, err := w.Users.CreateWithPassword(w.Context(), owner(w.away), moved, twice(phrase))
		w.must(err)
		_, err = membership.NewService(w.DB.Memberships(), w.Clock.Now).Remove(w.Context(), owner(w.away),
			membership.Removal{User: user.Ref{Email: &moved.Email}})
		w.must(err)
		for _, tc := range []struct {
			name string
			by   *auth.Principal
			in   signin.Invitee
			want signin.Outcome
		}{
			{"who signs in already", owner(w.home), signin.Invitee{Details: user.Details{Email: signsIn.Email}},
				signin.SignsIn},
			{"who forgot, by the operator", operator(w.home),
				signin.Invitee{Details: user.Details{Email: signsIn.Email}, Show: true}, signin.Shown},
			{"a user of another account", owner(w.home),
				signin.Invitee{Details: user.Details{Email: w.away.Users[1].Email}}, signin.Shown},
			{"a user whose password others chose", owner(w.home), signin.Invitee{Details: moved}, signin.Shown},
			{"by a user who may add users", admin, signin.Invitee{Details: fresh, Store: store}, signin.NeedsOwner},
			{"the account's owner, by them", admin,
				signin.Invitee{Details: user.Details{Email: w.home.Owner.Email}, Store: store}, signin.NeedsOwner},
			{"again, by the owner", owner(w.home), signin.Invitee{Details: user.Details{Email: "Nora@acme.example"}},
				signin.Shown},
		} {
			done, err := w.signIn.Invite(w.Context(), tc.by, tc.in)
			if err != nil || done.Outcome != tc.want || (done.Address != "") != (tc.want == signin.Shown) {
				w.Errorf("%s: %s, %v; want %s", tc.name, done.Outcome, err, tc.want)
			}
		}
	})
}

func TestInviteRefused(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		nobody := &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: w.home.Users[1].ID,
			AccountID: w.home.Account.ID}
		_, err := w.signIn.Invite(w.Context(), nobody,
			signin.Invitee{Details: user.Details{Email: "nora@acme.example"}})
		w.wants(err, fault.Forbidden, "")
		_, err = w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{Details: user.Details{Email: "nora"}})
		w.wants(err, fault.Invalid, "email")
		if n := len(fault.Flatten(err)); n != 1 {
			w.Errorf("faults: got %d, want 1: %v", n, err)
		}
		_, err = w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{
			Details: user.Details{Email: w.home.Users[1].Email}, Store: account.StoreRef{ID: w.away.Stores[0].ID},
		})
		w.wants(err, fault.NotFound, "storeId")
	})
}

// Secrets of other kinds do not work as links, and a link works as nothing
// else.
func TestOtherSecretsAreNoLinks(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		_, session, err := w.signIn.Begin(w.Context(), w.proof(w.home.Owner), w.home.Account.ID, here)
		w.must(err)
		for _, presented := range []string{"", "lkl_", session.Reveal()} {
			_, err := w.signIn.Link(w.Context(), presented)
			w.wants(err, fault.NotFound, "")
		}
		address, _, err := w.signIn.OfferSetup(w.Context(), "server")
		w.must(err)
		_, err = w.signIn.Link(w.Context(), secretIn(address))
		w.wants(err, fault.NotFound, "")
		_, err = w.signIn.SetupLink(w.Context(), w.invites(operator(w.home), w.home.Users[1].Email))
		w.wants(err, fault.NotFound, "")
		value, err := secret.Parse(w.invites(operator(w.home), w.home.Owner.Email))
		w.must(err)
		_, err = w.principal(value)
		w.wants(err, fault.Unauthenticated, "")
	})
}

// The operator's link works once for a person who signs in only at the
// provider: it sets a password. For others the answer is that the person signs
// in already.
func TestInvitationOfAPersonWithAnIdentity(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		u := w.home.Users[1]
		says := signin.Claims{Subject: "1", Email: u.Email, EmailVerified: true}
		result, err := w.comes(o, nil, signin.ToSignIn, says)
		w.must(err)
		w.begins(result.Proof.User, w.home.Account.ID)
		link := w.invites(operator(w.home), u.Email)
		found, err := w.signIn.Link(w.Context(), link)
		w.must(err)
		if found.AcceptsOnly {
			w.Error("AcceptsOnly = true for an accepted user, want false")
		}
		done, err := w.signIn.Invite(w.Context(), owner(w.home),
			signin.Invitee{Details: user.Details{Email: u.Email, FirstName: "N", LastName: "N"}, Show: true})
		w.must(err)
		if done.Outcome != signin.SignsIn {
			w.Errorf("Invite() by the owner: got outcome %s, want %s", done.Outcome, signin.SignsIn)
		}
		w.must(w.redeems(link))
		w.wants(w.redeems(link), fault.NotFound, "")
		w.must(w.tries(u.Email, phrase, here))
	})
}
