package panel_test

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/directory"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// ida is the address of the user that the tests' identity provider adds.
const ida = "ida@acme.example"

// The bodies of the provider's requests.
const (
	addIda    = `{"userName": "` + ida + `", "externalId": "idp-1", "name": {"givenName": "Ida", "familyName": "Idp"}}`
	activeIs  = `{"Operations": [{"op": "replace", "path": "active", "value": `
	noChanges = `{"Operations": [{"op": "replace", "path": "nickName", "value": "A"}]}`
	aChange   = `{"Operations": [{"op": "replace", "path": "externalId", "value": "idp-2"}]}`
)

// scim sends a request to the account's SCIM API, which must be answered with the status, and returns the answer.
func (s *server) scim(accessToken string, want int, method, path, body string) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+s.page("/scim/v2")+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/scim+json")
	r.Header.Set("Authorization", "Bearer "+accessToken)
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		s.t.Fatalf("%s %s: got %d %s, %v, want %d", method, path, answer.StatusCode, text, err, want)
	}
	return string(text)
}

// scimToken creates an API token as the page of identity providers proposes, and returns its access token.
func (v *visitor) scimToken(s *server, name string) string {
	v.t.Helper()
	page := v.open(s.page("/users/provisioning"))
	for _, to := range page.links() {
		if strings.Contains(to, "preset=") {
			form := v.open(to).wants(http.StatusOK, "Create API token")
			check.Equal(v.t, scopesChosen(form), []string{scope.AccountUsersDelete, scope.AccountUsersWrite}, "scopes")
			return valueOf(v.submit(form, "Create API token", "name", name), "access_token")
		}
	}
	v.t.Fatalf("%s: got no link to create a token in %s, want one", page.url, page.text())
	return ""
}

// provisionSome records what an identity provider did, without its requests: those record the last use of its token
// later, and here it is recorded at once. One of the recorded requests failed.
func (s *server) provisionSome(tokenID uuid.UUID, name string) {
	s.t.Helper()
	db := dbtest.Open(s.t, s.database)
	account := uuid.MustParse(s.Account)
	by := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: tokenID, Name: name, AccountID: account,
		Scopes: scope.NewSet(scope.AccountUsersWrite, scope.AccountUsersDelete)}
	email := ida
	_, _, err := membership.NewService(db.Memberships(), time.Now).Enroll(s.t.Context(), by,
		membership.Edit{Email: &email,
			Update: user.Update{FirstName: new("Ida"), LastName: new("Idp"), ExternalID: new("idp-1")}})
	if err != nil {
		s.t.Fatal(err)
	}
	request := directory.Request{AccountID: account, ID: uuid.Must(uuid.NewV7()), At: time.Now(), TokenID: tokenID,
		Method: http.MethodPost, Resource: "Users", Subject: ida, Status: http.StatusConflict,
		Detail: "A user in this account already has this email address.", RequestID: "a-request"}
	if err := gormdb.Directory(db).SaveRequests(s.t.Context(), []directory.Request{request}); err != nil {
		s.t.Fatal(err)
	}
	if err := db.Uses().SaveUses(s.t.Context(), []access.Use{{AccountID: account, TokenID: tokenID, At: request.At,
		IP: netip.MustParseAddr("198.51.100.9")}}); err != nil {
		s.t.Fatal(err)
	}
}

// The page shows how to connect, what came in last and what failed, and no secret. Only who may list all users sees it.
func TestProvisioning(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), s.page("/users/provisioning")
		page := owner.open(at).wants(http.StatusOK, "Provisioning Not connected").
			wants(http.StatusOK, "No requests yet.").wants(http.StatusOK, "No failed requests.")
		check.Equal(t, valueOf(page, "url"), s.URL+s.page("/scim/v2"), "base URL")
		owner.open(s.page("/users")).wants(http.StatusOK, "Provisioning").lacks("Provisioned")
		token := owner.scimToken(s, "Okta")
		s.scim(token, http.StatusCreated, http.MethodPost, "/Users", addIda)
		s.scim(token, http.StatusConflict, http.MethodPost, "/Users", addIda)
		s.scim(token, http.StatusOK, http.MethodGet, "/ServiceProviderConfig", "")
		page = owner.until(at, "already has this email address")
		page.wants(http.StatusOK, "Provisioning Connected").wants(http.StatusOK, "Create another token")
		page.wants(http.StatusOK, "POST /Users "+ida).wants(http.StatusOK, "GET /ServiceProviderConfig")
		page.wants(http.StatusOK, "409 Conflict").wants(http.StatusOK, "Okta").lacks(token)
		dbtest.NoSecrets(t, "the page", []byte(page.body))
		if strings.Count(page.body, "<time datetime=") != 3 {
			t.Errorf("page: got %d times, want one of each request and of the last use of the token",
				strings.Count(page.body, "<time datetime="))
		}

		clerk := clerkOfEU(s)
		clerk.get(at).wants(http.StatusForbidden, "")
		clerk.get(s.page("/stores/acme2eu/users")).wants(http.StatusOK, "All users of Acme EU").lacks(at)
		s.visitor().get(at).goes("/signin?next=" + strings.ReplaceAll(at, "/", "%2F"))
	})
}

// What an identity provider keeps is not changed by hand until the owner takes the user over, which is in the audit
// log.
func TestPeopleOfAnIdentityProvider(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		token := owner.scimToken(s, "Okta")
		s.scim(token, http.StatusCreated, http.MethodPost, "/Users", addIda)
		list := owner.get(s.page("/users")).wants(http.StatusOK, "Ida Idp Provisioned")
		at := personAt(t, list, "Ida Idp")
		id := at[strings.LastIndex(at, "/"):]
		page := owner.get(at).wants(http.StatusOK, "The identity provider with the API token Okta keeps this user")
		page.wants(http.StatusOK, "idp-1").lacks("Save").lacks(at + "/deactivate").lacks(token)
		before := s.contents()
		owner.post(at, "firstName", "Anna", "lastName", "Idp", "locale", "en", "externalId", "x").
			wants(http.StatusUnprocessableEntity, "An identity provider keeps this user up to date.")
		owner.get(at + "/deactivate").goes(at)
		owner.post(at+"/deactivate").wants(http.StatusUnprocessableEntity, "An identity provider keeps")
		clerk := s.signedIn(ana)
		clerk.post(at+"/manage").wants(http.StatusForbidden, "")
		for _, row := range s.contents() {
			if strings.HasPrefix(row, "account_users ") && !slices.Contains(before, row) {
				t.Errorf("got the row %s, want the users unchanged", row)
			}
		}

		s.scim(token, http.StatusOK, http.MethodPatch, "/Users"+id, activeIs+`false}]}`)
		owner.get(at).wants(http.StatusOK, "Deactivated").lacks("Reactivate")
		owner.post(at+"/reactivate").wants(http.StatusConflict, "An identity provider keeps")
		s.scim(token, http.StatusOK, http.MethodPatch, "/Users"+id, activeIs+`true}]}`)

		owner.submit(owner.get(at), "Manage manually").goes(at).notes("person_by_hand", 1)
		page = owner.get(at).wants(http.StatusOK, "Ida Idp").lacks("identity provider")
		owner.submit(page, "Save", "firstName", "Anna").goes(at).notes("person_saved", 1)
		owner.get(s.page("/users")).wants(http.StatusOK, "Anna Idp").lacks("Provisioned")
		owner.get(s.page("/audit")).wants(http.StatusOK, "stopped the provisioning of Anna Idp")

		s.scim(token, http.StatusOK, http.MethodPatch, "/Users"+id, noChanges)
		owner.get(at).wants(http.StatusOK, "Save").lacks("identity provider")
		s.scim(token, http.StatusOK, http.MethodPatch, "/Users"+id, aChange)
		owner.get(at).wants(http.StatusOK, "Provisioned").lacks("Save")
		s.run("", "token", "revoke", "--account", s.Account, idOf(owner, s.page("/tokens"), "Okta"))
		owner.get(at).wants(http.StatusOK, "The API token no longer works")
	})
}

// A provisioned user cannot change their own names.
func TestProfileOfAnIdentityProvider(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, v := s.signedIn(s.OwnerEmail), s.signedIn(ana)
		v.open("/profile").wants(http.StatusOK, "Save")
		at := personAt(t, owner.get(s.page("/users")), "Ana Alvarez")
		s.scim(owner.scimToken(s, "Okta"), http.StatusOK, http.MethodPatch, "/Users"+at[strings.LastIndex(at, "/"):],
			aChange)
		v.open("/profile").wants(http.StatusOK, "Your organization's identity provider keeps these details up to date").
			wants(http.StatusOK, "Alvarez").lacks("Save")
		v.post("/profile", "firstName", "Anna", "lastName", "Alvarez", "locale", "en").
			wants(http.StatusUnprocessableEntity, "An identity provider keeps this user up to date.")
		v.open("/profile").lacks("Anna")
	})
}

// In a browser: from the empty page to a token, to its requests, and to a user who is then managed by hand.
func TestProvisioningInABrowser(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := s.page("/users/provisioning")
		b.follow("Users")
		b.follow("Provisioning")
		b.inspect("provisioning-empty")
		b.click("Copy the base URL")
		b.see("Copied.")
		check.Equal(t, b.clipboard(), s.URL+s.page("/scim/v2"), "copied")
		b.follow("Create API token")
		b.fill("Name", "Okta")
		b.follow("Create API token")
		b.see("shown only once")
		token := b.text("#access_token")
		b.click("Copy the access token") // otherwise closing asks whether it is saved
		b.see("Copied.")
		b.follow("Done")
		s.scim(token, http.StatusCreated, http.MethodPost, "/Users", addIda)
		s.scim(token, http.StatusConflict, http.MethodPost, "/Users", addIda)
		s.signedIn(s.OwnerEmail).until(at, "already has this email address")
		b.open(at)
		b.see("already has this email address")
		b.inspect("provisioning")
		b.follow("Users")
		b.see("Provisioned")
		b.follow("Ida Idp")
		b.inspect("person-provisioned")
		b.follow("Manage manually")
		b.see("is now managed manually.")
		b.see("Save")
	})
}
