package eventsource

import (
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/scope"
)

// readScopes maps the first part of an event type to the scope that reads what its events contain. Types without one
// are for the account's owner.
var readScopes = map[string]string{
	"api_token":  scope.AccountAPITokensRead,
	"user":       scope.AccountUsersRead,
	"store_user": scope.AccountUsersRead,
	"account":    scope.AccountRead,
	"store":      scope.AccountStoresRead,

	"checkout":     scope.AccountCheckoutsRead,
	"subscription": scope.AccountSubscriptionsRead,
	"charge":       scope.AccountChargesRead,
	"invoice":      scope.AccountChargesRead,
}

// receivable returns the types whose events the principal may read, and so send to an event source: the pattern of all
// for the account's owner. Otherwise a token could have events sent that it cannot read.
func receivable(by *auth.Principal) []string {
	if by.OwnsAccount(by.AccountID) {
		return []string{audit.AllTypes}
	}
	if by.Kind != auth.APIToken || by.StoreID != uuid.Nil {
		return nil
	}
	var types []string
	for _, t := range audit.Types() {
		if needed := readScopes[audit.Action(t).Thing()]; needed != "" && by.Scopes.Has(needed) {
			types = append(types, string(t))
		}
	}
	slices.Sort(types)
	return types
}
