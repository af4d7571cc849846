package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"latchkey/internal/fault"
)

// The exit statuses (docs/commands.md: "Exit status").
const (
	exitOK       = 0
	exitFailure  = 1 // not the caller's fault: a database that does not answer
	exitInvalid  = 2 // wrong use, settings or input
	exitNotFound = 3
	exitConflict = 4 // right input that the present state does not admit
)

// exitOf returns the exit status for an error.
func exitOf(err error) int {
	var f failure
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &f):
		return exitInvalid
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return exitInvalid
	case fault.NotFound:
		return exitNotFound
	case fault.Conflict, fault.LimitReached:
		return exitConflict
	}
	return exitFailure
}

// problem is an error as it is printed.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

// report prints an error, each fault of it on a line, and returns the exit
// status.
func (p *program) report(err error) int {
	if err == nil {
		return exitOK
	}
	problems := problems(err)
	if p.format == "json" {
		writeJSON(p.stderr, map[string][]problem{"errors": problems})
		return exitOf(err)
	}
	for _, one := range problems {
		text := one.Message
		if one.Field != "" {
			text = one.Field + ": " + text
		}
		fmt.Fprintln(p.stderr, "latchkey: "+text)
	}
	return exitOf(err)
}

// problems takes an error apart. Whoever runs a command is the operator and
// sees the cause of an internal error, which holds no secret: the packages
// below see to that.
func problems(err error) []problem {
	var f failure
	if !errors.As(err, &f) {
		return []problem{{Code: "USAGE", Message: err.Error()}}
	}
	if fault.KindOf(err) == fault.Internal {
		return []problem{{Code: string(fault.Internal), Message: err.Error()}}
	}
	var all []problem
	for _, one := range fault.Flatten(err) {
		all = append(all, problem{Code: string(one.Kind), Message: one.Message, Field: flagOf(one.Field)})
	}
	return all
}

// flagOf names the flag by which a command takes an input of the API.
func flagOf(field string) string {
	flags := map[string]string{
		"name": "--name", "scopes": "--scope", "expiresAt": "--expires-at", "allowedIpRanges": "--allow-ip", "overlapSeconds": "--overlap",
		"reason": "--reason", "email": "--email", "account": "--account", "ttl": "--ttl", "database": "--database",
	}
	if flag, known := flags[field]; known {
		return flag
	}
	if field == "id" || strings.HasPrefix(field, "ids") {
		return "ID"
	}
	return field
}

// printed prints a result: as JSON on standard output, or by text.
func (p *program) printed(result any, text func()) {
	if p.format == "json" {
		writeJSON(p.stdout, result)
		return
	}
	text()
}

// say prints a line for people.
func (p *program) say(format string, args ...any) { fmt.Fprintf(p.stderr, format+"\n", args...) }

func writeJSON(w io.Writer, value any) {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	// Only a closed standard output can fail, and nobody would hear of it.
	_ = encoder.Encode(value)
}
