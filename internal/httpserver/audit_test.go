package httpserver_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// The whole program is audited against the specification of GraphQL over HTTP
// by npm's graphql-http: every MUST and every SHOULD.
func TestGraphQLOverHTTP(t *testing.T) {
	d := serveDemo(t, "sqlite:"+filepath.Join(t.TempDir(), "audit.db"))
	out := node(t, "testdata/graphqlhttp", "graphql-http", "audit.mjs", "LATCHKEY_AUDIT_URL="+d.api(), "LATCHKEY_AUDIT_TOKEN="+d.SessionToken)
	for _, want := range []string{"MUST: 13 of 13", "SHOULD: 23 of 23"} {
		if !strings.Contains(out, want) {
			t.Errorf("not %s", want)
		}
	}
}
