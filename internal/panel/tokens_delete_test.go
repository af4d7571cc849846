package panel_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	dbtest "latchkey/internal/test/db"
)

// Deleting is all or nothing, and reports tokens that were deleted in the meantime.
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
		owner.open(at+"/"+first).wants(http.StatusOK, "Restrict")
		dbtest.Exec(t, s.database,
			"UPDATE api_tokens SET last_used_at = 1767225600000000, last_used_ip = '203.0.113.77' WHERE id = '"+second+
				"'",
			"UPDATE api_tokens SET last_used_at = to_timestamp(1767225600), last_used_ip = '203.0.113.77' WHERE id = '"+
				second+"'")
		asked := owner.open(at+"/delete?id="+first+"&id="+second).wants(http.StatusOK, "First Last used Never used.")
		asked.wants(http.StatusOK, "Second Last used 1 Jan 2026, 00:00 from 203.0.113.77 Scopes Carts: modify")
		owner.submit(asked, "Delete all 2 tokens", "reason",
			strings.Repeat("x", 501)).wants(http.StatusUnprocessableEntity, "A reason has 0 to 500 characters.")
		owner.post(at+"/delete", "id", first, "reason", "Over").goes(at).notes("tokens_deleted", 1)
		owner.open(at+"/delete?id="+first+"&id="+second).wants(http.StatusOK, "First, deleted by owner@acme.example")
		owner.submit(asked, "Delete all 2 tokens").goes(at).notes("tokens_deleted_some", 1)
		owner.submit(asked, "Delete all 2 tokens").goes(at).notes("tokens_deleted_before", 2)
		owner.open(at+"/"+first).wants(http.StatusOK, "Reason Over").lacks("Restrict")
		owner.post(at+"/delete", "id", third, "id", third).goes(at).notes("tokens_deleted", 1)
		owner.open(at+"?status=deleted").wants(http.StatusOK, "3 tokens")
	})
}

// Deleting a token lists the tokens that it issued and the users that it added. It also deletes the issued tokens
// unless the visitor saw them and chose to keep them.
func TestDeleteTokensWithIssued(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), tokensOf(s)["account"]
		for _, name := range []string{"Parent", "Child", "Other", "Kept"} {
			owner.create(at, name)
		}
		parent, other := idOf(owner, at, "Parent"), idOf(owner, at, "Other")
		issuedBy := func(issuer, issued string) {
			update := "UPDATE api_tokens SET created_by_kind = 'API_TOKEN', created_by_id = '" + issuer +
				"' WHERE id = '" + idOf(owner, at, issued) + "'"
			dbtest.Exec(t, s.database, update, update)
		}
		issuedBy(parent, "Child")
		issuedBy(other, "Kept")

		asked := owner.open(at+"/delete?id="+parent).wants(http.StatusOK,
			"Tokens that they created").wants(http.StatusOK, "Child (")
		asked.wants(http.StatusOK, "Delete this token too").lacks("Users that they added")
		owner.post(at+"/delete", "id", parent).wants(http.StatusUnprocessableEntity,
			"Another token was created in the meantime.")
		owner.submit(asked, "Delete token", "issued", "on").goes(at).notes("tokens_deleted", 2)
		owner.open(at+"?status=deleted").wants(http.StatusOK, "2 tokens")

		owner.post(at+"/delete", "id", other, "shown", idOf(owner, at, "Kept")).goes(at).notes("tokens_deleted", 1)
		owner.open(at).wants(http.StatusOK, "Kept").lacks("Other")
	})
}

// Deleting a token lists the users that it added, including those that its issued tokens added, and their number.
func TestDeleteTokenWithUsers(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), tokensOf(s)["account"]
		secret := valueOf(owner.create(at, "Staff sync", "scopes.account_users", "account_users_write"), "access_token")
		asked := at + "/delete?id=" + idOf(owner, at, "Staff sync")
		for i, want := range []string{"This user was added", "2 users were added"} {
			email := fmt.Sprintf("added%d@acme.example", i)
			status, answer := s.sends(secret,
				`mutation { user { createUser(input: {email: "`+email+
					`", firstName: "A", lastName: "B", locale: "en"}) { user { id } } } }`)
			if status != http.StatusOK || strings.Contains(answer, "errors") {
				t.Fatalf("createUser: got %d %s, want 200 without errors", status, answer)
			}
			owner.open(asked).wants(http.StatusOK, "Users that they added").wants(http.StatusOK,
				want).wants(http.StatusOK, email)
		}
		owner.submit(owner.open(asked), "Delete token").goes(at).notes("tokens_deleted", 1)
	})
}
