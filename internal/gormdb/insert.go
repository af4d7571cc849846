package gormdb

import (
	"github.com/google/uuid"

	"latchkey/internal/token"
)

// issuedRows are the rows of a draft: an API token, its access token and the event.
type issuedRows struct {
	token  tokenRow
	access accessRow
	event  eventRow
}

func newIssuedRows(d token.Draft) (issuedRows, error) {
	event, err := newEventRow(d.Event)
	access := newAccessRow(d.Token.AccountID, d.Access)
	access.SeenByToken = optional(uuid.Nil) // a new API token has its creator
	return issuedRows{newTokenRow(d), access, event}, err
}

// countLive returns a statement that counts the owner's tokens that are not revoked and have not expired. Its
// arguments are parameters: the account, the time and, for a store's tokens, the store.
func countLive(account, now, store string) string {
	owner := "store_id IS NULL"
	if store != "" {
		owner = "store_id = " + store
	}
	return "SELECT count(*) FROM api_tokens WHERE account_id = " + account +
		" AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > " + now + ") AND " + owner
}
