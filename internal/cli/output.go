package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"latchkey/internal/bulk/run"
	"latchkey/internal/fault"
	"latchkey/internal/plaintext"
)

// The exit statuses (docs/commands.md: "Exit status").
const (
	exitOK       = 0
	exitFailure  = 1 // not the caller's fault, such as an unreachable database
	exitInvalid  = 2 // wrong usage, settings or input, or a missing permission
	exitNotFound = 3
	exitConflict = 4 // valid input that conflicts with the current state
	exitBroken   = 5 // billing verify or audit verify found something
	exitFound    = 6 // scan found secrets
)

// exitOf returns the exit status for an error.
func exitOf(err error) int {
	var f failure
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &f):
		return exitInvalid
	case errors.As(err, &errBroken{}):
		return exitBroken
	case errors.As(err, &errFound{}):
		return exitFound
	}
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Unauthenticated, fault.Forbidden:
		return exitInvalid
	case fault.NotFound:
		return exitNotFound
	case fault.Conflict, fault.LimitReached:
		return exitConflict
	}
	return exitFailure
}

// problem is an error in the JSON output.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
	// Line is the line of the input file; 0 if the error has none.
	Line int `json:"line,omitempty"`
}

// report prints an error, one fault per line, and returns the exit status.
func (p *program) report(err error) int {
	if err == nil {
		return exitOK
	}
	problems := problems(err)
	if p.format == "json" {
		// There is nowhere to report this error.
		_ = writeJSON(p.stderr, map[string][]problem{"errors": problems})
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

// problems returns the faults of an error. It includes the cause of an internal
// error: the caller is the operator, and the packages below put no secrets in
// errors.
func problems(err error) []problem {
	var f failure
	if !errors.As(err, &f) {
		return []problem{{Code: "USAGE", Message: err.Error()}}
	}
	var broken errBroken
	if errors.As(err, &broken) {
		return []problem{{Code: "INCONSISTENT", Message: err.Error()}}
	}
	if errors.As(err, &errFound{}) {
		return []problem{{Code: "SECRETS_FOUND", Message: err.Error()}}
	}
	if errors.Is(err, run.ErrInterrupted) || errors.Is(err, errIncomplete) || errors.Is(err, errRunInterrupted) ||
		errors.Is(err, errBackupInterrupted) || errors.Is(err, errRevokingInterrupted) {
		return []problem{{Code: "INTERRUPTED", Message: err.Error()}}
	}
	if fault.KindOf(err) == fault.Internal {
		return []problem{{Code: string(fault.Internal), Message: err.Error()}}
	}
	var all []problem
	for _, one := range fault.Flatten(err) {
		message := inCommandTerms(one.Message)
		if len(one.RequiredScopes) > 0 {
			message += " It needs " + strings.Join(one.RequiredScopes, " and ") + "."
		}
		all = append(all, problem{Code: string(one.Kind), Message: message, Field: flagOf(one.Field),
			Line: lineOf(one.Message)})
	}
	return all
}

// inCommandTerms replaces references to the API in a message, for users of the
// command line.
func inCommandTerms(message string) string {
	return strings.Replace(message, "The catalogue of scopes lists all.",
		"The Account API lists all in its field scopeCatalog; a catalogue of your own is named with --catalogue.", 1)
}

var lineLead = regexp.MustCompile(`^(?:The [a-z ]+ is not YAML: )?line ([0-9]+): `)

// lineOf returns the line number at the beginning of a message about a file; 0
// if it has none.
func lineOf(message string) int {
	found := lineLead.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	line, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	return line
}

// flagOf returns the flag for an input field of the API.
func flagOf(field string) string {
	flags := map[string]string{
		"name": "--name", "scopes": "--scope", "expiresAt": "--expires-at", "allowedIpRanges": "--allow-ip",
		"chargeLimit":    "--charge-limit",
		"overlapSeconds": "--overlap",
		"reason":         "--reason", "firstName": "--first-name", "lastName": "--last-name", "locale": "--locale",
		"email": "--email", "account": "--account", "username": "--username", "allowLegacy": "--allow-legacy",
		"ttl": "--ttl", "database": "--database", "replica-name": "--replica-name",
		"server": "--server", "filter.search": "--search", "filter.storeId": "--store",
		"filter.withoutStores": "--without-stores", "filter.updatedAfter": "--updated-after",
		"removeOthers": "--remove-others",
		"url":          "--url", "eventTypes": "--type", "description": "--description", "after": "--after",
		"since": "--since", "until": "--until", "states": "--state", "filter.types": "--type",
	}
	if flag, known := flags[field]; known {
		return flag
	}
	switch {
	case field == "id" || field == "webhookId" || strings.HasPrefix(field, "ids"):
		return "ID"
	case strings.HasPrefix(field, "eventIds"):
		return "--event"
	}
	return field
}

// output is standard output. It records the first write error, because the code
// that prints help and completions ignores errors.
type output struct {
	to  io.Writer
	err error
}

// Write writes text. It catches SIGPIPE, so that the program survives a reader
// that is gone and can undo what it created.
func (o *output) Write(text []byte) (int, error) {
	sigpipe := make(chan os.Signal, 1)
	signal.Notify(sigpipe, syscall.SIGPIPE)
	defer signal.Stop(sigpipe)
	n, err := o.to.Write(text)
	if err != nil && o.err == nil {
		o.err = unwritten(err)
	}
	return n, err
}

func unwritten(err error) error {
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		err = onPath.Err
	}
	return fmt.Errorf("the result could not be written to standard output: %w", err)
}

// printed prints a result on standard output, as JSON or as text, which may be
// empty. With the text it also calls note, which prints a message on standard
// error. It returns an error if standard output did not take everything.
func (p *program) printed(result any, text string, note func()) error {
	if p.format == "json" {
		var document bytes.Buffer
		if err := writeJSON(&document, result); err != nil {
			return err
		}
		return p.print(document.String())
	}
	if err := p.print(text); err != nil {
		return err
	}
	note()
	return nil
}

// reveal is printed for a result that holds a secret. It also returns an error
// if standard output was closed when the program started: the caller then
// revokes the secret.
func (p *program) reveal(result any, text string, note func()) error {
	if p.noReader {
		return unwritten(os.ErrClosed)
	}
	return p.printed(result, text, note)
}

// isClosed reports whether the program was started with this standard file
// closed. The Go runtime opens the null device in its place, so that writes
// succeed but the output is lost.
func isClosed(to io.Writer) bool {
	file, is := to.(*os.File)
	return is && wasClosed(file)
}

func (p *program) print(text string) error {
	if text == "" {
		return nil
	}
	if _, err := io.WriteString(p.stdout, text); err != nil {
		return unwritten(err)
	}
	return nil
}

// say prints a message on standard error.
func (p *program) say(format string, args ...any) { fmt.Fprintf(p.stderr, format+"\n", args...) }

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// table formats a table: a header line, whose titles are separated by tabs, and
// a line for each entry.
func table[T interface{ row() []string }](titles string, entries []T) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, titles)
	for _, entry := range entries {
		fmt.Fprintln(w, strings.Join(entry.row(), "\t"))
	}
	_ = w.Flush() // a strings.Builder returns no error
	return text.String()
}

// shown returns a text of a file as a terminal may show it: quoted if it is not plain text, since it could contain
// sequences that control the terminal.
func shown(text string) string {
	if plaintext.OneLine(text) {
		return text
	}
	return strconv.Quote(text)
}
