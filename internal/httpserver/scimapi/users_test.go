package scimapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// create adds a user with the address, and returns their id.
func (d *directories) create(t *testing.T, email string) string {
	t.Helper()
	a := d.send(t, "POST", "/Users", fmt.Sprintf(`{"userName": %q}`, email))
	wantStatus(t, a, 201, "create "+email)
	return a.at("id").(string)
}

// patch sends a PATCH with one operation, without a path.
func (d *directories) patch(t *testing.T, path, value string, headers ...string) answer {
	t.Helper()
	return d.send(t, "PATCH", path, `{"Operations": [{"op": "replace", "value": `+value+`}]}`, headers...)
}

// What each request needs: without the scope it is refused and changes nothing.
func TestScopes(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		subject, group := "/Users/"+d.create(t, "subject@corp.example"), "/Groups/"+d.home.Stores[1].ID.String()
		member := d.home.Users[2].ID.String()
		const (
			read, write, remove = scope.AccountUsersRead, scope.AccountUsersWrite, scope.AccountUsersDelete
		)
		tokens := map[string]string{} // an account has a limited number of them
		holding := func(scopes ...string) string {
			key := strings.Join(scopes, ",")
			if tokens[key] == "" {
				tokens[key] = d.issue(t, scopes...)
			}
			return "Authorization: Bearer " + tokens[key]
		}
		for _, tc := range []struct {
			name, method, path, body string
			needs                    []string
			status                   int
		}{
			{"list users", "GET", "/Users", "", []string{read}, 200},
			{"list groups", "GET", "/Groups", "", []string{read}, 200},
			{"search users", "POST", "/Users/.search", "{}", []string{read}, 200},
			{"search everything", "POST", "/.search", "{}", []string{read}, 200},
			{"read a user", "GET", subject, "", []string{read}, 200},
			{"read a group", "GET", group, "", []string{read}, 200},
			{"add a user", "POST", "/Users", `{"userName": "new@corp.example"}`, []string{write}, 201},
			{"replace a user", "PUT", subject, `{"userName": "subject@corp.example", "locale": "fr"}`,
				[]string{write}, 200},
			{"change a user", "PATCH", subject, `{"Operations": [{"op": "add", "path": "locale", "value": "de"}]}`,
				[]string{write}, 200},
			{"add a deactivated user", "POST", "/Users", `{"userName": "off@corp.example", "active": false}`,
				[]string{write, remove}, 201},
			{"deactivate by PUT", "PUT", subject, `{"userName": "subject@corp.example", "active": false}`,
				[]string{write, remove}, 200},
			{"reactivate", "PATCH", subject, `{"Operations": [{"op": "replace", "path": "active", "value": true}]}`,
				[]string{write}, 200},
			{"deactivate by PATCH", "PATCH", subject, `{"Operations": [{"op": "replace", "path": "active", "value": false}]}`,
				[]string{write, remove}, 200},
			{"another spelling", "PUT", subject, `{"userName": "SUBJECT@corp.example"}`, []string{write}, 200},
			{"move by PATCH", "PATCH", subject,
				`{"Operations": [{"op": "replace", "path": "userName", "value": "moved@corp.example"}]}`,
				[]string{write, remove}, 200},
			{"move by PUT", "PUT", subject, `{"userName": "subject@corp.example", "externalId": "7", "active": false}`,
				[]string{write, remove}, 200},
			{"move by POST", "POST", "/Users", `{"userName": "moved@corp.example", "externalId": "7"}`,
				[]string{write, remove}, 200},
			{"change a group", "PATCH", group, `{"Operations": [{"op": "add", "path": "externalId", "value": "x"}]}`,
				[]string{write}, 204},
			{"keep a group's members", "PATCH", group, `{"Operations": [{"op": "add", "path": "members", "value": "` + member + `"}]}`,
				[]string{write}, 204},
			{"take a member out of a group", "PATCH", group,
				`{"Operations": [{"op": "remove", "path": "members[value eq \"` + member + `\"]"}]}`,
				[]string{write, remove}, 204},
			{"replace a group's members", "PUT", group, `{"members": []}`, []string{write, remove}, 200},
			{"create a group that exists", "POST", "/Groups", `{"displayName": "Store 0"}`, []string{write}, 409},
			{"remove a user", "DELETE", subject, "", []string{remove}, 204},
		} {
			t.Run(tc.name, func(t *testing.T) {
				for _, missing := range tc.needs {
					has := slices.DeleteFunc([]string{read, write, remove}, func(s string) bool {
						// account_users_write implies account_users_read.
						return s == missing || missing == read && s == write
					})
					a := d.send(t, tc.method, tc.path, tc.body, holding(has...))
					wantStatus(t, a, 403, "without "+missing)
					if detail := fmt.Sprint(a.at("detail")); !strings.Contains(detail, missing) {
						t.Errorf("without %s: got %q, want a sentence with the scope", missing, detail)
					}
				}
				a := d.send(t, tc.method, tc.path, tc.body, holding(tc.needs...))
				wantStatus(t, a, tc.status, "with the scopes")
			})
		}
	})
}

// A session, a store-level token and a token of another account are refused alike, whether the account exists or not.
func TestCallersWithoutTheAccount(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		owner := d.owner(t)
		of, err := token.StoreOwner(d.home.Account, d.home.Stores[0])
		check.Equal(t, err, nil, "the owner of a store's token")
		issued, err := d.Tokens.Create(
			t.Context(),
			owner,
			token.Request{Owner: of, Name: "Store", Scopes: []string{"store_cart"}},
		)
		check.Equal(t, err, nil, "issue a store-level token")
		path := strings.Split(d.url, "/accounts/")
		for _, tc := range []struct{ name, account, credential string }{
			{"a session", d.home.Account.ID.String(), d.session(t, d.home, d.home.Owner.Email)},
			{"a store-level token", d.home.Account.ID.String(), issued.AccessToken.Reveal()},
			{"another account", d.away.Account.ID.String(), d.token},
			{"an account that does not exist", "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01", d.token},
			{"no UUID", "acme", d.token},
		} {
			there := *d
			there.url = path[0] + "/accounts/" + tc.account + "/scim/v2"
			a := there.send(t, "GET", "/Users", "", "Authorization: Bearer "+tc.credential)
			wantStatus(t, a, 403, tc.name)
			if tc.name != "a session" {
				check.Equal(
					t,
					a.at("detail"),
					any("This token does not work here. Use an account-level API token of the "+
						"account whose UUID is in the address."),
					"%s",
					tc.name,
				)
			}
		}
		upper := *d
		upper.url = path[0] + "/accounts/" + strings.ToUpper(d.home.Account.ID.String()) + "/scim/v2"
		wantStatus(t, upper.send(t, "GET", "/Users?count=0", ""), 200, "the account's UUID in upper case")
	})
}

// actions returns the actions of the events about a user, newest first.
func (d *directories) actions(t *testing.T, userID string) []audit.Action {
	t.Helper()
	events, err := d.DB.Audit().Events(t.Context(), d.home.Account.ID, audit.Filter{}, paging.Window{Size: 250})
	if err != nil {
		t.Fatal(err)
	}
	var actions []audit.Action
	for _, item := range events.Items {
		if item.Node.Target.Kind == audit.TargetUser && item.Node.Target.Key == userID {
			actions = append(actions, item.Node.Action)
		}
	}
	return actions
}

// An owner is refused with a sentence, an event is recorded, and other users are not affected.
func TestOwnersStay(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		owner, storeOwner := d.home.Owner.ID.String(), d.home.StoreOwner.ID.String()
		for _, a := range []answer{
			d.patch(t, "/Users/"+owner, `{"active": false, "name": {"givenName": "Changed"}}`),
			d.send(t, "DELETE", "/Users/"+owner, ""),
			d.send(t, "PUT", "/Users/"+storeOwner, `{"userName": "`+d.home.StoreOwner.Email+`", "active": false}`),
			d.patch(t, "/Users/"+storeOwner, `{"userName": "other@corp.example"}`),
		} {
			wantStatus(t, a, 409, "an owner")
			if detail := fmt.Sprint(
				a.at("detail"),
			); !strings.Contains(detail, "owns") ||
				!strings.Contains(detail, "first") {
				t.Errorf("detail: got %q, want what the user owns and what to do", detail)
			}
		}
		check.Equal(
			t,
			d.send(t, "GET", "/Users/"+owner, "").at("name.givenName"),
			any("First owner"),
			"the owner's name",
		)
		check.Equal(
			t,
			firstOf(d.actions(t, owner), 2),
			[]audit.Action{audit.UserRemovalRefused, audit.UserRemovalRefused},
			"events",
		)
		wantStatus(t, d.patch(t, "/Users/"+d.home.Users[2].ID.String(), `{"active": false}`), 200, "another user")
		// The names of an owner can change.
		wantStatus(t, d.patch(t, "/Users/"+owner, `{"name": {"givenName": "Changed"}}`), 200, "an owner's name")
	})
}

// Nothing in an answer, neither in its form nor its values, depends on whether another account has the address.
func TestUsersOfOtherAccountsAreNotTold(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		known := d.away.Users[1].Email
		answers := map[string][]string{}
		for _, email := range []string{known, "user0@" + strings.Repeat("0", 12) + ".Example"} {
			note := func(a answer) {
				text := strings.NewReplacer(email, "<email>", strings.ToLower(email), "<email>").Replace(a.text)
				for _, path := range []string{"id", "meta.version", "meta.created", "meta.lastModified",
					"Resources.0.id",
					"Resources.0.meta.version", "Resources.0.meta.created", "Resources.0.meta.lastModified"} {
					if value, is := a.at(path).(string); is {
						text = strings.ReplaceAll(strings.ReplaceAll(text, value, "<"+path+">"),
							strings.ReplaceAll(value, `"`, `\"`), "<"+path+">")
					}
				}
				answers[email] = append(answers[email], a.Status+" "+text)
			}
			note(d.send(t, "GET", "/Users?filter="+strings.ReplaceAll(`userName eq "`+email+`"`, " ", "%20"), ""))
			a := d.send(t, "POST", "/Users", `{"userName": "`+email+`", "name": {"givenName": "Mine"}}`)
			note(a)
			path := "/Users/" + fmt.Sprint(a.at("id"))
			note(d.send(t, "GET", path, ""))
			note(d.send(t, "POST", "/Users", `{"userName": "`+email+`"}`))
			note(d.patch(t, path, `{"active": false}`))
			note(d.patch(t, path, `{"active": true}`))
			note(d.patch(t, path, `{"userName": "moved@corp.example"}`))
			note(d.send(t, "DELETE", path, ""))
		}
		check.Equal(t, answers[known], answers["user0@"+strings.Repeat("0", 12)+".Example"], "the answers")
		for _, path := range []string{"/Users/" + d.away.Users[1].ID.String(),
			"/Groups/" + d.away.Stores[0].ID.String()} {
			wantStatus(t, d.send(t, "GET", path, ""), 404, "another account's")
			wantStatus(t, d.patch(t, path, `{"externalId": "x"}`), 404, "another account's")
		}
		wantStatus(t, d.send(t, "DELETE", "/Users/"+d.away.Users[1].ID.String(), ""), 404, "another account's")
		listed := d.send(t, "GET", "/Users", "")
		if strings.Contains(listed.text, d.away.Users[1].ID.String()) {
			t.Errorf("users: got %s, want none of another account", listed.text)
		}
	})
}

// The address of a user who accepted the membership and is in another account, too, is the person's.
func TestAddressOfAPersonInTwoAccounts(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		path := "/Users/" + d.create(t, d.away.Users[1].Email)
		wantStatus(t, d.patch(t, path, `{"userName": "pending@corp.example"}`), 200, "while pending")
		wantStatus(t, d.patch(t, path, `{"userName": "`+d.away.Users[1].Email+`"}`), 200, "back")
		d.session(t, d.home, d.away.Users[1].Email) // accepts the membership
		a := d.patch(t, path, `{"userName": "accepted@corp.example"}`)
		wantStatus(t, a, 409, "once accepted")
		check.Equal(t, a.at("detail"), any("The address of this user belongs to the user and cannot be changed here. "+
			"Remove the user, and add a user with the new address."), "what to do")
		check.Equal(t, d.send(t, "GET", path, "").at("userName"), any(d.away.Users[1].Email), "the address")

		// The record of a user from a manifest is also the person's.
		manifest := "/Users/" + d.home.Users[2].ID.String()
		wantStatus(t, d.patch(t, manifest, `{"userName": "other@corp.example"}`), 409, "a user from a manifest")
		same := d.patch(t, manifest, `{"userName": "`+strings.ToUpper(d.home.Users[2].Email)+`"}`)
		wantStatus(t, same, 200, "another spelling of a user from a manifest")
		check.Equal(t, same.at("userName"), any(d.home.Users[2].Email), "the spelling")

		lone := "/Users/" + d.create(t, "lone@corp.example")
		d.session(t, d.home, "lone@corp.example")
		wantStatus(t, d.patch(t, lone, `{"userName": "Lone@CORP.example"}`), 200, "another spelling")
		wantStatus(t, d.patch(t, lone, `{"userName": "new.lone@corp.example"}`), 200, "a person in one account")
		_, _, err := d.Users.StartSession(t.Context(), new(auth.OperatorPrincipal()), user.SessionRequest{
			Email: "lone@corp.example", AccountID: d.home.Account.ID, TTL: time.Hour})
		check.Equal(t, fault.KindOf(err), fault.NotFound, "a session with the former address")
		d.session(t, d.home, "new.lone@corp.example")
	})
}

// A new user is pending, and stays it until the user accepts.
func TestNewUsersArePending(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		id := d.create(t, "pending@corp.example")
		pending := func() bool {
			var found []user.Person
			err := d.DB.Users().
				Change(t.Context(), auth.NoActor("a test"), d.home.Account.ID, func(c user.Change) (err error) {
					found, err = c.MembersByEmail(t.Context(), []string{"pending@corp.example"})
					return err
				})
			if err != nil || len(found) != 1 || found[0].ID.String() != id {
				t.Fatalf("the user: got %+v, %v, want one", found, err)
			}
			if found[0].ProvisionedBy.String() == "00000000-0000-0000-0000-000000000000" {
				t.Errorf("the user: got no API token that provisioned it, want one")
			}
			return found[0].Pending
		}
		check.Equal(t, pending(), true, "pending")
		check.Equal(t, d.patch(t, "/Users/"+id, `{"active": false}`).at("active"), any(false), "active")
		check.Equal(t, d.patch(t, "/Users/"+id, `{"active": true}`).at("active"), any(true), "active")
		check.Equal(t, pending(), true, "pending after a deactivation")
		d.session(t, d.home, "pending@corp.example")
		check.Equal(t, pending(), false, "pending after a sign-in")
	})
}

// One of several changes with the same version is made. The others are stale.
func TestETagRaces(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		path := "/Users/" + d.create(t, "raced@corp.example")
		for round := range 5 {
			version := d.send(t, "GET", path, "").Header.Get("ETag")
			statuses := make(chan int, 8)
			for i := range cap(statuses) {
				go func() {
					a, err := d.try("PATCH", path, fmt.Sprintf(
						`{"Operations": [{"op": "replace", "path": "name.givenName", "value": "R%d C%d"}]}`,
						round,
						i,
					), "If-Match: "+version)
					if err != nil {
						statuses <- 0
						return
					}
					statuses <- a.StatusCode
				}()
			}
			counts := map[int]int{}
			for range cap(statuses) {
				counts[<-statuses]++
			}
			check.Equal(t, counts, map[int]int{200: 1, 412: cap(statuses) - 1}, "statuses of round %d", round)
		}
	})
}

// A token over its rate is refused in the form of SCIM, with the time to wait. 25 requests a second are within the
// default rate.
func TestRates(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		rate := config.Rate{Requests: 3, Window: time.Minute}
		d := start(t, url, config.Rates{On: true, Token: rate, Account: rate, Failure: rate})
		for range rate.Requests {
			wantStatus(t, d.send(t, "GET", "/Users?count=1", ""), 200, "within the rate")
		}
		a := d.send(t, "GET", "/Users?count=1", "")
		wantStatus(t, a, 429, "over the rate")
		if wait := a.Header.Get("Retry-After"); wait == "" || wait == "0" {
			t.Errorf("Retry-After: got %q, want seconds", wait)
		}
	})
	unset := func(string) (string, bool) { return "", false }
	c, err := config.Load(config.Source{Flag: unset, Env: unset}, config.Needs{})
	if err != nil {
		t.Fatal(err)
	}
	if perSecond := float64(c.Rates.Token.Requests) / c.Rates.Token.Window.Seconds(); perSecond < 25 {
		t.Errorf("the default rate of a token: got %v requests a second, want at least 25", perSecond)
	}
}

// The control panel shows the last request and those that failed, with their reasons, and not more than the newest.
func TestRequestsAreRecorded(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		d.create(t, "jo@corp.example")
		wantStatus(t, d.send(t, "POST", "/Users", `{"userName": "jo@corp.example"}`), 409, "the same again")
		wantStatus(t, d.send(t, "GET", "/Users/x", ""), 404, "an unknown user")
		wantStatus(t, d.patch(t, "/Users/"+d.home.Owner.ID.String(), `{"active": false}`), 409, "the owner")
		wantStatus(t, d.send(t, "GET", "/Groups", ""), 200, "groups")
		check.Equal(t, d.directory.Flush(t.Context()), nil, "save")
		last, failed, err := d.directory.Requests(t.Context(), d.owner(t))
		check.Equal(t, err, nil, "read")
		check.Equal(
			t,
			[]string{last.Method, last.Resource, last.TokenName},
			[]string{"GET", "Groups", "Identity provider"},
			"the last request",
		)
		var details []string
		for _, r := range failed {
			details = append(
				details,
				fmt.Sprint(r.Status, " ", r.Method, " ", r.Resource, " ", r.Subject, ": ", r.Detail),
			)
		}
		check.Equal(t, details, []string{
			"409 PATCH Users " + d.home.Owner.ID.String() + ": This user owns the account. Make another user its owner first.",
			"409 POST Users jo@corp.example: A user in this account already has this email address.",
		}, "failed requests")
		for range 60 {
			d.send(t, "POST", "/Users", `{"userName": "jo@corp.example"}`)
		}
		check.Equal(t, d.directory.Flush(t.Context()), nil, "save")
		_, failed, err = d.directory.Requests(t.Context(), d.owner(t))
		check.Equal(t, err, nil, "read")
		check.Equal(t, len(failed), 50, "failed requests that are kept")
		stranger := world.Session(d.home, d.home.Users[2], auth.Principal{})
		_, _, err = d.directory.Requests(t.Context(), stranger)
		check.Equal(t, fault.KindOf(err), fault.Forbidden, "a user who may not list users")
	})
}

// Enroll and Edit refuse what every other way of changing users refuses.
// firstOf returns at most n of the actions.
func firstOf(actions []audit.Action, n int) []audit.Action { return actions[:min(n, len(actions))] }

// A user has one address, with the ID in its only form, which is case-exact.
func TestIDsHaveOneForm(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		id := d.home.Users[2].ID.String()
		wantStatus(t, d.send(t, "GET", "/Users/"+id, ""), 200, "the ID")
		for _, form := range []string{strings.ToUpper(id), strings.ReplaceAll(id, "-", ""), "urn:uuid:" + id} {
			wantStatus(t, d.send(t, "GET", "/Users/"+form, ""), 404, form)
		}
	})
}

func TestRulesOfUsersApply(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		for body, want := range map[string]string{
			`{"userName": "ann.example"}`:                                        "invalidValue",
			`{"userName": "a@corp.example", "locale": "no language"}`:            "invalidValue",
			`{"userName": "a@corp.example", "externalId": " x"}`:                 "invalidValue",
			`{"userName": "a@corp.example", "name": {"givenName": "a\nb"}}`:      "invalidValue",
			`{"userName": "a@corp.example", "name": {"familyName": 7}}`:          "invalidValue",
			`{"userName": "` + strings.Repeat("a", 300) + `@corp.example"}`:      "invalidValue",
			`{"userName": "` + strings.ToUpper(d.home.Users[2].Email) + `"}`:     "uniqueness",
			`{"userName": "a@corp.example", "userNAME": "b@corp.example"}`:       "invalidSyntax",
			`{"userName": "a@corp.example", "name": "Ann"}`:                      "invalidValue",
			`{"userName": "a@corp.example"} {"userName": "b@corp.example"}`:      "invalidSyntax",
			`{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}`:        "invalidValue",
			`{"userName": "a@corp.example", "active": "yes", "externalId": "1"}`: "invalidValue",
		} {
			a := d.send(t, "POST", "/Users", body)
			if a.StatusCode < 400 || a.at("scimType") != want {
				t.Errorf("%s: got %s, want the type %s", body, a.text, want)
			}
		}
		_, _, err := d.Memberships.Enroll(t.Context(), d.owner(t), membership.Edit{})
		check.Equal(t, fault.KindOf(err), fault.Invalid, "without an address")
		check.Equal(t, d.send(t, "GET", "/Users?count=0", "").at("totalResults"), any(4.0), "users")
	})
}

// A body that is too large is refused.
func TestLargeBodies(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		a := d.send(t, "POST", "/Users", `{"userName": "`+strings.Repeat("a", 1<<20)+`"}`)
		wantStatus(t, a, http.StatusRequestEntityTooLarge, "a large body")
	})
}
