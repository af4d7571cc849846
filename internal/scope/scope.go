// Package scope defines the rights of tokens: the catalogue of scopes, which is
// data, and sets of scopes.
//
// A scope is a scope-token of RFC 6749, section 3.3. The catalogue defines the
// level on which each can be granted, and which scopes it implies
// (docs/architecture.md: "Issuing"). The scopes that Latchkey itself requires have
// constants; the package does not depend on any other.
package scope

//go:generate go run latchkey/tools/scopedocs ../../docs/scopes.md

// Level is the level of a token or a scope.
type Level string

// The levels.
const (
	// LevelAccount is the level of tokens for the Account API and for every store
	// of the account. They can hold account scopes and store scopes.
	LevelAccount Level = "ACCOUNT"
	// LevelStore is the level of tokens for one store. They can hold store scopes.
	LevelStore Level = "STORE"
)

// holds reports whether a token of level l can hold scopes of level of.
func (l Level) holds(of Level) bool {
	return l == of || l == LevelAccount && of == LevelStore
}

// Feature is a program in which an account must be enrolled to see some scopes.
type Feature string

// FeatureAutomatedBilling is the beta program for charging for app subscriptions
// through the platform.
const FeatureAutomatedBilling Feature = "AUTOMATED_BILLING"

// The scopes that the Account API requires. All others are for the APIs behind a
// gateway.
const (
	AccountRead                = "account_read"
	AccountAppsRead            = "account_apps_read"
	AccountStoresRead          = "account_stores_read"
	AccountStoresWrite         = "account_stores_write"
	AccountUsersRead           = "account_users_read"
	AccountUsersWrite          = "account_users_write"
	AccountUsersDelete         = "account_users_delete"
	AccountCheckoutsRead       = "account_checkouts_read"
	AccountCheckoutsCreate     = "account_checkouts_create"
	AccountSubscriptionsRead   = "account_subscriptions_read"
	AccountSubscriptionsCancel = "account_subscriptions_cancel"
	AccountChargesRead         = "account_charges_read"
	AccountChargesWrite        = "account_charges_write"
	AccountAPITokensRead       = "account_api_tokens_read"
	AccountAPITokensWrite      = "account_api_tokens_write"
	AccountAuditRead           = "account_audit_read"
	AccountWebhooksRead        = "account_webhooks_read"
	AccountWebhooksWrite       = "account_webhooks_write"
)

// validToken reports whether name is a scope-token of RFC 6749, section 3.3:
// printable ASCII without spaces, double quotes and backslashes.
func validToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return name != ""
}
