package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"latchkey/internal/test/check"
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
			"\nlatchkey_graphql_operations_total{operation=\"mutation\"} 7\n",
			`latchkey_cache_lookups_total{cache="credentials",result="hit"}`,
			`latchkey_cache_entries{cache="credentials"}`,
			`latchkey_database_connections{pool="`,
		} {
			s.shows(t, "/metrics", want)
		}
		documentsMetrics(t, s)
	})
}

// documentsMetrics compares docs/metrics.md with the metrics of a server. One
// with labels that has no value yet is not among them, so its name is looked
// for in the source.
func documentsMetrics(t *testing.T, s *server) {
	t.Helper()
	res, err := http.Get(s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	lint := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	lint.Stdin = bytes.NewReader(text)
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: got %v, %s, want no complaint", err, out)
	}
	exported := map[string]string{}
	kinds := regexp.MustCompile(`(?m)^# TYPE (latchkey_\w+) (\w+)$`)
	for _, m := range kinds.FindAllStringSubmatch(string(text), -1) {
		exported[m[1]] = m[2]
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `(latchkey_\\w+)` \\| (\\w+) \\|")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = m[2]
	}
	named := metricsInSource(t)
	for name, kind := range exported {
		check.Equal(t, documented[name], kind, "the type of %s in docs/metrics.md", name)
	}
	for name := range named {
		if documented[name] == "" {
			t.Errorf("docs/metrics.md has no row for %s, want one", name)
		}
	}
	for name := range documented {
		if exported[name] == "" && !named[name] {
			t.Errorf("docs/metrics.md has a row for %s, want only metrics that exist", name)
		}
	}
}

// metricsInSource returns the names of metrics that are written in the source.
func metricsInSource(t *testing.T) map[string]bool {
	t.Helper()
	named := map[string]bool{}
	literal := regexp.MustCompile(`(?:Name:\s+|NewDesc\(|Name: )"(latchkey_\w+[a-z])"`)
	for _, pattern := range []string{"*.go", "../httpserver/*.go", "../gateway/canary/*.go", "../tracing/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: got %d files, %v, want some", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range literal.FindAllStringSubmatch(string(text), -1) {
				named[m[1]] = true
			}
		}
	}
	return named
}

// The labels of the build metric match the output of `latchkey version`.
func TestBuildInfo(t *testing.T) {
	env := environment(t, dbtest.SQLiteURL(t))
	version := regexp.MustCompile(`\S+`).FindAllString(run(t, env, "version"), -1)
	s := serve(t, env)
	s.shows(t, "/metrics", fmt.Sprintf(`latchkey_build_info{go=%q,version=%q} 1`, runtime.Version(), version[1]))
}
