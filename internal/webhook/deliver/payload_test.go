package deliver_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook/deliver"
)

var (
	accountID = uuid.MustParse("0190a1b2-0000-7000-8000-000000000001")
	eventID   = uuid.MustParse("0190a1b2-0000-7000-8000-000000000002")
	tokenID   = uuid.MustParse("0190a1b2-0000-7000-8000-000000000003")
)

func revoked() audit.Event {
	return audit.Event{
		ID: eventID, AccountID: accountID, At: time.Date(2026, 12, 1, 8, 30, 0, 120_000_000, time.UTC),
		Actor:  audit.Actor{Kind: audit.ActorUser, ID: tokenID, Name: "nora@acme.example"},
		Action: audit.APITokenRevoked,
		Target: audit.Target{Kind: audit.TargetAPIToken, Key: tokenID.String(), Name: "erp"},
		IP:     "192.0.2.1", RequestID: "request", Details: []audit.Detail{{Name: "reason", Value: "left"}},
		Version: 1, Sequence: 4, Data: json.RawMessage(`{"name": "a<b & c", "scopes": []}`),
	}
}

// Rule 10: the body of a request, to the byte.
func TestBody(t *testing.T) {
	e := revoked()
	got, err := deliver.Body(e)
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, string(got), `{"id":"bc/account/event/0190a1b2-0000-7000-8000-000000000002",`+
		`"type":"api_token.revoked","version":1,"timestamp":"2026-12-01T08:30:00.12Z",`+
		`"accountId":"bc/account/account/0190a1b2-0000-7000-8000-000000000001","sequence":4,`+
		`"actor":{"kind":"USER","id":"bc/account/user/0190a1b2-0000-7000-8000-000000000003",`+
		`"name":"nora@acme.example"},`+
		`"data":{"name":"a<b & c","scopes":[]}}`, "the body")

	e.Actor = audit.Actor{Kind: audit.ActorAPIToken, ID: tokenID, Name: "erp"}
	e.Action, e.Data = audit.StoreCreated, nil
	got, err = deliver.Body(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"type":"store.added"`, `"data":{}`,
		`"actor":{"kind":"API_TOKEN","id":"bc/account/apiToken/0190a1b2-0000-7000-8000-000000000003","name":"erp"}`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the body of a created store: got %s, want it to contain %s", got, want)
		}
	}

	e.Actor = audit.Actor{Kind: audit.ActorOperator, Name: "operator"}
	if got, err = deliver.Body(e); err != nil || !strings.Contains(string(got),
		`"actor":{"kind":"OPERATOR","id":null,"name":"operator"}`) {
		t.Errorf("the body of an operator's event: got %s, %v, want the operator as its actor", got, err)
	}
}

// The name of an actor is the only text of a body that can have any character.
func TestBodyOfANameWithEscapes(t *testing.T) {
	e := revoked()
	for _, name := range []string{`Nora "N" \ <b>&`, "a\tb\x00\u2028", "Zoë \xff", "~", ""} {
		e.Actor.Name = name
		got, err := deliver.Body(e)
		if err != nil {
			t.Fatal(err)
		}
		var b struct{ Actor struct{ Name string } }
		if err := json.Unmarshal(got, &b); err != nil {
			t.Fatalf("the body with the name %q: %v: %s", name, err, got)
		}
		check.Equal(t, b.Actor.Name, strings.ToValidUTF8(name, "\ufffd"), "the name in %s", got)
	}
}

// Rule 10: a body has at most 20 kB. With more data it has only the ID of the subject.
func TestBodyIsTruncated(t *testing.T) {
	e := revoked()
	e.Data = json.RawMessage(`""`)
	empty, err := deliver.Body(e)
	if err != nil {
		t.Fatal(err)
	}
	fits := deliver.MaxBody - len(empty)
	for name, tc := range map[string]struct {
		size      int
		truncated bool
	}{"largest that fits": {fits, false}, "one byte more": {fits + 1, true}, "a megabyte": {1 << 20, true}} {
		e.Data = json.RawMessage(`"` + strings.Repeat("x", tc.size) + `"`)
		got, err := deliver.Body(e)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > deliver.MaxBody {
			t.Errorf("%s: got %d bytes, want at most %d", name, len(got), deliver.MaxBody)
		}
		truncated := strings.HasSuffix(string(got),
			`"data":{"id":"bc/account/apiToken/0190a1b2-0000-7000-8000-000000000003"},"truncated":true}`)
		check.Equal(t, truncated, tc.truncated, "%s: truncated", name)
	}
}

// Data that is not JSON is an error, not a body that receivers cannot read.
func TestBodyWithInvalidData(t *testing.T) {
	e := revoked()
	e.Data = json.RawMessage(`{"name":`)
	if got, err := deliver.Body(e); err == nil {
		t.Errorf("got %s, want an error", got)
	}
}

// parsed is the part of a body that tests look at.
type parsed struct {
	ID       string `json:"id"`
	Sequence int64  `json:"sequence"`
	Data     struct {
		ID string `json:"id"`
	} `json:"data"`
}

func parse(t *testing.T, text string) parsed {
	t.Helper()
	var b parsed
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatalf("a body is not JSON: %v", err)
	}
	return b
}
