// Package scimapi_test tests the SCIM API as identity providers see it: by requests to the server, over both databases.
package scimapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/graph/server"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/directory"
	"latchkey/internal/gormdb"
	"latchkey/internal/httpserver"
	"latchkey/internal/httpserver/scimapi"
	"latchkey/internal/scope"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// publicURL is the public URL of the server, which begins the addresses in answers.
const publicURL = "https://latchkey.example"

// directories is a server with the account home, whose directory the tests use, and away, of which they see nothing.
type directories struct {
	*world.Services

	directory  *directory.Service
	home, away dbtest.World
	// url is the address of the account's SCIM API, and token an access token with all scopes.
	url, token string
	statements *dbtest.Statements
	client     *http.Client
}

// each runs test on each database, with a server that has the default limits.
func each(t *testing.T, test func(t *testing.T, d *directories)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		test(t, start(t, url, config.Rates{}))
	})
}

// start runs a server until the test ends: with an account that has an owner, a first store with its own owner, a
// second store, and two users, both in each store.
func start(t *testing.T, url string, rates config.Rates) *directories {
	t.Helper()
	d := &directories{statements: &dbtest.Statements{}, client: &http.Client{Transport: &http.Transport{}}}
	d.Services = world.New(t, url, world.Options{OnStatement: d.statements.Add})
	d.home = dbtest.Seed{Stores: 2, StoreOwner: true, Users: 2, MembersPerStore: 2}.Make(t, d.DB)
	d.away = dbtest.Seed{Users: 1, MembersPerStore: 1}.Make(t, d.DB)
	d.directory = directory.NewService(gormdb.Directory(d.DB), d.Memberships, d.Clock.Now, httpserver.Charge)
	log := slog.New(slog.NewJSONHandler(&complaints{t}, nil))
	listen := func() net.Listener {
		l, err := httpserver.Listen(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	c := httpserver.Config{
		Public: listen(), Admin: listen(), Grace: 5 * time.Second, Verifier: d.Verifier, Rates: rates,
		Limits: config.HTTP{MaxBody: 1 << 20, MaxHeader: 16384, ReadTimeout: 10 * time.Second,
			WriteTimeout: 40 * time.Second, IdleTimeout: 5 * time.Second, RequestTimeout: 30 * time.Second},
		API: http.NotFoundHandler(), WriteError: server.WriteError,
		SCIM: scimapi.New(d.directory, publicURL, log), WriteSCIMError: scimapi.WriteError,
		PublicURL: publicURL, Log: log,
	}
	s, err := httpserver.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		d.client.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	d.url = "http://" + c.Public.Addr().String() + "/accounts/" + d.home.Account.ID.String() + "/scim/v2"
	d.token = d.issue(t, scope.AccountUsersRead, scope.AccountUsersWrite, scope.AccountUsersDelete)
	return d
}

// issue issues an account-level API token with the scopes, and returns its access token.
func (d *directories) issue(t *testing.T, scopes ...string) string {
	t.Helper()
	issued, err := d.Tokens.Create(t.Context(), d.owner(t), token.Request{Owner: token.AccountOwner(d.home.Account),
		Name: "Identity provider", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return issued.AccessToken.Reveal()
}

// owner returns a session of the account's owner.
func (d *directories) owner(t *testing.T) *auth.Principal {
	t.Helper()
	by, err := d.Verifier.Principal(t.Context(), d.session(t, d.home, d.home.Owner.Email), auth.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	return by
}

// session starts a session of the user with the address, and returns its secret.
func (d *directories) session(t *testing.T, in dbtest.World, email string) string {
	t.Helper()
	operator := auth.OperatorPrincipal()
	_, value, err := d.Users.StartSession(t.Context(), &operator,
		user.SessionRequest{Email: email, AccountID: in.Account.ID, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return value.Reveal()
}

// complaints fails the test for errors and secrets in the log.
type complaints struct{ t *testing.T }

func (c *complaints) Write(line []byte) (int, error) {
	dbtest.NoSecrets(c.t, "the log", line)
	if bytes.Contains(line, []byte(`"level":"ERROR"`)) {
		c.t.Errorf("the log: got %s, want no error", line)
	}
	return len(line), nil
}

// answer is a response with its body, decoded if it is JSON.
type answer struct {
	*http.Response

	text string
	json any
}

// send sends a request to a path below the API with the token; headers are "Name: value" lines, and an empty value
// removes the header.
func (d *directories) send(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := d.try(method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try is send for other goroutines than the test's.
func (d *directories) try(method, path, body string, headers ...string) (answer, error) {
	r, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	res, err := d.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	a := answer{Response: res, text: string(text)}
	if len(text) > 0 && err == nil {
		err = json.Unmarshal(text, &a.json)
	}
	return a, err
}

// at returns the value at a path of names and numbers, joined by dots, or nil.
func (a answer) at(path string) any { return at(a.json, path) }

func at(value any, path string) any {
	for path != "" {
		var name string
		// The name of an extension has dots.
		if strings.HasPrefix(path, "urn:latchkey:params:scim:schemas:extension:2.0:Group") {
			name, path = path[:len("urn:latchkey:params:scim:schemas:extension:2.0:Group")],
				strings.TrimPrefix(path[len("urn:latchkey:params:scim:schemas:extension:2.0:Group"):], ".")
		} else {
			name, path, _ = strings.Cut(path, ".")
		}
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i := 0
			for _, c := range name {
				i = 10*i + int(c-'0')
			}
			if i >= len(v) || i < 0 {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// wantStatus checks the status and, of a failure, the form of the error.
func wantStatus(t *testing.T, a answer, want int, doing string) {
	t.Helper()
	if a.StatusCode != want {
		t.Fatalf("%s: got status %d, %s, want %d", doing, a.StatusCode, a.text, want)
	}
	if media := a.Header.Get("Content-Type"); a.text != "" && media != "application/scim+json" {
		t.Errorf("%s: got the media type %q, want application/scim+json", doing, media)
	}
	if want >= 400 {
		if detail, _ := a.at("detail").(string); detail == "" || a.at("status") != a.Status[:3] ||
			a.at("schemas.0") != "urn:ietf:params:scim:api:messages:2.0:Error" {
			t.Errorf("%s: got %s, want an error of SCIM with status %d and a detail", doing, a.text, want)
		}
	}
}
