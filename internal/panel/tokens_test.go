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

	"github.com/google/uuid"

	"latchkey/internal/dbtest"
	"latchkey/internal/once"
)

// tokensOf are the addresses of the lists of both levels: the account's, and
// those of the store Acme US.
func tokensOf(s *server) map[string]string {
	return map[string]string{"account": "/accounts/" + s.Account + "/tokens", "store": "/accounts/" + s.Account + "/stores/acme1us/tokens"}
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

// create creates a token with a scope of its level, by the form.
func (v *visitor) create(at, name string, pairs ...string) *reply {
	v.t.Helper()
	page := v.open(at+"/new").wants(http.StatusOK, "Create API token")
	return v.submit(page, "Create API token", append([]string{"name", name, "scopes.store_carts", "store_cart"}, pairs...)...)
}

func TestCreateToken(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		owner.open(at).wants(http.StatusOK, "0 of 50 used")
		page := owner.create(at, "Nightly import")
		page.wants(http.StatusOK, "This is the only time that its secrets are shown.")
		if got := page.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("kept by the browser: %q", got)
		}
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
		list := owner.open(at).wants(http.StatusOK, "Nightly import").wants(http.StatusOK, "1 of 50 used").wants(http.StatusOK, "Carts: modify")
		for _, n := range page.all("code") {
			if id, _ := attribute(n, "id"); id == "access_token" || id == "client_secret" {
				list.lacks(textOf(n))
				for _, file := range []string{"text latchkey-credentials-nightly-import.txt", ".env latchkey-credentials-nightly-import.env", "JSON latchkey-credentials-nightly-import.json"} {
					if !strings.Contains(kept["Download as "+file], textOf(n)) {
						t.Errorf("%s lacks the %s: there are %v", file, id, slices.Collect(maps.Keys(kept)))
					}
				}
				if strings.Contains(s.log.String(), textOf(n)) {
					t.Errorf("%s is in the log", id)
				}
			}
		}
	})
}

// staff are people of the store Acme US with one permission or another about
// its tokens.
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

// Every page and every deed, on both levels, as each kind of person.
func TestRightsToTokens(t *testing.T) {
	const sees, makes, removes = 1, 2, 4
	may := map[string]map[string]int{
		"owner@acme.example":   {"account": sees | makes | removes, "store": sees | makes | removes},
		"us@acme.example":      {"store": sees | makes | removes},
		"maker@acme.example":   {"store": sees | makes},
		"remover@acme.example": {"store": sees | removes},
		"lister@acme.example":  {"store": sees},
		"clerk@acme.example":   {},
		"eu@acme.example":      {}, // who owns another store, and does not see this one
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
					for _, deed := range s.deeds(owner, at) {
						page := v.get(deed.address)
						if deed.form != nil {
							page = v.postForm(deed.address, deed.form)
						}
						want := deed.status
						switch {
						case level == "store" && email == "eu@acme.example":
							want = http.StatusNotFound
						case rights[level]&deed.needs != deed.needs:
							want = http.StatusForbidden
							page.wants(want, "Acme Owner, owner@acme.example")
							if level == "store" && email != "us@acme.example" {
								page.wants(want, "Uma Sato, us@acme.example")
							}
						}
						if page.status != want {
							t.Errorf("%s: %d, want %d: %s", deed.what, page.status, want, page.text())
						}
						if deed.what == "list" && want == http.StatusOK || deed.what == "detail" && want == http.StatusOK {
							offers(t, page, at+"/delete", rights[level]&removes != 0)
							if deed.what == "list" {
								offers(t, page, at+"/new", rights[level]&makes != 0)
							} else if got := slices.Contains(buttonsOf(page), "Make another access token"); got != (rights[level]&makes != 0) {
								t.Errorf("rotation is offered: %v", got)
							}
						}
					}
				})
			}
		}
		s.visitor().get(tokensOf(s)["account"]).goes("/signin?" + url.Values{"next": {tokensOf(s)["account"]}}.Encode())
	})
}

// deed is one thing to do with a token, and the answer to whoever may.
type deed struct {
	what, address string
	form          url.Values
	needs, status int
}

// deeds are all that can be done in a place, with a token made for them.
func (s *server) deeds(owner *visitor, at string) []deed {
	name := fmt.Sprintf("Token %d", time.Now().UnixNano())
	owner.create(at, name)
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
	return []deed{
		{"list", at, nil, sees, http.StatusOK},
		{"form", at + "/new", nil, makes, http.StatusOK},
		{"review", at + "/new", form(), makes, http.StatusOK},
		{"create", at, form(), makes, http.StatusOK},
		{"detail", at + "/" + id, nil, sees, http.StatusOK},
		{"narrow", at + "/" + id, url.Values{"name": {name + " again"}, "scopes.store_carts": {"store_cart"}}, sees | makes, http.StatusSeeOther},
		{"rotate", at + "/" + id + "/rotate", rotation, sees | makes, http.StatusOK},
		{"ask before deleting", at + "/delete?id=" + id, nil, removes, http.StatusOK},
		{"delete", at + "/delete", url.Values{"id": {id}}, removes, http.StatusSeeOther},
	}
}

// idOf is the id of the token of a name.
func idOf(v *visitor, at, name string) string {
	v.t.Helper()
	page := v.open(at + "?search=" + url.QueryEscape(name))
	for _, a := range page.all("a") {
		to, _ := attribute(a, "href")
		if rest, found := strings.CutPrefix(to, at+"/"); found && textOf(a) == name {
			return rest
		}
	}
	v.t.Fatalf("there is no token %s: %s", name, page.text())
	return ""
}

func buttonsOf(page *reply) []string {
	var all []string
	for _, f := range page.forms() {
		all = append(all, f.buttons...)
	}
	return all
}

// offers fails the test unless a page leads to an address, or does not.
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

// What is wrong stands at its field, and what was entered stays.
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
			{"the past", []string{"expiresAt", "2001-01-01T00:00"}, "expiresAt", "This time has passed."},
			{"no date", []string{"expiresAt", "soon"}, "expiresAt", "This is no date and time."},
			{"no lifetime that is offered", []string{"expiresIn", "soon"}, "expiresIn", "Choose one of what is offered."},
			{"no range", []string{"allowedIpRanges", "192.0.2.1\nhome\n"}, "allowedIpRanges", "is no IP address"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				for _, button := range []string{"Create API token", "Show what it will be able to do"} {
					page := owner.open(at + "/new")
					form := map[string]string{"name": "Kept & <b>shown</b>", "expiresIn": "month", "allowedIpRanges": "203.0.113.0/24"}
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
					page = owner.postForm(to, valuesOf(page, append(pairs, tc.pairs...))).wants(http.StatusUnprocessableEntity, tc.want)
					shown := ""
					for _, p := range page.all("p") {
						if id, _ := attribute(p, "id"); id == tc.field+"-error" {
							shown = textOf(p)
						}
					}
					if !strings.Contains(shown, tc.want) {
						t.Errorf("at the field stands %q", shown)
					}
					kept := valuesOf(page, nil)
					for name, value := range form {
						if !slices.Contains(tc.pairs, name) && kept.Get(name) != value {
							t.Errorf("%s was %q and is %q", name, value, kept.Get(name))
						}
					}
					if tc.field != "scopes" && kept.Get("scopes.store_orders") != "store_v2_orders" {
						t.Error("the scopes are lost")
					}
				}
			})
		}
		owner.open(at).wants(http.StatusOK, "0 of 50 used")
	})
}

// valuesOf are what the form of a new token holds, with pairs in the place of
// what is there.
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

// A form makes one token, however often and at how many servers it is sent.
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
		if want := []int{200, 409, 409, 409, 409, 409}; !slices.Equal(statuses, want) {
			t.Errorf("answered %v, want %v", statuses, want)
		}
		owner.postForm(at, form).wants(http.StatusConflict, "This form was sent already").lacks("lka_")
		owner.open(at).wants(http.StatusOK, "1 of 50 used")
		old := valuesOf(owner.open(at+"/new"), []string{"name", "Too late", "scopes.store_carts", "store_cart", "form", "01900000-0000-7000-8000-000000000000"})
		page := owner.postForm(at, old).wants(http.StatusUnprocessableEntity, "This form was open for too long")
		owner.submit(page, "Create API token").wants(http.StatusOK, "This is the only time")
		rotation := owner.open(at + "/" + idOf(owner, at, "Just one"))
		owner.submit(rotation, "Make another access token", "overlap", "soon").wants(http.StatusUnprocessableEntity, "Choose one of what is offered.")
		rotated := owner.submit(rotation, "Make another access token").wants(http.StatusOK, "This is the only time")
		for _, each := range flaws(rotated) {
			t.Errorf("the page of the new access token %s", each)
		}
		owner.submit(rotation, "Make another access token").wants(http.StatusConflict, "This form was sent already")
		if once.OpenFor < time.Hour {
			t.Error("forms are open for too short a time")
		}
	})
}

// Creating, changing and deleting take a password that was given a short while
// ago; what was entered is not lost.
func TestTokensAskAgain(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), tokensOf(s)["account"]
		owner.create(at, "Fresh").wants(http.StatusOK, "This is the only time")
		s.age(16 * time.Minute)
		page := owner.create(at, "Stale").wants(http.StatusOK, "Is it still you?")
		owner.submit(page, "Go on", "password_again", s.Password).wants(http.StatusOK, "Your new API token, Stale")
		s.age(16 * time.Minute)
		page = owner.open(at+"/delete?id="+idOf(owner, at, "Fresh")).wants(http.StatusOK, "Delete this API token?")
		page = owner.submit(page, "Delete it").wants(http.StatusOK, "Is it still you?")
		owner.open(at).wants(http.StatusOK, "Fresh")
		owner.submit(page, "Go on", "password_again", s.Password).goes(at + "?n=1&notice=tokens_deleted")
	})
}

// Deleting is all or nothing, and says what was deleted meanwhile.
func TestDeleteTokens(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		for _, name := range []string{"First", "Second", "Third"} {
			owner.create(at, name)
		}
		first, second, third := idOf(owner, at, "First"), idOf(owner, at, "Second"), idOf(owner, at, "Third")
		owner.get(at+"/delete").wants(http.StatusUnprocessableEntity, "Select at least one token to delete.")
		owner.post(at+"/delete").wants(http.StatusUnprocessableEntity, "Select at least one token to delete.")
		for other, base := range tokensOf(s) {
			if base == at {
				continue
			}
			owner.get(base+"/delete?id="+first).wants(http.StatusNotFound, "no such API token")
			owner.get(base+"/"+first).wants(http.StatusNotFound, "no such API token")
			owner.post(base+"/delete", "id", first).wants(http.StatusNotFound, "no such API token")
			elsewhere := "Of the " + other
			owner.create(base, elsewhere)
			for _, stranger := range []string{idOf(owner, base, elsewhere), uuid.NewString(), "x"} {
				owner.get(at+"/delete?id="+first+"&id="+stranger).wants(http.StatusNotFound, "no such API token")
				owner.post(at+"/delete", "id", first, "id", stranger).wants(http.StatusNotFound, "no such API token")
			}
		}
		owner.open(at+"/"+first).wants(http.StatusOK, "Take rights away")
		dbtest.Exec(t, s.database, "UPDATE api_tokens SET last_used_at = 1767225600000000, last_used_ip = '203.0.113.77' WHERE id = '"+second+"'",
			"UPDATE api_tokens SET last_used_at = to_timestamp(1767225600), last_used_ip = '203.0.113.77' WHERE id = '"+second+"'")
		asked := owner.open(at+"/delete?id="+first+"&id="+second).wants(http.StatusOK, "First Last used It was never used.")
		asked.wants(http.StatusOK, "Second Last used 1 Jan 2026, 00:00 from 203.0.113.77 It may Carts: modify")
		owner.submit(asked, "Delete all 2", "reason", strings.Repeat("x", 501)).wants(http.StatusUnprocessableEntity, "A reason has 0 to 500 characters.")
		owner.post(at+"/delete", "id", first, "reason", "Over").goes(at + "?n=1&notice=tokens_deleted")
		owner.open(at+"/delete?id="+first+"&id="+second).wants(http.StatusOK, "First, deleted by owner@acme.example")
		owner.submit(asked, "Delete all 2").goes(at + "?n=1&notice=tokens_deleted_some")
		owner.submit(asked, "Delete all 2").goes(at + "?n=2&notice=tokens_deleted_before")
		owner.open(at+"/"+first).wants(http.StatusOK, "Reason Over").lacks("Take rights away")
		owner.post(at+"/delete", "id", third, "id", third).goes(at + "?n=1&notice=tokens_deleted")
		owner.open(at+"?status=deleted").wants(http.StatusOK, "3 tokens")
	})
}

// Deleting a token shows what it issued and whom it added, and deletes the
// issued ones too unless the visitor saw them and chose otherwise.
func TestDeleteTokensWithIssued(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), tokensOf(s)["account"]
		for _, name := range []string{"Parent", "Child", "Other", "Kept"} {
			owner.create(at, name)
		}
		parent, other := idOf(owner, at, "Parent"), idOf(owner, at, "Other")
		issuedBy := func(issuer, issued string) {
			update := "UPDATE api_tokens SET created_by_kind = 'API_TOKEN', created_by_id = '" + issuer + "' WHERE id = '" + idOf(owner, at, issued) + "'"
			dbtest.Exec(t, s.database, update, update)
		}
		issuedBy(parent, "Child")
		issuedBy(other, "Kept")

		asked := owner.open(at+"/delete?id="+parent).wants(http.StatusOK, "Tokens that they created").wants(http.StatusOK, "Child (")
		asked.wants(http.StatusOK, "Delete this token too").lacks("Users that they added")
		owner.post(at+"/delete", "id", parent).wants(http.StatusUnprocessableEntity, "Another token was created meanwhile.")
		owner.submit(asked, "Delete it", "issued", "on").goes(at + "?n=2&notice=tokens_deleted")
		owner.open(at+"?status=deleted").wants(http.StatusOK, "2 tokens")

		owner.post(at+"/delete", "id", other, "shown", idOf(owner, at, "Kept")).goes(at + "?n=1&notice=tokens_deleted")
		owner.open(at).wants(http.StatusOK, "Kept").lacks("Other")
	})
}

// Search, order and status are in the address, and hold for more tokens than
// fit on a page.
func TestTokenListState(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		for i := range 27 {
			owner.create(at, fmt.Sprintf("Token %02d", 5*i%27)) // not by name
		}
		page := owner.open(at).wants(http.StatusOK, "27 of 50 used").wants(http.StatusOK, "Page 1 of 2").wants(http.StatusOK, "Token 26")
		page.lacks("Token 05")
		owner.open(at+"?page=2").wants(http.StatusOK, "Token 05").wants(http.StatusOK, "Page 2 of 2")
		owner.open(at+"?search=token+01").wants(http.StatusOK, "1 token").wants(http.StatusOK, "Token 01").lacks("Token 02")
		owner.open(at+"?search=nothing").wants(http.StatusOK, "Nothing was found.")
		owner.get(at+"?search="+strings.Repeat("x", 101)).wants(http.StatusUnprocessableEntity, "Look for a text of at most 100 characters.")
		page = owner.open(at+"?sort=name&search=token").wants(http.StatusOK, "Token 00")
		for _, th := range page.all("th") {
			if sorted, given := attribute(th, "aria-sort"); given && (sorted != "ascending" || textOf(th) != "Name") {
				t.Errorf("%s is sorted %s", textOf(th), sorted)
			}
		}
		for order, first := range map[string]string{"": "Token 00", "&order=down": "Token 26"} {
			if rows := owner.open(at + "?sort=name" + order).all("tr"); !strings.HasPrefix(textOf(rows[1]), first) {
				t.Errorf("by name%s the first is %s, want %s", order, textOf(rows[1]), first)
			}
		}
		offers(t, page, at, true)
		if !slices.Contains(page.links(), at+"?order=down&search=token&sort=name") {
			t.Errorf("the other order is not offered: %v", page.links())
		}
		owner.open(at+"?status=expired").wants(http.StatusOK, "There are none here for now.")
		owner.open(at+"?status=x&sort=x&page=x").wants(http.StatusOK, "Token 26")
		owner.open(at+"?page=99").wants(http.StatusOK, "27 tokens")
	})
}

// Accounts that are not enrolled see nothing of it, suspended stores are called
// so, and a full list makes room first.
func TestTokensOfOtherPlaces(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		owner.open(tokensOf(s)["account"]+"/new").wants(http.StatusOK, "Automated billing")
		owner.open(tokensOf(s)["store"] + "/new").lacks("Automated billing")
		bicycles := s.signedIn("owner@bicycles.example")
		const at = "/accounts/3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02/tokens"
		bicycles.open(at+"/new").wants(http.StatusOK, "Account Users").lacks("billing")
		bicycles.create(at, "Forged", "scopes.x", "account_charges_read").wants(http.StatusUnprocessableEntity, "not enrolled")
		bicycles.create(at, "The only one").wants(http.StatusOK, "This is the only time")
		bicycles.open(at).wants(http.StatusOK, "All 1 are used.").lacks("tokens/new")
		bicycles.create(at, "One too many").wants(http.StatusUnprocessableEntity, "the most it may have")
		s.apply(strings.Replace(staff, "name: Acme US", "name: Acme US\n        status: suspended", 1))
		time.Sleep(remembered) // by the server, until it has heard of what another process did
		owner.open(tokensOf(s)["store"]).wants(http.StatusOK, "This store is suspended.")
	}, "LATCHKEY_MAX_TOKENS_PER_ACCOUNT=1")
}
