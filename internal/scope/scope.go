// Package scope holds what a token can be allowed to do: the catalogue of
// scopes, which is data, and sets of scopes.
//
// A scope is a scope-token of RFC 6749, section 3.3. The catalogue says on
// which level each can be granted, to whom, and what it implies (design:
// "Issuing"). Nothing here depends on particular scopes, except that the ones
// the program itself asks for have constants.
package scope

// Level says where a token works, and which scopes it can hold.
type Level string

// The levels.
const (
	// LevelAccount is that of tokens for the account's own API and for every
	// store of the account. They hold account scopes and store scopes.
	LevelAccount Level = "ACCOUNT"
	// LevelStore is that of tokens for one store. They hold store scopes.
	LevelStore Level = "STORE"
)

// holds says whether a token of level l can hold scopes of level of.
func (l Level) holds(of Level) bool {
	return l == of || l == LevelAccount && of == LevelStore
}

// Feature is something an account must be enrolled in to see some scopes.
type Feature string

// FeatureAutomatedBilling is the beta of charging for app subscriptions
// through the platform.
const FeatureAutomatedBilling Feature = "AUTOMATED_BILLING"

// The scopes that the Account API itself asks for. All others concern only
// the APIs behind a gateway.
const (
	AccountRead                = "account_read"
	AccountAppsRead            = "account_apps_read"
	AccountStoresRead          = "account_stores_read"
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
)

// validToken says whether name is a scope-token of RFC 6749, section 3.3:
// printable ASCII without space, double quote and backslash.
func validToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return name != ""
}
