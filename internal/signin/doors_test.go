package signin_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// mailbox records the addresses of the mailed links.
type mailbox struct{ addresses chan string }

func (mailbox) Notify(context.Context, user.User, signin.Notice) error { return nil }

func (m mailbox) Invited(_ context.Context, _ user.User, _, address string, _ time.Time) error {
	m.addresses <- address
	return nil
}

func (m mailbox) Forgot(_ context.Context, _ user.User, address string, _ time.Time) error {
	m.addresses <- address
	return nil
}

// door is a way to a session, or to a password that would start one.
type door struct {
	name   string
	method signin.Method
	// app reports whether the user has an authenticator app.
	app bool
	// begin runs the steps before the setting changes, and returns the
	// remaining ones.
	begin func(w *fixture, u user.User, app string) func(s *signin.Service) (signin.Proof, error)
	// open reports whether the door works with passwords turned off.
	open bool
}

// doors are all ways to sign in.
var doors = []door{
	{name: "password", method: signin.ByPassword,
		begin: func(w *fixture, u user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			return func(s *signin.Service) (signin.Proof, error) {
				return s.VerifyPassword(w.Context(), u.Email, secret.NewPassword(phrase), here)
			}
		}},
	{name: "password that was judged before", method: signin.ByPassword,
		begin: func(w *fixture, u user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			p := w.proof(u)
			return func(*signin.Service) (signin.Proof, error) { return p, nil }
		}},
	{name: "code after a password", method: signin.ByPasswordAndCode, app: true,
		begin: func(w *fixture, u user.User, app string) func(*signin.Service) (signin.Proof, error) {
			return w.code(w.proof(u), app)
		}},
	{name: "link that was mailed to who forgot", method: signin.ByLink,
		begin: func(w *fixture, u user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			w.must(w.signIn.Forgot(u.Email, visitor("192.0.2.77")))
			w.delivers()
			return w.redeemed(<-w.config.Mail.(mailbox).addresses)
		}},
	{name: "link that was mailed to who is invited", method: signin.ByLink,
		begin: func(w *fixture, _ user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			email := uuid.NewString() + "@acme.example"
			_, err := w.signIn.Invite(w.Context(), owner(w.home),
				signin.Invitee{Details: user.Details{Email: email, FirstName: "N", LastName: "N"}})
			w.must(err)
			return w.redeemed(<-w.config.Mail.(mailbox).addresses)
		}},
	{name: "link that the operator had mailed", method: signin.ByLink,
		begin: func(w *fixture, u user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			_, err := w.signIn.Invite(w.Context(), operator(w.home),
				signin.Invitee{Details: user.Details{Email: u.Email}})
			w.must(err)
			return w.redeemed(<-w.config.Mail.(mailbox).addresses)
		}},
	{name: "link that the owner was shown", method: signin.ByLink,
		begin: func(w *fixture, _ user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			without := w.service(func(c *signin.Config) { c.Mail = nil })
			done, err := without.Invite(w.Context(), owner(w.home),
				signin.Invitee{Details: user.Details{Email: uuid.NewString() + "@acme.example", FirstName: "N",
					LastName: "N"}})
			w.must(err)
			return w.redeemed(done.Address)
		}},
	{name: "code after a mailed link", method: signin.ByLinkAndCode, app: true,
		begin: func(w *fixture, u user.User, app string) func(*signin.Service) (signin.Proof, error) {
			_, err := w.signIn.Invite(w.Context(), operator(w.home),
				signin.Invitee{Details: user.Details{Email: u.Email}})
			w.must(err)
			p, err := w.redeemed(<-w.config.Mail.(mailbox).addresses)(w.signIn)
			w.must(err)
			return w.code(p, app)
		}},
	{name: "link that the operator was shown", method: signin.ByLink, open: true,
		begin: func(w *fixture, u user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			return w.redeemed(w.invites(operator(w.home), u.Email))
		}},
	{name: "code after the operator's link", method: signin.ByLinkAndCode, app: true, open: true,
		begin: func(w *fixture, u user.User, app string) func(*signin.Service) (signin.Proof, error) {
			p, err := w.redeemed(w.invites(operator(w.home), u.Email))(w.signIn)
			w.must(err)
			return w.code(p, app)
		}},
	{name: "first-start link", method: signin.ByLink, open: true,
		begin: func(w *fixture, u user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			return func(s *signin.Service) (signin.Proof, error) { return s.OperatorProof(w.Context(), u.Email) }
		}},
	{name: "provider", method: signin.ByProvider, open: true,
		begin: func(w *fixture, u user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			return func(s *signin.Service) (signin.Proof, error) {
				o := w.config.Provider.(*oracle)
				_, flow, err := s.BeginProvider(w.Context(), nil, signin.ToSignIn, "", here)
				w.must(err)
				o.says = signin.Claims{Subject: u.ID.String(), Email: u.Email, EmailVerified: true}
				result, err := s.FinishProvider(w.Context(), nil, flow.Reveal(),
					signin.AuthResponse{State: o.last.State, Code: "code"}, here)
				return result.Proof, err
			}
		}},
	{name: "passkey", method: signin.ByPasskey, open: true,
		begin: func(w *fixture, u user.User, _ string) func(*signin.Service) (signin.Proof, error) {
			a := w.registers(w.begins(u, w.home.Account.ID), "Key")
			return func(s *signin.Service) (signin.Proof, error) {
				options, flow, err := s.BeginPasskey(w.Context(), here)
				w.must(err)
				proof, err := s.FinishPasskey(w.Context(), flow.Reveal(), a.signs(options), here)
				return proof.Proof, err
			}
		}},
}

// code begins the second step after a first proof.
func (w *fixture) code(first signin.Proof, app string) func(*signin.Service) (signin.Proof, error) {
	flow, err := w.signIn.BeginCode(w.Context(), first, "")
	w.must(err)
	return func(s *signin.Service) (signin.Proof, error) {
		p, _, err := s.FinishCode(w.Context(), flow.Reveal(), w.shown(app, 1), here)
		return p, err
	}
}

// redeemed redeems a link that exists already.
func (w *fixture) redeemed(address string) func(*signin.Service) (signin.Proof, error) {
	return func(s *signin.Service) (signin.Proof, error) {
		return s.Redeem(w.Context(), secretIn(address), twice(phrase), here)
	}
}

// delivers sends the queued mails.
func (w *fixture) delivers() {
	w.Helper()
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.signIn.Run(ctx)
	}()
	for end := time.Now().Add(10 * time.Second); len(w.config.Mail.(mailbox).addresses) == 0 &&
		time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	stop()
	<-ended
}

// newcomer adds a user to the account with a password, and with an app if
// asked.
func (w *fixture) newcomer(app bool) (user.User, string) {
	w.Helper()
	email := uuid.NewString() + "@acme.example"
	_, err := w.Users.Create(w.Context(), operator(w.home),
		user.Details{Email: email, FirstName: "N", LastName: "N", Locale: "en"})
	w.must(err)
	w.must(w.signIn.SetPassword(w.Context(), operator(w.home), email, secret.NewPassword(phrase)))
	p, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword(phrase), here)
	w.must(err)
	by := w.begins(p.User, w.home.Account.ID) // accepts the membership
	if !app {
		return p.User, ""
	}
	text, _ := w.enrols(by)
	return p.User, text
}

// Each way, begun under either setting, ends in a session exactly if the final
// setting allows it.
func TestEveryDoorByEverySetting(t *testing.T) {
	box := mailbox{make(chan string, 10)}
	eachOracle(t, func(w *fixture, _ *oracle) {
		for _, off := range []bool{false, true} {
			s := w.service(func(c *signin.Config) { c.NoPasswords = off })
			for _, d := range doors {
				u, app := w.newcomer(d.app)
				before, err := w.DB.SignIn().PersonByID(w.Context(), u.ID)
				w.must(err)
				finish := d.begin(w, u, app)
				middle, err := w.DB.SignIn().PersonByID(w.Context(), u.ID)
				w.must(err)
				p, err := finish(s)
				if err == nil && p.Method != d.method {
					w.Errorf("%s: proved by %s, want %s", d.name, p.Method, d.method)
				}
				if err == nil {
					_, _, err = s.Begin(w.Context(), p, w.home.Account.ID, here)
				}
				if want := !off || d.open; (err == nil) != want {
					w.Errorf("%s, passwords off %t: %v, want open %t", d.name, off, err, want)
				}
				if err != nil && !slices.Contains([]fault.Kind{fault.Forbidden, fault.NotFound}, fault.KindOf(err)) {
					w.Errorf("%s: got error %v, want kind %s or %s", d.name, err, fault.Forbidden, fault.NotFound)
				}
				after, err := w.DB.SignIn().PersonByID(w.Context(), u.ID)
				w.must(err)
				if off && after.PasswordHash != middle.PasswordHash || before.PasswordHash == "" {
					w.Errorf("%s: a password was set although they are off, want it unchanged", d.name)
				}
			}
		}
		for _, m := range signin.Methods() {
			if !slices.ContainsFunc(doors, func(d door) bool { return d.method == m }) {
				w.Errorf("no door is tried by %s, want one", m)
			}
		}
	}, func(c *signin.Config) { c.Mail, c.Unlimited = box, true })
}

// With a method that is turned off, a session cannot be renewed and a password
// cannot be changed.
func TestPasswordsOffInASession(t *testing.T) {
	eachOracle(t, func(w *fixture, _ *oracle) {
		off := w.service(func(c *signin.Config) { c.NoPasswords = true })
		w.gives(w.home.Owner)
		by, p := w.begins(w.home.Owner, w.home.Account.ID), w.proof(w.home.Owner)
		_, _, err := off.Renew(w.Context(), by, p, here)
		w.wants(err, fault.Forbidden, "")
		w.wants(off.ChangePassword(w.Context(), by, secret.NewPassword(phrase), twice("another phrase"), here),
			fault.Forbidden, "")
		_, err = off.BeginCode(w.Context(), p, "")
		w.wants(err, fault.Forbidden, "")
		if proofs, err := off.Proofs(w.Context(), by); err != nil || proofs.Password {
			w.Errorf("Proofs() = %+v, %v, want none by password", proofs, err)
		}
	})
}

// A sign-in that began with a password ends when passwords are turned off, and no
// recovery code is used up for it.
func TestPasswordsOffBeforeTheCode(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		_, recovery := w.adds()
		flow := w.owes()
		off := w.service(func(c *signin.Config) { c.NoPasswords = true })
		_, _, err := off.FinishCode(w.Context(), flow, recovery[0].Reveal(), here)
		w.wants(err, fault.Forbidden, "")
		all, err := w.signIn.Security(w.Context(), owner(w.home))
		w.must(err)
		check.Equal(w, all.RecoveryCodes, signin.RecoveryCodes, "recovery codes")
	})
}

// With passwords turned off, no mail contains a secret: it leads to the sign-in
// page. An owner is not shown a link either.
func TestNothingMailsAWayIn(t *testing.T) {
	box := mailbox{make(chan string, 10)}
	eachOracle(t, func(w *fixture, _ *oracle) {
		off := w.service(func(c *signin.Config) { c.NoPasswords = true })
		w.must(off.Forgot(w.home.Owner.Email, here))
		if off.Waiting() != 0 || off.CanMail() {
			w.Errorf("%d mails wait, and mail is possible: %t; want none, and false", off.Waiting(), off.CanMail())
		}
		for _, email := range []string{nora.Email, w.home.Users[1].Email} {
			for _, by := range []*auth.Principal{owner(w.home), operator(w.home)} {
				done, err := off.Invite(w.Context(), by,
					signin.Invitee{Details: user.Details{Email: email, FirstName: "N", LastName: "N"}})
				w.must(err)
				if got := <-box.addresses; done.Outcome != signin.Mailed || got != "https://keys.example/signin" ||
					!done.ExpiresAt.IsZero() {
					w.Errorf("Invite() = %+v, mailed %s, want the address of the sign-in page, without an end",
						done, got)
				}
			}
		}
		silent := w.service(func(c *signin.Config) { c.NoPasswords, c.Mail = true, nil })
		done, err := silent.Invite(w.Context(), owner(w.home),
			signin.Invitee{Details: user.Details{Email: "nell@acme.example", FirstName: "N", LastName: "N"}})
		w.must(err)
		if done.Outcome != signin.AtProvider || done.Address != "" {
			w.Errorf("Invite() = %+v, want %s without an address", done, signin.AtProvider)
		}
		done, err = silent.Invite(w.Context(), operator(w.home),
			signin.Invitee{Details: user.Details{Email: "nell@acme.example"}, Show: true})
		w.must(err)
		if done.Outcome != signin.Shown || done.Address == "" {
			w.Errorf("Invite() = %+v, want %s with an address", done, signin.Shown)
		}
	}, func(c *signin.Config) { c.Mail = box })
}

// The operator's link removes a password that others may know, with the factors
// that they may have added. It keeps one that only the user knows.
func TestOperatorsLinkWithoutPasswords(t *testing.T) {
	eachOracle(t, func(w *fixture, _ *oracle) {
		off := w.service(func(c *signin.Config) { c.NoPasswords = true })
		own, vouched := w.home.Users[1], w.home.Users[2]
		w.gives(own)
		w.must(w.DB.SignIn().SetPassword(w.Context(), auth.NoActor("a test"),
			signin.NewPassword{UserID: vouched.ID, Hash: "known", VouchedBy: w.home.Account.ID, At: w.Clock.Now()}))
		w.registers(w.begins(vouched, w.home.Account.ID), "Theirs")
		for _, u := range []user.User{own, vouched} {
			p, err := off.Redeem(w.Context(), w.invites(operator(w.home), u.Email), user.PasswordChoice{}, here)
			w.must(err)
			check.Equal(w, w.live(u), 0, "live sessions of %s", u.Email)
			_, _, err = off.Begin(w.Context(), p, uuid.Nil, here)
			w.must(err)
		}
		kept, err := w.DB.SignIn().PersonByID(w.Context(), own.ID)
		w.must(err)
		taken, err := w.DB.SignIn().PersonByID(w.Context(), vouched.ID)
		w.must(err)
		passkeys, err := w.DB.SignIn().Passkeys(w.Context(), vouched.ID)
		w.must(err)
		if kept.PasswordHash == "" || taken.PasswordHash != "" || taken.VouchedBy != uuid.Nil || len(passkeys) != 0 {
			w.Errorf("passwords: own %t, vouched %t by %s, with %d passkeys; want the own one kept, and none vouched",
				kept.PasswordHash != "", taken.PasswordHash != "", taken.VouchedBy, len(passkeys))
		}
	})
}
