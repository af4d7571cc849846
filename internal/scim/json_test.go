package scim_test

import (
	"testing"

	"latchkey/internal/scim"
)

// Names are compared in one way, so that of two members one cannot hide behind the other.
func TestNamesThatDifferInCase(t *testing.T) {
	for _, name := range []string{"Operations", "operationS", "Operation\u017f", `Operation\u017f`} {
		body := `{"` + name + `": [{"op": "replace", "value": {"active": false}}]`
		change, err := scim.PatchUser([]byte(body + "}"))
		if err != nil || change.Active == nil || *change.Active {
			t.Errorf("%q alone: got %+v, %v, want the user deactivated", name, change, err)
		}
		_, err = scim.PatchUser([]byte(body + `, "OPERATIONS": []}`))
		if scim.ErrorOf(err).Type != "invalidSyntax" {
			t.Errorf("%q and OPERATIONS: got the error %v, want the type invalidSyntax", name, err)
		}
	}
}
