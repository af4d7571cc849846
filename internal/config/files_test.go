package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

const databaseFile = "LATCHKEY_DATABASE_URL_FILE"

func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSecretsFromFiles(t *testing.T) {
	for name, text := range map[string]string{"a line": "sqlite:from-file.db\n", "no line break": "sqlite:from-file.db",
		"a line of Windows": "sqlite:from-file.db\r\n"} {
		c := load(t, nil, map[string]string{databaseFile: written(t, text)})
		check.Equal(t, c.Database, "sqlite:from-file.db", "database from a file with %s", name)
	}
	file := written(t, "sqlite:from-file.db")
	c := load(t, map[string]string{"database": "sqlite:from-flag.db"}, map[string]string{databaseFile: file})
	check.Equal(t, c.Database, "sqlite:from-flag.db", "database by a flag and a file")
	c = load(t, nil, map[string]string{databaseFile: ""})
	check.Equal(t, c.Database, "sqlite:latchkey.db", "database with an empty name of a file")
	set := config.IsSet(from(nil, map[string]string{databaseFile: file}), "database")
	check.Equal(t, set, true, "whether a setting from a file is set")
}

// The error names the variable and never what the file contains.
func TestFilesThatAreNoSecrets(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"missing":     {databaseFile: filepath.Join(t.TempDir(), "missing")},
		"empty":       {databaseFile: written(t, "\n")},
		"two lines":   {databaseFile: written(t, "sqlite:hidden.db\nsqlite:other.db\n")},
		"NUL":         {databaseFile: written(t, "sqlite:hidden\x00.db")},
		"not UTF-8":   {databaseFile: written(t, "sqlite:hidden\xff.db")},
		"large":       {databaseFile: written(t, "sqlite:hidden"+strings.Repeat("x", 64<<10))},
		"a directory": {databaseFile: t.TempDir()},
		"both":        {databaseFile: written(t, "sqlite:hidden.db"), "LATCHKEY_DATABASE_URL": "sqlite:hidden.db"},
	} {
		_, err := config.Load(from(nil, env), config.Needs{})
		all := fault.Flatten(err)
		if len(all) != 1 || all[0].Field != databaseFile || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want one error of %s without the value", name, err, databaseFile)
		}
	}
}

// Settings that can contain a secret can be in a file, and no others can.
func TestSecretsHaveFiles(t *testing.T) {
	var got []string
	for _, s := range config.Settings() {
		if s.Secret {
			got = append(got, s.Flag)
		}
	}
	check.Equal(t, got, []string{"database", "feed-database", "oidc-client-secret", "smtp-url"}, "secret settings")
	_, err := config.Load(from(nil, map[string]string{"LATCHKEY_ADDR_FILE": written(t, "nonsense")}), config.Needs{})
	check.Equal(t, err, nil, "the error of a file for a setting that is not a secret")
}
