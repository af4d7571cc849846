package panel_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"latchkey/internal/test/check"
)

// whileSignedIn runs test in a browser with a session of the account's owner, in the account that has the demo's
// stores.
func whileSignedIn(t *testing.T, test func(t *testing.T, s *server, b *browser)) {
	t.Helper()
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		test(t, s, b)
	})
}

// make fills in the form of a new token and submits it.
func (b *browser) make(at, name string, choices ...string) {
	b.t.Helper()
	b.open(at + "/new")
	b.fill("Name", name)
	for _, each := range choices {
		b.check(each)
	}
	b.follow("Create API token")
	b.see("shown only once")
}

// asks sends a query to the Account API with a token, and returns the status and the response.
func (s *server) asks(accessToken string) (int, string) {
	s.t.Helper()
	return s.sends(accessToken, "{ viewer { kind scopes } account { users { edges { node { email } } } } }")
}

// sends sends a document to the Account API with a token, and returns the status and the response.
func (s *server) sends(accessToken, document string) (int, string) {
	s.t.Helper()
	return s.sendsWith(accessToken, document, nil)
}

// sendsWith is sends with variables.
func (s *server) sendsWith(accessToken, document string, variables map[string]any) (int, string) {
	s.t.Helper()
	query, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL+"/accounts/"+s.Account+"/graphql",
		bytes.NewReader(query))
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

// works fails the test unless the API accepts a token, or refuses it.
func (s *server) works(accessToken string, want bool) {
	s.t.Helper()
	status, text := s.asks(accessToken)
	if want && (status != http.StatusOK || strings.Contains(text, "errors")) || !want &&
		status != http.StatusUnauthorized {
		s.t.Fatalf("the API: got %d %s, want the token to work: %t", status, text, want)
	}
}

// credential returns a value of a credentials file in text format.
func credential(t *testing.T, file, label string) string {
	t.Helper()
	for line := range strings.Lines(file) {
		if value, found := strings.CutPrefix(line, label+": "); found {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("downloaded file: got no %s, want one", label)
	return ""
}

// From an empty list to a token that works, and to one that is revoked.
func TestTokenFromFirstToLast(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := "/accounts/" + s.Account + "/tokens"
		b.open(at)
		b.see("No API tokens yet")
		b.inspect("tokens-empty")
		b.follow("Create API token")
		b.fill("Name", "Onboarding & leavers")
		b.check("Account Users: modify")
		b.see("Account Users: modify")
		b.check("Account Users: remove")
		b.see("Account Users: modify, remove")
		const enter = `(f, value) => { f.value = value; f.dispatchEvent(new Event("change", {bubbles: true})); return document.getElementById("summary-end").textContent; }`
		for _, each := range []struct{ field, value, want string }{
			{"expiresIn", "quarter", `^\d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d$`},
			{"expiresIn", "never", `^Never$`}, {"expiresIn", "custom", `^On a date$`},
			{"expiresAt", "2031-12-04T18:30", `^4 Dec 2031, 18:30$`},
		} {
			got := evaluate[string](b, "("+enter+")(document.getElementById('"+each.field+"'), '"+each.value+"')")
			if !regexp.MustCompile(each.want).MatchString(got) {
				t.Errorf("expiration with %s: got %q, want %q", each.value, got, each.want)
			}
			check.Equal(t, b.count("#expiresAt"), strings.Count("custom 2031-12-04T18:30", each.value),
				"fields of %s", each.value)
			check.Equal(t, b.count(".for-never"), strings.Count("never", each.value), "warnings of %s", each.value)
		}
		b.inspect("tokens-new")
		b.must("go to the name", chromedp.Focus(b.named("enter", "Name")))
		b.enter() // Enter submits the form like the button
		b.see("shown only once")
		b.inspect("tokens-secrets")
		name, content := b.downloaded()
		check.Equal(t, name, "latchkey-credentials-onboarding-leavers.txt", "the file is called")
		access := credential(t, content, "ACCESS TOKEN")
		if got := b.text("#access_token"); got != access {
			t.Error("access token on the page: got another one, want that of the file")
		}
		check.Equal(t, credential(t, content, "API PATH"), s.URL+"/accounts/"+s.Account+"/graphql", "the API path")
		s.works(access, true)
		b.click("Copy the access token")
		b.see("Copied.")
		if b.clipboard() != access {
			t.Error("clipboard: got another text, want the access token")
		}
		b.follow("Done")
		b.see("was created.")
		b.click("2 scopes of Onboarding & leavers")
		b.see("Account Users: modify, remove")
		b.press(kb.Escape)
		b.miss(access)
		b.inspect("tokens")
		b.click("Actions for Onboarding & leavers")
		b.see("Created by owner@acme.example")
		b.inspect("tokens-menu")
		b.press(kb.Escape)
		b.follow("Onboarding & leavers")
		b.inspect("token")
		for _, tab := range []string{"Scopes", "Access tokens", "History"} {
			// The navigation has a link "Scopes" too.
			const press = `((name) => {
				[...document.querySelectorAll(".tabs a")].find((a) => a.textContent === name).click();
				return true;
			})`
			evaluate[bool](b, press+"("+quoted(tab)+")")
			b.await("the tab", currentTab+" === "+quoted(tab))
			b.inspect("token-" + strings.ToLower(strings.ReplaceAll(tab, " ", "-")))
		}
		b.click("Overview")
		b.follow("Delete")
		b.see("Delete “Onboarding & leavers”?")
		b.inspect("tokens-delete")
		b.fill("Reason (optional)", "no longer needed")
		b.follow("Delete token")
		b.see("was deleted and no longer works.")
		s.works(access, false)
		b.open(at + "?status=deleted&sort=name")
		b.see("Onboarding & leavers")
		b.miss("Delete selected")
		b.follow("Onboarding & leavers")
		b.see("no longer needed")
	})
}

// currentTab is a JavaScript expression for the name of the tab that is marked as the current one.
const currentTab = `document.querySelector(".tabs [aria-current]").textContent`

// Secrets are not shown again after any navigation.
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
				t.Error("downloaded file: got another access token, want that of the page")
			}
			b.click("Copy the client ID") // so that leaving does not ask for confirmation
			b.see("Copied.")
			after()
			b.see("Tokens for the APIs of Acme US only.")
			b.see("Store token " + name)
			for _, secret := range []string{access, credential(t, content, "CLIENT SECRET")} {
				if strings.Contains(evaluate[string](b, "document.documentElement.outerHTML"), secret) {
					t.Errorf("%s: got a page with a secret, want none", name)
				}
			}
			check.Equal(t, b.count("dialog"), 0, "%s", name)
		}
		check.Equal(t, evaluate[int](b, "document.querySelectorAll('tbody tr').length"), 2, "rows of the list")
	})
}

// Closing the dialog asks for confirmation, unless something was copied or downloaded.
func TestClosingSecretsAsks(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := "/accounts/" + s.Account + "/tokens"
		b.make(at, "Asked", "Account: read-only")
		b.downloaded() // the page cannot detect this download
		b.click("Done")
		b.see("Have you saved the secrets?")
		b.inspect("tokens-leave")
		b.click("Back to the secrets")
		for range 3 {
			b.press(kb.Escape)
			b.see("Have you saved the secrets?")
			b.click("Back to the secrets")
			b.await("the question to be gone",
				"!document.getElementById('leave').open && document.getElementById('secrets').matches(':modal')")
		}
		if b.text("#access_token") == "" {
			t.Error("access token on the page: got none, want it kept")
		}
		b.press(kb.Escape)
		b.see("Have you saved the secrets?")
		b.follow("Close without saving")
		b.see("was created.")

		b.make(at, "Not asked", "Account: read-only")
		b.downloaded()
		b.click("Download as .env")
		if name, content := b.downloaded(); name != "latchkey-credentials-not-asked.env" ||
			!strings.Contains(content, "CLIENT_NAME='Not asked'\n") {
			t.Errorf("downloaded %s, want latchkey-credentials-not-asked.env with the name Not asked", name)
		}
		b.click("Download as JSON")
		if name, _ := b.downloaded(); name != "latchkey-credentials-not-asked.json" {
			t.Errorf("downloaded %s, want latchkey-credentials-not-asked.json", name)
		}
		b.press(kb.Escape)
		b.see("was created.")
	})
}

// Several tokens are deleted at once with the checkboxes.
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
		b.await("a dash in the box for all", `document.querySelector("[data-all]").indeterminate`)
		b.inspect("tokens-chosen")
		b.follow("Delete selected")
		b.see("Delete these 2 API tokens?")
		b.follow("Delete all 2 tokens")
		b.see("2 API tokens were deleted and no longer work.")
		b.see("Second")
		b.miss("Third")
		b.check("Select all on this page")
		b.follow("Delete selected")
		b.see("Delete “Second”?")
		b.tabTo("Delete token")
		b.enter()
		b.see("was deleted and no longer works.")
		b.see("No API tokens yet")
	})
}

// Everything except copying works without JavaScript.
func TestTokensWithoutScripts(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.scripts(false)
		at := "/accounts/" + s.Account + "/stores/acme1us/tokens"
		b.open(at + "/new")
		b.fill("Name", "By hand")
		b.check("Orders: modify")
		b.follow("Update summary")
		b.see("Orders: modify")
		b.see("In this store, it will be able to:")
		b.follow("Create API token")
		b.see("shown only once")
		access := b.text("#access_token")
		b.click("Download as text")
		if _, content := b.downloaded(); credential(t, content, "ACCESS TOKEN") != access {
			t.Error("downloaded file: got another access token, want that of the page")
		}
		check.Equal(t, b.reload(), http.StatusConflict, "sent again")
		b.see("This form was already submitted")
		b.follow("Continue")
		b.see("By hand")
		b.click("Actions for By hand")
		b.follow("Delete By hand")
		b.follow("Delete token")
		b.see("was deleted and no longer works.")
	})
}

// During the overlap of a rotation both access tokens work, and the page shows which of them is in use.
func TestRotateTokenInBrowser(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := "/accounts/" + s.Account + "/tokens"
		b.make(at, "Rotated", "Account Users: read-only")
		_, content := b.downloaded()
		before := credential(t, content, "ACCESS TOKEN")
		b.click("Download as text")
		b.downloaded()
		b.follow("Done")
		b.follow("Rotated")
		b.click("Access tokens")
		b.must("open the form", chromedp.Click(chromedp.CSS("#access summary")))
		b.choose("Previous access token", "Valid for 1 more hour")
		b.follow("Rotate access token")
		b.see("New access token: Rotated")
		b.inspect("tokens-rotated")
		_, content = b.downloaded()
		after := credential(t, content, "ACCESS TOKEN")
		if strings.Contains(content, "CLIENT SECRET") || before == after {
			t.Errorf("downloaded file: got a client secret %t and the old access token %t, want neither",
				strings.Contains(content, "CLIENT SECRET"), before == after)
		}
		s.works(before, true)
		s.works(after, true)
		b.click("Copy the access token")
		b.see("Copied.")
		b.follow("Done")
		b.see("was rotated.")
		b.miss(after)
		b.see(after[len(after)-4:])
		b.see(before[len(before)-4:])
		b.click("History")
		b.see("Access token rotated")
		b.click("Access tokens")
		b.must("open the form", chromedp.Click(chromedp.CSS("#access summary")))
		b.choose("Previous access token", "Revoke immediately")
		b.follow("Rotate access token")
		b.see("New access token: Rotated")
		s.works(before, false)
		s.works(after, false)
		_, content = b.downloaded()
		s.works(credential(t, content, "ACCESS TOKEN"), true)
		b.click("Copy the access token")
		b.see("Copied.")
	})
}
