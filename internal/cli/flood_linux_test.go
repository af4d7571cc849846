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
	"testing"

	"latchkey/internal/dbtest"
)

// mostInFlood is the most memory, in bytes, that a server holds in a flood (docs/users.md: "Passwords").
const mostInFlood = 120_000_000

// A flood of passwords to hash, by users that are created and by sign-ins, and of large bodies to whatever answers anyone,
// leaves the server's memory within its bound.
func TestFloodStaysWithinMemory(t *testing.T) {
	const clients, rounds = 20, 2
	ordinary(t)
	// Requests wait for their turn, however long that takes on a busy machine.
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
	if held := s.mostHeld(t); held > mostInFlood {
		t.Errorf("the server held %d bytes at most, want at most %d", held, mostInFlood)
	}
}

// mostHeld returns the largest resident set of the server so far, in bytes.
func (s *server) mostHeld(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, _, found := strings.Cut(after, "kB")
	n, err := strconv.Atoi(strings.TrimSpace(kilobytes))
	if !found || err != nil {
		t.Fatalf("no VmHWM in /proc: %v", err)
	}
	return n << 10
}

// flood is one round of one client.
type flood struct {
	*server

	t    *testing.T
	name string
}

// createUser creates a user with a password, which must succeed.
func (f flood) createUser(session string) {
	password := "violet harbour lantern " + f.name
	answer, err := f.ask(session, fmt.Sprintf(`mutation { user { createUserWithPassword(input: {
		email: "f%s@flood.example", firstName: "F", lastName: "L", locale: "en", password: %q, passwordConfirmation: %q}) { user { id } } } }`,
		f.name, password, password))
	if err != nil || len(answer.Errors) > 0 {
		f.t.Errorf("create a user: %v, %+v", err, answer.Errors)
	}
}

// signIn tries a wrong password, with an address that could be a user's and with one of 1 MB.
func (f flood) signIn() {
	if status, err := f.post("/signin", "", url.Values{"email": {"u" + f.name + "@flood.example"}, "password": {"wrong guess"}}.Encode()); err != nil ||
		status != http.StatusUnprocessableEntity && status != http.StatusTooManyRequests {
		f.t.Errorf("sign in: %d, %v", status, err)
	}
	f.large("/signin", "", "password=wrong+guess&email=")
}

// sendLargeBodies sends 1 MB to each kind of address that answers without a credential.
func (f flood) sendLargeBodies() {
	query, err := json.Marshal(map[string]string{"query": "{ viewer { kind } } #"})
	if err != nil {
		f.t.Error(err)
	}
	f.large("/accounts/"+acmeID+"/graphql", "application/json", string(query))
	for _, path := range []string{
		"/oauth2/token", "/oauth2/introspect", "/gateway/check", "/forgot", "/signin/code", "/signin/passkey", "/signin/passkey/options",
		"/link/x", "/setup/x", "/profile", "/accounts/" + acmeID + "/tokens", "/nowhere",
	} {
		f.large(path, "", "email=")
	}
}

// large posts a body of 1 MB that begins with some text. The server refuses it or asks for a sign-in, and may close the
// connection before it has read all of it.
func (f flood) large(path, kind, begins string) {
	status, err := f.post(path, kind, begins+strings.Repeat("a", 1_000_000))
	if err == nil && (status < http.StatusMultipleChoices || status >= http.StatusInternalServerError) {
		f.t.Errorf("1 MB to %s: %d", path, status)
	}
}

// post sends a body, a form where no other type is named, and returns the status of the answer.
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
	res, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}
