package apitest_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// collection is what examples/insomnia.json has to have: an export of Insomnia in its format 4.
type collection struct {
	Type      string `json:"_type"`
	Format    int    `json:"__export_format"`
	Resources []resource
}

type resource struct {
	ID, ParentID      string
	Type              string `json:"_type"`
	Name, Description string
	Method, URL       string
	Headers           []struct{ Name, Value string }
	Body              struct{ MimeType, Text string }
	Data              map[string]string
}

// UnmarshalJSON reads the id under its name.
func (r *resource) UnmarshalJSON(text []byte) error {
	type plain resource
	var id struct {
		ID string `json:"_id"`
	}
	if err := json.Unmarshal(text, &id); err != nil {
		return err
	}
	err := json.Unmarshal(text, (*plain)(r))
	r.ID = id.ID
	return err
}

var variable = regexp.MustCompile(`\{\{ _\.(\w+) \}\}`)

// The collection can be imported, and each of its requests does what its name says.
func TestInsomniaCollection(t *testing.T) {
	text, err := os.ReadFile("../../examples/insomnia.json")
	if err != nil {
		t.Fatal(err)
	}
	var c collection
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if c.Type != "export" || c.Format != 4 {
		t.Errorf("collection: got %s of format %d, want export of format 4", c.Type, c.Format)
	}
	ids, environment := map[string]bool{}, map[string]string{}
	var requests []resource
	for _, r := range c.Resources {
		if r.ID == "" || ids[r.ID] || r.Type != "workspace" && !ids[r.ParentID] {
			t.Errorf("%s %q: got the parent %q, want a new ID, and a parent before it", r.Type, r.ID, r.ParentID)
		}
		ids[r.ID] = true
		switch r.Type {
		case "environment":
			environment = r.Data
		case "request":
			requests = append(requests, r)
		}
	}
	for _, name := range []string{"base_url", "account_uuid", "token"} {
		if _, there := environment[name]; !there {
			t.Errorf("environment: got %v, want %s in it", environment, name)
		}
	}
	if environment["token"] != "" || len(requests) < 7 {
		t.Errorf("got %d requests and a token in the environment %t, want at least 7 and false", len(requests),
			environment["token"] != "")
	}
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.issue(t, w.owner, w.home, request{name: "Till", scopes: []string{"store_cart"}, store: &w.home.Stores[0]})
		values := map[string]string{"store_hash": w.home.Stores[0].Hash, "token_id": w.names["<Till>"]}
		for name := range environment {
			if values[name] == "" {
				values[name] = name
			}
		}
		for _, r := range requests {
			t.Run(r.Name, func(t *testing.T) { w.send(t, r, values) })
		}
	})
}

// send sends a request of the collection, with values in the place of the environment's variables.
func (w *tenants) send(t *testing.T, r resource, values map[string]string) {
	t.Helper()
	filled := func(text string) string {
		return variable.ReplaceAllStringFunc(text, func(name string) string {
			value, there := values[variable.FindStringSubmatch(name)[1]]
			if !there {
				t.Errorf("environment: got no %s, want one", name)
			}
			return value
		})
	}
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Name] = filled(h.Value)
	}
	if r.Method != "POST" || filled(r.URL) != "base_url/accounts/account_uuid/graphql" ||
		headers["X-Auth-Token"] != "token" ||
		headers["Content-Type"] != "application/json" || r.Body.MimeType != "application/graphql" ||
		!strings.HasSuffix(r.Description, ".") {
		t.Errorf("got %s %s with %v, %s and the description %q, want a POST of application/graphql with a sentence",
			r.Method, r.URL, headers, r.Body.MimeType, r.Description)
	}
	var body struct {
		Query     string
		Variables map[string]any
	}
	if err := json.Unmarshal([]byte(filled(r.Body.Text)), &body); err != nil {
		t.Fatal(err)
	}
	got := w.ask(t, w.home.Account.ID, w.owner, body.Query, body.Variables)
	if len(got.errors) > 0 || slices.Contains([]string{"", "null"}, got.data) {
		t.Errorf("answer: got errors %q, data %s, want data only", got.failures(), got.data)
	}
}
