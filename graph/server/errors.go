package server

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

// problem is one error of a response.
type problem struct {
	*fault.Error
	path      ast.Path
	locations []gqlerror.Location
}

// refusal is the response to a request that is not executed. It has errors and
// no data.
type refusal struct {
	// status is the HTTP status. Zero means that the request is valid HTTP but
	// invalid GraphQL; its status depends on the media type.
	status int
	// allow is the Allow header of a 405 response.
	allow    string
	problems []problem
}

func refuse(status int, kind fault.Kind, format string, args ...any) *refusal {
	return &refusal{status: status, problems: []problem{{Error: fault.Errorf(kind, format, args...)}}}
}

// statusOf returns the HTTP status for an error of a request that is not
// executed.
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
	case fault.EventBridgeNotConfigured:
		return http.StatusNotImplemented
	default:
		return http.StatusInternalServerError
	}
}

// WriteError writes the response to a request that failed before it reached the
// API, in the API's error format. The response does not show the details of an
// error that is not a fault; the caller must log it.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	a := newAnswer(w)
	defer a.release()
	a.media, _ = negotiate(r.Header["Accept"])
	status := statusOf(fault.KindOf(err))
	if status == http.StatusInternalServerError && errors.Is(err, fault.ErrUnavailable) {
		status = http.StatusServiceUnavailable
		w.Header()["Retry-After"] = []string{"1"}
	}
	problems := make([]problem, 0, 1) // nearly always one
	for _, f := range fault.Flatten(err) {
		problems = append(problems, problem{Error: f})
	}
	a.write(status, problems, nil)
}

// notAdmitted returns the refusal of an operation that Config.Admit refused.
func notAdmitted(err error) *refusal {
	refused := &refusal{status: statusOf(fault.KindOf(err))}
	if fault.KindOf(err) == fault.ComplexityLimit {
		refused.status = 0
	}
	for _, f := range fault.Flatten(err) {
		refused.problems = append(refused.problems, problem{Error: f})
	}
	return refused
}

// invalid returns the refusal of a document that does not parse or validate.
func invalid(errs gqlerror.List) *refusal {
	refused := &refusal{}
	for _, e := range errs {
		refused.problems = append(refused.problems, problem{
			Error: fault.Errorf(fault.Invalid, "%s", shorten(e.Message)), locations: e.Locations,
		})
	}
	return refused
}

// shorten truncates a text that contains input of the client.
func shorten(text string) string {
	const longest = 500
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// inputPath formats a path in an input: "input.ids.3".
func inputPath(path ast.Path) string {
	elements := make([]string, len(path))
	for i, element := range path {
		elements[i] = fmt.Sprint(element)
	}
	return shorten(strings.Join(elements, "."))
}

// present sets the path and location of an error of a running operation. An
// error of decoding an argument has a path that continues into the input; it
// becomes a fault on that input.
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
		return e // the arguments were decoded
	}
	input := inputPath(e.Path[len(at):])
	f := fault.Errorf(fault.Invalid, "%s", shorten(e.Message))
	var own *fault.Error
	if errors.As(err, &own) {
		f = own
	}
	return &gqlerror.Error{Err: f.On(input), Path: at, Locations: e.Locations}
}

// explain returns the errors for the response, and logs internal ones.
func (r *run) explain(ctx context.Context, errs gqlerror.List) []problem {
	var problems []problem
	for _, e := range errs {
		cause := e.Err
		if cause == nil {
			cause = e
		}
		for _, f := range fault.Flatten(cause) {
			if f.Kind == fault.Internal {
				f = r.internal(ctx, f, e.Path)
			}
			problems = append(problems, problem{f, e.Path, e.Locations})
		}
	}
	return problems
}

// errPanicked is the error of a field whose resolver panicked. The panic has
// already been logged.
var errPanicked = errors.New("a resolver panicked")

// recovered logs a panic and returns errPanicked. The panic value may contain
// secrets, so only runtime errors are logged with their text.
func (r *run) recovered(ctx context.Context, value any) error {
	what := "a value that is not a runtime error"
	if err, ok := value.(runtime.Error); ok {
		what = err.Error()
	}
	r.config.Log.LogAttrs(ctx, slog.LevelError, "resolver panicked", slog.String("panic", what),
		slog.String("request_id", r.requestID), slog.String("path", graphql.GetPath(ctx).String()),
		slog.String("stack", string(debug.Stack())))
	return errPanicked
}

// internal logs the cause of an internal error and returns the error for the
// response. A cause that fails several fields is logged once.
//
// A request that timed out is INTERNAL too: the database may be slow, or the
// query large, and clients that act on codes should retry.
func (r *run) internal(ctx context.Context, f *fault.Error, path ast.Path) *fault.Error {
	switch {
	case errors.Is(f, errPanicked):
		return f
	case errors.Is(ctx.Err(), fault.ErrUnavailable):
		if r.op.Operation == ast.Query {
			r.unavailable = true
			f = fault.Wrap(f, fault.Internal, "The database does not answer. Try again.")
		}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		f = fault.Wrap(f, fault.Internal,
			"The request took longer than %s. Request less at once, or try again.", r.allowed(ctx))
	case ctx.Err() != nil:
		return f // the client has disconnected
	}
	cause := causes(f)
	if !slices.Contains(r.logged, cause) {
		r.logged = append(r.logged, cause)
		r.config.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("error", cause),
			slog.String("request_id", r.requestID), slog.String("path", path.String()))
	}
	return f
}

// allowed returns the timeout of the request, rounded up to a tenth of a second,
// because part of it had passed when the handler was called.
func (r *run) allowed(ctx context.Context) time.Duration {
	const step = 100 * time.Millisecond
	deadline, _ := ctx.Deadline()
	return (deadline.Sub(r.started) + step - 1).Truncate(step)
}

// causes returns the text of an error with those of its internal causes.
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

// count passes the errors of a response to Config.OnError.
func (r *run) count(problems []problem) {
	if r.config.OnError == nil {
		return
	}
	for _, p := range problems {
		var operation, group string
		if r.op != nil {
			operation = string(r.op.Operation)
			if len(p.path) > 0 {
				group = rootField(r.op.SelectionSet, p.path[0])
			}
		}
		r.config.OnError(operation, group, p.Kind)
	}
}

// rootField returns the name of the field with the alias. Clients choose aliases
// freely; the names are those of the schema.
func rootField(set ast.SelectionSet, alias ast.PathElement) string {
	for _, selection := range set {
		var name string
		switch s := selection.(type) {
		case *ast.Field:
			if ast.PathName(s.Alias) == alias {
				return s.Name
			}
		case *ast.InlineFragment:
			name = rootField(s.SelectionSet, alias)
		case *ast.FragmentSpread:
			name = rootField(s.Definition.SelectionSet, alias)
		}
		if name != "" {
			return name
		}
	}
	return ""
}
