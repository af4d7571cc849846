package webhook

import (
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/scope"
)

// MayRead returns fault.Forbidden unless the principal may see the account's webhooks and their deliveries.
func MayRead(by *auth.Principal) error { return may(by, scope.AccountWebhooksRead) }

// MayChange returns fault.Forbidden unless the principal may create, change, test, replay and delete the account's
// webhooks.
func MayChange(by *auth.Principal) error { return may(by, scope.AccountWebhooksWrite) }

func may(by *auth.Principal, scopeName string) error {
	if by.OwnsAccount(by.AccountID) || holds(by, scopeName) {
		return nil
	}
	return auth.Denied(scopeName)
}

func holds(by *auth.Principal, scopeName string) bool {
	return by.Kind == auth.APIToken && by.StoreID == uuid.Nil && by.Scopes.Has(scopeName)
}

// readScopes maps the first part of an event type to the scope that reads what its events contain.
var readScopes = map[string]string{
	"api_token":  scope.AccountAPITokensRead,
	"user":       scope.AccountUsersRead,
	"store_user": scope.AccountUsersRead,
	"account":    scope.AccountRead,
	"store":      scope.AccountStoresRead,
	"webhook":    scope.AccountWebhooksRead,

	"checkout":     scope.AccountCheckoutsRead,
	"subscription": scope.AccountSubscriptionsRead,
	"charge":       scope.AccountChargesRead,
	"invoice":      scope.AccountChargesRead,
}

// ReadScope returns the scope with which an API token reads events of the type.
func ReadScope(t audit.Type) string { return readScopes[audit.Action(t).Thing()] }

// mayReceive reports whether the principal may read events of the type, and so create a webhook that receives them.
// Otherwise no token could read less than a webhook that it creates.
func mayReceive(by *auth.Principal, t audit.Type) bool {
	return by.OwnsAccount(by.AccountID) || holds(by, ReadScope(t))
}

// receivable returns the types of the events that the principal's webhooks may receive, or nil for all.
func receivable(by *auth.Principal) []audit.Type {
	types := slices.DeleteFunc(audit.Types(), func(t audit.Type) bool { return !mayReceive(by, t) })
	if len(types) == len(audit.Types()) {
		return nil
	}
	return types
}

// readable returns the types of the events that the principal may read in the account's log and in deliveries. It
// returns fault.Forbidden if it may read neither the log nor webhooks.
func readable(by *auth.Principal) ([]audit.Type, error) {
	if by.OwnsAccount(by.AccountID) || holds(by, scope.AccountAuditRead) {
		return audit.Types(), nil
	}
	if MayRead(by) != nil {
		return nil, auth.Denied(scope.AccountAuditRead)
	}
	return slices.DeleteFunc(audit.Types(), func(t audit.Type) bool { return !mayReceive(by, t) }), nil
}
