package gormdb

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
)

// An insert, its arguments, a list and the destinations of a scan have the same columns in the same order.
func TestColumns(t *testing.T) {
	into, values := accessColumns.insertInto(), "$3, $4, $5, $6, $7, $8, $9, $10, $11, $12"
	const inserted = "account_id, api_token_id, id, digest, digest_key, hint, created_at, expires_at, seen_by, seen_by_token"
	check.Equal(t, into, "INSERT INTO access_tokens ("+inserted+") ", "insert")
	if got, next := accessColumns.values(3); got != values || next != 13 {
		t.Errorf("values: got %s and then %d, want %s and then 13", got, next, values)
	}
	row := accessRow{Hint: "hint", SeenBy: optional(uuid.New())}
	args := accessColumns.arguments(nil, sqliteDialect, &row)
	if len(args) != 10 || args[5] != "hint" || args[7] != nil || args[8] != row.SeenBy.UUID.String() {
		t.Errorf("arguments: got %v, want 10, among them the hint, nil and %s", args, row.SeenBy.UUID)
	}
	check.Equal(t, accessColumns.parameter("hint", 3), "$8", "the parameter of hint")
	const member = "m.account_id AS place_account_id, m.store_id AS place_store_id, m.user_id AS place_user_id, m.id AS place_id, " +
		"m.status AS place_status, m.permissions AS place_permissions, m.last_login_at AS place_last_login_at, " +
		"m.updated_at AS place_updated_at, u.id, u.email, a.first_name, a.last_name, a.locale, " +
		"coalesce(a.external_id, '') AS external_id, u.created_at, a.updated_at, a.accepted_at, a.deactivated_at, " +
		"a.provisioned_by, (s.owner_id = m.user_id) AS owner"
	check.Equal(t, memberColumns, member, "list")
	listed := strings.ReplaceAll(recordColumns, "external_id, '')", "external_id)")
	if to := recordFields.scanInto(new(recordRow)); len(to) != strings.Count(listed, ",")+1 {
		t.Errorf("destinations: got %d, want one for each of %s", len(to), recordColumns)
	}
}

// An expression stands in the text of an insert and not among its arguments.
func TestColumnsWithExpressions(t *testing.T) {
	c := grantColumns.with(map[string]string{"id": "e.id", "hint": "'h'"})
	if got, next := c.values(1); got != "$1, $2, e.id, $3, $4, 'h', $5, $6, $7" || next != 8 {
		t.Errorf("values: got %s and then %d, want the expressions in their places and then 8", got, next)
	}
	if args := c.arguments(nil, postgresDialect, &grantRow{}); len(args) != 7 {
		t.Errorf("got %d arguments, want 7", len(args))
	}
	check.Equal(t, c.parameter("scopes", 1), "$5", "the parameter of scopes")
}
