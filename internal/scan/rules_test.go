package scan_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"latchkey/internal/scan"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// rule is what the tools need of a rule.
type rule struct {
	id, description, pattern string
	keywords                 []string
}

// examples returns a new secret of each kind, by the ID of its rule.
func examples(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, kind := range secret.Kinds() {
		id := "latchkey-" + strings.ToLower(strings.ReplaceAll(kind.Name(), " ", "-"))
		switch kind {
		case secret.WebhookSigning:
			s, err := secret.GenerateWebhook(rand.Reader)
			noError(t, err)
			all[id] = s.Reveal()
		case secret.ServerKey:
			keys, err := secret.NewKeyring(rand.Reader)
			noError(t, err)
			file := filepath.Join(t.TempDir(), "key")
			noError(t, keys.WriteNew(file))
			content, err := os.ReadFile(file)
			noError(t, err)
			_, line, _ := strings.Cut(string(content), "\nkey ")
			all[id] = "key " + strings.TrimSpace(line)
		default:
			s, err := secret.Generate(rand.Reader, kind)
			noError(t, err)
			all[id] = s.Reveal()
		}
	}
	return all
}

// The rules of each tool are files of its form, and find secrets of every kind and no others.
func TestRulesForOtherScanners(t *testing.T) {
	read := map[string]func(*testing.T, string) []rule{"gitleaks": readGitleaks, "trufflehog": readTrufflehog}
	for _, tool := range scan.Tools() {
		t.Run(tool, func(t *testing.T) {
			text, known := scan.Rules(tool)
			check.Equal(t, known, true, "known")
			want := examples(t)
			rules := read[tool](t, text)
			check.Equal(t, len(rules), len(want), "rules")
			for _, r := range rules {
				r.check(t, want)
			}
		})
	}
	if _, known := scan.Rules("grep"); known {
		t.Error("got rules for an unknown tool")
	}
}

func (r rule) check(t *testing.T, want map[string]string) {
	t.Helper()
	text := want[r.id]
	if text == "" || r.description == "" || len(r.keywords) == 0 {
		t.Fatalf("got the rule %+v, want one of a kind, with a description and keywords", r)
	}
	pattern, err := regexp.Compile(r.pattern)
	noError(t, err)
	for _, around := range [][2]string{{"", ""}, {"TOKEN=", "\n"}, {`"`, `",`}, {"x_", " "}, {"\x00", "\x00"}} {
		found := pattern.FindString(around[0] + text + around[1])
		check.Equal(t, found == text, true, "%s finds the secret in %q", r.id, around)
	}
	for other, secret := range want {
		check.Equal(t, pattern.MatchString(secret), other == r.id, "%s finds a secret of %s", r.id, other)
	}
	mistyped := []string{text[:len(text)-1], text[:20] + " " + text[20:], text[:20] + "-" + text[20:],
		strings.Replace(text, text[:3], "XYZ", 1)}
	if !strings.HasSuffix(text, "=") {
		mistyped = append(mistyped, text+"a")
	}
	for _, wrong := range mistyped {
		check.Equal(t, pattern.MatchString(wrong), false, "%s finds a mistyped secret", r.id)
	}
	for _, keyword := range r.keywords {
		found := strings.Contains(strings.ToLower(text), strings.ToLower(keyword))
		check.Equal(t, found, true, "%s is in the secret", keyword)
	}
}

func readTrufflehog(t *testing.T, text string) []rule {
	t.Helper()
	var file struct {
		Detectors []struct {
			Name        string            `yaml:"name"`
			Description string            `yaml:"description"`
			Keywords    []string          `yaml:"keywords"`
			Regex       map[string]string `yaml:"regex"`
		} `yaml:"detectors"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	noError(t, decoder.Decode(&file))
	var rules []rule
	for _, d := range file.Detectors {
		check.Equal(t, len(d.Regex), 1, "expressions of %s", d.Name)
		rules = append(rules, rule{d.Name, d.Description, d.Regex["secret"], d.Keywords})
	}
	return rules
}

var (
	tomlTable = regexp.MustCompile(`^(?:\[([a-z]+)\]|\[\[([a-z]+)\]\])$`)
	// The values that the file has: true, basic and literal strings without escapes, and lists of one string
	// (TOML 1.0: "Key/Value Pair").
	tomlValue = regexp.MustCompile(`^([A-Za-z]+) = (true|\[?"[^"\\]*"\]?|'''[^']*''')$`)
)

// readGitleaks reads the part of TOML that the rules use, and fails for everything else.
func readGitleaks(t *testing.T, text string) []rule {
	t.Helper()
	var rules []rule
	values := map[string]string{}
	table := ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if head := tomlTable.FindStringSubmatch(line); head != nil {
			if table = head[1] + head[2]; head[2] == "rules" {
				rules = append(rules, rule{})
			}
			continue
		}
		pair := tomlValue.FindStringSubmatch(line)
		if pair == nil {
			t.Fatalf("line %d: got %q, want a table or a value", i+1, line)
		}
		value := strings.Trim(pair[2], `'"[]`)
		if table != "rules" {
			values[table+"."+pair[1]] = pair[2]
			continue
		}
		r := &rules[len(rules)-1]
		switch pair[1] {
		case "id":
			r.id = value
		case "description":
			r.description = value
		case "regex":
			r.pattern = strings.TrimSuffix(strings.TrimPrefix(pair[2], "'''"), "'''")
		case "keywords":
			r.keywords = append(r.keywords, value)
		default:
			t.Fatalf("line %d: got the key %q of a rule", i+1, pair[1])
		}
	}
	check.Equal(t, values, map[string]string{".title": `"Latchkey"`, "extend.useDefault": "true"}, "other values")
	return rules
}
