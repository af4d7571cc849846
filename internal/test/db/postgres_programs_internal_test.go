package dbtest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBinDir(t *testing.T) {
	tests := []struct {
		name      string
		path      []string // programs in PATH
		installed map[string][]string
		want      string // relative to the test's directory
	}{
		{name: "newest version, by number", installed: map[string][]string{
			"9": {"initdb", "postgres"}, "15": {"initdb", "postgres"}, "16": {"initdb", "postgres"}}, want: "16/bin"},
		{name: "a client-only version is skipped", installed: map[string][]string{
			"15": {"initdb", "postgres"}, "17": {"psql"}}, want: "15/bin"},
		{name: "PATH takes precedence", path: []string{"initdb", "postgres"}, installed: map[string][]string{
			"15": {"initdb", "postgres"}}, want: "path"},
		{name: "initdb in PATH without postgres is ignored", path: []string{"initdb"}, installed: map[string][]string{
			"15": {"initdb", "postgres"}}, want: "15/bin"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			makePrograms(t, filepath.Join(dir, "path"), test.path)
			for version, names := range test.installed {
				makePrograms(t, filepath.Join(dir, version, "bin"), names)
			}
			t.Setenv("PATH", filepath.Join(dir, "path"))

			got, err := binDir(filepath.Join(dir, "*/bin"))
			if err != nil || got != filepath.Join(dir, test.want) {
				t.Errorf("binDir: %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestBinDirErrorNamesPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := binDir(filepath.Join(t.TempDir(), "*/bin"))
	if !errors.Is(err, errNoPostgres) || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("binDir: %v, want the advice to install PostgreSQL", err)
	}
}

func makePrograms(t *testing.T, dir string, names []string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
