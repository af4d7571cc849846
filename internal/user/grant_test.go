package user_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// Each kind of caller with a permission that they have, one that they do not have,
// and a high-risk one that they have.
func TestCheckGrant(t *testing.T) {
	account, store, other := uuid.New(), uuid.New(), uuid.New()
	const has, lacks, risky, pass = "Add_Brands", "Add_Pages", "Create_Store_API_Tokens",
		"Grant_High_Risk_Store_Permissions"
	own := []string{has, risky, pass}
	operator := auth.OperatorPrincipal()
	session := func(p auth.Principal) *auth.Principal {
		p.Kind, p.AccountID = auth.Session, account
		return &p
	}
	for _, c := range []struct {
		name string
		by   *auth.Principal
		may  []string
	}{
		{"the account's owner", session(auth.Principal{AccountOwner: true}), []string{has, lacks, risky, pass}},
		{"the store's owner", session(auth.Principal{OwnedStores: []uuid.UUID{store}}),
			[]string{has, lacks, risky, pass}},
		{"the operator", &operator, []string{has, lacks, risky, pass}},
		{"another store's owner", session(auth.Principal{OwnedStores: []uuid.UUID{other}}), []string{has}},
		{"a member of the store", session(auth.Principal{}), []string{has}},
		{"an API token", &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, AccountID: account},
			[]string{has, lacks}},
	} {
		t.Run(c.name, func(t *testing.T) {
			grantable := user.Grantable(c.by, store, own)
			for _, name := range []string{has, lacks, risky, pass} {
				with := []string{"Add_Coupons", name}
				for _, lists := range [][2][]string{{{"Add_Coupons"}, with}, {with, {"Add_Coupons"}}} {
					err := user.CheckGrant(grantable, lists[0], lists[1])
					if slices.Contains(c.may, name) != (err == nil) || err != nil &&
						(fault.KindOf(err) != fault.Forbidden || !strings.Contains(err.Error(), name)) {
						t.Errorf("CheckGrant(%s to %s) = %v, want %s allowed: %t",
							lists[0], lists[1], err, name, slices.Contains(c.may, name))
					}
				}
				if err := user.CheckGrant(grantable, with, with); err != nil {
					t.Errorf("unchanged permissions: %v", err)
				}
			}
		})
	}
	if err := user.CheckGrant(nil, []string{has, risky}, []string{lacks}); len(fault.Flatten(err)) != 3 {
		t.Errorf("CheckGrant() = %v, want 3 faults, one for each permission", err)
	}
}

func TestCheckPermissions(t *testing.T) {
	names, err := user.CheckPermissions([]string{"Add_Pages", "Add_Brands", "Add_Pages"})
	if err != nil || !slices.Equal(names, []string{"Add_Brands", "Add_Pages"}) {
		t.Errorf("CheckPermissions() = %q, %v, want each name once, sorted", names, err)
	}
	_, err = user.CheckPermissions([]string{"add_brands", "", "Add_Brands"})
	if found := fault.Flatten(err); len(found) != 2 || found[0].Kind != fault.Invalid ||
		found[0].Field != "permissions" {
		t.Errorf("CheckPermissions of invalid names = %v, want 2 faults of kind %s on permissions", err, fault.Invalid)
	}
}
