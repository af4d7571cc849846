package panel_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/html"
)

// messageKeys returns the keys of all messages. A message with forms for one and other appears once, without the
// suffix.
func messageKeys(t *testing.T) map[string]string {
	t.Helper()
	keys := map[string]string{}
	var add func(prefix, file string, tree map[string]any)
	add = func(prefix, file string, tree map[string]any) {
		for name, value := range tree {
			if below, is := value.(map[string]any); is {
				add(prefix+name+".", file, below)
				continue
			}
			if (name == "one" || name == "other") && tree["one"] != nil && tree["other"] != nil {
				keys[strings.TrimSuffix(prefix, ".")] = file
				continue
			}
			keys[prefix+name] = file
		}
	}
	files, err := filepath.Glob("messages/en/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var tree map[string]any
		if err := yaml.Unmarshal([]byte(read(t, file)), &tree); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		add("", file, tree)
	}
	return keys
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// sources returns the panel's Go files and templates, by name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == "testdata", path == "graphiql":
			return fs.SkipDir
		case strings.HasSuffix(path, ".html"), strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			found[path] = read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// How messages are used: by t and tn in templates, and by text, count, link and done in Go. A key that ends in a
// dot is a prefix.
var (
	usedKeys = regexp.MustCompile(
		`\b(?:t|tn) "([a-z0-9_.]+)"|\b(?:text|count|link)\("([a-z0-9_.]+)"|\btn? \(print "([a-z0-9_.]+)"`)
	quotedKey = regexp.MustCompile(`"([a-z0-9_]+(?:\.[a-z0-9_]*)*)"`)
)

// Every message that is used exists, and every message that exists is used.
func TestMessages(t *testing.T) {
	keys := messageKeys(t)
	mentioned := map[string]bool{}
	var beginnings []string
	for file, source := range sources(t) {
		for _, match := range usedKeys.FindAllStringSubmatch(source, -1) {
			key := match[1] + match[2] + match[3]
			if strings.HasSuffix(key, ".") {
				continue
			}
			if keys[key] == "" {
				t.Errorf("%s uses the message %s, want one that exists", file, key)
			}
		}
		for _, match := range quotedKey.FindAllStringSubmatch(source, -1) {
			mentioned[match[1]] = true
			if strings.HasSuffix(match[1], ".") {
				beginnings = append(beginnings, match[1])
			}
		}
	}
	for key, file := range keys {
		used := mentioned[key] || slices.ContainsFunc(beginnings,
			func(b string) bool { return strings.HasPrefix(key, b) })
		if name, is := strings.CutPrefix(key, "notices."); is {
			used = mentioned[name] // redirectWithNotice takes their names without a prefix
		}
		if !used {
			t.Errorf("%s has the unused message %s, want it removed", file, key)
		}
	}
}

var actions = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

// Templates contain no text of their own: all words are messages.
func TestTemplatesHaveNoTexts(t *testing.T) {
	word := regexp.MustCompile(`\pL{2,}`)
	for file, source := range sources(t) {
		if !strings.HasSuffix(file, ".html") {
			continue
		}
		doc, err := html.Parse(strings.NewReader(actions.ReplaceAllString(source, "·")))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for n := range doc.Descendants() {
			command := n.Parent != nil && n.Parent.Data == "code" // program code is the same in all languages
			if n.Type == html.TextNode && word.MatchString(n.Data) && !command {
				t.Errorf("%s: got the text %q, want a message instead", file, strings.TrimSpace(n.Data))
			}
			for _, a := range n.Attr {
				if slices.Contains([]string{"title", "alt", "placeholder", "aria-label"}, a.Key) &&
					word.MatchString(a.Val) {
					t.Errorf("%s: got the text %q in %s, want a message instead", file, a.Val, a.Key)
				}
			}
		}
	}
}
