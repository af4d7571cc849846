package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/support.md names the platforms of a release, and the version of Go that go.mod requires.
func TestSupportPage(t *testing.T) {
	read := func(file string) string {
		t.Helper()
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	page := read("docs/support.md")
	for platform := range strings.SplitSeq(platforms, ",") {
		system, architecture, _ := strings.Cut(platform, "/")
		named := regexp.MustCompile(`archives of releases .*\b` + system + `\b.*\b` + architecture + `\b`)
		if !named.MatchString(page) {
			t.Errorf("docs/support.md: got no %s, want every platform of a release", platform)
		}
	}
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(read("go.mod"))
	if version == nil || !strings.Contains(page, "| Go, to build | "+version[1]+" |") {
		t.Errorf("docs/support.md: got another version of Go than that of go.mod, %v, want it", version)
	}
}
