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

	"latchkey/internal/signin/openid/openidtest"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// named starts a server under a host name, which passkeys require.
func named(t *testing.T, database string, settings ...string) *server {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	return serve(t, database, append([]string{
		fmt.Sprintf("LATCHKEY_ADDR=127.0.0.1:%d", port), fmt.Sprintf("LATCHKEY_PUBLIC_URL=http://localhost:%d", port),
	}, settings...)...)
}

// keyed adds an authenticator that verifies its user to the window.
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
				HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
				AutomaticPresenceSimulation: true,
			},
		})
		if err == nil {
			id = made.AuthenticatorID
		}
		return err
	}))
	return id
}

// verifies sets whether the authenticator verifies its user.
func (b *browser) verifies(id webauthn.AuthenticatorID, knows bool) {
	b.t.Helper()
	b.must("change the authenticator", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, webauthn.SetUserVerified,
			webauthn.SetUserVerifiedParams{AuthenticatorID: id, IsUserVerified: knows})
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
		b.inspect("security-empty")
		b.follow("Add a passkey")
		b.inspect("passkey")
		b.fill("Name", "This laptop")
		b.click("Add a passkey")
		b.see("was added.")
		b.inspect("security")

		b.signOut()
		b.open("/signin?next=/accounts")
		b.inspect("signin-passkey")
		b.verifies(key, false)
		b.click("Sign in with a passkey")
		b.see("This did not work.")
		b.verifies(key, true)
		b.click("Sign in with a passkey")
		b.see("You belong to one account.")

		// Proving the identity again keeps the submitted form.
		s.age(time.Hour)
		b.open("/profile/security")
		b.follow("Add an authenticator app")
		b.see("Confirm your identity")
		b.inspect("again-passkey")
		dbtest.Exec(t, database, "UPDATE passkeys SET sign_count = 1000", "UPDATE passkeys SET sign_count = 1000")
		b.click("Continue with a passkey")
		b.see("Scan the QR code")
		s.logs("the passkey may be cloned", 1)

		b.open("/profile/security")
		b.must("open the form", chromedp.Click(chromedp.CSS(".rename summary")))
		b.fill("Name of the passkey This laptop", "Old laptop")
		b.follow("Rename the passkey This laptop")
		b.see("The passkey is called “Old laptop” now.")
		b.must("open the form", chromedp.Click(chromedp.CSS(".rename summary")))
		b.fill("Name of the passkey Old laptop", " ")
		b.follow("Rename the passkey Old laptop")
		b.see("A name has 1 to 100 characters")
		b.follow("Remove the passkey Old laptop")
		b.see("was removed.")
		b.signOut()
		b.open("/signin")
		b.click("Sign in with a passkey")
		b.see("This passkey does not work here")
		b.inspect("refused")
	})
}

// A passkey of another user does not prove the visitor's identity, even in a forged request.
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
		b.see("was added.")
		b.signOut()
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
		if answer := evaluate[string](b, "window.answer"); !strings.Contains(answer,
			"You are signed in as another user") {
			t.Errorf("answer: got %s, want that another user is signed in", answer)
		}
	})
}

// A server that is reached by IP address offers no passkeys.
func TestNoPasskeysUnderANumber(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.visitor().get("/signin").wants(http.StatusOK, "Sign in").lacks("passkey")
		v := s.signedIn(s.OwnerEmail)
		v.get("/profile/security").wants(http.StatusOK, "Passkeys are not available").lacks("Add a passkey")
		v.post("/profile/security/passkeys/new").wants(http.StatusNotFound,
			"Passkeys do not work on a server that is reached by an IP address")
		s.visitor().post("/signin/passkey/options").wants(http.StatusNotFound,
			"Passkeys do not work on a server that is reached by an IP address")
	})
}

// Without JavaScript there are no passkey buttons, and the page says why.
func TestPasskeysNeedAScript(t *testing.T) {
	s := named(t, dbtest.SQLiteURL(t))
	b := s.browser(t)
	b.signIn(s.OwnerEmail)
	b.scripts(false)
	b.open("/profile/security")
	b.follow("Add a passkey")
	check.Equal(t, b.count("form#passkey-form"), 0, "a form that does nothing")
	b.signOut()
	b.open("/signin")
	check.Equal(t, b.count("[data-passkey]"), 0, "a button that does nothing")
}

// A user adds an app in the browser, saves the recovery codes, and signs in with both.
func TestAppInBrowser(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.open("/profile/security")
		b.follow("Add an authenticator app")
		b.inspect("app")
		b.click("Copy")
		b.see("Copied.")
		a := &app{t: t, secret: spaceless(b.clipboard())}
		b.fill("Code", a.code(0))
		b.follow("Add the app")
		b.see("Your recovery codes")
		b.inspect("recovery-codes")
		b.click("Download")
		name, content := b.downloaded()
		codes := recoveryCodes(content)
		if name != "latchkey-recovery-codes.txt" || len(codes) != 10 {
			t.Fatalf("downloaded %s: %s, want latchkey-recovery-codes.txt with 10 codes", name, content)
		}
		b.follow("Done")
		b.see("10 codes left")
		b.inspect("security-app")
		b.signOut()

		b.open("/signin")
		b.fill("Email address", s.OwnerEmail)
		b.fill("Password", s.Password)
		b.follow("Sign in")
		b.see("Two-factor authentication")
		b.inspect("code")
		b.fill("Code", "000 000")
		b.follow("Sign in")
		b.see("This code is wrong or already used.")
		b.inspect("code-wrong")
		b.fill("Code", codes[0])
		b.follow("Sign in")
		b.seeAccount()
	})
}

// A user signs in at a provider through its pages.
func TestProviderInBrowser(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, p *openidtest.Provider) {
		b := s.browser(t)
		b.open("/accounts")
		b.inspect("signin-provider")
		b.follow("Sign in with Example ID")
		b.follow("Cancel")
		b.see("You did not sign in")
		b.follow("Back to sign in")
		b.follow("Sign in with Example ID")
		b.fill("Your address", "stranger@elsewhere.example")
		b.follow("That is me")
		b.see("Ask an owner to invite you")
		p.Know(openidtest.Person{Subject: "stranger-1", Email: s.OwnerEmail, Verified: true})
		p.Know(openidtest.Person{Subject: "stranger-1", Email: "stranger@elsewhere.example", Verified: true})
		b.open("/profile/security")
		b.fill("Email address", s.OwnerEmail)
		b.fill("Password", s.Password)
		b.follow("Sign in")
		b.follow("Link Example ID")
		b.inspect("linking")
		b.follow("Go to Example ID")
		b.see("The identity was linked.")
		b.see("Example ID · Linked")
		b.inspect("security-linked")
		b.signOut()
		b.open("/signin?next=/accounts")
		b.follow("Sign in with Example ID")
		b.see("You belong to one account.")
	})
}
