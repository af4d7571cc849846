package graph_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"go.yaml.in/yaml/v3"

	"latchkey/graph/generated"
)

// collected is a request of a collection.
type collected struct{ name, query, variables string }

// Both collections of examples have the same requests, all valid, and every
// mutation of the schema.
func TestCollections(t *testing.T) {
	inPostman, inInsomnia := readPostman(t), readInsomnia(t)
	if len(inPostman) < 50 || len(inPostman) != len(inInsomnia) {
		t.Fatalf("got %d requests for Postman and %d for Insomnia, want at least 50, and as many", len(inPostman),
			len(inInsomnia))
	}
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	for format, requests := range map[string][]collected{"Postman": inPostman, "Insomnia": inInsomnia} {
		called := map[string]bool{}
		for i, r := range requests {
			if r.name != inPostman[i].name || r.query != inPostman[i].query {
				t.Errorf("%s: request %d is %q, want %q as in the other collection", format, i, r.name,
					inPostman[i].name)
			}
			if r.query == "" {
				continue
			}
			document, errs := gqlparser.LoadQueryWithRules(schema, r.query, rules.NewDefaultRules())
			if errs != nil {
				t.Errorf("%s: %s: %v, want a valid document", format, r.name, errs)
				continue
			}
			if r.variables != "" && !json.Valid([]byte(r.variables)) {
				t.Errorf("%s: %s: got the variables %s, want JSON", format, r.name, r.variables)
			}
			noteMutations(document, called)
		}
		for _, group := range schema.Mutation.Fields {
			for _, field := range schema.Types[group.Type.Name()].Fields {
				if !called[group.Name+"."+field.Name] {
					t.Errorf("%s: got no request for %s.%s, want one", format, group.Name, field.Name)
				}
			}
		}
	}
}

func noteMutations(document *ast.QueryDocument, called map[string]bool) {
	for _, op := range document.Operations {
		if op.Operation != ast.Mutation {
			continue
		}
		for _, group := range op.SelectionSet {
			if g, is := group.(*ast.Field); is {
				for _, field := range g.SelectionSet {
					if f, is := field.(*ast.Field); is {
						called[g.Name+"."+f.Name] = true
					}
				}
			}
		}
	}
}

func readPostman(t *testing.T) []collected {
	t.Helper()
	var c struct {
		Info struct{ Schema string }
		Item []struct {
			Item []struct {
				Name    string
				Request struct {
					Body struct {
						GraphQL struct{ Query, Variables string }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(example(t, "postman.json"), &c); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(c.Info.Schema, "/v2.1.0/collection.json") {
		t.Errorf("got the schema %s, want version 2.1", c.Info.Schema)
	}
	var all []collected
	for _, folder := range c.Item {
		for _, r := range folder.Item {
			all = append(all, collected{r.Name, r.Request.Body.GraphQL.Query, r.Request.Body.GraphQL.Variables})
		}
	}
	return all
}

// Variables of Insomnia are written {{ _.name }}; all of them are in its environment.
func readInsomnia(t *testing.T) []collected {
	t.Helper()
	var c struct {
		Type         string
		Collection   []struct{ Children []insomniaRequest }
		Environments struct{ Data map[string]string }
	}
	text := example(t, "insomnia.yaml")
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if c.Type != "collection.insomnia.rest/5.0" {
		t.Errorf("got the type %s, want format 5", c.Type)
	}
	for _, used := range regexp.MustCompile(`\{\{ _\.(\w+) \}\}`).FindAllSubmatch(text, -1) {
		if _, there := c.Environments.Data[string(used[1])]; !there {
			t.Errorf("the environment of Insomnia has no %s, want it", used[1])
		}
	}
	var all []collected
	for _, folder := range c.Collection {
		for _, r := range folder.Children {
			all = append(all, r.collected(t))
		}
	}
	return all
}

type insomniaRequest struct {
	Name string
	Body struct {
		MimeType string `yaml:"mimeType"`
		Text     string
	}
}

func (r insomniaRequest) collected(t *testing.T) collected {
	t.Helper()
	if r.Body.MimeType != "application/graphql" {
		return collected{name: r.Name}
	}
	var body struct {
		Query     string
		Variables json.RawMessage
	}
	if err := json.Unmarshal([]byte(r.Body.Text), &body); err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	return collected{r.Name, body.Query, string(body.Variables)}
}

func example(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
