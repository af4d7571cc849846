package audit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/test/check"
)

// The kinds of principals must equal the kinds of actors.
func TestActorOf(t *testing.T) {
	id := uuid.New()
	for _, tc := range []struct {
		by   auth.Principal
		want audit.Actor
	}{
		{auth.OperatorPrincipal(), audit.Actor{Kind: audit.ActorOperator, Name: "operator"}},
		{auth.Principal{Kind: auth.Session, ID: id, Name: "owner@acme.example"},
			audit.Actor{Kind: audit.ActorUser, ID: id, Name: "owner@acme.example"}},
		{auth.Principal{Kind: auth.APIToken, ID: id, Name: "CI"},
			audit.Actor{Kind: audit.ActorAPIToken, ID: id, Name: "CI"}},
	} {
		t.Run(string(tc.want.Kind), func(t *testing.T) {
			check.Equal(t, audit.ActorOf(tc.by.Subject()), tc.want, "audit.ActorOf(tc.by.Subject())")
		})
	}
}

// Actions returns every declared action.
func TestActions(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []audit.Action
	ast.Inspect(file, func(n ast.Node) bool {
		spec, is := n.(*ast.ValueSpec)
		if !is || spec.Type == nil {
			return true
		}
		if name, is := spec.Type.(*ast.Ident); !is || name.Name != "Action" {
			return true
		}
		for _, value := range spec.Values {
			literal, is := value.(*ast.BasicLit)
			if !is {
				t.Fatalf("the value of an action: got %v, want a string literal", value)
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, audit.Action(text))
		}
		return true
	})
	listed := audit.Actions()
	slices.Sort(declared)
	slices.Sort(listed)
	if len(declared) < 20 || !slices.Equal(declared, listed) {
		t.Errorf("actions: declared %q, listed %q, want the same, 20 at least", declared, listed)
	}
}
