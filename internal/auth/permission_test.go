package auth_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
)

func TestPermissions(t *testing.T) {
	clerk := auth.Principal{Kind: auth.Session, ID: person, AccountID: home, Places: []auth.Place{
		{StoreID: shop, May: auth.ParsePermissions([]string{"Add_User", "Add_Brands", "List_Store_API_Tokens"})},
		{StoreID: otherShop, May: auth.ParsePermissions([]string{"Manage_Orders"})},
	}}
	type asked struct {
		account, store uuid.UUID
		what           auth.Permission
	}
	owner, token := storeOwner(), storeReader()
	for _, tc := range []struct {
		name string
		by   *auth.Principal
		asks asked
		want bool
	}{
		{"held", &clerk, asked{home, shop, auth.AddUsers}, true},
		{"implied", &clerk, asked{home, shop, auth.ManageUsers}, true},
		{"held, of several", &clerk, asked{home, shop, auth.AddUsers | auth.ListTokens}, true},
		{"not held", &clerk, asked{home, shop, auth.DeleteUsers}, false},
		{"one of two not held", &clerk, asked{home, shop, auth.AddUsers | auth.EditUsers}, false},
		{"in another store", &clerk, asked{home, otherShop, auth.AddUsers}, false},
		{"in another account", &clerk, asked{elsewhere, shop, auth.AddUsers}, false},
		{"a store's owner", &owner, asked{home, shop, auth.DeleteTokens}, true},
		{"a store's owner elsewhere", &owner, asked{home, otherShop, auth.DeleteTokens}, false},
		{"an API token has none", &token, asked{home, shop, auth.ManageUsers}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.by.May(tc.asks.account, tc.asks.store, tc.asks.what); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if got := clerk.StoresWhere(auth.AddUsers); !slices.Equal(got, []uuid.UUID{shop}) {
		t.Errorf("adds users in %v", got)
	}
	if !clerk.MaySomewhere(auth.ListTokens) || clerk.MaySomewhere(auth.DeleteTokens) || !owner.MaySomewhere(auth.DeleteTokens) || token.MaySomewhere(auth.ManageUsers) {
		t.Error("who may what somewhere is wrong")
	}
}
