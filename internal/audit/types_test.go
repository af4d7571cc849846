package audit_test

import (
	"slices"
	"testing"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
)

// Every type has an action, and the actions of a type have that type.
func TestTypesOfActions(t *testing.T) {
	for _, each := range audit.Types() {
		actions := audit.ActionsOf(each)
		if len(actions) == 0 {
			t.Errorf("actions of %s: got none, want one at least", each)
		}
		for _, a := range actions {
			check.Equal(t, a.Type(), each, "the type of %s", a)
		}
	}
	for action, want := range map[audit.Action]audit.Type{
		audit.APITokenRevoked: "api_token.revoked", audit.UserCreated: "", audit.UserAdded: "user.added",
		audit.UserAccepted: "user.updated",
		audit.StoreCreated: "store.added", audit.SessionStarted: "", audit.AccessTokenGranted: "",
		audit.AccountCreated: "", "store_user.removed": "store_user.removed",
	} {
		check.Equal(t, action.Type(), want, "the type of %s", action)
	}
	if got := audit.ActionsOf("session.started"); got != nil {
		t.Errorf("the actions of an action without a type are %v, want none", got)
	}
}

func TestTypesOf(t *testing.T) {
	for _, tc := range []struct {
		name     string
		patterns []string
		want     []audit.Type
	}{
		{"an exact type", []string{"user.added"}, []audit.Type{"user.added"}},
		{"a resource", []string{"store_user.*"},
			[]audit.Type{"store_user.added", "store_user.updated", "store_user.removed"}},
		{"both", []string{"account.*", "store.suspended"}, []audit.Type{"account.updated", "account.restored",
			"store.suspended"}},
		{"all", []string{"*"}, audit.Types()},
		{"unknown", []string{"session.*", "user"}, nil},
		{"none", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := audit.TypesOf(tc.patterns); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
