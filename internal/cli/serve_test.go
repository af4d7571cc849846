package cli_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// The demo's instructions work as printed: the first command issues a token,
// the second lists users with it, the third revokes it.
func TestDemoAsPrinted(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		s := serve(t, environment(t, url), "--demo")
		welcome := s.printed(t)
		for _, want := range []string{s.public, acmeID, "owner@acme.example", "lku_"} {
			if !strings.Contains(welcome, want) {
				t.Fatalf("the output of --demo: got %d bytes without %s, want it", len(welcome), want)
			}
		}
		commands := regexp.MustCompile(`(?m)^  curl .*\\\n.*$`).FindAllString(welcome, -1)
		if len(commands) != 3 {
			t.Fatalf("commands in the output of --demo: got %d, want 3", len(commands))
		}
		var made struct{ Data issued }
		shell(t, commands[0], &made)
		token := made.Data.APIToken.CreateAPIToken
		variables := "TOKEN='" + token.Credentials.AccessToken + "'\nID='" + token.APIToken.ID + "'\n"

		var listed struct {
			Data struct {
				Account struct {
					Users struct{ CollectionInfo struct{ TotalItems int } }
				}
			}
		}
		shell(t, variables+commands[1], &listed)
		check.Equal(t, listed.Data.Account.Users.CollectionInfo.TotalItems, 5,
			"listed.Data.Account.Users.CollectionInfo.TotalItems")

		var revoked struct {
			Data struct {
				APIToken struct{ RevokeAPITokens struct{ RevokedIDs []string } }
			}
		}
		shell(t, variables+commands[2], &revoked)
		if got := revoked.Data.APIToken.RevokeAPITokens.RevokedIDs; len(got) != 1 || got[0] != token.APIToken.ID {
			t.Errorf("revoked tokens: got %v, want %s only", got, token.APIToken.ID)
		}
		if answer, err := s.ask(token.Credentials.AccessToken, "{ viewer { kind } }"); err != nil ||
			answer.status != http.StatusUnauthorized {
			t.Errorf("the revoked token: got %d, %v, want 401", answer.status, err)
		}
	})
}

// shell runs a command and parses its output as JSON. It does not print the
// output, which has secrets.
func shell(t *testing.T, command string, into any) {
	t.Helper()
	out, err := exec.Command("sh", "-c", command).Output()
	if err != nil {
		t.Fatalf("the command failed: %v", err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("the output is not JSON: %v", err)
	}
	if strings.Contains(string(out), `"errors"`) {
		t.Fatal("output: got errors, want none")
	}
}

func TestDemoTwice(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		first, session := demo(t, env)
		check.Equal(t, first.stop(t), 0, "exit status")
		second, _ := demo(t, env)
		if answer, err := second.ask(session, "{ viewer { kind } }"); err != nil || answer.status != http.StatusOK {
			t.Errorf("the old session: got %d, %v, want 200", answer.status, err)
		}
	})
}

// A demo stops without a delay, unless one is set.
func TestDemoStopsWithoutDelay(t *testing.T) {
	keepRace(t)
	for delay, args := range map[string][]string{"0s": nil, "1ms": {"--shutdown-delay", "1ms"}} {
		env := environment(t, dbtest.SQLiteURL(t))
		delete(env, "LATCHKEY_SHUTDOWN_DELAY")
		s, _ := demo(t, env, args...)
		if code := s.stop(t); code != 0 || !strings.Contains(s.logged(), `"msg":"stopping","delay":"`+delay+`"`) {
			t.Errorf("exit status %d, want the delay %s: %s", code, delay, s.logged())
		}
	}
}

// Warnings about the network are logged once.
func TestWarningsOfTheNetwork(t *testing.T) {
	s := serve(t, environment(t, dbtest.SQLiteURL(t)), "--public-url", "http://keys.example")
	for range 2 {
		req, err := http.NewRequest("GET", s.public+"/gateway/check", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", "192.0.2.1")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	s.stop(t)
	for _, warning := range []string{"over plain http", "X-Forwarded-For is ignored"} {
		check.Equal(t, strings.Count(s.logged(), warning), 1, "%q is logged", warning)
	}
}

// At shutdown, buffered last uses and log lines are written.
func TestStop(t *testing.T) {
	keepRace(t)
	for _, interval := range []string{"1m", "off"} {
		t.Run("last uses "+interval, func(t *testing.T) { testStop(t, interval) })
	}
}

func testStop(t *testing.T, interval string) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env, "--last-use-interval", interval)
		var made issued
		s.must(t, session, issue("First", `scopes: ["account_read"]`), &made)
		var viewer struct{ Viewer struct{ Kind string } }
		s.must(t, made.APIToken.CreateAPIToken.Credentials.AccessToken, "{ viewer { kind } }", &viewer)
		check.Equal(t, viewer.Viewer.Kind, "API_TOKEN", "the viewer")
		check.Equal(t, s.stop(t), 0, "exit status")
		if log := s.logged(); strings.Count(log, `"msg":"request"`) != 2 || !strings.Contains(log, `"msg":"stopping"`) {
			t.Errorf("the log: got %s, want two requests and the stop", log)
		}
		var list struct {
			APITokens []struct {
				LastUsedAt *time.Time
				LastUsedIP string
			}
		}
		if err := json.Unmarshal([]byte(run(t, env, "token", "list", "--account", acmeID, "--output", "json")),
			&list); err != nil {
			t.Fatal(err)
		}
		if len(list.APITokens) != 1 {
			t.Fatalf("tokens: got %+v, want one", list)
		}
		kept := list.APITokens[0].LastUsedAt != nil && list.APITokens[0].LastUsedIP == "127.0.0.1"
		if kept != (interval != "off") {
			t.Errorf("last use: got it recorded %t, want %t", kept, interval != "off")
		}
	})
}

// A second signal terminates a program that stops too slowly, unless it arrives
// together with the first.
func TestSecondSignal(t *testing.T) {
	keepRace(t)
	s, session := demo(t, environment(t, dbtest.SQLiteURL(t)))
	// A request whose body never arrives is in flight.
	body, writer := io.Pipe()
	defer writer.Close()
	req, err := http.NewRequest("POST", s.public+"/accounts/"+acmeID+"/graphql", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", session)
	req.Header.Set("Expect", "100-continue") // so that the client knows when the server waits for the body
	req.Header.Set("Content-Type", "application/json")
	go func() {
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
		}
	}()
	if _, err := writer.Write([]byte(`{"query":`)); err != nil {
		t.Fatal(err)
	}
	signal := func() {
		if err := s.process.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	signal()
	for !strings.Contains(s.logged(), "stopping") {
		time.Sleep(5 * time.Millisecond)
	}
	signal()
	select {
	case <-s.ended:
		t.Fatal("the same signal, sent twice: got the program ended, want it to run")
	case <-time.After(1100 * time.Millisecond):
	}
	signal()
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the second signal: got the program running after 5s, want it ended")
	}
}

func TestReadiness(t *testing.T) {
	keepRace(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		s := serve(t, environment(t, url))
		deadline := time.Now().Add(5 * time.Second)
		for {
			res, err := http.Get(s.admin + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("/readyz: got %d within the time, want 200", res.StatusCode)
			}
		}
	})
}

// When another process updates, rotates or revokes a token, the server stops
// using its cached copy.
func TestServerReceivesChangesOfCommands(t *testing.T) {
	keepRace(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env)
		var made issued
		s.must(t, session, issue("First", `scopes: ["account_read"]`), &made)
		token := made.APIToken.CreateAPIToken
		for range 3 {
			if answer, err := s.ask(token.Credentials.AccessToken, "{ viewer { kind } }"); err != nil ||
				answer.status != http.StatusOK {
				t.Fatalf("a new token: got %d, %v, want 200", answer.status, err)
			}
		}
		run(t, env, "token", "revoke", token.APIToken.ID, "--account", acmeID)
		deadline := time.Now().Add(5 * time.Second)
		for {
			answer, err := s.ask(token.Credentials.AccessToken, "{ viewer { kind } }")
			if err != nil {
				t.Fatal(err)
			}
			if answer.status == http.StatusUnauthorized {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("the revoked token: got it accepted within the time, want 401")
			}
		}
	})
}

// Secrets can be in any part of a request. Neither the log (launch checks it)
// nor the response repeats them.
func TestSecretsInOddPlaces(t *testing.T) {
	s, session := demo(t, environment(t, dbtest.SQLiteURL(t)), "--log-level", "debug")
	var made issued
	s.must(t, session, issue("First", `scopes: ["account_read"]`), &made)
	token := made.APIToken.CreateAPIToken.Credentials.AccessToken
	s.must(t, session, revoke(made.APIToken.CreateAPIToken.APIToken.ID), &struct{}{})
	api := "/accounts/" + acmeID + "/graphql"
	for _, tc := range []struct{ name, method, path, header, body string }{
		{"path", "GET", "/" + token, "", ""},
		{"account", "POST", "/accounts/" + token + "/graphql", session, `{"query":"{viewer{kind}}"}`},
		{"query of the URL", "GET", api + "?access_token=" + token, session, ""},
		{"method", token, api, session, ""},
		{"revoked", "POST", api, token, `{"query":"{viewer{kind}}"}`},
		{"two credentials", "POST", api, session + "," + token, `{"query":"{viewer{kind}}"}`},
		{"document with a syntax error", "POST", api, session, `{"query":"{ ` + token + ` "}`},
		{"unknown field", "POST", api, session, `{"query":"{ ` + token + ` }"}`},
		{"argument", "POST", api, session, `{"query":"{ node(id: \"` + token + `\") { id } }"}`},
		{"variable", "POST", api, session, `{"query":"query($id: ID!) { node(id: $id) { id } }","variables":{"id":"` +
			token + `"}}`},
		{"variable of another type", "POST", api, session,
			`{"query":"query($n: Int!) { account { users(first: $n) { edges { cursor } } } }","variables":{"n":"` +
				token + `"}}`},
		{"name of a token", "POST", api, session,
			`{"query":"mutation { apiToken { createApiToken(input: {name: \"` + token + `\", scopes: [\"` + token +
				`\"]}) { apiToken { id } } } }"}`},
		{"body that is not JSON", "POST", api, session, token},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequest(tc.method, s.public+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Auth-Token", tc.header)
			req.Header.Set("X-Request-Id", token)
			req.Header.Set("User-Agent", token)
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), session) {
				t.Error("response: got the credential, want it absent")
			}
		})
	}
	check.Equal(t, s.stop(t), 0, "exit status")
}

// The response to a refused request has the request id, in the body and, if it
// has that header, the same in the header.
func TestRefusalsNameTheRequest(t *testing.T) {
	s, _ := demo(t, environment(t, dbtest.SQLiteURL(t)))
	for _, path := range []string{"/accounts/" + acmeID + "/graphql", "/gateway/check", "/nowhere"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.public+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Auth-Token", "junk")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Errors []struct{ Extensions struct{ RequestID string } }
		}
		if err := errors.Join(json.NewDecoder(answer.Body).Decode(&body), answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if len(body.Errors) != 1 || body.Errors[0].Extensions.RequestID == "" {
			t.Errorf("%s: got %+v, want one error with a request ID", path, body)
			continue
		}
		// A refusal of the Account API has its id only in the body.
		want := body.Errors[0].Extensions.RequestID
		if strings.HasPrefix(path, "/accounts/") {
			want = ""
		}
		check.Equal(t, answer.Header.Get("X-Request-Id"), want, "%s: the header", path)
	}
}
