// Package fault defines the project's error type. An error has a kind that programs
// act on, a message that is safe to show to the caller, the input field that it is
// about, and an internal cause.
//
// A broken rule is an *Error; several broken rules are reported together as a List.
// Every other error is internal: its text is logged and never shown.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is the kind of an error. The values are the error codes of the API
// (docs/compatibility.md: "Errors").
type Kind string

// The kinds of errors.
const (
	// Unauthenticated: the credential is missing or does not work.
	Unauthenticated Kind = "UNAUTHENTICATED"
	// Forbidden: the credential works but lacks the rights.
	Forbidden Kind = "FORBIDDEN"
	// NotFound: the object does not exist, or belongs to another account.
	NotFound Kind = "NOT_FOUND"
	// Invalid: the input breaks a rule. The message says what to do.
	Invalid Kind = "INVALID"
	// Conflict: the input is valid but conflicts with the current state.
	Conflict Kind = "CONFLICT"
	// LimitReached: a limit of the account or store is reached.
	LimitReached Kind = "LIMIT_REACHED"
	// RateLimited: there were too many requests. A later one can succeed.
	RateLimited Kind = "RATE_LIMITED"
	// ComplexityLimit: the operation is too large to run.
	ComplexityLimit Kind = "COMPLEXITY_LIMIT"
	// EventBridgeNotConfigured: the server does not send events to Amazon EventBridge.
	EventBridgeNotConfigured Kind = "EVENT_BRIDGE_NOT_CONFIGURED"
	// Internal: the server failed. The cause is logged and never shown.
	Internal Kind = "INTERNAL"
)

// ErrUnavailable is in the error chain of a temporary internal error: the database
// cannot be reached or does not answer in time. The caller can try again soon.
var ErrUnavailable = errors.New("the database is unavailable")

// Error is a failure with a message for its caller.
type Error struct {
	// Kind is the error code for programs.
	Kind Kind
	// Message is for users and safe to show to the caller.
	Message string
	// Field is the path of the invalid input, such as "input.scopes", or empty if
	// the error is about no single input.
	Field string
	// RequiredScopes are the missing scopes, for Forbidden.
	RequiredScopes []string
	// Remaining is what remains of a limit of money, for LimitReached: a decimal number such as 19.90, or empty.
	Remaining string

	cause error
}

// Errorf returns an error of the kind with a message that is safe to show.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an error of the kind whose message is safe to show and whose
// cause is only for logs and errors.Is.
func Wrap(cause error, kind Kind, format string, args ...any) *Error {
	e := Errorf(kind, format, args...)
	e.cause = cause
	return e
}

// Because returns a copy of e with the cause, as for Wrap.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// On returns a copy of e with the input field.
func (e *Error) On(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// Requiring returns a copy of e with the missing scopes.
func (e *Error) Requiring(scopes ...string) *Error {
	c := *e
	c.RequiredScopes = scopes
	return &c
}

// Leaving returns a copy of e with what remains of a limit.
func (e *Error) Leaving(remaining string) *Error {
	c := *e
	c.Remaining = remaining
	return &c
}

// Error returns the message, preceded by the field if there is one. It omits the
// cause, so that printing an error cannot leak it.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// List is several errors that are reported together.
type List []*Error

// Error joins the messages.
func (l List) Error() string {
	texts := make([]string, len(l))
	for i, e := range l {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the errors, for errors.Is and errors.As.
func (l List) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// Err returns the list as an error: nil if it is empty, and the only element if
// there is one.
func (l List) Err() error {
	switch len(l) {
	case 0:
		return nil
	case 1:
		return l[0]
	default:
		return l
	}
}

// KindOf returns the kind of the first *Error in err's chain, or Internal if there
// is none. It returns "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // the usual case: errors.As costs more than all else here
		return e.Kind
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// failures is implemented by *Error and List, so that errors.As finds the first of
// either type in a chain.
type failures interface {
	error
	failures() []*Error
}

func (e *Error) failures() []*Error { return []*Error{e} }

func (l List) failures() []*Error { return l }

// Flatten returns the errors in err: the elements of a List, a single *Error, or an
// Internal error whose message does not reveal the cause. It does not look into
// causes. It returns nil for nil.
func Flatten(err error) []*Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // the usual case: errors.As costs more than all else here
		return e.failures()
	}
	var found failures
	if errors.As(err, &found) {
		return found.failures()
	}
	return []*Error{Wrap(err, Internal,
		"Something went wrong on our side. Try again. If it keeps failing, report the request id.")}
}

// Under returns err with the path prepended to every field, so that "name" becomes
// "input.name": a capability knows its own fields, and its caller knows the input
// that contains them. Errors without a field, and errors of other types, are
// returned unchanged.
func Under(err error, path string) error {
	var found failures
	if !errors.As(err, &found) {
		return err
	}
	list := make(List, len(found.failures()))
	for i, e := range found.failures() {
		if e.Field != "" {
			e = e.On(path + "." + e.Field)
		}
		list[i] = e
	}
	return list.Err()
}
