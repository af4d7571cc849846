package main

import (
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	for subject, want := range map[string]string{
		"token: refuse stores that were removed":    "",
		"panel, httpserver: assert the messages":    "",
		"bulk/file: read a byte order mark":         "",
		".ci: check the subjects of commits":        "",
		"go.mod: require go-cmp":                    "",
		"test/db: seed two accounts":                "",
		"token: pass the address on":                "",
		"token: Refuse stores":                      "lower case",
		"token: refuses stores":                     `not "refuses"`,
		"token: refused stores":                     `not "refused"`,
		"token: refusing stores":                    `not "refusing"`,
		"token: refuse stores.":                     "period",
		"Refuse stores":                             "package",
		"refuse stores":                             "package",
		"token:refuse stores":                       "package",
		"token: ":                                   "package",
		"":                                          "package",
		"token: refuse " + strings.Repeat("é", 59):  "has 73 characters",
		"token: refuse " + strings.Repeat("é", 58):  "",
		"Token: refuse " + strings.Repeat("é", 100): "has 114 characters, at most 72; must begin with a package",
	} {
		got := strings.Join(problems(subject), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("problems(%q): got %q, want %q", subject, got, want)
		}
	}
}

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(strings.NewReader("a1b2c3 token: refuse stores\n"), &out); err != nil || out.String() != "" {
		t.Errorf("a valid subject: got %v, %q, want no error and no output", err, &out)
	}
	err := run(strings.NewReader("a1b2c3 token: refuse stores\nd4e5f6 Refuse stores\n"), &out)
	if want := "d4e5f6 \"Refuse stores\": must begin with a package and a colon\n"; err == nil || out.String() != want {
		t.Errorf("an invalid subject: got %v, %q, want an error and %q", err, &out, want)
	}
}
