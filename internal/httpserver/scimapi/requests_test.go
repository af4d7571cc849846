package scimapi_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/directory"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// recorded returns the requests that are recorded of the account.
func (d *directories) recorded(t *testing.T) (last directory.Request, failed []directory.Request) {
	t.Helper()
	check.Equal(t, d.directory.Flush(t.Context()), nil, "save the requests")
	last, failed, err := d.directory.Requests(t.Context(), d.owner(t))
	check.Equal(t, err, nil, "read the requests")
	return last, failed
}

// A request is refused before its body is read, and the requests of callers who are not identity providers are not
// recorded. Without a scope a token reads what SCIM supports here, and a session reads nothing.
func TestCallersWithoutRights(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		wrong := `{"userName": "` + strings.Repeat("a", 1<<19)
		for _, tc := range []struct {
			name, credential string
			discovery        int
		}{
			{"a session of the owner", d.session(t, d.home, d.home.Owner.Email), 403},
			{"a session of a user", d.session(t, d.home, d.home.Users[2].Email), 403},
			{"a token without a scope for users", d.issue(t, scope.AccountRead), 200},
		} {
			by := "Authorization: Bearer " + tc.credential
			for _, path := range []string{"/ServiceProviderConfig", "/Schemas", "/ResourceTypes"} {
				wantStatus(t, d.send(t, "GET", path, "", by), tc.discovery, tc.name+": "+path)
			}
			for _, path := range []string{"/Users", "/Users/.search", "/Groups", "/Groups/.search", "/.search"} {
				wantStatus(t, d.send(t, "POST", path, wrong, by), 403, tc.name+": POST "+path)
			}
			for _, path := range []string{"/Users/", "/Groups/"} {
				for _, method := range []string{"PUT", "PATCH"} {
					a := d.send(t, method, path+uuid.NewString(), wrong, by)
					wantStatus(t, a, 403, tc.name+": "+method+" "+path)
				}
			}
			wantStatus(t, d.send(t, "GET", "/Users/%00", "", by), 403, tc.name+": GET a user")
		}
		last, failed := d.recorded(t)
		check.Equal(t, last, directory.Request{}, "the last request that is recorded")
		check.Equal(t, len(failed), 0, "failed requests that are recorded")
		reading := "Authorization: Bearer " + d.issue(t, scope.AccountUsersRead)
		wantStatus(t, d.send(t, "POST", "/Users", wrong, reading), 403, "a token that may only read")
		_, failed = d.recorded(t)
		check.Equal(t, len(failed), 1, "failed requests of a token with a scope for users")
	})
}

// Requests with any bytes are recorded, and cut. Requests of an account that is deleted do not keep others from being
// recorded.
func TestOddRequestsAreRecorded(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		wantStatus(t, d.send(t, "POST", "/Users", `{"userName": "a\u0000b"}`), 400, "a NUL in the address")
		long := strings.Repeat("é", 1<<18)
		wantStatus(t, d.send(t, "POST", "/Users", `{"userName": "`+long+`"}`), 400, "a long address")
		wantStatus(t, d.send(t, "GET", "/Users/%ff%00", ""), 404, "an id with odd bytes")
		last, failed := d.recorded(t)
		check.Equal(t, last.Subject, "\uFFFD\uFFFD", "the subject of the last request")
		var subjects []string
		for _, r := range failed {
			subjects = append(subjects, r.Subject)
		}
		check.Equal(t, subjects, []string{strings.Repeat("é", 128), "a\uFFFDb"}, "subjects of failed requests")

		deleted := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), AccountID: uuid.New(),
			Scopes: scope.NewSet(scope.AccountUsersWrite)}
		d.directory.Note(deleted, directory.Request{Method: "POST", Status: 400})
		wantStatus(t, d.send(t, "POST", "/Users", `{"userName": "no address"}`), 400, "a third failure")
		if err := d.directory.Flush(t.Context()); err == nil {
			t.Error("save the requests of a deleted account: got no error, want one")
		}
		_, failed = d.recorded(t)
		check.Equal(t, len(failed), 3, "failed requests that are recorded")
	})
}
