package promises_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/cli"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// The tenants of these tests.
const (
	acme, globex         = "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01", "3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02"
	acmeOwner, shopOwner = "owner@acme.example", "eu@acme.example"
	globexOwner          = "owner@globex.example"

	manifest = `
accounts:
  - uuid: ` + acme + `
    name: Acme Retail
    features: [automated_billing]
    owner: {email: ` + acmeOwner + `, first_name: Acme, last_name: Owner, locale: en}
    apps:
      - {id: 4711, name: Acme Subscriptions, status: published}
    stores:
      - {hash: acme1us, name: Acme US}
      - {hash: acme2eu, name: Acme EU, owner: {email: ` + shopOwner + `, first_name: Store, last_name: Owner, locale: de}}
  - uuid: ` + globex + `
    name: Globex
    owner: {email: ` + globexOwner + `, first_name: Globex, last_name: Owner, locale: en}
    apps:
      - {id: 4712, name: Globex Reports, status: draft}
    stores:
      - {hash: globex1, name: Globex Shop}
`
)

// deployment is a database with two tenants, its keys, and the program's commands.
type deployment struct {
	t        *testing.T
	url, key string
	// settings override the defaults of setting, by name.
	settings map[string]string
}

// eachDeployment runs a test with a new deployment on each database.
func eachDeployment(t *testing.T, test func(*testing.T, *deployment)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		h := &deployment{t: t, url: url, key: filepath.Join(t.TempDir(), "test.key")}
		h.run("", "key", "create", h.key)
		h.run(manifest, "apply", "-f", "-")
		test(t, h)
	})
}

// setting returns the value of an environment variable.
func (h *deployment) setting(name string) (string, bool) {
	if value, set := h.settings[name]; set {
		return value, true
	}
	value, set := map[string]string{
		"LATCHKEY_DATABASE_URL": h.url, "LATCHKEY_KEY_FILE": h.key, "LATCHKEY_PUBLIC_URL": "https://keys.example",
		"LATCHKEY_ADDR": "127.0.0.1:0", "LATCHKEY_ADMIN_ADDR": "127.0.0.1:0", "LATCHKEY_LOG_FORMAT": "json",
		"LATCHKEY_LOG_LEVEL":         "debug",
		"LATCHKEY_LAST_USE_INTERVAL": "1m", "LATCHKEY_TRUSTED_PROXIES": "127.0.0.1/32",
		"LATCHKEY_RATE_LIMITS": "off", "LATCHKEY_SHUTDOWN_DELAY": "0s",
		"LATCHKEY_WEBHOOK_WORKERS": "0", "LATCHKEY_MAX_WEBHOOKS": "1000",
	}[name]
	return value, set
}

// run runs a command that must succeed, and returns its output.
func (h *deployment) run(stdin string, args ...string) (stdout, stderr string) {
	h.t.Helper()
	var out, errs strings.Builder
	if code := cli.Main(h.t.Context(), args, h.setting, strings.NewReader(stdin), &out, &errs); code != 0 {
		h.t.Fatalf("latchkey %s: got exit status %d, want 0\n%s", strings.Join(args, " "), code, &errs)
	}
	return out.String(), errs.String()
}

// session starts a session for an owner.
func (h *deployment) session(email string) string {
	h.t.Helper()
	value, _ := h.run("", "session", "create", "--email", email)
	return strings.TrimSpace(value)
}

// node is a server of the deployment, in this process.
type node struct {
	t             *testing.T
	public, admin string
	client        *http.Client
	stop          func()

	mu     sync.Mutex
	output bytes.Buffer // standard output and the log
}

// Write collects the server's output.
func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.output.Write(p)
}

func (n *node) printed() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.output.String()
}

// serve starts a server and waits until it is ready.
func (h *deployment) serve() *node {
	h.t.Helper()
	n := &node{t: h.t, client: &http.Client{Transport: &http.Transport{}}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	ended := make(chan int, 1)
	go func() { ended <- cli.Main(ctx, []string{"serve"}, h.setting, strings.NewReader(""), n, n) }()
	n.stop = sync.OnceFunc(func() {
		n.client.CloseIdleConnections()
		cancel()
		check.Equal(h.t, <-ended, 0, "the server ended with status: %s", n.printed())
	})
	h.t.Cleanup(func() {
		n.stop()
		dbtest.NoSecrets(h.t, "the server's output", []byte(n.printed()))
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if n.findAddresses() && n.ready() {
			return n
		}
		if len(ended) > 0 || time.Now().After(deadline) {
			h.t.Fatalf("the server: got it not ready, want it within 20s: %s", n.printed())
		}
	}
}

func (n *node) findAddresses() bool {
	for line := range strings.Lines(n.printed()) {
		var entry struct {
			Msg          string
			Address      string
			AdminAddress string `json:"admin_address"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
			n.public, n.admin = "http://"+entry.Address, "http://"+entry.AdminAddress
		}
	}
	return n.public != ""
}

func (n *node) ready() bool {
	res, err := n.client.Get(n.admin + "/readyz")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// answer is a response of the API.
type answer struct {
	status    int
	body      string
	requestID string
	// AccessToken is set in responses of the OAuth token endpoint.
	AccessToken string `json:"access_token"`
	Data        map[string]any
	Errors      []struct {
		Message    string
		Extensions struct {
			Code, Field    string
			RequiredScopes []string
		}
	}
}

// codes returns the codes of all errors.
func (a answer) codes() []string {
	var codes []string
	for _, e := range a.Errors {
		codes = append(codes, e.Extensions.Code)
	}
	return codes
}

// text returns the text at a path in the data, such as "apiToken.createApiToken.credentials.accessToken". A number in
// the path is an index into a list. It returns "" if there is no text.
func (a answer) text(path string) string {
	var at any = a.Data
	for name := range strings.SplitSeq(path, ".") {
		switch some := at.(type) {
		case map[string]any:
			at = some[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(some) {
				return ""
			}
			at = some[i]
		default:
			return ""
		}
	}
	text, _ := at.(string)
	return text
}

// vars holds the variables of a query.
type vars map[string]any

// ask posts a query to an account's API.
func (n *node) ask(token, account, query string, v vars) answer {
	n.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": v})
	if err != nil {
		n.t.Fatal(err)
	}
	return n.send(http.MethodPost, "/accounts/"+account+"/graphql", string(body),
		map[string]string{"X-Auth-Token": token})
}

// must is ask for a query that must succeed.
func (n *node) must(token, account, query string, v vars) answer {
	n.t.Helper()
	a := n.ask(token, account, query, v)
	if a.status != http.StatusOK || len(a.Errors) > 0 {
		n.t.Fatalf("%s: got status %d, errors %+v, want 200 and none", query, a.status, a.Errors)
	}
	return a
}

// send sends any request. Headers may replace the usual ones.
func (n *node) send(method, path, body string, headers map[string]string) answer {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.public+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := n.client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, body: string(text), requestID: res.Header.Get("X-Request-Id")}
	if len(text) > 0 && strings.Contains(res.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(text, &a); err != nil {
			n.t.Fatalf("the response is not JSON: %v: %s", err, text)
		}
	}
	for name, values := range res.Header {
		a.body += fmt.Sprintf("\n%s: %s", name, strings.Join(values, ", "))
	}
	return a
}

// The mutations.
const (
	create = `mutation($in: CreateApiTokenInput!) { apiToken { createApiToken(input: $in) {
		apiToken { id name level scopes } credentials { accessToken clientSecret clientId } } } }`
	update = `mutation($in: UpdateApiTokenInput!) { apiToken { updateApiToken(input: $in) { apiToken { id name scopes } } } }`
	rotate = `mutation($in: RotateApiTokenInput!) { apiToken { rotateApiToken(input: $in) { apiToken { id } accessToken previousExpiresAt } } }`
	revoke = `mutation($in: RevokeApiTokensInput!) { apiToken { revokeApiTokens(input: $in) { revokedIds revokedAt } } }`

	provision   = `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items { action code message } } } }`
	deprovision = `mutation($in: DeprovisionUsersInput!) { account { deprovisionUsers(input: $in) { items { action code message apiTokensToReview { id } } } } }`
	remove      = `mutation($in: RemoveUserFromAccountInput!) { account { removeUserFromAccount(input: $in) {
		userId apiTokensToReview { id name } revokedApiTokenIds } } }`
)

// issued is a token with its secrets.
type issued struct{ id, access, clientID, clientSecret string }

// issue creates a token.
func (n *node) issue(by, account string, in vars) issued {
	n.t.Helper()
	a := n.must(by, account, create, vars{"in": in})
	const made = "apiToken.createApiToken."
	const credentials = made + "credentials."
	return issued{a.text(made + "apiToken.id"), a.text(credentials + "accessToken"), a.text(credentials + "clientId"),
		a.text(credentials + "clientSecret")}
}

// asClient posts a form to an OAuth endpoint, authenticated as the client of a token.
func (n *node) asClient(i issued, ip, path string, form url.Values) answer {
	n.t.Helper()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(i.clientID+":"+i.clientSecret))
	return n.send(http.MethodPost, path, form.Encode(), map[string]string{
		"Authorization": basic, "Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": ip,
	})
}

// granted returns an access token issued to the client of a token.
func (n *node) granted(i issued) string {
	n.t.Helper()
	a := n.asClient(i, "", "/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
	if a.status != http.StatusOK || a.AccessToken == "" {
		n.t.Fatalf("granting an access token: got status %d, want 200 and a token", a.status)
	}
	return a.AccessToken
}

// works reports whether a credential is accepted by the account's API.
func (n *node) works(token, account string) bool {
	n.t.Helper()
	switch a := n.ask(token, account, "{ viewer { kind } }", nil); a.status {
	case http.StatusOK:
		return true
	case http.StatusUnauthorized:
		return false
	default:
		n.t.Fatalf("got status %d: %s, want 200 or 401", a.status, a.body)
		return false
	}
}
