package panel

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// messages are the texts of one language by their keys, such as
// "tokens.empty.title". A translation is another folder of the same keys.
//
// A text names what is filled in as "{name}". One that differs with a number
// has two: under "key.one" and "key.other", with "{n}" for the number.
type messages map[string]string

// readMessages reads all files of a folder.
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
				return fmt.Errorf("the message %s is there twice", key)
			}
			m[key] = value
		default:
			return fmt.Errorf("the message %s is no text", key)
		}
	}
	return nil
}

// text returns the message of a key with its names filled in, from pairs of
// name and value.
func (m messages) text(key string, pairs ...any) (string, error) {
	text, there := m[key]
	if !there {
		return "", fmt.Errorf("there is no message %s", key)
	}
	if len(pairs)%2 != 0 {
		return "", errors.New("a message is filled in from pairs of name and value")
	}
	var fill []string
	for i := 0; i < len(pairs); i += 2 {
		fill = append(fill, fmt.Sprintf("{%v}", pairs[i]), fmt.Sprint(pairs[i+1]))
	}
	return strings.NewReplacer(fill...).Replace(text), nil
}

// count is text for a message that differs with a number.
func (m messages) count(key string, n int, pairs ...any) (string, error) {
	form := ".other"
	if n == 1 {
		form = ".one"
	}
	return m.text(key+form, append(pairs, "n", n)...)
}

// text is a message for the visitor. One that is not there shows its key, which
// a test that looks for the keys in the code does not let happen.
func (v *visit) text(key string, pairs ...any) string {
	text, err := theLooks().messages.text(key, pairs...)
	if err != nil {
		return key
	}
	return text
}

// told is the message that a name of the API has among those whose keys begin
// alike; the name itself where it has none.
func (v *visit) told(begins, name string) string {
	text, err := theLooks().messages.text(begins + name)
	if err != nil {
		return name
	}
	return text
}

// count is text for a message that differs with a number.
func (v *visit) count(key string, n int) string {
	text, err := theLooks().messages.count(key, n)
	if err != nil {
		return key
	}
	return text
}

// notice is what the page before has to say: a message under "notices". An
// address can be anybody's work, so nothing else of it is repeated than a
// number.
func (v *visit) notice() string {
	query := v.r.URL.Query()
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil {
		n = 1
	}
	text, err := theLooks().messages.count("notices."+query.Get("notice"), n)
	if err != nil {
		return ""
	}
	return text
}
