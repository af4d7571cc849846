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
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// demo is the whole program with the demo data.
type demo struct {
	t                            *testing.T
	URL, AccountID, SessionToken string
	settings                     map[string]string
}

// serveDemo runs the program with a database until the test ends.
func serveDemo(t *testing.T, database string) *demo {
	t.Helper()
	d := &demo{t: t, settings: map[string]string{
		"LATCHKEY_DATABASE_URL": database, "LATCHKEY_KEY_FILE": filepath.Join(t.TempDir(), "test.key"),
		"LATCHKEY_ADDR": "127.0.0.1:0", "LATCHKEY_ADMIN_ADDR": "127.0.0.1:0",
	}}
	d.run("key", "create", d.settings["LATCHKEY_KEY_FILE"])
	ctx, stop := context.WithCancel(context.Background())
	stdout, output := io.Pipe()
	var log dbtest.Log
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, []string{"serve", "--demo", "--output", "json"}, d.setting, &bytes.Buffer{}, output,
			&log)
		_ = output.Close()
	}()
	t.Cleanup(func() {
		stop()
		select {
		case code := <-ended:
			check.Equal(t, code, 0, "exit status: %s", log.String())
		case <-time.After(30 * time.Second):
			t.Error("the program still runs after 30 s, want it stopped")
		}
		goleak.VerifyNone(t)
	})
	if err := json.NewDecoder(stdout).Decode(d); err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}
	return d
}

// setting returns the value of an environment variable.
func (d *demo) setting(name string) (string, bool) {
	value, set := d.settings[name]
	return value, set
}

// api returns the URL of the demo's API.
func (d *demo) api() string { return d.URL + "/accounts/" + d.AccountID + "/graphql" }

// run runs a command, which must succeed, and returns its output.
func (d *demo) run(args ...string) string {
	d.t.Helper()
	var stdout, stderr strings.Builder
	if code := cli.Main(d.t.Context(), args, d.setting, &bytes.Buffer{}, &stdout, &stderr); code != 0 {
		d.t.Fatalf("latchkey %s: got exit status %d, want 0: %s", strings.Join(args, " "), code, &stderr)
	}
	return strings.TrimSpace(stdout.String())
}

// credentials are those of a new API token.
type credentials struct {
	APIToken    struct{ ID string }
	Credentials struct{ ClientID, ClientSecret, AccessToken string }
}

// issue creates an account-level token.
func (d *demo) issue(scopes ...string) credentials {
	d.t.Helper()
	var c credentials
	text := d.run("token", "create", "--account", d.AccountID, "--name", "Stranger", "--scope",
		strings.Join(scopes, ","), "--output", "json")
	if err := json.Unmarshal([]byte(text), &c); err != nil || c.Credentials.ClientSecret == "" {
		d.t.Fatalf("latchkey token create: got %v and %d bytes, want JSON with a client secret", err, len(text))
	}
	return c
}

// node runs a Node program in a folder of testdata and returns its output. It
// installs the program's packages if they are missing.
func node(t *testing.T, folder, needs, program string, env ...string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder, "node_modules", needs)); err != nil {
		install := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		install.Dir = folder
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("this needs Node and its npm, and the packages in %s: %v\n%s", folder, err, out)
		}
	}
	run := exec.Command("node", program)
	run.Dir = folder
	run.Env = append(os.Environ(), env...)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}
