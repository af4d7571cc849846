package httpserver_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/internal/config"
	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

const minutes = 30 * time.Minute

// limited returns a server with these quotas per half hour, so that no request
// returns while a test runs.
func limited(t *testing.T, token, account, failure int) *running {
	t.Helper()
	return limitedTo(t, whoami, token, account, failure)
}

// limitedTo is limited with a handler for the API.
func limitedTo(t *testing.T, api http.HandlerFunc, token, account, failure int) *running {
	t.Helper()
	return start(t, api, func(c *httpserver.Config) {
		c.TrustedProxies = prefixes("127.0.0.0/8")
		c.Rates = config.Rates{
			On: true, Token: config.Rate{Requests: token, Window: minutes},
			Account: config.Rate{Requests: account, Window: minutes},
			Failure: config.Rate{Requests: failure, Window: minutes},
		}
	})
}

// standing returns the rate-limit headers: quota, left and window.
func standing(a answer) string {
	h := a.Header
	return h.Get("X-Rate-Limit-Requests-Quota") + " " + h.Get("X-Rate-Limit-Requests-Left") + " " +
		h.Get("X-Rate-Limit-Time-Window-Ms")
}

func within(t *testing.T, what, text string, least, most int) {
	t.Helper()
	if n, err := strconv.Atoi(text); err != nil || n < least || n > most {
		t.Errorf("%s: got %q, want from %d to %d", what, text, least, most)
	}
}

func TestRateOfAToken(t *testing.T) {
	server := limited(t, 2, 100, 100)
	for _, want := range []string{"2 1 1800000", "2 0 1800000"} {
		got := server.api(t, "X-Auth-Token: "+goodToken)
		if got.StatusCode != 200 || standing(got) != want || got.Header.Get("Retry-After") != "" {
			t.Errorf("got %d, %q, want %q", got.StatusCode, standing(got), want)
		}
	}
	for range 3 {
		got := server.api(t, "X-Auth-Token: "+goodToken)
		if got.StatusCode != 429 || standing(got) != "2 0 1800000" || !strings.Contains(got.text, "Retry-After") {
			t.Errorf("got %d, %q, %s, want 429, \"2 0 1800000\" and a mention of Retry-After", got.StatusCode,
				standing(got), got.text)
		}
		within(t, "Retry-After", got.Header.Get("Retry-After"), 880, 900)
		within(t, "X-Rate-Limit-Time-Reset-Ms", got.Header.Get("X-Rate-Limit-Time-Reset-Ms"), 1_780_000, 1_800_000)
	}
	if got := server.api(t, "X-Auth-Token: "+secondToken); got.StatusCode != 200 {
		t.Errorf("another token: got %d, want 200", got.StatusCode)
	}
	server.toldOnce(t, "limit=token", `limit="token"} 3`)
}

func TestRateOfAnAccount(t *testing.T) {
	server := limited(t, 3, 4, 100)
	for i, want := range []string{"3 2 1800000", "3 1 1800000", "3 0 1800000", "3 0 1800000"} {
		if got := server.api(t, "X-Auth-Token: "+goodToken); standing(got) != want ||
			(got.StatusCode == 200) != (i < 3) {
			t.Errorf("got %d, %q, want %q", got.StatusCode, standing(got), want)
		}
	}
	// The refused requests of the first token did not charge the account.
	for _, want := range []string{"4 0 1800000", "4 0 1800000"} {
		if got := server.api(t, "X-Auth-Token: "+secondToken); standing(got) != want {
			t.Errorf("got %d, %q, want %q", got.StatusCode, standing(got), want)
		}
	}
	server.toldOnce(t, "limit=account", `limit="account"} 1`)
}

func TestRateOfFailures(t *testing.T) {
	server := limited(t, 100, 100, 3)
	from := func(client, credential string) answer {
		return server.api(t, "X-Auth-Token: "+credential, "X-Forwarded-For: "+client)
	}
	for _, step := range []struct {
		name, client, credential string
		status                   int
	}{
		{"good, and remembered", "192.0.2.1", goodToken, 200},
		{"first failure", "192.0.2.1", "lka_bad", 401},
		{"our own failure is not the client's", "192.0.2.1", "lka_broken", 500},
		{"a missing credential does not count", "192.0.2.1", "", 401},
		{"second failure", "192.0.2.1", "lka_worse", 401},
		{"third failure", "192.0.2.1", "lka_bad", 401},
		{"over", "192.0.2.1", "lka_bad", 429},
		{"over, with nothing to judge", "192.0.2.1", "", 401},
		{"over, the good one", "192.0.2.1", goodToken, 200},
		{"over, a good one that is new", "192.0.2.1", secondToken, 200},
		{"over, one that fails its check part", "192.0.2.1", "lka_typo1", 401},
		{"over, another one", "192.0.2.1", "lka_typo2", 401},
		{"over, a guess", "192.0.2.1", "lka_guess1", 401},
		{"over, the same guess", "192.0.2.1", "lka_guess1", 429},
		{"over, a second guess", "192.0.2.1", "lka_guess2", 401},
		{"over, a third guess", "192.0.2.1", "lka_guess3", 401},
		{"over, a guess too many", "192.0.2.1", "lka_guess4", 429},
		{"over, with many guesses, the good ones", "192.0.2.1", secondToken, 200},
		{"elsewhere, a bad one", "192.0.2.2", "lka_bad", 401},
	} {
		if got := from(step.client, step.credential); got.StatusCode != step.status {
			t.Errorf("%s: got %d, want %d", step.name, got.StatusCode, step.status)
		}
	}
	got := from("192.0.2.1", "lka_bad")
	check.Equal(t, standing(got), "3 0 1800000", "rate limit")
	within(t, "Retry-After", got.Header.Get("Retry-After"), 580, 600)
	server.toldOnce(t, "limit=address", `limit="address"} 4`)
	if log := server.log.String(); strings.Contains(log, "is not among --trusted-proxies") {
		t.Errorf("the log: got %s, want no warning about a trusted proxy", log)
	}
}

// toldOnce checks that the refusals have one log line together, and that the
// metrics count each.
func (r *running) toldOnce(t *testing.T, which, count string) {
	t.Helper()
	name, value, _ := strings.Cut(which, "=")
	log := r.log.String()
	check.Equal(t, strings.Count(log, `"rate limit reached","`+name+`":"`+value+`"`), 1, "%s %s", which, log)
	if strings.Contains(log, `"status":429`) {
		t.Errorf("the log: got %s, want no line of a refused request", log)
	}
	if got := r.do(t, "GET", r.admin+"/metrics", ""); !strings.Contains(got.text,
		"latchkey_rate_limited_total{"+count+"\n") {
		t.Errorf("metrics: got %s, want %s", got.text, count)
	}
}

func TestOneTooManyIsRefusedBeforeTheBodyIsRead(t *testing.T) {
	server := limited(t, 1, 1, 1)
	server.api(t, "X-Auth-Token: "+goodToken)
	body, writer := io.Pipe() // never sends a byte
	defer writer.Close()
	req, err := http.NewRequest("POST", server.public+apiPath, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 1 << 20
	req.Header.Set("X-Auth-Token", goodToken)
	res, err := server.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	check.Equal(t, res.StatusCode, 429, "status")
}

func TestNoRates(t *testing.T) {
	got := start(t, whoami, nil).api(t, "X-Auth-Token: "+goodToken)
	for name := range got.Header {
		if strings.HasPrefix(name, "X-Rate-Limit") {
			t.Errorf("got header %s, want no rate limit", name)
		}
	}
}

// A token with a wrong checksum does not count as a failure, so it locks out no
// other client at its address.
func TestTypingErrorsAreNotCounted(t *testing.T) {
	server := limited(t, 100, 100, 3)
	for i := range 20 {
		for _, line := range []string{"X-Auth-Token: lka_typo", "Authorization: Bearer a b"} {
			if got := server.api(t, line+strconv.Itoa(i)); got.StatusCode != 401 {
				t.Fatalf("attempt %d with %s: got %d, want 401", i, line, got.StatusCode)
			}
		}
	}
	if got := server.do(t, "GET", server.admin+"/metrics", ""); !strings.Contains(got.text, `limit="address"} 0`) {
		t.Errorf("metrics: got %s, want no client that reached the limit of its address", got.text)
	}
	if got := server.api(t, "X-Auth-Token: "+goodToken); got.StatusCode != 200 {
		t.Errorf("a new valid token: got %d, want 200", got.StatusCode)
	}
}

// If an address that reaches the limit sends X-Forwarded-For and is not
// trusted, the log has a warning: it may be a proxy shared by all clients.
func TestLimitBehindAnUntrustedProxyIsLogged(t *testing.T) {
	server := start(t, whoami, func(c *httpserver.Config) {
		one := config.Rate{Requests: 1, Window: minutes}
		c.Rates = config.Rates{On: true, Token: one, Account: one, Failure: one}
	})
	const warning = "but is not among --trusted-proxies"
	attempt := func(want int, headers ...string) {
		t.Helper()
		if got := server.api(t, append(headers, "X-Auth-Token: lka_bad")...); got.StatusCode != want {
			t.Errorf("got %d, want %d", got.StatusCode, want)
		}
	}
	attempt(401, "X-Forwarded-For: 192.0.2.1")
	attempt(429)
	if log := server.log.String(); strings.Contains(log, warning) {
		t.Errorf("the log: got %s, want no warning", log)
	}
	for range 3 {
		attempt(429, "X-Forwarded-For: 192.0.2.1")
	}
	check.Equal(t, strings.Count(server.log.String(), warning), 1, "warnings")
}
