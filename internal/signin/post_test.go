package signin_test

import (
	"context"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// addressed records the kinds of mails and the addresses that they go to.
type addressed struct{ mails chan string }

func (a addressed) Invited(_ context.Context, to user.User, _, _ string, _ time.Time) error {
	a.mails <- "invitation to " + to.Email
	return nil
}

func (a addressed) Forgot(_ context.Context, to user.User, _ string, _ time.Time) error {
	a.mails <- "reset to " + to.Email
	return nil
}

func (a addressed) Notify(_ context.Context, to user.User, _ signin.Notice) error {
	a.mails <- "notice to " + to.Email
	return nil
}

func (a addressed) expect(t *testing.T, doing, want string) {
	t.Helper()
	select {
	case got := <-a.mails:
		check.Equal(t, got, want, "%s", doing)
	case <-time.After(10 * time.Second):
		t.Errorf("%s: no mail, want %s within 10 seconds", doing, want)
	}
}

// Every mail goes to the address in the spelling that was recorded first for the
// person. A later inviter, a visitor and the account of a record write spellings
// that fold to the same, but may be the mailboxes of others.
func TestMailsGoToTheStoredSpelling(t *testing.T) {
	const first, other, third = "kim.sato@mail.example", "Kim.Sato@mail.example", "kim.sato@MAIL.example"
	box := addressed{make(chan string, 10)}
	eachFixture(t, func(w *fixture) {
		for _, spelling := range []string{other, third, "KIM.SATO@mail.example"} {
			check.Equal(w, user.Fold(spelling), user.Fold(first), "the folded form of %s", spelling)
		}
		_, err := w.Users.Create(w.Context(), owner(w.home),
			user.Details{Email: first, FirstName: "Kim", LastName: "Sato", Locale: "en"})
		w.must(err)
		invites := func(doing string, s *signin.Service, email string) {
			w.Helper()
			done, err := s.Invite(w.Context(), operator(w.away), signin.Invitee{Details: user.Details{Email: email}})
			w.must(err)
			check.Equal(w, done.Person.Email, other, "%s: the account's own spelling", doing)
			box.expect(w.T, doing, "invitation to "+first)
		}
		invites("an invitation of a person that only another account knows", w.signIn, other)
		invites("an invitation with a third spelling", w.signIn, third)
		providers := w.service(func(c *signin.Config) { c.NoPasswords = true })
		invites("an invitation without passwords", providers, other)
		_, err = w.signIn.Invite(w.Context(), owner(w.away), signin.Invitee{Details: user.Details{Email: other}})
		w.must(err)
		box.expect(w.T, "an owner's invitation", "invitation to "+first)

		w.forgets(other)
		box.expect(w.T, "a forgotten password", "reset to "+first)
		to, err := w.signIn.Recipient(w.Context(), user.User{Email: third})
		w.must(err)
		check.Equal(w, to.Email, first, "Recipient() of a third spelling")
		_, err = w.signIn.Recipient(w.Context(), user.User{Email: "nobody@mail.example"})
		w.wants(err, fault.NotFound, "")
	}, func(c *signin.Config) { c.Mail = box })
}

// A notice about the password that an account chose goes to the person's
// mailbox, not to the spelling in the account's record.
func TestNoticesGoToTheStoredSpelling(t *testing.T) {
	const first, other = "kim.sato@mail.example", "Kim.sato@mail.example"
	box := addressed{make(chan string, 10)}
	eachFixture(t, func(w *fixture) {
		_, err := w.Users.Create(w.Context(), owner(w.home),
			user.Details{Email: first, FirstName: "Kim", LastName: "Sato", Locale: "en"})
		w.must(err)
		record, err := w.Users.CreateWithPassword(w.Context(), owner(w.away),
			user.Details{Email: other, FirstName: "Kim", LastName: "Sato", Locale: "en"}, twice(phrase))
		w.must(err)
		w.begins(record.User, w.away.Account.ID)
		w.signIn.SendNotices(w.Context())
		box.expect(w.T, "a sign-in with the password that an account chose", "notice to "+first)
	}, func(c *signin.Config) { c.Mail = box })
}

// A person who is new is mailed at the spelling that was written.
func TestNewPersonIsMailedAsWritten(t *testing.T) {
	const written, later = "Kim.Sato@mail.example", "kim.sato@mail.example"
	box := addressed{make(chan string, 10)}
	eachFixture(t, func(w *fixture) {
		for _, email := range []string{written, later} {
			_, err := w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{Details: user.Details{Email: email}})
			w.must(err)
			box.expect(w.T, "an invitation of "+email, "invitation to "+written)
		}
	}, func(c *signin.Config) { c.Mail = box })
}

// forgets asks for a password reset, whose mail a server then sends.
func (w *fixture) forgets(email string) {
	w.Helper()
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.signIn.Run(ctx)
	}()
	w.must(w.signIn.Forgot(email, here))
	w.Cleanup(func() {
		stop()
		<-ended
	})
}
