package panel_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"latchkey/internal/test/check"
)

// refuses fails the test unless the page reports the form's errors first: in its title, and in a focused list that
// links to the fields.
func (r *reply) refuses(fields ...string) {
	r.t.Helper()
	if title := textOf(r.all("title")[0]); r.status != http.StatusUnprocessableEntity ||
		!strings.HasPrefix(r.all("title")[0].FirstChild.Data, "Error: ") {
		r.t.Errorf("%s: got %d with the title %q, want 422 with \"Error: \"", r.url, r.status, title)
	}
	var led []string
	for _, div := range r.all("div") {
		if class, _ := attribute(div, "class"); class != "problems" {
			continue
		}
		if _, first := attribute(div, "autofocus"); !first {
			r.t.Errorf("%s: got the list of problems without the focus, want it focused", r.url)
		}
		for a := range div.Descendants() {
			if to, is := attribute(a, "href"); is {
				led = append(led, strings.TrimPrefix(to, "#"))
			}
		}
	}
	check.Equal(r.t, led, fields, "%s leads to: %s", r.url, r.text())
	for _, each := range led {
		if !strings.Contains(r.body, ` id="`+each+`"`) {
			r.t.Errorf("%s links to %s, want an element with this ID", r.url, each)
		}
	}
}

func TestProblemsComeFirst(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		list := owner.get(s.page("/users"))
		ben := personAt(t, list, "Ben Becker")
		owner.get(s.page("/tokens/new")).lacks("Error:")
		owner.submit(owner.get(s.page("/tokens/new")), "Create API token", "name", "a", "allowedIpRanges",
			"nowhere").refuses("name", "scopes", "allowedIpRanges")
		owner.submit(owner.get(s.page("/tokens/new")), "Create API token", "name", "abcd", "scopes.account_users",
			"account_users_read", "expiresIn", "custom", "expiresAt", "soon").refuses("expiresAt")
		owner.submit(owner.get(s.page("/users/invite")), "Invite", "email", "dora", "stores", "acme1us", "role.acme1us",
			"x").refuses("email", "stores")
		owner.submit(owner.get(s.page("/users/invite")), "Invite", "email", "dora").refuses("email")
		owner.submit(owner.get(ben), "Save", "firstName", "", "locale", "?").refuses("firstName", "locale")
		owner.post(ben+"/stores", "stores", "nowhere", "role", "x").refuses("role")
		owner.post(ben+"/stores", "stores", "nowhere").refuses("role")
		owner.post(ben+"/stores", "stores", "nowhere", "role", "SALES_STAFF").refuses("stores")
		owner.post(ben + "/owner").refuses("what")
		owner.post(ben+"/stores/acme1us", "role", "x").refuses("role")
		owner.post(ben+"/stores/acme1us", "permissions", "Fly").refuses("permissions")
		owner.post("/profile", "firstName", "", "lastName", "", "locale", "").refuses("firstName", "lastName", "locale")
		owner.post("/profile/security/password", "present", "x", "password", "a", "passwordConfirmation",
			"b").refuses("present")
		owner.get(s.page("/audit?action=x&from=y&to=z")).refuses("action", "from", "to")
	})
}

// Every field of a form has a label for the list of errors.
func TestFieldsHaveNames(t *testing.T) {
	lists := regexp.MustCompile(`(?:newForm|\.sent|\.tokenSent)\(([^)]*)\)|Fields\s*= \[\]string\{([^}]*)\}`)
	// No error list ever names these.
	unseen := []string{"shown", "overlap", "query", "variables", "operationName", "who", "target", "of"}
	keys := messageKeys(t)
	found := 0
	for file, source := range sources(t) {
		for _, list := range lists.FindAllStringSubmatch(source, -1) {
			for _, name := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(list[1]+list[2], -1) {
				if found++; keys["fields.names."+name[1]] == "" && !slices.Contains(unseen, name[1]) {
					t.Errorf("%s has the field %s without a name, want fields.names.%[2]s in messages/en/common.yaml",
						file, name[1])
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("fields: got %d, want at least 20", found)
	}
}

// After submitting a long form with errors, the visitor sees the errors first and can follow a link to the field.
func TestProblemsAreSeen(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.open(s.page("/tokens/new"))
		b.fill("Name", "a")
		b.follow("Create API token")
		// Autofocus may come after the load, see focuses.
		b.await("the focus on the problems", "document.activeElement.matches('.problems')")
		b.await("the problems in sight",
			"document.activeElement.getBoundingClientRect().top >= 0 && document.activeElement.getBoundingClientRect().bottom <= innerHeight")
		b.must("follow the problem", chromedp.Click(chromedp.CSS(`.problems a[href="#scopes"]`)))
		b.await("the link to lead to its field", "document.querySelector(':target')?.id === 'scopes'")
	})
}
