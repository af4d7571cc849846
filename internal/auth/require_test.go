package auth_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// The scope satisfies Require in all stores of the account, the permission in its
// store only.
func TestRequire(t *testing.T) {
	account, store := uuid.New(), uuid.New()
	session := func(p auth.Principal) auth.Principal {
		p.Kind, p.AccountID = auth.Session, account
		return p
	}
	for _, c := range []struct {
		name        string
		by          auth.Principal
		here, other bool
	}{
		{"an API token with the scope", auth.Principal{Kind: auth.APIToken, AccountID: account,
			Scopes: scope.NewSet("s")}, true, true},
		{"an API token with another scope", auth.Principal{Kind: auth.APIToken, AccountID: account,
			Scopes: scope.NewSet("r")}, false, false},
		{"an API token of another account", auth.Principal{Kind: auth.APIToken, AccountID: uuid.New(),
			Scopes: scope.NewSet("s")}, false, false},
		{"the account's owner", session(auth.Principal{AccountOwner: true}), true, true},
		{"the store's owner", session(auth.Principal{OwnedStores: []uuid.UUID{store}}), true, false},
		{"a user with the permission",
			session(auth.Principal{Places: []auth.Place{{StoreID: store, May: auth.AddUsers | auth.ManageUsers}}}),
			true, false},
		{"a user with another permission",
			session(auth.Principal{Places: []auth.Place{{StoreID: store, May: auth.ManageUsers}}}), false, false},
		{"the operator", auth.OperatorPrincipal(), true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for at, want := range map[uuid.UUID]bool{store: c.here, uuid.New(): c.other} {
				if err := c.by.Require(account, at, auth.AddUsers, "s"); (err == nil) != want || err != nil &&
					fault.KindOf(err) != fault.Forbidden {
					t.Errorf("%v, want %t", err, want)
				}
			}
		})
	}
}

func TestPermissionNamed(t *testing.T) {
	for name, want := range map[string]auth.Permission{"Add_User": auth.AddUsers,
		"No_Permission_Required": auth.NoPermission} {
		if what, known := auth.PermissionNamed(name); what != want || !known {
			t.Errorf("PermissionNamed(%q) = %b, %t, want %b", name, what, known, want)
		}
	}
	if _, known := auth.PermissionNamed("Add_Brands"); known {
		t.Error("PermissionNamed(Add_Brands): got it, want none, as it is not enforced")
	}
	principal := auth.Principal{Kind: auth.Session}
	if stores := principal.StoresWhere(auth.NoPermission); stores == nil ||
		slices.ContainsFunc(stores, func(uuid.UUID) bool { return true }) || principal.MaySomewhere(auth.NoPermission) {
		t.Errorf("StoresWhere(NoPermission) = %v, want an empty list that is not nil", stores)
	}
}
