package cli_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// backedUp is the JSON output of backup.
type backedUp struct {
	File            string    `json:"file"`
	Bytes           int64     `json:"bytes"`
	Database        string    `json:"database"`
	Schema          int64     `json:"schemaVersion"`
	CommittedBefore time.Time `json:"committedBefore"`
	KeyFile         string    `json:"keyFile"`
	KeyIDs          []string  `json:"keyIds"`
}

// backup runs latchkey backup and returns its result.
func backup(t *testing.T, env map[string]string, args ...string) backedUp {
	t.Helper()
	var made backedUp
	out := run(t, env, append([]string{"backup", "--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	return made
}

// withDatabase returns env with another database.
func withDatabase(env map[string]string, url string) map[string]string {
	other := maps.Clone(env)
	other["LATCHKEY_DATABASE_URL"] = url
	return other
}

// filesIn returns the names of the files in a directory.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A backup is a whole file that only its owner can read, replaces none unless asked to, and does not have the key file.
func TestBackup(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
		run(t, env, "token", "create", "--account", acmeID, "--name", "HR sync", "--scope", "account_users_read")
		dir := t.TempDir()
		file := filepath.Join(dir, "latchkey.backup")
		before := time.Now()
		made := backup(t, env, "--to", file)
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 || info.Size() != made.Bytes || made.Bytes < 10_000 {
			t.Errorf("the file: got %v, %v, want the mode 0600 and %d bytes", info, err, made.Bytes)
		}
		if made.CommittedBefore.Before(before.Add(-time.Millisecond)) || made.CommittedBefore.After(time.Now()) {
			t.Errorf("it has everything before %s, want a time during the command, after %s", made.CommittedBefore,
				before)
		}
		check.Equal(t, made.File, file, "file")
		check.Equal(t, made.KeyFile, env["LATCHKEY_KEY_FILE"], "key file")
		check.Equal(t, len(made.KeyIDs), 1, "keys")
		keys, err := os.ReadFile(env["LATCHKEY_KEY_FILE"])
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.FieldsSeq(string(keys)) {
			if len(line) > 30 && strings.Contains(string(content), line) {
				t.Errorf("the backup: got a line of the key file, want none")
			}
		}

		expectRefusal(t, env, 4, "--to: "+file+" exists", "backup", "--to", file)
		expectRefusal(t, env, 2, "--to: cannot write "+dir+"/missing/x", "backup", "--to", filepath.Join(dir, "missing",
			"x"))
		expectRefusal(t, env, 4, "--to: "+dir+" exists", "backup", "--to", dir, "--force")
		_, said, code := attempt(t, env, "backup", "--to", file, "--force")
		check.Equal(t, code, 0, "exit status")
		for _, want := range []string{`^wrote \S+latchkey.backup: \d+ KB, (sqlite|postgres), schema version \d+\n`,
			`it has everything that was committed before 2`, `does not have the key file ` + env["LATCHKEY_KEY_FILE"]} {
			if !regexp.MustCompile(want).MatchString(said) {
				t.Errorf("got %s, want %s", said, want)
			}
		}
		check.Equal(t, strings.Join(filesIn(t, dir), " "), "latchkey.backup", "files in the directory")

		needed := []string{env["LATCHKEY_KEY_FILE"]}
		if path, is := strings.CutPrefix(url, "sqlite:"); is {
			linked := filepath.Join(dir, "linked")
			if err := os.Link(path, linked); err != nil {
				t.Fatal(err)
			}
			needed = append(needed, path, linked)
		}
		for _, path := range needed {
			expectRefusal(t, env, 4, "belongs to this database or is its key file", "backup", "--to", path, "--force")
		}
	})
}

// A backup that fails leaves no file, and its error has no password.
func TestBackupThatFails(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		env := environment(t, "sqlite:"+filepath.Join(t.TempDir(), "missing.db"))
		expectRefusal(t, env, 2, "There is no database at", "backup", "--to", filepath.Join(t.TempDir(), "x"))
	})
	t.Run("postgres", func(t *testing.T) {
		url := dbtest.PostgresURL(t)
		env, dir := environment(t, url), t.TempDir()
		programs := filepath.Join(dir, "programs")
		if err := os.Mkdir(programs, 0o700); err != nil {
			t.Fatal(err)
		}
		program, err := dbtest.PostgresProgram("pg_dump")
		if err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\n[ \"$1\" = --version ] && exec '" + program + "' --version\necho \"$@\" > " + dir +
			"/arguments\necho 'pg_dump: error: no room' >&2\nexit 1\n"
		if err := os.WriteFile(filepath.Join(programs, "pg_dump"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", programs+":"+os.Getenv("PATH"))
		const password = "correct-horse"
		env["LATCHKEY_DATABASE_URL"] = strings.Replace(url, "@", ":"+password+"@", 1)
		_, said, code := attempt(t, env, "backup", "--to", filepath.Join(dir, "x"))
		if code != 4 || !strings.Contains(said, "pg_dump failed: pg_dump: error: no room") || strings.Contains(said,
			password) {
			t.Errorf("got exit status %d and %s, want 4 and what pg_dump said, without the password", code, said)
		}
		arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
		if err != nil || strings.Contains(string(arguments), password) {
			t.Errorf("arguments: got %s, %v, want no password", arguments, err)
		}
		check.Equal(t, strings.Join(filesIn(t, dir), " "), "arguments programs", "files in the directory")
	})
}
