package audit

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// TypeInfo documents a type of events.
type TypeInfo struct {
	Name Type
	// Summary says in one sentence what has happened. Details are further sentences, often empty, with names of the
	// API in backticks.
	Summary, Details string
	// Logs says which event logs have it if that depends on billing: the partner's, the merchant's or both. It is
	// empty for events of the account that the event is about.
	Logs []string
	// Description has all of this in plain text.
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
		Name    Type            `json:"name"`
		Summary string          `json:"summary"`
		Details string          `json:"details"`
		Logs    []string        `json:"logs"`
		Example json.RawMessage `json:"example"`
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
		list[i] = TypeInfo{Name: e.Name, Summary: e.Summary, Details: e.Details, Logs: e.Logs,
			Description: describe(e.Summary, e.Details, e.Logs), Example: indented.String()}
	}
	return list
}

// describe returns the description of a type in plain text.
func describe(summary, details string, logs []string) string {
	text := summary
	if details != "" {
		text += " " + strings.ReplaceAll(details, "`", "")
	}
	switch len(logs) {
	case 0:
		return text
	case 1:
		return text + " It is in the " + logs[0] + "'s log."
	}
	return text + " It is in the logs of the " + strings.Join(logs, " and of the ") + "."
}

// Catalogue returns all types of events with their documentation, in the order of Types.
func Catalogue() []TypeInfo { return slices.Clone(catalogue) }
