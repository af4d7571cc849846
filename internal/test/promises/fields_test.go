package promises_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// tokenInput returns a value for each field of CreateApiTokenInput that a token of the level can have.
func tokenInput(level string) vars {
	in := vars{
		"name": "Point of sale", "scopes": []string{"store_v2_orders", "store_cart"}, "storeId": "acme2eu",
		"expiresAt":       "2099-02-03T04:05:06Z",
		"allowedIpRanges": []string{"192.0.2.0/24", "198.51.100.7/32"},
	}
	if level == "ACCOUNT" {
		delete(in, "storeId")
		in["scopes"], in["chargeLimit"] = []string{"account_charges_write", "store_cart"}, dollars(250)
	}
	return in
}

// tokenUpdate returns another value for each field of UpdateApiTokenInput.
func tokenUpdate(level string) vars {
	in := vars{
		"name": "Till", "scopes": []string{"store_v2_orders_read_only"}, "expiresAt": "2099-01-01T00:00:00Z",
		"allowedIpRanges": []string{"192.0.2.0/25"},
	}
	if level == "ACCOUNT" {
		in["scopes"], in["chargeLimit"] = []string{"account_charges_read", "account_charges_write"}, dollars(100)
	}
	return in
}

func dollars(value int) vars {
	return vars{"amount": vars{"currencyCode": "USD", "value": value}, "per": "MONTH"}
}

// fieldsWithout are the fields that no token of a level has.
var fieldsWithout = map[string][]string{"STORE": {"chargeLimit"}, "ACCOUNT": {"store", "storeId"}}

// The fields that are shown under another name or in another form, or that an output leaves out.
var (
	// An audit event has the fields that its actor chose, as details. It names the token as its target.
	inDetails = map[string]string{"name": "targetName", "storeId": "storeHash"}
	// The command's output is flat: a store is its hash, and an actor its name. The revoking actor and the access
	// tokens are in the audit log and in the API.
	inOutput = map[string]string{"store": "storeHash", "revokedBy": "", "accessTokens": ""}
	// The page shows the level and the scopes in words. It leaves out the ID, which is in its address, and the
	// store's ID, since it is below the store. A revoked token has no access tokens.
	onPage = map[string]map[string]string{
		"STORE": {"id": "", "level": "This store only", "scopes": "Orders", "store": "Acme EU", "status": "Deleted",
			"accessTokens": ""},
		"ACCOUNT": {"id": "", "level": "This account and all its stores", "scopes": "Charges",
			"status": "Deleted", "accessTokens": "", "chargeLimit": "$100.00 a month"},
	}
	// The form of a duplicate has a name of its own, and its creator chooses scopes and expiration anew.
	inDuplicate = map[string]string{"name": "", "scopes": "", "expiresAt": "", "storeId": "",
		"chargeLimit": `value="100.00"`}
)

// A field of ApiToken is also in the audit event of the token's creation if its actor chooses it, in the output of
// `latchkey token list`, and in the control panel: on the token's page and in the form that duplicates the token
// (CONTRIBUTING.md: "Recipes").
func TestEveryFieldOfATokenIsShown(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		h.run(manifest, "apply", "-f", "-")
		for _, level := range []string{"STORE", "ACCOUNT"} {
			t.Run(level, func(t *testing.T) { everyFieldIsShown(t, h, level) })
		}
	})
}

func everyFieldIsShown(t *testing.T, h *deployment, level string) {
	n := h.serve()
	session := h.session(acmeOwner)
	fields := n.fieldsOf(session, "ApiToken", level)
	made := n.issue(session, acme, tokenInput(level))
	changed := n.changeAll(session, made.id, level)
	n.from("192.0.2.44", made.access, "query { viewer { kind } }", nil)
	n.must(session, acme, revoke, vars{"in": vars{"ids": []string{made.id}, "reason": "The till was sold."}})
	n.stop() // saves the last use
	n = h.serve()

	token := n.tokenWith(session, made.id, fields)
	for name, want := range changed {
		check.Equal(t, fmt.Sprint(token[name]), fmt.Sprint(want),
			"ApiToken.%s after updateApiToken (narrow.go in internal/token; token_rows.go in internal/gormdb)",
			name)
	}
	details := n.creationDetails(session, made.id)
	for name := range n.fieldsOf(session, "CreateApiTokenInput", level) {
		if _, sent := tokenInput(level)[name]; !sent {
			t.Errorf("CreateApiTokenInput.%s: got no value in tokenInput, want one", name)
		}
		if as := renamed(inDetails, name); as != "" && details[as] == "" {
			t.Errorf(
				"CreateApiTokenInput.%s: got no detail %q in the audit event, want one (internal/token/record.go)",
				name, as)
		}
	}
	duplicate := n.tokenPage(session, level, "new?from="+path.Base(made.id))
	for name := range n.fieldsOf(session, "CreateApiTokenInput", level) {
		for _, text := range shownAs(inDuplicate, name, token[name]) {
			if !strings.Contains(duplicate, text) {
				t.Errorf("CreateApiTokenInput.%s: got no %q in the form of a duplicate, want it "+
					"(fillFrom in internal/panel/tokens_form.go)", name, text)
			}
		}
	}
	listed := h.listed(t, level)
	page := n.tokenPage(session, level, path.Base(made.id))
	for name := range fields {
		if token[name] == nil || token[name] == "" {
			t.Errorf("ApiToken.%s: got no value, want one. Is it lost between the Request and the Token "+
				"(policy.go and service.go in internal/token) or in the row (internal/gormdb/token_rows.go)?", name)
		}
		if as := renamed(inOutput, name); as != "" && (listed[as] == nil || listed[as] == "") {
			t.Errorf(
				"ApiToken.%s: got no %q in `latchkey token list --output json`, want it (internal/cli/token_list.go)", name, as)
		}
		for _, text := range shownAs(onPage[level], name, token[name]) {
			if !strings.Contains(page, text) {
				t.Errorf(
					"ApiToken.%s: got no %q on the token's page, want it (internal/panel/templates/token.html)",
					name, text)
			}
		}
	}
}

// changeAll updates all fields of a token that can change, and returns their new values.
func (n *node) changeAll(session, id, level string) vars {
	n.t.Helper()
	in := tokenUpdate(level)
	for name := range n.fieldsOf(session, "UpdateApiTokenInput", level) {
		if in[name] == nil && name != "id" {
			n.t.Errorf("UpdateApiTokenInput.%s: got no value in tokenUpdate, want one", name)
		}
	}
	in["id"] = id
	n.must(session, acme, update, vars{"in": in})
	return tokenUpdate(level)
}

func renamed(names map[string]string, field string) string {
	if as, is := names[field]; is {
		return as
	}
	return field
}

// shownAs returns the texts by which a page shows a field. words are those of fields that are shown in other words.
func shownAs(words map[string]string, name string, value any) []string {
	if as, is := words[name]; is {
		return []string{as}
	}
	switch v := value.(type) {
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, fmt.Sprint(item))
		}
		return all
	case map[string]any:
		return []string{fmt.Sprint(v["name"])}
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return []string{at.Format(time.RFC3339)} // in <time datetime>
		}
		return []string{v}
	default:
		return []string{fmt.Sprint(v)}
	}
}

// tokenPage returns the text of a page of the control panel below the tokens of a level, up to its first table: the
// history of a token has the values of all fields.
func (n *node) tokenPage(session, level, name string) string {
	n.t.Helper()
	at := "/accounts/" + acme + "/stores/acme2eu/tokens/" + name
	if level == "ACCOUNT" {
		at = "/accounts/" + acme + "/tokens/" + name
	}
	a := n.send(http.MethodGet, at, "", map[string]string{"Cookie": "__Host-latchkey=" + session})
	if a.status != http.StatusOK {
		n.t.Fatalf("GET %s: got status %d, want 200", at, a.status)
	}
	page, _, _ := strings.Cut(a.body, "<table")
	return html.UnescapeString(page)
}

// fieldsOf returns the fields of a type of the schema that tokens of the level have, each with the selection that
// reads it.
func (n *node) fieldsOf(session, kind, level string) map[string]string {
	n.t.Helper()
	a := n.must(session, acme, `query($kind: String!) { __type(name: $kind) {
		fields { name type { kind ofType { kind ofType { kind } } } } inputFields { name } } }`, vars{"kind": kind})
	var read struct {
		Data struct {
			Type struct {
				Fields, InputFields []struct {
					Name string
					Type json.RawMessage
				}
			} `json:"__type"`
		}
	}
	n.decode(a, &read)
	fields := map[string]string{}
	for _, f := range append(read.Data.Type.Fields, read.Data.Type.InputFields...) {
		if slices.Contains(fieldsWithout[level], f.Name) {
			continue
		}
		fields[f.Name] = f.Name
		switch {
		case f.Name == "chargeLimit":
			fields[f.Name] = "chargeLimit { amount { currencyCode value } per }"
		case f.Name == "accessTokens":
			fields[f.Name] = "accessTokens { hint }"
		case strings.Contains(string(f.Type), `"OBJECT"`):
			fields[f.Name] = f.Name + " { id name }"
		}
	}
	if len(fields) == 0 {
		n.t.Fatalf("fields of %s: got none, want some", kind)
	}
	return fields
}

// decode reads the JSON of an answer.
func (n *node) decode(a answer, to any) {
	n.t.Helper()
	body, _, _ := strings.Cut(a.body, "\n")
	if err := json.Unmarshal([]byte(body), to); err != nil {
		n.t.Fatal(err)
	}
}

// tokenWith returns all fields of a token.
func (n *node) tokenWith(session, id string, fields map[string]string) map[string]any {
	n.t.Helper()
	var all strings.Builder
	for _, selection := range fields {
		all.WriteString(" " + selection)
	}
	a := n.must(session, acme, `query($id: ID!) { account { apiToken(id: $id) {`+all.String()+` } } }`, vars{"id": id})
	account, _ := a.Data["account"].(map[string]any)
	token, _ := account["apiToken"].(map[string]any)
	return token
}

// creationDetails returns the details of the audit event of a token's creation, and its targetName.
func (n *node) creationDetails(session, id string) map[string]string {
	n.t.Helper()
	a := n.must(session, acme, `query($id: ID!) { account { auditEvents(filter: {actions: ["api_token.created"], targetId: $id}) {
		nodes { targetName details { name value } } } } }`, vars{"id": id})
	var read struct {
		Data struct {
			Account struct {
				AuditEvents struct {
					Nodes []struct {
						TargetName string
						Details    []struct{ Name, Value string }
					}
				}
			}
		}
	}
	n.decode(a, &read)
	if len(read.Data.Account.AuditEvents.Nodes) != 1 {
		n.t.Fatalf("got %d events of the token's creation, want 1", len(read.Data.Account.AuditEvents.Nodes))
	}
	event := read.Data.Account.AuditEvents.Nodes[0]
	details := map[string]string{"targetName": event.TargetName}
	for _, d := range event.Details {
		details[d.Name] = d.Value
	}
	return details
}

// listed returns the only revoked token of the level, as the command prints it.
func (h *deployment) listed(t *testing.T, level string) map[string]any {
	t.Helper()
	args := []string{"token", "list", "--account", acme, "--status", "revoked", "--output", "json"}
	if level == "STORE" {
		args = append(args, "--store", "acme2eu")
	}
	out, _ := h.run("", args...)
	var read struct{ APITokens []map[string]any }
	if err := json.Unmarshal([]byte(out), &read); err != nil || len(read.APITokens) != 1 {
		t.Fatalf("latchkey token list: got %v: %s, want JSON with one token", err, out)
	}
	return read.APITokens[0]
}
