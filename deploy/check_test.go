package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"latchkey/internal/config"
)

// checker builds tools/deploycheck, which is a module of its own, into bin.
var checker = sync.OnceValues(func() (string, error) {
	file, err := filepath.Abs("../bin/deploycheck")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-C", "../tools/deploycheck", "-o", file, ".")
	build.Stderr = os.Stderr
	return file, build.Run()
})

// deploycheck reads files with the code of the program that they are for, and decodes what it understood.
func deploycheck(t *testing.T, into any, kind string, files ...string) error {
	t.Helper()
	program, err := checker()
	if err != nil {
		t.Fatalf("build tools/deploycheck: %v", err)
	}
	c := exec.CommandContext(t.Context(), program, append([]string{kind}, files...)...)
	c.Env = append(os.Environ(), "LATCHKEY_HOST=keys.example.com")
	var complaints bytes.Buffer
	c.Stderr = &complaints
	out, err := c.Output()
	if err != nil {
		return &refusal{complaints.String()}
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("deploycheck %s: %v", kind, err)
	}
	return nil
}

type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// changed writes a copy of a file in which a text that it has once is replaced, and returns its path.
func changed(t *testing.T, file, text, with string) string {
	t.Helper()
	content := []byte(read(t, file))
	if bytes.Count(content, []byte(text)) == 0 {
		t.Fatalf("%s has no %q, want it", file, text)
	}
	path := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(path, bytes.Replace(content, []byte(text), []byte(with), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settings reads settings as the program does, and reports the variables of Latchkey that it does not have. values may
// contain other variables. Files of secrets need not exist.
func settings(t *testing.T, values map[string]string) config.Config {
	t.Helper()
	known := map[string]string{}
	dir := t.TempDir()
	for _, s := range config.Settings() {
		known[s.Variable()] = s.Variable()
		if s.Secret {
			known[s.Variable()+"_FILE"] = s.Variable()
		}
	}
	env := map[string]string{}
	for name, value := range values {
		if len(name) < 9 || name[:9] != "LATCHKEY_" {
			continue
		}
		base, ok := known[name]
		if !ok {
			t.Errorf("got the variable %s, want one of a setting", name)
		}
		if base != name {
			value = filepath.Join(dir, "url")
			if err := os.WriteFile(value, []byte("postgres://latchkey@db/latchkey\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		env[name] = value
	}
	c, err := config.Load(config.Source{Flag: func(string) (string, bool) { return "", false },
		Env: func(name string) (string, bool) { text, ok := env[name]; return text, ok }}, config.Needs{Keys: true})
	if err != nil {
		t.Errorf("settings: %v", err)
	}
	return c
}

// stopsWithin reports a server that has less time to stop than it may take.
func stopsWithin(t *testing.T, c config.Config, limit time.Duration) {
	t.Helper()
	if need := c.ShutdownDelay + c.ShutdownGrace; limit <= need {
		t.Errorf("time to stop: got %s, want more than the %s of --shutdown-delay and --shutdown-grace", limit, need)
	}
}
