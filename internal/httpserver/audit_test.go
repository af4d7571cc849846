package httpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/internal/cli"
)

const audits = "testdata/graphqlhttp"

// The whole program is audited against the specification of GraphQL over HTTP
// by npm's graphql-http: every MUST and every SHOULD.
func TestGraphQLOverHTTP(t *testing.T) {
	if _, err := os.Stat(filepath.Join(audits, "node_modules", "graphql-http")); err != nil {
		install := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		install.Dir = audits
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("the audits need Node and its npm, and the packages in %s: %v\n%s", audits, err, out)
		}
	}
	url, token := serveDemo(t)
	audit := exec.Command("node", "audit.mjs")
	audit.Dir = audits
	audit.Env = append(os.Environ(), "LATCHKEY_AUDIT_URL="+url, "LATCHKEY_AUDIT_TOKEN="+token)
	out, err := audit.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{"MUST: 13 of 13", "SHOULD: 23 of 23"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("not %s", want)
		}
	}
}

// serveDemo runs the program until the test ends and returns the address of
// the demo's API and the session of its owner.
func serveDemo(t *testing.T) (url, token string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	stdout, output := io.Pipe()
	var log logBuffer
	none := func(string) (string, bool) { return "", false }
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, []string{"serve", "--demo", "--output", "json", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
			"--database", "sqlite:" + filepath.Join(t.TempDir(), "audit.db")}, none, &bytes.Buffer{}, output, &log)
		_ = output.Close()
	}()
	t.Cleanup(func() {
		stop()
		select {
		case code := <-ended:
			if code != 0 {
				t.Errorf("exit status %d: %s", code, log.String())
			}
		case <-time.After(30 * time.Second):
			t.Error("the program does not stop")
		}
		goleak.VerifyNone(t)
	})
	var welcome struct{ URL, AccountID, SessionToken string }
	if err := json.NewDecoder(stdout).Decode(&welcome); err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}
	return welcome.URL + "/accounts/" + welcome.AccountID + "/graphql", welcome.SessionToken
}
