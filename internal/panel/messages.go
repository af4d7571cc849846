package panel

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// messages are the texts of one language by key, such as "tokens.empty.title". A translation is another folder with
// the same keys. | A text has placeholders such as "{name}". A text that depends on a number has two forms, under
// "key.one" and "key.other", with "{n}" for the number.
type messages map[string]string

// readMessages reads all message files of a folder.
func readMessages(files fs.FS, folder string) (messages, error) {
	names, err := fs.Glob(files, path.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	all := messages{}
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		var tree map[string]any
		if err := yaml.Unmarshal(content, &tree); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := all.add("", tree); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

func (m messages) add(prefix string, tree map[string]any) error {
	for name, value := range maps.All(tree) {
		key := prefix + name
		switch value := value.(type) {
		case map[string]any:
			if err := m.add(key+".", value); err != nil {
				return err
			}
		case string:
			if _, twice := m[key]; twice {
				return fmt.Errorf("duplicate message %s", key)
			}
			m[key] = value
		default:
			return fmt.Errorf("message %s is not a string", key)
		}
	}
	return nil
}

// text returns the message of a key. It replaces the placeholders by pairs of name and value.
func (m messages) text(key string, pairs ...any) (string, error) {
	text, there := m[key]
	if !there {
		return "", fmt.Errorf("no message %s", key)
	}
	if len(pairs)%2 != 0 {
		return "", errors.New("a message takes pairs of name and value")
	}
	var fill []string
	for i := 0; i < len(pairs); i += 2 {
		fill = append(fill, fmt.Sprintf("{%v}", pairs[i]), fmt.Sprint(pairs[i+1]))
	}
	return strings.NewReplacer(fill...).Replace(text), nil
}

// count returns the form of a message for the number n.
func (m messages) count(key string, n int, pairs ...any) (string, error) {
	form := ".other"
	if n == 1 {
		form = ".one"
	}
	return m.text(key+form, append(pairs, "n", n)...)
}

// list joins texts to a list in a sentence: "A", "A and B", "A, B and C".
func (m messages) list(all []string) (string, error) {
	if len(all) < 2 {
		return strings.Join(all, ""), nil
	}
	last := len(all) - 1
	return m.text("and", "list", strings.Join(all[:last], ", "), "last", all[last])
}

// text returns a message for the visitor. A missing message shows its key; a test checks that every key in the code
// has a message.
func (q *request) text(key string, pairs ...any) string {
	text, err := loadViews().messages.text(key, pairs...)
	if err != nil {
		return key
	}
	return text
}

// label returns the message for a name of the API among the keys with a prefix, or the name itself if there is none.
func (q *request) label(begins, name string) string {
	text, err := loadViews().messages.text(begins + name)
	if err != nil {
		return name
	}
	return text
}

// count returns the form of a message for the number n.
func (q *request) count(key string, n int, pairs ...any) string {
	text, err := loadViews().messages.count(key, n, pairs...)
	if err != nil {
		return key
	}
	return text
}
