package scope_test

import (
	"testing"

	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// Every preset is offered where the built-in catalogue has its scopes, with only these scopes.
func TestPresets(t *testing.T) {
	catalogue := scope.Default()
	all := scope.Presets(catalogue.Resources(scope.LevelAccount, []scope.Feature{scope.FeatureAutomatedBilling}))
	var names []string
	for _, p := range all {
		names = append(names, p.Key)
		if len(p.Scopes) == 0 || p.Name == "" || p.Description == "" {
			t.Errorf("preset %s: got %+v, want a name, a description and scopes", p.Key, p)
		}
		for _, one := range p.Scopes {
			if _, known := catalogue.Lookup(one); !known {
				t.Errorf("preset %s: got the scope %s, want one of the catalogue", p.Key, one)
			}
		}
	}
	check.Equal(t, names, []string{"provisioning", scope.IdentityProvider, "read_everything", "billing_partner",
		"audit_export", "storefront", "order_processing", "product_import"}, "presets")
}

// A preset with a scope that the token cannot have is not offered.
func TestPresetsOfOtherPlaces(t *testing.T) {
	for _, tc := range []struct {
		name  string
		level scope.Level
		want  []string
	}{
		{"an account without the feature", scope.LevelAccount,
			[]string{"provisioning", scope.IdentityProvider, "read_everything", "audit_export", "storefront",
				"order_processing", "product_import"}},
		{"a store", scope.LevelStore, []string{"read_everything", "storefront", "order_processing", "product_import"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, p := range scope.Presets(scope.Default().Resources(tc.level, nil)) {
				got = append(got, p.Key)
				ofAccount := scope.NewSet(p.Scopes...).Has(scope.AccountUsersRead)
				if p.Key == "read_everything" && ofAccount != (tc.level == scope.LevelAccount) {
					t.Errorf("read everything: got %v, want the read-only scopes of the level", p.Scopes)
				}
			}
			check.Equal(t, got, tc.want, "presets")
		})
	}
}
