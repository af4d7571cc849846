package panel_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/signin/formtoken"
	"latchkey/internal/test/check"
)

// tokensOf returns the addresses of the token lists by level: the account's, and that of the store Acme US.
func tokensOf(s *server) map[string]string {
	return map[string]string{"account": "/accounts/" + s.Account + "/tokens",
		"store": "/accounts/" + s.Account + "/stores/acme1us/tokens"}
}

// eachLevel runs test on both levels, as the account's owner.
func eachLevel(t *testing.T, test func(t *testing.T, s *server, owner *visitor, at string)) {
	t.Helper()
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		for level, at := range tokensOf(s) {
			t.Run(level, func(t *testing.T) {
				owner.t = t
				test(t, s, owner, at)
			})
		}
	})
}

// create creates a token with a scope of its level through the form.
func (v *visitor) create(at, name string, pairs ...string) *reply {
	v.t.Helper()
	page := v.open(at+"/new").wants(http.StatusOK, "Create API token")
	return v.submit(page, "Create API token",
		append([]string{"name", name, "scopes.store_carts", "store_cart"}, pairs...)...)
}

// valueOf returns the text of the page's element with an ID.
func valueOf(page *reply, id string) string {
	for _, n := range page.all("code") {
		if got, _ := attribute(n, "id"); got == id {
			return textOf(n)
		}
	}
	page.t.Fatalf("%s: got no element %s, want one", page.url, id)
	return ""
}

func TestCreateToken(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		owner.open(at).wants(http.StatusOK, "0 of 50 used")
		page := owner.create(at, "Nightly import")
		page.wants(http.StatusOK, "The secrets are shown only once.")
		check.Equal(t, page.header.Get("Cache-Control"), "no-store", "kept by the browser")
		kept := map[string]string{}
		for _, a := range page.all("a") {
			if name, is := attribute(a, "download"); is {
				to, _ := attribute(a, "href")
				_, content, _ := strings.Cut(to, ";base64,")
				text, err := base64.StdEncoding.DecodeString(content)
				if err != nil {
					t.Error(err)
				}
				kept[textOf(a)+" "+name] = string(text)
			}
		}
		list := owner.open(at).wants(http.StatusOK, "Nightly import").wants(http.StatusOK,
			"1 of 50 used").wants(http.StatusOK, "Carts: modify")
		for _, n := range page.all("code") {
			if id, _ := attribute(n, "id"); id == "access_token" || id == "client_secret" {
				list.lacks(textOf(n))
				for _, file := range []string{"text latchkey-credentials-nightly-import.txt",
					".env latchkey-credentials-nightly-import.env", "JSON latchkey-credentials-nightly-import.json"} {
					if !strings.Contains(kept["Download as "+file], textOf(n)) {
						t.Errorf("%s: got no %s, want it in that of the files %v", file, id,
							slices.Collect(maps.Keys(kept)))
					}
				}
				if strings.Contains(s.log.String(), textOf(n)) {
					t.Errorf("the log: got the %s, want it absent", id)
				}
			}
		}
	})
}

// staff are users of the store Acme US with different permissions on its tokens.
const staff = `accounts:
  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01
    name: Acme Retail
    features: [automated_billing]
    owner: {email: owner@acme.example}
    stores:
      - hash: acme1us
        name: Acme US
        owner: {email: us@acme.example, first_name: Uma, last_name: Sato, locale: en}
        users:
          - {email: lister@acme.example, first_name: L, last_name: L, locale: en, permissions: [List_Store_API_Tokens]}
          - {email: maker@acme.example, first_name: M, last_name: M, locale: en, permissions: [List_Store_API_Tokens, Create_Store_API_Tokens]}
          - {email: remover@acme.example, first_name: R, last_name: R, locale: en, permissions: [List_Store_API_Tokens, Delete_Store_API_Tokens]}
          - {email: clerk@acme.example, first_name: C, last_name: C, locale: en, permissions: [Add_Orders]}
`

// Every page and every action, on both levels, as each kind of user.
func TestRightsToTokens(t *testing.T) {
	const sees, makes, removes = 1, 2, 4
	may := map[string]map[string]int{
		"owner@acme.example":   {"account": sees | makes | removes, "store": sees | makes | removes},
		"us@acme.example":      {"store": sees | makes | removes},
		"maker@acme.example":   {"store": sees | makes},
		"remover@acme.example": {"store": sees | removes},
		"lister@acme.example":  {"store": sees},
		"clerk@acme.example":   {},
		"eu@acme.example":      {}, // owns another store and cannot see this one
	}
	eachServer(t, func(t *testing.T, s *server) {
		s.apply(staff)
		owner := s.signedIn(s.OwnerEmail)
		for level, at := range tokensOf(s) {
			owner.create(at, "Standing").wants(http.StatusOK, "")
			for email, rights := range may {
				t.Run(level+" "+email, func(t *testing.T) {
					v := s.signedIn(email)
					v.t = t
					for _, tokenAction := range s.tokenActions(owner, at) {
						page := v.get(tokenAction.address)
						if tokenAction.form != nil {
							page = v.postForm(tokenAction.address, tokenAction.form)
						}
						want := tokenAction.status
						switch {
						case level == "store" && email == "eu@acme.example":
							want = http.StatusNotFound
						case rights[level]&tokenAction.needs != tokenAction.needs:
							want = http.StatusForbidden
							page.wants(want, "Acme Owner, owner@acme.example")
							if level == "store" && email != "us@acme.example" {
								page.wants(want, "Uma Sato, us@acme.example")
							}
						}
						check.Equal(t, page.status, want, "%s: %s", tokenAction.what, page.text())
						if tokenAction.what == "list" && want == http.StatusOK || tokenAction.what == "detail" &&
							want == http.StatusOK {
							offers(t, page, at+"/delete", rights[level]&removes != 0)
							if tokenAction.what == "list" {
								offers(t, page, at+"/new", rights[level]&makes != 0)
							} else if got := slices.Contains(buttonsOf(page),
								"Rotate access token"); got != (rights[level]&makes != 0) {
								t.Errorf("button \"Rotate access token\": got it offered %t, want %t", got,
									rights[level]&makes != 0)
							}
						}
					}
				})
			}
		}
		s.visitor().get(tokensOf(s)["account"]).goes("/signin?" + url.Values{"next": {tokensOf(s)["account"]}}.Encode())
	})
}

// tokenAction is one action on a token, and the status for a user who may do it.
type tokenAction struct {
	what, address string
	form          url.Values
	needs, status int
}

// tokenActions returns the actions in a place, on a token created for them.
func (s *server) tokenActions(owner *visitor, at string) []tokenAction {
	name := fmt.Sprintf("Token %d", time.Now().UnixNano())
	owner.create(at, name, "expiresIn", "never")
	id := idOf(owner, at, name)
	form := func() url.Values {
		page := owner.open(at + "/new")
		for _, f := range page.forms() {
			if slices.Contains(f.buttons, "Create API token") {
				f.values.Set("name", name)
				f.values.Set("scopes.store_carts", "store_cart")
				return f.values
			}
		}
		return nil
	}
	rotation := url.Values{"form": form()["form"], "overlap": {"day"}}
	const sees, makes, removes = 1, 2, 4
	return []tokenAction{
		{"list", at, nil, sees, http.StatusOK},
		{"form", at + "/new", nil, makes, http.StatusOK},
		{"review", at + "/new", form(), makes, http.StatusOK},
		{"create", at, form(), makes, http.StatusOK},
		{"detail", at + "/" + id, nil, sees, http.StatusOK},
		{"narrow", at + "/" + id, url.Values{"name": {name + " again"}, "scopes.store_carts": {"store_cart"}},
			sees | makes, http.StatusSeeOther},
		{"rotate", at + "/" + id + "/rotate", rotation, sees | makes, http.StatusOK},
		{"ask before deleting", at + "/delete?id=" + id, nil, removes, http.StatusOK},
		{"delete", at + "/delete", url.Values{"id": {id}}, removes, http.StatusSeeOther},
	}
}

// idOf returns the ID of the token with a name.
func idOf(v *visitor, at, name string) string {
	v.t.Helper()
	page := v.open(at + "?search=" + url.QueryEscape(name))
	for _, a := range page.all("a") {
		to, _ := attribute(a, "href")
		if rest, found := strings.CutPrefix(to, at+"/"); found && textOf(a) == name {
			return rest
		}
	}
	v.t.Fatalf("%s: got no token %s, want one: %s", at, name, page.text())
	return ""
}

func buttonsOf(page *reply) []string {
	var all []string
	for _, f := range page.forms() {
		all = append(all, f.buttons...)
	}
	return all
}

// offers fails the test unless a page links to an address, or does not.
func offers(t *testing.T, page *reply, address string, want bool) {
	t.Helper()
	got := false
	for _, to := range page.links() {
		path, _, _ := strings.Cut(to, "?")
		got = got || path == address
	}
	if got != want {
		t.Errorf("%s offers %s: %v, want %v", page.url, address, got, want)
	}
}

// An error is shown at its field, and the entered values are kept.
func TestTokenFormErrors(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		for _, tc := range []struct {
			name  string
			pairs []string
			field string
			want  string
		}{
			{"a short name", []string{"name", "abc"}, "name", "A name has 4 to 100 characters."},
			{"no scope", []string{"scopes.store_carts", ""}, "scopes", "Choose at least one scope."},
			{"no scope that there is", []string{"scopes.x", "nothing"}, "scopes", "There is no scope"},
			{"the past", []string{"expiresIn", "custom", "expiresAt", "2001-01-01T00:00"}, "expiresAt",
				"This time has passed."},
			{"no date", []string{"expiresIn", "custom", "expiresAt", "soon"}, "expiresAt",
				"This is not a date and time."},
			{"no time", []string{"expiresIn", "custom"}, "expiresAt",
				"Enter the date and time when the token expires."},
			{"no lifetime that is offered", []string{"expiresIn", "soon"}, "expiresIn", "Choose one of the options."},
			{"no range", []string{"allowedIpRanges", "192.0.2.1\nhome\n"}, "allowedIpRanges",
				"is not an IP address or range"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				for _, button := range []string{"Create API token", "Update summary"} {
					page := owner.open(at + "/new")
					form := map[string]string{"name": "Kept & <b>shown</b>", "expiresIn": "month",
						"allowedIpRanges": "203.0.113.0/24"}
					pairs := []string{"scopes.store_orders", "store_v2_orders"}
					for name, value := range form {
						if !slices.Contains(tc.pairs, name) {
							pairs = append(pairs, name, value)
						}
					}
					if tc.field == "scopes" {
						pairs = pairs[2:]
					}
					to := at
					if button != "Create API token" {
						to += "/new"
					}
					page = owner.postForm(to,
						valuesOf(page, append(pairs, tc.pairs...))).wants(http.StatusUnprocessableEntity, tc.want)
					shown := ""
					for _, p := range page.all("p") {
						if id, _ := attribute(p, "id"); id == tc.field+"-error" {
							shown = textOf(p)
						}
					}
					if !strings.Contains(shown, tc.want) {
						t.Errorf("error at the field %s: got %q, want %q", tc.field, shown, tc.want)
					}
					kept := valuesOf(page, nil)
					for name, value := range form {
						if !slices.Contains(tc.pairs, name) && kept.Get(name) != value {
							t.Errorf("%s after an error: got %q, want %q", name, kept.Get(name), value)
						}
					}
					if tc.field != "scopes" && kept.Get("scopes.store_orders") != "store_v2_orders" {
						t.Errorf("scopes after an error: got %q, want store_v2_orders", kept.Get("scopes.store_orders"))
					}
				}
			})
		}
		owner.open(at).wants(http.StatusOK, "0 of 50 used")
	})
}

// valuesOf returns the values of the form of a new token with pairs replaced.
func valuesOf(page *reply, pairs []string) url.Values {
	for _, f := range page.forms() {
		if slices.Contains(f.buttons, "Create API token") {
			for i := 0; i < len(pairs); i += 2 {
				f.values.Set(pairs[i], pairs[i+1])
			}
			return f.values
		}
	}
	return url.Values{}
}

// A form creates one token, even if it is sent several times to several servers.
func TestTokenFormSentOnce(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		form := valuesOf(owner.open(at+"/new"), []string{"name", "Just one", "scopes.store_carts", "store_cart"})
		var group sync.WaitGroup
		statuses := make([]int, 6)
		for i := range statuses {
			group.Go(func() { statuses[i] = owner.postForm(at, form).status })
		}
		group.Wait()
		slices.Sort(statuses)
		check.Equal(t, statuses, []int{200, 409, 409, 409, 409, 409}, "statuses")
		owner.postForm(at, form).wants(http.StatusConflict, "This form was already submitted").lacks("lka_")
		owner.open(at).wants(http.StatusOK, "1 of 50 used")
		old := valuesOf(owner.open(at+"/new"),
			[]string{"name", "Too late", "scopes.store_carts", "store_cart", "form",
				"01900000-0000-7000-8000-000000000000"})
		page := owner.postForm(at, old).wants(http.StatusUnprocessableEntity, "This form was open for too long")
		owner.submit(page, "Create API token").wants(http.StatusOK, "shown only once")
		rotation := owner.open(at + "/" + idOf(owner, at, "Just one"))
		owner.submit(rotation, "Rotate access token", "overlap", "soon").wants(http.StatusUnprocessableEntity,
			"Choose one of the options.")
		rotated := owner.submit(rotation, "Rotate access token").wants(http.StatusOK, "shown only once")
		for _, each := range flaws(rotated) {
			t.Errorf("the page of the new access token %s, want no flaws", each)
		}
		owner.submit(rotation, "Rotate access token").wants(http.StatusConflict, "This form was already submitted")
		if formtoken.OpenFor < time.Hour {
			t.Errorf("time to send a form: got %s, want at least 1h", formtoken.OpenFor)
		}
	})
}

// Creating, changing and deleting tokens require a recent password. The entered values are kept.
func TestTokensAskAgain(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), tokensOf(s)["account"]
		owner.create(at, "Fresh").wants(http.StatusOK, "shown only once")
		s.age(16 * time.Minute)
		page := owner.create(at, "Stale").wants(http.StatusOK, "Confirm your identity")
		owner.submit(page, "Continue", "password_again", s.Password).wants(http.StatusOK, "API token created: Stale")
		s.age(16 * time.Minute)
		page = owner.open(at+"/delete?id="+idOf(owner, at, "Fresh")).wants(http.StatusOK, "Delete “Fresh”?")
		page = owner.submit(page, "Delete token").wants(http.StatusOK, "Confirm your identity")
		owner.open(at).wants(http.StatusOK, "Fresh")
		owner.submit(page, "Continue", "password_again", s.Password).goes(at).notes("tokens_deleted", 1)
	})
}

// Search, order and status are in the address and work across pages.
func TestTokenListState(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		for i := range 27 {
			owner.create(at, fmt.Sprintf("Token %02d", 5*i%27)) // not in the order of their names
		}
		page := owner.open(at).wants(http.StatusOK, "27 of 50 used").wants(http.StatusOK,
			"Page 1 of 2").wants(http.StatusOK, "Token 26")
		page.lacks("Token 05")
		owner.open(at+"?page=2").wants(http.StatusOK, "Token 05").wants(http.StatusOK, "Page 2 of 2")
		owner.open(at+"?search=token+01").wants(http.StatusOK, "1 token").wants(http.StatusOK,
			"Token 01").lacks("Token 02")
		owner.open(at+"?search=nothing").wants(http.StatusOK, "No tokens match.")
		owner.get(at+"?search="+strings.Repeat("x", 101)).wants(http.StatusUnprocessableEntity,
			"Enter a search text of at most 100 characters.")
		page = owner.open(at+"?sort=name&search=token").wants(http.StatusOK, "Token 00")
		for _, th := range page.all("th") {
			if sorted, found := attribute(th, "aria-sort"); found && (sorted != "ascending" || textOf(th) != "Name") {
				t.Errorf("aria-sort: got %s at %s, want ascending at Name only", sorted, textOf(th))
			}
		}
		for order, first := range map[string]string{"": "Token 00", "&order=down": "Token 26"} {
			if rows := owner.open(at + "?sort=name" + order).all("tr"); !strings.HasPrefix(textOf(rows[1]), first) {
				t.Errorf("by name%s the first is %s, want %s", order, textOf(rows[1]), first)
			}
		}
		offers(t, page, at, true)
		if !slices.Contains(page.links(), at+"?order=down&search=token&sort=name") {
			t.Errorf("links: got %v, want the descending order by name among them", page.links())
		}
		owner.open(at+"?status=expired").wants(http.StatusOK, "There are no tokens.")
		owner.open(at+"?status=x&sort=x&page=x").wants(http.StatusOK, "Token 26")
		owner.open(at+"?page=99").wants(http.StatusOK, "27 tokens")
	})
}

// Accounts that are not enrolled see nothing of the feature, suspended stores are marked, and a full list asks to
// delete tokens first.
func TestTokensOfOtherPlaces(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		owner.open(tokensOf(s)["account"]+"/new").wants(http.StatusOK, "Automated billing")
		owner.open(tokensOf(s)["store"] + "/new").lacks("Automated billing")
		bicycles := s.signedIn("owner@bicycles.example")
		const at = "/accounts/3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02/tokens"
		bicycles.open(at+"/new").wants(http.StatusOK, "Account Users").lacks("billing")
		bicycles.create(at, "Forged", "scopes.x", "account_charges_read").wants(http.StatusUnprocessableEntity,
			"not enrolled")
		bicycles.create(at, "The only one").wants(http.StatusOK, "shown only once")
		bicycles.open(at).wants(http.StatusOK, "All 1 are used.").lacks("tokens/new")
		bicycles.create(at, "One too many").wants(http.StatusUnprocessableEntity, "the most it may have")
		s.apply(strings.Replace(staff, "name: Acme US", "name: Acme US\n        status: suspended", 1))
		time.Sleep(remembered) // until the server's cache has seen another process's change
		owner.open(tokensOf(s)["store"]).wants(http.StatusOK, "This store is suspended.")
	}, "LATCHKEY_MAX_TOKENS_PER_ACCOUNT=1")
}
