package billing

import (
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/auth"
)

// actsAsPartner reports whether the principal acts as the partner: as an account-level API token with the scope, or as
// the account's owner. The scope is visible only to accounts that are enrolled in automated billing, so that the owner
// of another account does not hold it.
func actsAsPartner(by *auth.Principal, scopeName string) bool {
	switch by.Kind {
	case auth.APIToken:
		return by.StoreID == uuid.Nil && by.Scopes.Has(scopeName)
	case auth.Session:
		return by.AccountOwner && by.Scopes.Has(scopeName)
	case auth.Operator:
		return true
	case auth.LegacyAccount, auth.Gateway:
	}
	return false
}

// requirePartner returns fault.Forbidden unless the principal acts as the partner with the scope.
func requirePartner(by *auth.Principal, scopeName string) error {
	if actsAsPartner(by, scopeName) {
		return nil
	}
	return auth.Denied(scopeName)
}

// reading is what a principal may read.
type reading struct {
	side Side
	// stores limits the merchant's side to these stores, if not nil.
	stores []uuid.UUID
}

// readingOf returns what the principal may read with the scope: as the partner, what it charges; as the merchant, what
// it is charged. A user who owns stores reads what is charged for these. It returns fault.Forbidden if that is nothing.
func readingOf(by *auth.Principal, scopeName string) (reading, error) {
	r := reading{side: Side{Partner: actsAsPartner(by, scopeName), Merchant: by.OwnsAccount(by.AccountID)}}
	if !r.side.Merchant && by.OwnsAStore() {
		r.side.Merchant, r.stores = true, by.OwnedStores
	}
	if !r.side.Partner && !r.side.Merchant {
		return reading{}, auth.Denied(scopeName)
	}
	return r, nil
}

// sees reports whether the principal may read what is charged for a store.
func (r reading) sees(storeID uuid.UUID) bool {
	return r.stores == nil || slices.Contains(r.stores, storeID)
}

// ownsStore reports whether the principal is the session of the user who owns a store of the account.
func ownsStore(by *auth.Principal, owner uuid.UUID) bool {
	return by.Kind == auth.Session && owner != uuid.Nil && by.ID == owner
}
