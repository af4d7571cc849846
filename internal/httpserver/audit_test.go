package httpserver_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// npm's graphql-http audits the whole program against the GraphQL over HTTP
// specification: every MUST and every SHOULD.
func TestGraphQLOverHTTP(t *testing.T) {
	d := serveDemo(t, "sqlite:"+filepath.Join(t.TempDir(), "audit.db"))
	out := node(t, "testdata/graphqlhttp", "graphql-http", "audit.mjs", "LATCHKEY_AUDIT_URL="+d.api(),
		"LATCHKEY_AUDIT_TOKEN="+d.SessionToken)
	for _, want := range []string{"MUST: 13 of 13", "SHOULD: 23 of 23"} {
		if !strings.Contains(out, want) {
			t.Errorf("the audit: got %s, want %s", out, want)
		}
	}
}
