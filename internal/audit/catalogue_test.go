package audit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
)

// Every type has a summary, a description and an example, in the order of the types.
func TestCatalogue(t *testing.T) {
	var names []audit.Type
	for _, info := range audit.Catalogue() {
		names = append(names, info.Name)
		// Both are plain text: programs and the control panel show them unchanged.
		for _, text := range []string{info.Summary, info.Description} {
			if !strings.HasSuffix(text, ".") || strings.Contains(text, "`") {
				t.Errorf("%s: got %q, want a sentence without backticks", info.Name, text)
			}
		}
		if strings.Contains(info.Summary, ". ") {
			t.Errorf("the summary of %s: got %q, want one sentence", info.Name, info.Summary)
		}
		var data map[string]any
		if err := json.Unmarshal([]byte(info.Example), &data); err != nil || data["id"] == nil {
			t.Errorf("the example of %s: got %s, %v, want a JSON object with an id", info.Name, info.Example, err)
		}
	}
	check.Equal(t, fmt.Sprint(names), fmt.Sprint(audit.Types()), "the types with documentation")
}

// Descriptions add the details and the logs to the summary.
func TestDescriptions(t *testing.T) {
	wanted := map[audit.Type]string{
		"api_token.created": "An API token is created.",
		"checkout.declined": "The store's owner declines a checkout. The checkout stays PENDING. " +
			"It is in the logs of the partner and of the merchant.",
		"charge.deleted": "A partner deletes a pending charge. It is in the partner's log.",
	}
	for _, info := range audit.Catalogue() {
		if want, is := wanted[info.Name]; is {
			check.Equal(t, info.Description, want, "the description of %s", info.Name)
		}
	}
}

func TestDataOf(t *testing.T) {
	id := uuid.MustParse("019a1b2c-0001-7000-8000-000000000001")
	for _, tc := range []struct {
		name string
		of   any
		want string
	}{
		{"no time", audit.Time{}, `null`},
		{"a time", audit.Time(time.Date(2026, 3, 1, 13, 0, 0, 120000, time.FixedZone("", 3600))),
			`"2026-03-01T12:00:00.00012Z"`},
		{"no text", audit.Text(""), `null`}, {"a text", audit.Text("a"), `"a"`},
		{"no list", audit.List[string](nil), `[]`}, {"a list", audit.List([]string{"a"}), `["a"]`},
		{"no ID", audit.TargetUser.ID(""), `null`},
		{"an ID", audit.TargetUser.ID(id.String()), `"bc/account/user/019a1b2c-0001-7000-8000-000000000001"`},
		{"a user", audit.Actor{Kind: audit.ActorUser, ID: id, Name: "a"}.Data(),
			`{"kind":"USER","id":"bc/account/user/019a1b2c-0001-7000-8000-000000000001","name":"a"}`},
		{"a token", audit.Actor{Kind: audit.ActorAPIToken, ID: id, Name: "a"}.Data(),
			`{"kind":"API_TOKEN","id":"bc/account/apiToken/019a1b2c-0001-7000-8000-000000000001","name":"a"}`},
		{"a user of another account", audit.Actor{Kind: audit.ActorUser, Name: "Acme"}.Data(),
			`{"kind":"USER","id":null,"name":"Acme"}`},
		{"the operator", audit.Actor{Kind: audit.ActorOperator, Name: "operator"}.Data(),
			`{"kind":"OPERATOR","id":null,"name":"operator"}`},
	} {
		t.Run(tc.name, func(t *testing.T) { check.Equal(t, string(audit.DataOf(tc.of)), tc.want, "data") })
	}
}

func TestObjectOfATarget(t *testing.T) {
	const ann = "ann@acme.example"
	member := audit.Target{Kind: audit.TargetStoreUser, Key: "019a:acme1us", Name: ann}
	check.Equal(t, member.Object(), audit.Target{Kind: audit.TargetUser, Key: "019a", Name: ann}, "the object")
	store := audit.Target{Kind: audit.TargetStore, Key: "019a", Name: "Acme US"}
	check.Equal(t, store.Object(), store, "the object")
}
