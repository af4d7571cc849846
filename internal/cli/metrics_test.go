package cli_test

import (
	"fmt"
	"regexp"
	"runtime"
	"testing"

	dbtest "latchkey/internal/test/db"
)

// Changes of API tokens and the errors of clients are counted. The labels of
// errors are names of the schema.
func TestMetricsOfWrites(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		s, session := demo(t, environment(t, url))
		var made issued
		for range 3 {
			s.must(t, session, issue("Counted", `scopes: ["account_read"]`), &made)
		}
		id := made.APIToken.CreateAPIToken.APIToken.ID
		s.must(t, session, fmt.Sprintf(`mutation { apiToken { rotateApiToken(input: {id: %q}) { accessToken } } }`, id),
			&struct{}{})
		s.must(t, session, revoke(id), &struct{}{})
		for _, refused := range []string{
			fmt.Sprintf(`mutation { mine: apiToken { rotateApiToken(input: {id: %q}) { accessToken } } }`, id), // the token is revoked
			`mutation { apiToken { createApiToken(input: {name: "", scopes: []}) { apiToken { id } } } }`,
			`{ nothing }`,
		} {
			if answer, err := s.ask(session, refused); err != nil || len(answer.Errors) == 0 {
				t.Errorf("%s: got %+v, %v, want errors", refused, answer, err)
			}
		}
		for _, want := range []string{
			"\nlatchkey_api_tokens_issued_total 3\n", "\nlatchkey_api_tokens_rotated_total 1\n",
			"\nlatchkey_api_tokens_revoked_total 1\n",
			`latchkey_graphql_errors_total{code="CONFLICT",group="apiToken",operation="mutation"} 1`,
			`latchkey_graphql_errors_total{code="INVALID",group="apiToken",operation="mutation"}`,
			`latchkey_graphql_errors_total{code="INVALID",group="",operation=""} 1`,
		} {
			s.shows(t, "/metrics", want)
		}
	})
}

// The labels of the build metric match the output of `latchkey version`.
func TestBuildInfo(t *testing.T) {
	env := environment(t, dbtest.SQLiteURL(t))
	version := regexp.MustCompile(`\S+`).FindAllString(run(t, env, "version"), -1)
	s := serve(t, env)
	s.shows(t, "/metrics", fmt.Sprintf(`latchkey_build_info{go=%q,version=%q} 1`, runtime.Version(), version[1]))
}
