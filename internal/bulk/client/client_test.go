package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/bulk/client"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

const accountID = "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"

func token(t *testing.T) secret.Secret {
	t.Helper()
	value, err := secret.Generate(strings.NewReader(strings.Repeat("seed", 20)), secret.AccountAccessToken)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// newClient calls the server at url and records how long it would wait.
func newClient(t *testing.T, url string, pauses *[]time.Duration) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{
		URL: url, Account: uuid.MustParse(accountID), Token: token(t), Timeout: 5 * time.Second,
		Wait: func(_ context.Context, pause time.Duration) error { *pauses = append(*pauses, pause); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reply is one response of a server.
type reply struct {
	status int
	header map[string]string
	body   string
}

// server sends the replies in order, and repeats the last one from then on.
func server(t *testing.T, replies ...reply) (url string, requests *int) {
	t.Helper()
	requests = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		one := replies[min(*requests, len(replies)-1)]
		*requests++
		for name, value := range one.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(one.status)
		_, _ = io.WriteString(w, one.body)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func TestDoSendsTheOperation(t *testing.T) {
	var got struct {
		Query     string
		Variables map[string]any
	}
	var path, auth, accept string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, auth, accept = r.Method+" "+r.URL.Path, r.Header.Get("X-Auth-Token"), r.Header.Get("Accept")
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"data":{"n":7}}`)
	}))
	defer s.Close()
	var pauses []time.Duration
	var into struct{ N int }
	if err := newClient(t, s.URL+"/keys/", &pauses).Do(t.Context(), "{ n }", map[string]any{"a": 1},
		&into); err != nil {
		t.Fatal(err)
	}
	if into.N != 7 || got.Query != "{ n }" || got.Variables["a"] != 1.0 || len(pauses) > 0 {
		t.Errorf("the answer %+v to %+v after waits %v, want 7 to { n } with a = 1 and no waits", into, got, pauses)
	}
	if path != "POST /keys/accounts/"+accountID+"/graphql" || auth != token(t).Reveal() ||
		accept != "application/json" {
		t.Errorf("the request: got %s, the token unchanged: %v, %s, want a POST to the account's address with it, for JSON",
			path, auth == token(t).Reveal(), accept)
	}
}

func TestDoRetries(t *testing.T) {
	const date = "Sun, 22 Nov 2026 10:00:00 GMT"
	done := reply{200, nil, `{"data":{"n":1}}`}
	for _, tc := range []struct {
		name    string
		replies []reply
		want    []time.Duration
		fails   string
	}{
		{name: "twice busy", replies: []reply{{503, nil, ""}, {502, nil, ""}, done},
			want: []time.Duration{500 * time.Millisecond, time.Second}},
		{name: "Retry-After in seconds", replies: []reply{{429, map[string]string{"Retry-After": "3"}, ""}, done},
			want: []time.Duration{3 * time.Second}},
		{name: "Retry-After as a date",
			replies: []reply{{503, map[string]string{"Date": date, "Retry-After": "Sun, 22 Nov 2026 10:00:07 GMT"}, ""},
				done},
			want: []time.Duration{7 * time.Second}},
		{name: "invalid Retry-After", replies: []reply{{503, map[string]string{"Retry-After": "soon"}, ""}, done},
			want: []time.Duration{500 * time.Millisecond}},
		{name: "Retry-After of an hour", replies: []reply{{429, map[string]string{"Retry-After": "3600"},
			`{"errors":[{"message":"Too many.","extensions":{"code":"RATE_LIMITED"}}]}`}},
			fails: "Too many."},
		{name: "always busy", replies: []reply{{503, nil, ""}},
			fails: "responded with status 503 and not as the API does",
			want: []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second,
				8 * time.Second}},
		{name: "refused",
			replies: []reply{{403, nil, `{"errors":[{"message":"No.","extensions":{"code":"FORBIDDEN"}}]}`}},
			fails:   "No."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, requests := server(t, tc.replies...)
			var pauses []time.Duration
			var into struct{ N int }
			err := newClient(t, url, &pauses).Do(t.Context(), "{ n }", nil, &into)
			if tc.fails == "" && (err != nil || into.N != 1) || tc.fails != "" &&
				(err == nil || !strings.Contains(err.Error(), tc.fails)) {
				t.Errorf("Do: got error %v and %+v, want the error %q, or 1 if empty", err, into, tc.fails)
			}
			if !slices.Equal(pauses, tc.want) || *requests != len(tc.want)+1 {
				t.Errorf("waits %v, %d requests, want %v and %d", pauses, *requests, tc.want, len(tc.want)+1)
			}
		})
	}
}

func TestDoReturnsRefusals(t *testing.T) {
	for _, tc := range []struct {
		name    string
		reply   reply
		kind    fault.Kind
		message string
	}{
		{"with a code and a field", reply{200, nil,
			`{"data":{"a":null},"errors":[{"message":"Bad.","extensions":{"code":"CONFLICT","field":"input.users"}}]}`},
			fault.Conflict, "input.users: Bad."},
		{"several",
			reply{200, nil,
				`{"errors":[{"message":"A.","extensions":{"code":"NOT_FOUND"}},{"message":"B.","extensions":{"code":"INVALID"}}]}`},
			fault.NotFound, "A.; B."},
		{"an unknown code", reply{400, nil, `{"errors":[{"message":"New.","extensions":{"code":"NEWS"}}]}`},
			fault.Invalid, "New."},
		{"no code", reply{400, nil, `{"errors":[{"message":"Plain."}]}`}, fault.Invalid, "Plain."},
		{"an internal error", reply{500, nil,
			`{"errors":[{"message":"Wrong here.","extensions":{"code":"INTERNAL","requestId":"r1"}}]}`},
			fault.Internal, "the server responded: Wrong here. (request r1)"},
		{"another server", reply{404, nil, "<html>"}, fault.Internal,
			"responded with status 404 and not as the API does"},
		{"nothing", reply{200, nil, "{}"}, fault.Internal, "responded with status 200 and not as the API does"},
		{"data of another form", reply{200, nil, `{"data":[1]}`}, fault.Internal, "does not have the expected form"},
		{"elsewhere", reply{307, map[string]string{"Location": "https://evil.example/"}, ""}, fault.Invalid,
			`server: The server redirects to "https://evil.example/". Use the server's own address.`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, requests := server(t, tc.reply)
			var pauses []time.Duration
			var into struct{ A *int }
			err := newClient(t, url, &pauses).Do(t.Context(), "{ a }", nil, &into)
			if fault.KindOf(err) != tc.kind || err == nil || !strings.Contains(err.Error(), tc.message) ||
				*requests != 1 {
				t.Errorf("Do: got error %v after %d requests, want kind %s with %q after 1",
					err, *requests, tc.kind, tc.message)
			}
			if err != nil && strings.Contains(fmt.Sprintf("%+v", err), token(t).Reveal()) {
				t.Error("the error contains the token, want it without")
			}
		})
	}
	t.Run("the scopes that are missing", func(t *testing.T) {
		url, _ := server(t,
			reply{200, nil,
				`{"errors":[{"message":"No.","extensions":{"code":"FORBIDDEN","requiredScopes":["account_users_write"]}}]}`})
		var pauses []time.Duration
		var refused *fault.Error
		err := newClient(t, url, &pauses).Do(t.Context(), "{ a }", nil, new(any))
		if !errors.As(err, &refused) || !slices.Equal(refused.RequiredScopes, []string{"account_users_write"}) {
			t.Errorf("Do: got error %v, want one that requires account_users_write", err)
		}
	})
}

func TestNoServer(t *testing.T) {
	var pauses []time.Duration
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	err := newClient(t, s.URL, &pauses).Do(t.Context(), "{ a }", nil, new(any))
	if fault.KindOf(err) != fault.Internal || len(pauses) != client.Attempts-1 ||
		strings.Contains(err.Error(), "lka_") {
		t.Errorf("Do: got error %v after waits %v, want kind %s after %d, without the token",
			err, pauses, fault.Internal, client.Attempts-1)
	}
}

// A server whose certificate is not trusted gets no token, and the request is not repeated.
func TestUnknownCertificate(t *testing.T) {
	reached := false
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	s.Config.ErrorLog = nil
	s.StartTLS()
	defer s.Close()
	var pauses []time.Duration
	err := newClient(t, s.URL, &pauses).Do(t.Context(), "{ a }", nil, new(any))
	if err == nil || !strings.Contains(err.Error(), "certificate") || len(pauses) > 0 || reached {
		t.Errorf("Do: got error %v after waits %v, want one about the certificate, without a wait", err, pauses)
	}
}

func TestDoStopsWithItsContext(t *testing.T) {
	url, requests := server(t, reply{503, map[string]string{"Retry-After": "30"}, ""})
	c, err := client.New(client.Config{URL: url, Account: uuid.MustParse(accountID), Token: token(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Do(ctx, "{ a }", nil, new(any)); !errors.Is(err, context.DeadlineExceeded) || *requests != 1 {
		t.Errorf("Do: got error %v after %d requests, want %v after 1", err, *requests, context.DeadlineExceeded)
	}
}

func TestAddresses(t *testing.T) {
	for _, url := range []string{"", "keys.example", "ftp://keys.example", "https://", "https://a:b@keys.example",
		"https://keys.example?x=1", "https://keys.example#x", "://", "https://keys.example:65536"} {
		_, err := client.New(client.Config{URL: url})
		if err == nil || err.Error() != "server: must be a URL such as https://keys.example.com." {
			t.Errorf("New(%q): got error %v, want one about the server's URL", url, err)
		}
	}
}

func TestReadToken(t *testing.T) {
	value := token(t).Reveal()
	for _, end := range []string{"", "\n", "\r\n"} {
		got, err := client.ReadToken(strings.NewReader(value + end))
		if err != nil || got.Reveal() != value {
			t.Errorf("a token before %q: got error %v, want the token", end, err)
		}
	}
	for _, text := range []string{"", "\n", value[:40], " " + value, value + "\n" + value, strings.Repeat("x", 5000)} {
		_, err := client.ReadToken(strings.NewReader(text))
		if fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "lka_") {
			t.Errorf("a text of %d bytes: got error %v, want kind %s without the text", len(text), err, fault.Invalid)
		}
	}
}
