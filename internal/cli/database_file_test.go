package cli_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A server whose database file was deleted is not ready, shows the reason only
// on the admin listener, and refuses writes.
func TestDeletedDatabaseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latchkey.db")
	s, session := demo(t, environment(t, "sqlite:"+path))
	s.shows(t, "/readyz", `{"ready":true`)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.shows(t, "/readyz", `{"name":"database","ok":false,"reason":"The database file `+path+` was deleted.`)
	s.shows(t, "/readyz", `{"ready":false`)
	document := `{"query": "mutation { apiToken { createApiToken(input: {name: \"Late\", scopes: [\"account_read\"]}) { apiToken { id } } } }"}`
	req, err := http.NewRequest(http.MethodPost, s.public+"/accounts/"+acmeID+"/graphql", strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", session)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" ||
		strings.Contains(string(body), path) {
		t.Errorf("a write: got %s %s, %v, want 503 with Retry-After 1 and without the file's path", res.Status, body,
			err)
	}
}
