package panel_test

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// whileSignedIn runs test in a browser in which the account's owner is signed in, in the
// account with the demo's stores.
func whileSignedIn(t *testing.T, test func(t *testing.T, s *server, b *browser)) {
	t.Helper()
	eachServer(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		test(t, s, b)
	})
}

// make fills in the form of a new token and sends it.
func (b *browser) make(at, name string, choices ...string) {
	b.t.Helper()
	b.open(at + "/new")
	b.fill("Name", name)
	for _, each := range choices {
		b.check(each)
	}
	b.follow("Create API token")
	b.see("This is the only time")
}

// asks sends a query to the Account API with a token, and returns the status and
// the answer.
func (s *server) asks(accessToken string) (int, string) {
	s.t.Helper()
	query := `{"query": "{ viewer { kind scopes } account { users { edges { node { email } } } } }"}`
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL+"/accounts/"+s.Account+"/graphql", strings.NewReader(query))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", accessToken)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := io.Copy(&text, answer.Body); err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, text.String()
}

// works fails the test unless the API takes a token, or refuses it.
func (s *server) works(accessToken string, want bool) {
	s.t.Helper()
	status, text := s.asks(accessToken)
	if want && (status != http.StatusOK || strings.Contains(text, "errors")) || !want && status != http.StatusUnauthorized {
		s.t.Fatalf("the API answered %d, and the token is to work: %v; %s", status, want, text)
	}
}

// credential is a value of a text file of credentials.
func credential(t *testing.T, file, label string) string {
	t.Helper()
	for line := range strings.Lines(file) {
		if value, found := strings.CutPrefix(line, label+": "); found {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("the file has no %s", label)
	return ""
}

// From an empty list to a token that works, and to one that is refused.
func TestTokenFromFirstToLast(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := "/accounts/" + s.Account + "/tokens"
		b.open(at)
		b.see("No API tokens yet")
		b.look("tokens-empty")
		b.follow("Create the first one")
		b.fill("Name", "Onboarding & leavers")
		b.check("Account Users: modify")
		b.see("Account Users: modify")
		b.check("Account Users: remove")
		b.see("Account Users: modify, remove")
		b.choose("It expires", "In 90 days")
		const enter = `(f, value) => { f.value = value; f.dispatchEvent(new Event("change", {bubbles: true})); return document.getElementById("summary-end").textContent; }`
		for date, want := range map[string]string{"2031-12-04T18:30": `^4 Dec 2031, 18:30$`, "": `^\d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d$`} {
			if got := evaluate[string](b, "("+enter+")(document.getElementById('expiresAt'), '"+date+"')"); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("the end is told as %q, want %q", got, want)
			}
			evaluate[string](b, "("+enter+")(document.getElementById('expiresAt'), '')")
		}
		b.look("tokens-new")
		b.must("go to the name", chromedp.Focus(b.named("enter", "Name")))
		b.enter() // as good as the button
		b.see("This is the only time")
		b.look("tokens-secrets")
		name, content := b.downloaded()
		if name != "latchkey-credentials-onboarding-leavers.txt" {
			t.Errorf("the file is called %s", name)
		}
		access := credential(t, content, "ACCESS TOKEN")
		if got := b.text("#access_token"); got != access {
			t.Error("the page shows another access token than the file has")
		}
		if got := credential(t, content, "API PATH"); got != s.URL+"/accounts/"+s.Account+"/graphql" {
			t.Errorf("the API path is %s", got)
		}
		s.works(access, true)
		b.click("Copy the access token")
		b.see("Copied.")
		if b.clipboard() != access {
			t.Error("something else was copied")
		}
		b.follow("I have kept them, go on")
		b.see("The API token is created.")
		b.see("Account Users: modify, remove")
		b.miss(access)
		b.look("tokens")
		b.follow("Onboarding & leavers")
		b.see("Take rights away")
		b.look("token")
		b.follow("Delete")
		b.see("What will stop working")
		b.look("tokens-delete")
		b.fill("Reason, if you like", "no longer needed")
		b.follow("Delete it")
		b.see("The API token is deleted.")
		s.works(access, false)
		b.open(at + "?status=deleted&sort=name")
		b.see("Onboarding & leavers")
		b.miss("Delete the selected")
		b.follow("Onboarding & leavers")
		b.see("no longer needed")
	})
}

// Whatever one does afterwards, secrets are not shown again.
func TestSecretsAreShownOnce(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := "/accounts/" + s.Account + "/stores/acme1us/tokens"
		for name, after := range map[string]func(){
			"reloaded": func() { b.reload() },
			"left and back": func() {
				b.open("/accounts/" + s.Account + "/stores")
				b.back()
			},
		} {
			b.make(at, "Store token "+name, "Orders: read-only")
			access := b.text("#access_token")
			_, content := b.downloaded()
			if credential(t, content, "ACCESS TOKEN") != access {
				t.Error("the file has another access token")
			}
			b.click("Copy the client ID") // so that leaving asks nothing
			b.see("Copied.")
			after()
			b.see("Store API accounts")
			b.see("Store token " + name)
			for _, secret := range []string{access, credential(t, content, "CLIENT SECRET")} {
				if strings.Contains(evaluate[string](b, "document.documentElement.outerHTML"), secret) {
					t.Errorf("%s, the page shows a secret", name)
				}
			}
			if n := b.count("dialog"); n != 0 {
				t.Errorf("%s, there are %d dialogs", name, n)
			}
		}
		if n := evaluate[int](b, "document.querySelectorAll('tbody tr').length"); n != 2 {
			t.Errorf("there are %d tokens", n)
		}
	})
}

// Closing the dialog asks, unless something was copied or downloaded.
func TestClosingSecretsAsks(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := "/accounts/" + s.Account + "/tokens"
		b.make(at, "Asked", "Account: read-only")
		b.downloaded() // which the page cannot know of
		b.click("I have kept them, go on")
		b.see("Have you kept the secrets?")
		b.look("tokens-leave")
		b.click("Back to the secrets")
		for range 3 {
			b.press(kb.Escape)
			b.see("Have you kept the secrets?")
			b.click("Back to the secrets")
			b.await("the question to be gone", "!document.getElementById('leave').open && document.getElementById('secrets').matches(':modal')")
		}
		if b.text("#access_token") == "" {
			t.Error("the secrets are gone")
		}
		b.press(kb.Escape)
		b.see("Have you kept the secrets?")
		b.follow("Close it")
		b.see("The API token is created.")

		b.make(at, "Not asked", "Account: read-only")
		b.downloaded()
		b.click("Download as .env")
		if name, content := b.downloaded(); name != "latchkey-credentials-not-asked.env" || !strings.Contains(content, "CLIENT_NAME='Not asked'\n") {
			t.Errorf("downloaded %s", name)
		}
		b.click("Download as JSON")
		if name, _ := b.downloaded(); name != "latchkey-credentials-not-asked.json" {
			t.Errorf("downloaded %s", name)
		}
		b.press(kb.Escape)
		b.see("The API token is created.")
	})
}

// Several are deleted at once, by the boxes.
func TestDeleteSeveralTokens(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := "/accounts/" + s.Account + "/tokens"
		owner := s.signedIn(s.OwnerEmail)
		for _, name := range []string{"First", "Second", "Third"} {
			owner.create(at, name)
		}
		b.open(at)
		b.check("Select First")
		b.check("Select Third")
		b.follow("Delete the selected")
		b.see("Delete these 2 API tokens?")
		b.follow("Delete all 2")
		b.see("2 API tokens are deleted.")
		b.see("Second")
		b.miss("Third")
		b.check("Select all on this page")
		b.follow("Delete the selected")
		b.see("Delete this API token?")
		b.tabTo("Delete it")
		b.enter()
		b.see("The API token is deleted.")
		b.see("No API tokens yet")
	})
}

// All of it works without scripts, but for copying.
func TestTokensWithoutScripts(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.scripts(false)
		at := "/accounts/" + s.Account + "/stores/acme1us/tokens"
		b.open(at + "/new")
		b.fill("Name", "By hand")
		b.check("Orders: modify")
		b.follow("Show what it will be able to do")
		b.see("Orders: modify")
		b.see("In this store, it will be able to:")
		b.follow("Create API token")
		b.see("This is the only time")
		access := b.text("#access_token")
		b.click("Download as text")
		if _, content := b.downloaded(); credential(t, content, "ACCESS TOKEN") != access {
			t.Error("the file has another access token")
		}
		if status := b.reload(); status != http.StatusConflict {
			t.Errorf("sent again: %d", status)
		}
		b.see("This form was sent already")
		b.follow("Go on")
		b.see("By hand")
		b.follow("Delete By hand")
		b.follow("Delete it")
		b.see("The API token is deleted.")
	})
}

// While a rotation lasts, both access tokens work, and the page says which of
// them is in use.
func TestRotateTokenInBrowser(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := "/accounts/" + s.Account + "/tokens"
		b.make(at, "Rotated", "Account Users: read-only")
		_, content := b.downloaded()
		before := credential(t, content, "ACCESS TOKEN")
		b.click("Download as text")
		b.downloaded()
		b.follow("I have kept them, go on")
		b.follow("Rotated")
		b.choose("The access token before", "Works for one more hour")
		b.follow("Make another access token")
		b.see("A new access token for Rotated")
		b.look("tokens-rotated")
		_, content = b.downloaded()
		after := credential(t, content, "ACCESS TOKEN")
		if strings.Contains(content, "CLIENT SECRET") || before == after {
			t.Error("the file has the wrong secrets")
		}
		s.works(before, true)
		s.works(after, true)
		b.click("Copy the access token")
		b.see("Copied.")
		b.follow("I have kept them, go on")
		b.see("The API token has another access token.")
		b.miss(after)
		b.see(after[len(after)-4:])
		b.see(before[len(before)-4:])
		b.see("Access token rotated")
		b.choose("The access token before", "Ends at once")
		b.follow("Make another access token")
		b.see("A new access token for Rotated")
		s.works(before, false)
		s.works(after, false)
		_, content = b.downloaded()
		s.works(credential(t, content, "ACCESS TOKEN"), true)
		b.click("Copy the access token")
		b.see("Copied.")
	})
}
