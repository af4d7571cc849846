package gormdb

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/auth"
)

// rightsOf returns the digest of a credential's rights, from the columns that determine them. The verifier's look-ups
// and the checks of writes compare it, so both compute it here or, in hand-written statements, with sqlRights.
func rightsOf(columns ...string) auth.Rights {
	return sha256.Sum256([]byte(strings.Join(columns, rightsSeparator)))
}

// rightsSeparator occurs in none of the columns.
const rightsSeparator = "\x1f"

// sqlRights returns the PostgreSQL expression that computes rightsOf.
func sqlRights(columns ...string) string {
	return `sha256(convert_to(concat_ws(E'\x1f', ` + strings.Join(columns, ", ") + `), 'UTF8'))`
}

// tokenRights returns rightsOf an API token. A charge limit never changes its currency.
func tokenRights(scopes, ranges, features string, chargeLimit *int64) auth.Rights {
	limit := ""
	if chargeLimit != nil {
		limit = strconv.FormatInt(*chargeLimit, 10)
	}
	return rightsOf(scopes, ranges, features, limit)
}

func ownerMark(owner bool) string {
	if owner {
		return "owner"
	}
	return ""
}

// actorRead finds a credential by the keys of its actor (account, API token or user, credential). The statement takes
// the first keys of them as parameters.
type actorRead struct {
	statement string
	keys      int
	read      func(scan) (access.Record, error)
}

// actorReads are the reads by kind of credential. They read the same columns as the verifier's look-ups (lookups).
var actorReads = map[auth.CredentialKind]actorRead{
	auth.AccessToken: {`SELECT ` + selectAccess +
		` WHERE x.account_id = $1 AND x.api_token_id = $2 AND x.id = $3`, 3, readAccess},
	auth.GrantedAccessToken: {`SELECT ` + selectGrant +
		` WHERE x.account_id = $1 AND x.api_token_id = $2 AND x.id = $3`, 3, readGrant},
	auth.ClientSecret: {`SELECT ` + selectClient + ` WHERE t.account_id = $1 AND t.id = $2`, 2, readClientRecord},
	auth.UserSession:  {sessionByKeys, 3, readSession},
	auth.OwnerSession: {sessionByKeys, 3, readSession},
}

var sessionByKeys = `SELECT ` + selectSession + ` WHERE s.account_id = $1 AND s.user_id = $2 AND s.id = $3`

// actorGuards are the conditions of actorReads and mayStill as PostgreSQL subqueries, which return one row if the
// actor may still act. Their parameters are the account, the id, the credential, the time of verification and the
// rights.
var actorGuards = map[auth.CredentialKind]string{
	auth.AccessToken: `SELECT 1` + fromAccess + `
		WHERE x.account_id = $%[1]d AND x.api_token_id = $%[2]d AND x.id = $%[3]d AND x.ended_at IS NULL AND (x.expires_at IS NULL OR x.expires_at > $%[4]d)
			AND ` + tokenWorks,
	auth.GrantedAccessToken: `SELECT 1` + fromGrants + `
		WHERE x.account_id = $%[1]d AND x.api_token_id = $%[2]d AND x.id = $%[3]d AND x.expires_at > $%[4]d AND ` + tokenWorks,
	auth.ClientSecret: `SELECT 1` + fromClients + `
		WHERE t.account_id = $%[1]d AND t.id = $%[2]d AND $%[3]d::uuid IS NULL AND ` + tokenWorks,
	auth.UserSession: sessionWorks + ` AND ` + sqlRights(
		"CASE WHEN a.owner_id = s.user_id THEN 'owner' ELSE '' END", "a.features", ownedStores,
		placesElsewhere) + ` = $%[5]d`,
	auth.OwnerSession: sessionWorks + ` AND a.owner_id = s.user_id AND ` +
		sqlRights("'owner'", "a.features", "''", "''") + ` = $%[5]d`,
}

const sessionWorks = `SELECT 1` + fromSessions + `
		WHERE s.account_id = $%[1]d AND s.user_id = $%[2]d AND s.id = $%[3]d AND s.ended_at IS NULL AND s.expires_at > $%[4]d
			AND a.status <> 'suspended' AND ` + isMember

var tokenWorks = `t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $%[4]d)
			AND a.status <> 'suspended' AND s.status IS DISTINCT FROM 'suspended' AND ` + sqlRights("t.scopes", "t.allowed_ip_ranges", "a.features",
	"coalesce(t.charge_limit::text, '')") + ` = $%[5]d`

// guardParameters is the number of parameters of a guard.
const guardParameters = 5

// guardFor returns the guard of an actor whose first parameter has the number first. The guard of a write without a
// credential always returns a row.
func guardFor(kind auth.CredentialKind, first int) string {
	guard, known := actorGuards[kind]
	if !known {
		return `SELECT 1`
	}
	return fmt.Sprintf(guard, first, first+1, first+2, first+3, first+4)
}

func readClientRecord(scan scan) (access.Record, error) {
	c, err := readClient(scan)
	return access.Record{Principal: c.Principal, Revoked: c.Revoked, Suspended: c.Suspended,
		ExpiresAt: [2]time.Time{c.Principal.ExpiresAt}}, err
}
