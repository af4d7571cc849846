package gormdb

import (
	"strings"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// revokedData is an expression for token.Token.Data of t, a row of api_tokens that has just been revoked. Revoking
// reads no token before, so the statement itself encodes the data of its events.
var revokedData = jsonObject(
	"id", apiID(audit.TargetAPIToken, "t.id"),
	"name", "t.name",
	"level", "CASE WHEN t.store_id IS NULL THEN '"+string(scope.LevelAccount)+
		"' ELSE '"+string(scope.LevelStore)+"' END",
	"store", "CASE WHEN t.store_id IS NOT NULL THEN "+jsonObject(
		"id", apiID(audit.TargetStore, "t.store_id"),
		"storeHash", "(SELECT s.hash FROM stores AS s WHERE s.account_id = t.account_id AND s.id = t.store_id)")+" END",
	"clientId", "t.client_id",
	"scopes", "string_to_array(t.scopes, ' ')",
	"status", "'"+string(token.Revoked)+"'",
	"allowedIpRanges", "string_to_array(t.allowed_ip_ranges, ' ')",
	"chargeLimit", "CASE WHEN t.charge_limit IS NOT NULL THEN "+jsonObject(
		"amount", jsonObject("currencyCode", "t.charge_limit_currency", "value", usDollars("t.charge_limit")),
		"per", "'"+token.LimitPeriod+"'")+" END",
	"createdAt", rfc3339("t.created_at"),
	"createdBy", actorObject("t.created_by"),
	"expiresAt", rfc3339("t.expires_at"),
	"lastUsedAt", rfc3339("t.last_used_at"),
	"lastUsedIp", "t.last_used_ip",
	"revokedAt", rfc3339("t.revoked_at"),
	"revokedBy", actorObject("t.revoked_by"),
	"revocationReason", "nullif(t.revocation_reason, '')",
) + "::text"

// jsonObject returns an expression for an object with the names and the expressions of the values.
func jsonObject(namesAndValues ...string) string {
	pairs := make([]string, 0, len(namesAndValues)/2)
	for i := 0; i < len(namesAndValues); i += 2 {
		pairs = append(pairs, "'"+namesAndValues[i]+"', "+namesAndValues[i+1])
	}
	return "json_build_object(" + strings.Join(pairs, ", ") + ")"
}

// usDollars returns an expression for an amount in cents as the API shows it: token.ChargeCurrency has two decimals.
func usDollars(cents string) string { return "round(" + cents + " / 100.0, 2)" }

// apiID returns an expression for the ID in the API of an object with the key.
func apiID(kind audit.TargetKind, key string) string {
	return "'" + account.IDPrefix + string(kind) + "/' || " + key
}

// rfc3339 returns an expression for a time as audit.Time encodes it.
func rfc3339(at string) string {
	return `rtrim(rtrim(to_char(` + at + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z'`
}

// actorObject returns an expression for audit.Actor.Data of the actor in the columns that begin with the name.
func actorObject(name string) string {
	kind, id := name+"_kind", name+"_id"
	return jsonObject("kind", kind,
		"id", "CASE "+kind+" WHEN '"+string(audit.ActorUser)+"' THEN "+apiID(audit.TargetUser, id)+
			" WHEN '"+string(audit.ActorAPIToken)+"' THEN "+apiID(audit.TargetAPIToken, id)+" END",
		"name", name+"_name")
}
