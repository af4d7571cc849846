package auth_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/test/check"
)

func TestPermissions(t *testing.T) {
	clerk := auth.Principal{Kind: auth.Session, ID: person, AccountID: home, Places: []auth.Place{
		{StoreID: shop, May: auth.ParsePermissions([]string{"Add_User", "Add_Brands", "List_Store_API_Tokens"})},
		{StoreID: otherShop, May: auth.ParsePermissions([]string{"Manage_Orders"})},
	}}
	type arguments struct {
		account, store uuid.UUID
		what           auth.Permission
	}
	owner, token := storeOwner(), storeReader()
	for _, tc := range []struct {
		name string
		by   *auth.Principal
		args arguments
		want bool
	}{
		{"held", &clerk, arguments{home, shop, auth.AddUsers}, true},
		{"implied", &clerk, arguments{home, shop, auth.ManageUsers}, true},
		{"both held", &clerk, arguments{home, shop, auth.AddUsers | auth.ListTokens}, true},
		{"not held", &clerk, arguments{home, shop, auth.DeleteUsers}, false},
		{"one of two not held", &clerk, arguments{home, shop, auth.AddUsers | auth.EditUsers}, false},
		{"in another store", &clerk, arguments{home, otherShop, auth.AddUsers}, false},
		{"in another account", &clerk, arguments{otherAccount, shop, auth.AddUsers}, false},
		{"a store's owner", &owner, arguments{home, shop, auth.DeleteTokens}, true},
		{"a store's owner in another store", &owner, arguments{home, otherShop, auth.DeleteTokens}, false},
		{"an API token has none", &token, arguments{home, shop, auth.ManageUsers}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, tc.by.May(tc.args.account, tc.args.store, tc.args.what), tc.want, "May()")
		})
	}
	check.Equal(t, clerk.StoresWhere(auth.AddUsers), []uuid.UUID{shop}, "StoresWhere(AddUsers)")
	if !clerk.MaySomewhere(auth.ListTokens) || clerk.MaySomewhere(auth.DeleteTokens) ||
		!owner.MaySomewhere(auth.DeleteTokens) || token.MaySomewhere(auth.ManageUsers) {
		t.Errorf("MaySomewhere: got ListTokens %t and DeleteTokens %t for the clerk, DeleteTokens %t for the owner, "+
			"ManageUsers %t for a token, want the first and the third only",
			clerk.MaySomewhere(auth.ListTokens), clerk.MaySomewhere(auth.DeleteTokens),
			owner.MaySomewhere(auth.DeleteTokens), token.MaySomewhere(auth.ManageUsers))
	}
}
