package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/graph"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

var errWire = errors.New("wire: connection to 10.0.0.1 lost")

// refusing is a repository of users whose answer is an error, or a panic.
type refusing struct {
	user.Repository
	users func(ctx context.Context) error
}

func (r refusing) Users(ctx context.Context, _ uuid.UUID, _ user.Filter, _ paging.Window) (paging.Page[user.User],
	error) {
	return paging.Page[user.User]{}, r.users(ctx)
}

func failingWith(t *testing.T, users func(ctx context.Context) error) api {
	return newAPI(t, func(c *graph.Config) { c.Users = user.NewService(refusing{users: users}, nil, nil, time.Now) })
}

func answering(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

const usersQuery = `{ account { users { edges { node { id } } } } }`

// at is where the field "users" of usersQuery stands.
const at = `"locations":[{"line":1,"column":13}],"path":["account","users"]`

func TestErrors(t *testing.T) {
	reader := holding("account_users_read")
	const something = `{"errors":[{"message":"Something went wrong on our side. Try again. If it keeps failing, report the request id.",` +
		at + `,"extensions":{"code":"INTERNAL","requestId":"r-1"}}],"data":null}`
	var nobody *user.User
	tests := []struct {
		name  string
		users func(context.Context) error
		want  string // in full
		log   string // "" for none
	}{
		{"a fault", answering(fault.Errorf(fault.NotFound, "There is no such \"thing\".\n")),
			`{"errors":[{"message":"There is no such \"thing\".\n",` + at +
				`,"extensions":{"code":"NOT_FOUND","requestId":"r-1"}}],"data":null}`, ""},
		{"a fault about an input, wrapped",
			answering(fmt.Errorf("list: %w", fault.Wrap(errWire, fault.Invalid, "No.").On("first"))),
			`{"errors":[{"message":"No.",` + at +
				`,"extensions":{"code":"INVALID","field":"first","requestId":"r-1"}}],"data":null}`, ""},
		{"a limit", answering(fault.Errorf(fault.LimitReached, "Too much.").Leaving("0.50")),
			`{"errors":[{"message":"Too much.",` + at +
				`,"extensions":{"code":"LIMIT_REACHED","remaining":0.50,"requestId":"r-1"}}],"data":null}`, ""},
		{"several faults", answering(fault.List{fault.Errorf(fault.Invalid, "One.").On("a"), auth.Denied("x", "y")}),
			`{"errors":[{"message":"One.",` + at + `,"extensions":{"code":"INVALID","field":"a","requestId":"r-1"}},` +
				`{"message":"You do not have permission to do this operation.",` + at +
				`,"extensions":{"code":"FORBIDDEN","requiredScopes":["x","y"],"requestId":"r-1"}}],"data":null}`, ""},
		{"an error that is not a fault", answering(fmt.Errorf("list: %w", errWire)), something, errWire.Error()},
		{"an internal fault", answering(fault.Wrap(fault.Wrap(errWire, fault.Internal, "Inner."), fault.Internal,
			"Told.")),
			strings.Replace(something,
				"Something went wrong on our side. Try again. If it keeps failing, report the request id.", "Told.", 1),
			errWire.Error()},
		{"a panic of the runtime", func(context.Context) error { return errors.New(nobody.Email) }, something,
			"nil pointer dereference"},
		{"a panic", func(context.Context) error { panic("lka_secret") }, something, "resolver panicked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := failingWith(t, tt.users)
			check.Equal(t, a.query(reader, usersQuery, nil), tt.want, "response")
			log := a.log.String()
			if tt.log == "" && log != "" {
				t.Errorf("the log: got %s, want nothing", log)
			}
			if tt.log != "" && (strings.Count(log, "\n") != 1 || !strings.Contains(log, tt.log) ||
				!strings.Contains(log, `"request_id":"r-1"`)) {
				t.Errorf("logged %s, want one line with %q", log, tt.log)
			}
			if strings.Contains(log, "lka_secret") {
				t.Errorf("the log: got %s, want it without the value of the panic", log)
			}
		})
	}
}

// One failure that ends many fields is one line in the log.
func TestFailureIsLoggedOnce(t *testing.T) {
	a := failingWith(t, answering(errWire))
	got := a.query(holding("account_users_read"),
		`{ account { a: users { edges { cursor } } b: users { edges { cursor } } } }`, nil)
	if strings.Count(got, "INTERNAL") != 2 || strings.Count(a.log.String(), "\n") != 1 {
		t.Errorf("got %s, logged %s, want INTERNAL twice and one line", got, a.log)
	}
}

func TestTimeIsUp(t *testing.T) {
	a := failingWith(t, func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("query: %w", ctx.Err())
	})
	const limit = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	w := a.send(newRequest("POST", "", body(usersQuery, nil)).WithContext(ctx), holding("account_users_read"))
	want := `{"errors":[{"message":"The request took longer than 200ms. Request less at once, or try again.",` + at +
		`,"extensions":{"code":"INTERNAL","requestId":"r-1"}}],"data":null}`
	check.Equal(t, strings.TrimSpace(w.Body.String()), want, "response")
	if log := a.log.String(); !strings.Contains(log, "deadline exceeded") {
		t.Errorf("the log: got %s, want \"deadline exceeded\"", log)
	}
}

// silentContext is the context of a request that the server canceled because the
// database does not respond.
type silentContext struct{ context.Context }

func (c silentContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return nil
}

// A query is not blamed for a database that does not answer.
func TestQueryOfASilentDatabase(t *testing.T) {
	a := failingWith(t, func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("query: %w", ctx.Err())
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	w := a.send(newRequest("POST", "", body(usersQuery, nil)).WithContext(silentContext{ctx}),
		holding("account_users_read"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" ||
		!strings.Contains(w.Body.String(), "The database does not answer. Try again.") ||
		strings.Contains(w.Body.String(), `"data"`) {
		t.Errorf("got %d %v %s, want 503 with Retry-After 1 and no data", w.Code, w.Header(), w.Body)
	}
}

// A client that disconnects is not an internal error.
func TestClientIsGone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	a := failingWith(t, func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	})
	a.send(newRequest("POST", "", body(usersQuery, nil)).WithContext(ctx), holding("account_users_read"))
	if log := a.log.String(); log != "" {
		t.Errorf("the log: got %s, want nothing", log)
	}
}

// An error of decoding input has the path of the input.
func TestBadInput(t *testing.T) {
	const create = `mutation($input: CreateApiTokenInput!) { apiToken { createApiToken(input: $input) { apiToken { id } } } }`
	const filtered = `query($filter: ApiTokenFilterInput) { account { apiTokens(filter: $filter) { edges { cursor } } } }`
	tests := []struct {
		name      string
		query     string
		variables map[string]any
		want      string // of the errors; requestId left out
	}{
		{"a scalar of ours in a variable", create,
			map[string]any{"input": map[string]any{"name": "a", "scopes": "x", "expiresAt": "soon"}},
			`{"message":"Variable $input.expiresAt: \"soon\" is not of type DateTime. A DateTime is a string in RFC 3339: 2026-01-31T09:30:00Z.","extensions":{"code":"INVALID","field":"input.expiresAt"}}`},
		{"a scalar of ours in the document",
			`mutation { apiToken { createApiToken(input: {name: "a", scopes: [], expiresAt: 1}) { apiToken { id } } } }`, nil,
			`{"message":"A DateTime is a string in RFC 3339: 2026-01-31T09:30:00Z.","locations":[{"line":1,"column":80}],"extensions":{"code":"INVALID","field":"input.expiresAt"}}`},
		{"a variable's part is missing", create, map[string]any{"input": map[string]any{"name": "a"}},
			`{"message":"Variable $input.scopes: must be defined.","extensions":{"code":"INVALID","field":"input.scopes"}}`},
		{"a variable's element is null", create,
			map[string]any{"input": map[string]any{"name": "a", "scopes": []any{"x", nil}}},
			`{"message":"Variable $input.scopes.1: cannot be null.","extensions":{"code":"INVALID","field":"input.scopes.1"}}`},
		{"a variable's part is unknown", create,
			map[string]any{"input": map[string]any{"name": "a", "scopes": []any{}, "scope": "x"}},
			`{"message":"Variable $input.scope: unknown field.","extensions":{"code":"INVALID","field":"input.scope"}}`},
		{"a value of an enum, written in another way",
			`query($level: ApiTokenLevel!) { scopeCatalog(level: $level) { key } }`, map[string]any{"level": "account"},
			`{"message":"Variable $level: \"account\" is not a valid ApiTokenLevel (ACCOUNT, STORE).","extensions":{"code":"INVALID","field":"level"}}`},
		{"in a list, in an input", filtered,
			map[string]any{"filter": map[string]any{"statuses": []any{"ACTIVE", "Expired"}}},
			`{"message":"Variable $filter.statuses.1: \"Expired\" is not a valid ApiTokenStatus (ACTIVE, EXPIRED, REVOKED).","extensions":{"code":"INVALID","field":"filter.statuses.1"}}`},
		{"one for a list", filtered, map[string]any{"filter": map[string]any{"statuses": "active"}},
			`{"message":"Variable $filter.statuses: \"active\" is not a valid ApiTokenStatus (ACTIVE, EXPIRED, REVOKED).","extensions":{"code":"INVALID","field":"filter.statuses"}}`},
		{"null for a condition", `query($yes: Boolean = true) { __typename @include(if: $yes) }`,
			map[string]any{"yes": nil},
			`{"message":"Variable $yes: cannot be null. Omit it for its default.","extensions":{"code":"INVALID","field":"yes"}}`},
		{"a literal of another type", `{ node(id: true) { id } }`, nil,
			`{"message":"Expected a value of type \"ID!\", found a boolean.","locations":[{"line":1,"column":12}],"extensions":{"code":"INVALID"}}`},
		{"a name that may have been meant", `{ viewr { kind } }`, nil,
			`{"message":"Cannot query field \"viewr\" on type \"Query\". Did you mean \"viewer\"?","locations":[{"line":1,"column":3}],"extensions":{"code":"INVALID"}}`},
	}
	a := newAPI(t, nil)
	by := holding("account_api_tokens_write", "account_api_tokens_read", "account_users_read")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.ReplaceAll(a.query(by, tt.query, tt.variables), `,"requestId":"r-1"`, "")
			if !strings.HasPrefix(got, `{"errors":[`+tt.want+`]`) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	if log := a.log.String(); log != "" {
		t.Errorf("the log: got %s, want nothing", log)
	}
}

// A few bytes must not come back as many.
func TestErrorsAreBounded(t *testing.T) {
	a := newAPI(t, nil)
	for name, query := range map[string]string{
		"many":  "{" + strings.Repeat("nothing ", 2000) + "}",
		"long":  "{" + strings.Repeat("nothing", 50_000) + "}",
		"value": `{ node(id: [` + strings.Repeat("true ", 2000) + `]) { id } }`,
	} {
		if got := a.query(holding(), query, nil); len(got) > 20_000 || !strings.Contains(got, "INVALID") {
			t.Errorf("%s: got %d bytes, %.200s, want INVALID of at most 20000", name, len(got), got)
		}
	}
}

// An error does not contain a value of the wrong type: it may be a password.
func TestWrongValuesAreNotRepeated(t *testing.T) {
	const password = `mutation { user { createUserWithPassword(input: {email: "a@b.example", firstName: "A", lastName: "B", locale: "en",
		password: %s, passwordConfirmation: "x"}) { user { id } } } }`
	in := func(literal string) string { return fmt.Sprintf(password, literal) }
	const storeStatus = `mutation { user { setStoreUserStatus(input: {storeId: "a", userId: "b", status: %s}) { storeUser { id } } } }`
	for _, tt := range []struct{ name, query, want string }{
		{"a whole number", in("9876543210"), `Expected a value of type \"String!\", found a whole number.`},
		{"a number too large", in("98765432109876543210987"),
			`Expected a value of type \"String!\", found a whole number.`},
		{"a number", in("98765.43210"), `Expected a value of type \"String!\", found a number.`},
		{"a boolean", in("true"), `Expected a value of type \"String!\", found a boolean.`},
		{"null", in("null"), `Expected a value of type \"String!\", found null.`},
		{"a name", in("DefSecret44"), `Expected a value of type \"String!\", found a name.`},
		{"a list", in(`["DefSecret44", 9876543210]`), `Expected a value of type \"String!\", found a list.`},
		{"an object", in(`{DefSecret44: 9876543210}`), `Expected a value of type \"String!\", found an object.`},
		{"two strings", in(`"x" "DefSecret44"`), `found String`},
		{"two numbers", in(`"x" 9876543210`), `found Int`},
		{"a string out of place", `"DefSecret44" query { viewer { kind } }`, `Unexpected`},
		{"the default of a variable", `query($p: String! = DefSecret44) { viewer { kind } }`,
			`Expected a value of type \"String!\", found a name.`},
		{"a default that is too large",
			`query($p: DateTime = 98765432109876543210987) { account { users(filter: {updatedAfter: $p}) { edges { cursor } } } }`, `Expected a value of type \"UserFilterInput\", found an object.`},
		{"a string for an enum", fmt.Sprintf(storeStatus, `"DefSecret44"`),
			`Expected a value of type \"StoreUserStatus!\" (ACTIVE, INACTIVE), found a string.`},
		{"no value of an enum", fmt.Sprintf(storeStatus, `DefSecret44`),
			`Expected a value of type \"StoreUserStatus!\" (ACTIVE, INACTIVE), found another name.`},
		{"a string for an input", `mutation { user { createUser(input: "DefSecret44") { user { id } } } }`,
			`Expected a value of type \"CreateUserInput!\", found a string.`},
		{"a string for a number", `{ account { users(first: "DefSecret44") { edges { cursor } } } }`,
			`Expected a value of type \"Int\", found a string.`},
		{"a block for a boolean", `{ viewer @include(if: """DefSecret44""") { kind } }`,
			`Expected a value of type \"Boolean!\", found a string.`},
		{"a field that an input has not",
			`mutation { user { createUser(input: {emial: "DefSecret44"}) { user { id } } } }`,
			`Field \"emial\" is not defined by type \"CreateUserInput\". Did you mean \"email\"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t, nil)
			// The second without suggestions.
			for _, query := range []string{tt.query, tt.query + strings.Repeat(" ", 20<<10)} {
				got := a.query(holding("account_users_write", "account_users_read"), query, nil)
				want, _, _ := strings.Cut(tt.want, " Did you mean")
				if query == tt.query {
					want = tt.want
				}
				if !strings.Contains(got, want) || !strings.Contains(got, `"code":"INVALID"`) {
					t.Errorf("got %s, want %s", got, want)
				}
				for _, value := range []string{"DefSecret44", "98765"} {
					if strings.Contains(got, value) {
						t.Errorf("got %s, want it without the value %s", got, value)
					}
				}
			}
		})
	}
}
