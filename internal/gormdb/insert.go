package gormdb

import "latchkey/internal/token"

// The statements that keep a draft, in terms of insertArguments: how many live
// tokens its owner has, and three rows, each as a table with columns and the
// values for them.
const (
	countAccountTokens = countLive + `store_id IS NULL`
	countStoreTokens   = countLive + `store_id = $3`
	countLive          = `SELECT count(*) FROM api_tokens
		WHERE account_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $10) AND `

	intoTokens = `INSERT INTO api_tokens (account_id, id, store_id, name, client_id, client_secret_digest, client_secret_key,
		scopes, allowed_ip_ranges, created_at, created_by_kind, created_by_id, created_by_name, expires_at) `
	tokenValues = `$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14`

	intoAccess   = `INSERT INTO access_tokens (account_id, api_token_id, id, digest, digest_key, hint, created_at, expires_at, seen_by) `
	accessValues = `$1, $2, $16, $17, $18, $19, $20, $21, $35`

	intoEvents = `INSERT INTO audit_events (account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key,
		target_name, ip, request_id, details) `
	eventValues = `$22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34`
)

// insertParameters is how many insertArguments there are.
const insertParameters = 35

// insertArguments are the values of a draft: 1 to 14 the token's, 15 the
// limit, to 21 the access token's, to 34 the event's, 35 who sees the access
// token.
func insertArguments(to dialect, d token.Draft) ([]any, error) {
	t, x, e := d.Token, d.Access, d.Event
	details, err := encodeDetails(e.Details)
	return []any{
		to.id(t.AccountID), to.id(t.ID), to.id(t.StoreID), t.Name, t.ClientID, d.ClientSecret.Digest[:], string(d.ClientSecret.Key),
		t.Scopes.String(), joinedRanges(t.AllowedIPRanges), to.moment(t.CreatedAt),
		string(t.CreatedBy.Kind), to.id(t.CreatedBy.ID), t.CreatedBy.Name, to.moment(t.ExpiresAt),
		int64(d.MaxLive),
		to.id(x.Record.ID), x.Digest.Digest[:], string(x.Digest.Key), x.Record.Hint, to.moment(x.Record.CreatedAt), to.moment(x.Record.ExpiresAt),
		to.id(e.AccountID), to.id(e.ID), to.moment(e.At), string(e.Actor.Kind), to.id(e.Actor.ID), e.Actor.Name, string(e.Action),
		string(e.Target.Kind), e.Target.Key, e.Target.Name, e.IP, e.RequestID, details, to.id(x.SeenBy),
	}, err
}
