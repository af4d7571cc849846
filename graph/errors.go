package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/internal/fault"
)

// problem is one of an answer's errors.
type problem struct {
	*fault.Error
	path      ast.Path
	locations []gqlerror.Location
}

// refusal is a request that is not run: its answer has errors and no data.
type refusal struct {
	// status is the answer's. Zero stands for a request that is right by HTTP
	// and wrong by GraphQL; its status follows from the media type.
	status int
	// allow are the methods for a 405.
	allow    string
	problems []problem
}

func refuse(status int, kind fault.Kind, format string, args ...any) *refusal {
	return &refusal{status: status, problems: []problem{{Error: fault.Errorf(kind, format, args...)}}}
}

// statusOf is the status of an error that ends a request before it is run.
func statusOf(kind fault.Kind) int {
	switch kind {
	case fault.Invalid, fault.ComplexityLimit:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict, fault.LimitReached:
		return http.StatusConflict
	case fault.RateLimited:
		return http.StatusTooManyRequests
	case fault.NotImplemented:
		return http.StatusNotImplemented
	default:
		return http.StatusInternalServerError
	}
}

// WriteError answers an error that ended a request before it reached the API,
// in the form of the API's errors. Of an error that is no fault it tells
// nothing; the caller logs it.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	a := newAnswer(w)
	defer a.release()
	a.media, _ = negotiate(r.Header["Accept"])
	status := statusOf(fault.KindOf(err))
	if status == http.StatusInternalServerError && errors.Is(err, fault.ErrUnavailable) {
		status = http.StatusServiceUnavailable
		w.Header()["Retry-After"] = []string{"1"}
	}
	problems := make([]problem, 0, 1) // there is one, and refusing is to cost nothing
	for _, f := range fault.Flatten(err) {
		problems = append(problems, problem{Error: f})
	}
	a.write(status, problems, nil)
}

// invalid is what a document is refused for that does not parse or validate.
func invalid(errs gqlerror.List) *refusal {
	refused := &refusal{}
	for _, e := range errs {
		refused.problems = append(refused.problems, problem{
			Error: fault.Errorf(fault.Invalid, "%s", shorten(e.Message)), locations: e.Locations,
		})
	}
	return refused
}

// shorten cuts a text that repeats what was sent, which may be long.
func shorten(text string) string {
	const longest = 500
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// inputPath is a path in an input, written as everywhere: "input.ids.3".
func inputPath(path ast.Path) string {
	elements := make([]string, len(path))
	for i, element := range path {
		elements[i] = fmt.Sprint(element)
	}
	return shorten(strings.Join(elements, "."))
}

// present puts an error that came up while an operation ran at its place. An
// error of reading an argument comes with the path of the input below that of
// the field, and becomes a fault about that input.
func present(ctx context.Context, err error) *gqlerror.Error {
	e := gqlerror.WrapIfUnwrapped(err)
	fc := graphql.GetFieldContext(ctx)
	if fc == nil || fc.Field.Field == nil {
		return e
	}
	if position := fc.Field.Position; e.Locations == nil && position != nil {
		e.Locations = []gqlerror.Location{{Line: position.Line, Column: position.Column}}
	}
	at := fc.Path()
	if len(e.Path) <= len(at) || fc.Args != nil {
		return e // the arguments were read
	}
	input := inputPath(e.Path[len(at):])
	told := fault.Errorf(fault.Invalid, "%s", shorten(e.Message))
	var known *fault.Error
	if errors.As(err, &known) {
		told = known
	}
	return &gqlerror.Error{Err: told.On(input), Path: at, Locations: e.Locations}
}

// errPanicked is the cause of what is told of a panic, which is in the log
// already.
var errPanicked = errors.New("a resolver panicked")

// recovered logs a panic and returns what is told of it. What a resolver
// panicked with may hold anything, so only the words of the runtime are
// repeated.
func (r *run) recovered(ctx context.Context, value any) error {
	what := "a value that is no error of the runtime"
	if err, ok := value.(runtime.Error); ok {
		what = err.Error()
	}
	r.log.LogAttrs(ctx, slog.LevelError, "resolver panicked", slog.String("panic", what),
		slog.String("request_id", r.requestID), slog.String("path", graphql.GetPath(ctx).String()),
		slog.String("stack", string(debug.Stack())))
	return errPanicked
}

// internal logs the cause of a failure of ours, each cause once however many
// fields it failed, and returns what is told of it.
//
// A request that ran out of time is INTERNAL too: the time may have been lost
// by a database as well as by a large query, and a client that acts on codes
// shall try again rather than give up.
func (r *run) internal(ctx context.Context, f *fault.Error, path ast.Path) *fault.Error {
	switch {
	case errors.Is(f, errPanicked):
		return f
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		f = fault.Wrap(f, fault.Internal, "The request took longer than %s. Ask for less at once, or try again.", r.allowed(ctx))
	case ctx.Err() != nil:
		return f // the client is gone
	}
	cause := causes(f)
	if !slices.Contains(r.logged, cause) {
		r.logged = append(r.logged, cause)
		r.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("error", cause),
			slog.String("request_id", r.requestID), slog.String("path", path.String()))
	}
	return f
}

// allowed is how long the request was allowed to take, to a tenth of a second:
// some of it was over when the handler was called.
func (r *run) allowed(ctx context.Context) time.Duration {
	const step = 100 * time.Millisecond
	deadline, _ := ctx.Deadline()
	return (deadline.Sub(r.started) + step - 1).Truncate(step)
}

// causes is the text of an error and of the causes that it keeps to itself.
func causes(err error) string {
	var texts []string
	for ; err != nil; err = errors.Unwrap(err) {
		text := err.Error()
		if len(texts) == 0 || !strings.Contains(texts[len(texts)-1], text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ": ")
}
