// Package fault is the one error type of the project: a kind that programs
// act on, a message that is safe to show to the caller, the input field it is
// about, and a cause that stays inside.
//
// A broken rule is a *Error; several broken rules are reported together as
// List. Everything else that is an error is internal: its text is logged and
// never shown.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of failure an error is. The values are the error codes
// of the API (design: "Errors"), one to one.
type Kind string

// The kinds, each with the reason a caller sees it.
const (
	// Unauthenticated: no credential, or one that no longer works.
	Unauthenticated Kind = "UNAUTHENTICATED"
	// Forbidden: a live credential that may not do this.
	Forbidden Kind = "FORBIDDEN"
	// NotFound: no such thing, or one of another account.
	NotFound Kind = "NOT_FOUND"
	// Invalid: input that breaks a rule; the message says what to do.
	Invalid Kind = "INVALID"
	// Conflict: valid input that contradicts the present state.
	Conflict Kind = "CONFLICT"
	// LimitReached: a ceiling of the account or store is reached.
	LimitReached Kind = "LIMIT_REACHED"
	// RateLimited: too many requests; a later one will do.
	RateLimited Kind = "RATE_LIMITED"
	// ComplexityLimit: an operation too large to be run.
	ComplexityLimit Kind = "COMPLEXITY_LIMIT"
	// NotImplemented: a field of the schema whose capability is not built.
	NotImplemented Kind = "NOT_IMPLEMENTED"
	// Internal: our failure; its cause is logged and never shown.
	Internal Kind = "INTERNAL"
)

// ErrUnavailable is the cause, or among the causes, of an error that is
// internal and will pass: what is needed cannot be reached, or does not answer
// in time. Trying again soon is worth it.
var ErrUnavailable = errors.New("the database is unavailable")

// Error is a failure with a message for its caller.
type Error struct {
	// Kind is what programs act on.
	Kind Kind
	// Message is for people, and safe to show to whoever made the request.
	Message string
	// Field is the path of the input at fault, "input.scopes" for example;
	// empty when no single input is.
	Field string
	// RequiredScopes are the scopes that were missing, for Forbidden.
	RequiredScopes []string

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

// Because returns a copy of e with a cause, as Wrap makes them.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// On returns a copy of e that is about the input field.
func (e *Error) On(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// Requiring returns a copy of e that names the scopes that were missing.
func (e *Error) Requiring(scopes ...string) *Error {
	c := *e
	c.RequiredScopes = scopes
	return &c
}

// Error is the safe message, led by the field where there is one. The cause
// is left out, so that printing an error cannot leak it.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// List is several failures reported together: every broken rule at once.
type List []*Error

// Error joins the messages.
func (l List) Error() string {
	texts := make([]string, len(l))
	for i, e := range l {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the failures, for errors.Is and errors.As.
func (l List) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// Err returns the list as an error: nil when it is empty, the single failure
// when there is one.
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

// KindOf returns the kind of err: that of the first *Error in its chain, and
// Internal for any other error. A nil error has no kind.
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

// failures is what *Error and List have in common, so that errors.As finds
// whichever of them comes first in a chain.
type failures interface {
	error
	failures() []*Error
}

func (e *Error) failures() []*Error { return []*Error{e} }

func (l List) failures() []*Error { return l }

// Flatten returns the failures in err: each of a List, a single *Error, or
// one of kind Internal with a message that says nothing of the cause. What
// lies within a failure as its cause stays there. No error has no failures.
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
	return []*Error{Wrap(err, Internal, "Something went wrong on our side. Try again, and give the request id if it stays.")}
}

// Under returns err with every failure's field put below the input path, as
// "name" becomes "input.name": a capability knows its own fields, and the
// caller what they were sent in. A failure that is about no field stays so,
// and an error that is no failure stays as it is.
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
