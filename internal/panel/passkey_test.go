package panel_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"latchkey/internal/dbtest"
	"latchkey/internal/openid/openidtest"
)

// named serves under a name, where there are passkeys.
func named(t *testing.T, database string, settings ...string) *server {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of TCP
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	return serve(t, database, append([]string{
		fmt.Sprintf("LATCHKEY_ADDR=127.0.0.1:%d", port), fmt.Sprintf("LATCHKEY_PUBLIC_URL=http://localhost:%d", port),
	}, settings...)...)
}

// keyed gives the window an authenticator that knows its person.
func (b *browser) keyed() webauthn.AuthenticatorID {
	b.t.Helper()
	var id webauthn.AuthenticatorID
	b.must("give an authenticator", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		if _, err := cdp.Call(ctx, tab, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		made, err := cdp.Call(ctx, tab, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
			Options: &webauthn.VirtualAuthenticatorOptions{
				Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
				HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
			},
		})
		if err == nil {
			id = made.AuthenticatorID
		}
		return err
	}))
	return id
}

// verifies has the authenticator know its person, or not.
func (b *browser) verifies(id webauthn.AuthenticatorID, knows bool) {
	b.t.Helper()
	b.must("change the authenticator", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: id, IsUserVerified: knows})
		return err
	}))
}

func TestPasskeys(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, database string) {
		s := named(t, database)
		b := s.browser(t)
		key := b.keyed()
		b.signIn(s.OwnerEmail)
		b.open("/profile/security")
		b.look("security-empty")
		b.follow("Add a passkey")
		b.look("passkey")
		b.fill("Name", "This laptop")
		b.click("Add a passkey")
		b.see("The passkey is added.")
		b.look("security")

		b.follow("Sign out")
		b.open("/signin?next=/accounts")
		b.look("signin-passkey")
		b.verifies(key, false)
		b.click("Sign in with a passkey")
		b.see("This did not work.")
		b.verifies(key, true)
		b.click("Sign in with a passkey")
		b.see("Choose an account")

		// Proving it again keeps what was sent.
		s.age(time.Hour)
		b.open("/profile/security")
		b.follow("Add an authenticator app")
		b.see("Is it still you?")
		b.look("again-passkey")
		dbtest.Exec(t, database, "UPDATE passkeys SET sign_count = 1000", "UPDATE passkeys SET sign_count = 1000")
		b.click("Go on with a passkey")
		b.see("Scan the picture")
		s.logs("there may be a copy of it", 1)

		b.open("/profile/security")
		b.fill("Name of the passkey This laptop", "Old laptop")
		b.follow("Rename the passkey This laptop")
		b.see("The passkey has its new name.")
		b.fill("Name of the passkey Old laptop", " ")
		b.follow("Rename the passkey Old laptop")
		b.see("A name has 1 to 100 characters")
		b.follow("Remove the passkey Old laptop")
		b.see("It is removed.")
		b.follow("Sign out")
		b.open("/signin")
		b.click("Sign in with a passkey")
		b.see("This passkey does not work here")
		b.look("refused")
	})
}

// A passkey of somebody else does not prove that it is still the one who is signed in, not even sent by hand.
func TestPasskeyOfSomebodyElse(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, database string) {
		s := named(t, database)
		b := s.browser(t)
		b.keyed()
		b.signIn(ana)
		b.open("/profile/security")
		b.follow("Add a passkey")
		b.fill("Name", "Hers")
		b.click("Add a passkey")
		b.see("The passkey is added.")
		b.follow("Sign out")
		b.signIn(s.OwnerEmail)
		s.age(time.Hour)
		b.open("/profile/security")
		evaluate[bool](b, `(async () => {
			const options = await (await fetch("/signin/passkey/options", {method: "POST"})).json();
			const signed = await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)});
			const sent = await fetch("/profile/security/app/new", {method: "POST", body: new URLSearchParams({passkey_again: JSON.stringify(signed)})});
			window.answer = await sent.text();
		})().catch((e) => { window.answer = String(e); }), true`)
		b.await("an answer", "window.answer !== undefined")
		if answer := evaluate[string](b, "window.answer"); !strings.Contains(answer, "That is somebody else") {
			t.Errorf("answered %s", answer)
		}
	})
}

// Under a number there are no passkeys, and nothing offers any.
func TestNoPasskeysUnderANumber(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.visitor().get("/signin").wants(http.StatusOK, "Sign in").lacks("passkey")
		v := s.signedIn(s.OwnerEmail)
		v.get("/profile/security").wants(http.StatusOK, "Passkeys need a name.").lacks("Add a passkey")
		v.post("/profile/security/passkeys/new").wants(http.StatusNotFound, "There are no passkeys")
		s.visitor().post("/signin/passkey/options").wants(http.StatusNotFound, "There are no passkeys")
	})
}

// Without scripts the buttons are not there, and the page says why.
func TestPasskeysNeedAScript(t *testing.T) {
	s := named(t, dbtest.SQLiteURL(t))
	b := s.browser(t)
	b.signIn(s.OwnerEmail)
	b.scripts(false)
	b.open("/profile/security")
	b.follow("Add a passkey")
	if shown := b.count("form#passkey-form"); shown != 0 {
		t.Error("a form that does nothing")
	}
	b.follow("Sign out")
	b.open("/signin")
	if shown := b.count("[data-passkey]"); shown != 0 {
		t.Error("a button that does nothing")
	}
}

// A person adds an app in the browser, keeps the codes, and signs in with both.
func TestAppInBrowser(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.open("/profile/security")
		b.follow("Add an authenticator app")
		b.look("app")
		b.click("Copy")
		b.see("Copied.")
		a := &app{t: t, secret: spaceless(b.clipboard())}
		b.fill("Code", a.code(0))
		b.follow("Add the app")
		b.see("Your recovery codes")
		b.look("recovery-codes")
		b.click("Download")
		name, content := b.downloaded()
		codes := recoveryCodes(content)
		if name != "latchkey-recovery-codes.txt" || len(codes) != 10 {
			t.Fatalf("downloaded %s: %s", name, content)
		}
		b.follow("I kept them")
		b.see("10 recovery codes are left.")
		b.look("security-app")
		b.follow("Sign out")

		b.open("/signin")
		b.fill("E-mail address", s.OwnerEmail)
		b.fill("Password", s.Password)
		b.follow("Sign in")
		b.see("One more step")
		b.look("code")
		b.fill("Code", "000 000")
		b.follow("Sign in")
		b.see("This code is wrong or was used.")
		b.look("code-wrong")
		b.fill("Code", codes[0])
		b.follow("Sign in")
		b.see("Sign out")
	})
}

// A person signs in at a provider with its pages.
func TestProviderInBrowser(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, p *openidtest.Provider) {
		b := s.browser(t)
		b.open("/accounts")
		b.look("signin-provider")
		b.follow("Sign in with Example ID")
		b.follow("Cancel")
		b.see("You did not sign in")
		b.follow("To the sign-in page")
		b.follow("Sign in with Example ID")
		b.fill("Your address", "stranger@elsewhere.example")
		b.follow("That is me")
		b.see("Ask an owner to invite you")
		p.Know(openidtest.Person{Subject: "stranger-1", Email: s.OwnerEmail, Verified: true})
		p.Know(openidtest.Person{Subject: "stranger-1", Email: "stranger@elsewhere.example", Verified: true})
		b.open("/profile/security")
		b.fill("E-mail address", s.OwnerEmail)
		b.fill("Password", s.Password)
		b.follow("Sign in")
		b.follow("Link Example ID")
		b.look("linking")
		b.follow("Go to Example ID")
		b.see("It is linked.")
		b.look("security-linked")
		b.follow("Sign out")
		b.open("/signin?next=/accounts")
		b.follow("Sign in with Example ID")
		b.see("Choose an account")
	})
}
