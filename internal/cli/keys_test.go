package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	dbtest "latchkey/internal/test/db"
)

// A server whose issuing key a running server does not have exits with status 4
// and an error message.
func TestServerWithAnotherKeyDoesNotStart(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	a := serve(t, env, "--replica-name", "a")
	other := filepath.Join(t.TempDir(), "other.key")
	run(t, nil, "key", "create", other)
	first, second := keyLine(t, env["LATCHKEY_KEY_FILE"]), keyLine(t, other)
	write := func(name string, keys ...string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("latchkey-keys 1\n"+strings.Join(keys, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b := launch(t, env, "--replica-name", "b", "--key-file", write("promoted.key", second, first))
	code, log := b.exits(t), b.logged()
	if code != 4 ||
		!strings.Contains(log,
			`latchkey: --key-file: The server "a" runs without the key that this one would issue under`) {
		t.Errorf("got exit status %d: %s, want 4 because server a lacks the key", code, log)
	}
	// Correct: add the new key after the one in use first.
	b = serve(t, env, "--replica-name", "b", "--key-file", write("added.key", first, second))
	b.shows(t, "/readyz", `{"ready":true`)
	a.shows(t, "/readyz", `{"ready":true`)
}

// keyLine returns the last line of a key file, which is its only key.
func keyLine(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[strings.LastIndex(string(text), "\nkey ")+1:])
}
