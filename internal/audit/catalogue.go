package audit

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
)

// TypeInfo documents a type of events.
type TypeInfo struct {
	Name Type
	// Description says in one or two sentences when such an event occurs.
	Description string
	// Example is an example of Event.Data: a JSON object, indented.
	Example string
}

//go:embed types.json
var typesFile []byte

var catalogue = readCatalogue(typesFile)

// readCatalogue panics if the file, which is built into the program, is malformed.
func readCatalogue(file []byte) []TypeInfo {
	var entries []struct {
		Name        Type            `json:"name"`
		Description string          `json:"description"`
		Example     json.RawMessage `json:"example"`
	}
	if err := json.Unmarshal(file, &entries); err != nil {
		panic(fmt.Sprintf("audit: the built-in types.json: %v", err))
	}
	list := make([]TypeInfo, len(entries))
	for i, e := range entries {
		var indented bytes.Buffer
		if err := json.Indent(&indented, e.Example, "", "  "); err != nil {
			panic(fmt.Sprintf("audit: the built-in types.json: %v", err))
		}
		list[i] = TypeInfo{e.Name, e.Description, indented.String()}
	}
	return list
}

// Catalogue returns all types of events with their documentation, in the order of Types.
func Catalogue() []TypeInfo { return slices.Clone(catalogue) }
