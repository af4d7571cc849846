package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	dbtest "latchkey/internal/test/db"
)

// maxMemory is the maximum memory of a server under load, in bytes
// (docs/users.md: "Passwords").
const maxMemory = 120_000_000

// Many concurrent password hashes, for created users and for sign-ins, and
// large bodies to unauthenticated endpoints keep the server's memory within its
// limit.
func TestFloodStaysWithinMemory(t *testing.T) {
	const clients, rounds = 20, 2
	useWithoutRace(t)
	// Requests queue for as long as a busy machine needs.
	s, session := demo(t, environment(t, dbtest.SQLiteURL(t)), "--request-timeout", "2m", "--write-timeout", "3m")
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for round := range rounds {
				f := flood{server: s, t: t, name: fmt.Sprintf("%d-%d", client, round)}
				f.createUser(session)
				f.signIn()
				f.sendLargeBodies()
			}
		})
	}
	all.Wait()
	used := s.peakMemory(t)
	t.Logf("the server used up to %d bytes", used)
	if used > maxMemory {
		t.Errorf("the server used up to %d bytes, want at most %d", used, maxMemory)
	}
}

// Far more clients that create users with passwords than may wait for a hash keep the server's memory within its limit,
// too: the others are refused at once.
func TestManyClientsStayWithinMemory(t *testing.T) {
	const clients = 250
	useWithoutRace(t)
	s, session := demo(t, environment(t, dbtest.SQLiteURL(t)), "--request-timeout", "2m", "--write-timeout", "3m")
	var all sync.WaitGroup
	var created, refused atomic.Int64
	for client := range clients {
		all.Go(func() {
			const password = "violet harbour lantern 7f"
			answer, err := s.ask(session, fmt.Sprintf(`mutation { user { createUserWithPassword(input: {
				email: "f%d@flood.example", firstName: "F", lastName: "L", locale: "en", password: %q, passwordConfirmation: %[2]q}) { user { id } } } }`,
				client, password))
			switch {
			case err == nil && len(answer.Errors) == 0:
				created.Add(1)
			case err == nil && answer.Errors[0].Extensions.Code == "RATE_LIMITED":
				refused.Add(1)
			default:
				t.Errorf("create a user: got %v, errors %+v, want none or RATE_LIMITED", err, answer.Errors)
			}
		})
	}
	all.Wait()
	used := s.peakMemory(t)
	t.Logf("the server used up to %d bytes for %d users and %d refusals", used, created.Load(), refused.Load())
	if used > maxMemory || created.Load() == 0 {
		t.Errorf("got %d bytes for %d users, want at most %d for at least 1", used, created.Load(), maxMemory)
	}
}

// peakMemory returns the peak resident set size of the server in bytes.
func (s *server) peakMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, _, found := strings.Cut(after, "kB")
	n, err := strconv.Atoi(strings.TrimSpace(kilobytes))
	if !found || err != nil {
		t.Fatalf("VmHWM in /proc: got %q, %v, want a number", kilobytes, err)
	}
	return n << 10
}

// flood is one round of requests of one client.
type flood struct {
	*server

	t    *testing.T
	name string
}

// createUser creates a user with a password. Few requests may wait for a hash at a time: the others are refused.
func (f flood) createUser(session string) {
	password := "violet harbour lantern " + f.name
	answer, err := f.ask(session, fmt.Sprintf(`mutation { user { createUserWithPassword(input: {
		email: "f%s@flood.example", firstName: "F", lastName: "L", locale: "en", password: %q, passwordConfirmation: %q}) { user { id } } } }`,
		f.name, password, password))
	if err != nil || len(answer.Errors) > 0 && answer.Errors[0].Extensions.Code != "RATE_LIMITED" {
		f.t.Errorf("create a user: got %v, errors %+v, want none or RATE_LIMITED", err, answer.Errors)
	}
}

// signIn sends a wrong password, once with a valid address and once with one of
// 1 MB.
func (f flood) signIn() {
	if status, err := f.post("/signin", "", url.Values{"email": {"u" + f.name + "@flood.example"},
		"password": {"wrong guess"}}.Encode()); err != nil ||
		status != http.StatusUnprocessableEntity && status != http.StatusTooManyRequests {
		f.t.Errorf("sign in: got %d, %v, want 422 or 429", status, err)
	}
	f.large("/signin", "", "password=wrong+guess&email=")
}

// sendLargeBodies sends 1 MB to each kind of endpoint that needs no credential.
func (f flood) sendLargeBodies() {
	query, err := json.Marshal(map[string]string{"query": "{ viewer { kind } } #"})
	if err != nil {
		f.t.Error(err)
	}
	f.large("/accounts/"+acmeID+"/graphql", "application/json", string(query))
	for _, path := range []string{
		"/oauth2/token", "/oauth2/introspect", "/gateway/check", "/forgot", "/signin/code", "/signin/passkey",
		"/signin/passkey/options",
		"/link/x", "/setup/x", "/profile", "/accounts/" + acmeID + "/tokens", "/nowhere",
	} {
		f.large(path, "", "email=")
	}
}

// large posts a body of 1 MB that begins with text. The server refuses it or
// asks for a sign-in, and may close the connection early.
func (f flood) large(path, kind, begins string) {
	status, err := f.post(path, kind, begins+strings.Repeat("a", 1_000_000))
	if err == nil && (status < http.StatusMultipleChoices || status >= http.StatusInternalServerError) {
		f.t.Errorf("1 MB to %s: got %d, want 3xx or 4xx", path, status)
	}
}

// post sends a body, a form unless a content type is given, and returns the
// status.
func (f flood) post(path, kind, body string) (int, error) {
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.public+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	if kind == "" {
		kind = "application/x-www-form-urlencoded"
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", "text/html")
	res, err := http.DefaultTransport.RoundTrip(req) // does not follow redirects
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}
