package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/leak"
)

const acmeID = "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"

// server is a latchkey serve process.
type server struct {
	process *exec.Cmd
	// public and admin are base URLs.
	public, admin string
	mu            sync.Mutex
	log           bytes.Buffer
	// stdout is the file that standard output goes to.
	stdout string
	ended  chan struct{}
}

// environment returns the environment of the commands of a test.
func environment(t *testing.T, url string) map[string]string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "test.key")
	run(t, nil, "key", "create", key)
	return map[string]string{"LATCHKEY_DATABASE_URL": url, "LATCHKEY_KEY_FILE": key, "LATCHKEY_RATE_LIMITS": "off",
		"LATCHKEY_SHUTDOWN_DELAY": "0s"}
}

// serve starts a server and waits until it listens. The test kills it at its
// end.
func serve(t *testing.T, env map[string]string, args ...string) *server {
	t.Helper()
	s := launch(t, env, args...)
	deadline := time.Now().Add(30 * time.Second)
	for !s.listening() {
		select {
		case <-s.ended:
			t.Fatalf("the server exited, want it to listen: %s", s.logged())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not listen after 30s, want it to: %s", s.logged())
		}
	}
	return s
}

func launch(t *testing.T, env map[string]string, args ...string) *server {
	t.Helper()
	s := &server{ended: make(chan struct{}), stdout: filepath.Join(t.TempDir(), "stdout")}
	s.process = exec.Command(program(t), append([]string{"serve", "--addr", "127.0.0.1:0", "--admin-addr",
		"127.0.0.1:0", "--log-format", "json"}, args...)...)
	s.process.Env = os.Environ()
	for name, value := range env {
		s.process.Env = append(s.process.Env, name+"="+value)
	}
	out, err := os.Create(s.stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s.process.Stdout = out
	errs, err := s.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	go s.follow(errs)
	t.Cleanup(func() {
		s.kill()
		for _, found := range leak.Find([]byte(s.logged())) {
			t.Errorf("the log: got the secret %s, want none", found)
		}
	})
	return s
}

// follow reads the log and finds the addresses in it.
func (s *server) follow(log io.Reader) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct {
			Msg     string `json:"msg"`
			Address string `json:"address"`
			Admin   string `json:"admin_address"`
			TLS     bool   `json:"tls"`
		}
		s.mu.Lock()
		s.log.Write(append(lines.Bytes(), '\n'))
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			s.public, s.admin = "http://"+line.Address, "http://"+line.Admin
			if line.TLS {
				s.public = "https://" + line.Address
			}
		}
		s.mu.Unlock()
	}
	_ = s.process.Wait()
	close(s.ended)
}

func (s *server) listening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.public != ""
}

// printed returns the standard output of the server before it listened.
func (s *server) printed(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.stdout)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// kill kills the process, like a crash, and waits for its end.
func (s *server) kill() {
	_ = s.process.Process.Kill()
	<-s.ended
}

// stop stops the process like an operator and returns its exit status.
func (s *server) stop(t *testing.T) int {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return s.exits(t)
}

// exits waits for the process to end and returns its exit status.
func (s *server) exits(t *testing.T) int {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("the server still runs after 30s, want it stopped: %s", s.logged())
	}
	return s.process.ProcessState.ExitCode()
}

// graphql is a response of the API.
type graphql struct {
	status int
	Data   json.RawMessage `json:"data"`
	Errors []struct {
		Message    string `json:"message"`
		Extensions struct {
			Code  string `json:"code"`
			Field string `json:"field"`
		} `json:"extensions"`
	} `json:"errors"`
}

// ask posts a query to the API of the account Acme. It returns an error if the
// connection failed.
func (s *server) ask(token, query string) (graphql, error) {
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		return graphql{}, err
	}
	req, err := http.NewRequest("POST", s.public+"/accounts/"+acmeID+"/graphql", bytes.NewReader(body))
	if err != nil {
		return graphql{}, err
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return graphql{}, err
	}
	defer res.Body.Close()
	answer := graphql{status: res.StatusCode}
	return answer, json.NewDecoder(res.Body).Decode(&answer)
}

// must is ask for a query that must succeed.
func (s *server) must(t *testing.T, token, query string, into any) {
	t.Helper()
	answer, err := s.ask(token, query)
	if err != nil || len(answer.Errors) > 0 {
		t.Fatalf("%s: got %v, errors %+v, want none", query, err, answer.Errors)
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		t.Fatal(err)
	}
}

// issue issues a token.
func issue(name, more string) string {
	return fmt.Sprintf(
		`mutation { apiToken { createApiToken(input: {name: %q, %s}) { apiToken { id } credentials { accessToken } } } }`, name, more)
}

type issued struct {
	APIToken struct {
		CreateAPIToken struct {
			APIToken    struct{ ID string }
			Credentials struct{ AccessToken string }
		} `json:"createApiToken"`
	}
}

func revoke(id string) string {
	return fmt.Sprintf(`mutation { apiToken { revokeApiTokens(input: {ids: [%q]}) { revokedIds } } }`, id)
}

// demo starts a server with the demo data and returns the owner's session.
func demo(t *testing.T, env map[string]string, args ...string) (*server, string) {
	t.Helper()
	s := serve(t, env, append(args, "--demo", "--output", "json")...)
	var welcome struct{ URL, AccountID, OwnerEmail, SessionToken string }
	if err := json.Unmarshal([]byte(s.printed(t)), &welcome); err != nil {
		t.Fatal(err)
	}
	if welcome.URL != s.public || welcome.AccountID != acmeID || !strings.HasPrefix(welcome.SessionToken, "lku_") {
		t.Fatalf("the demo: got %s, account %s, want %s, account %s and a session", welcome.URL, welcome.AccountID,
			s.public, acmeID)
	}
	return s, welcome.SessionToken
}
