package httpserver_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/config"
	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

const formType = "Content-Type: application/x-www-form-urlencoded"

// basic returns an Authorization header as RFC 6749, section 2.3.1 requires.
func basic(id, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+
		url.QueryEscape(password)))
}

// form encodes alternating names and values.
func form(pairs ...string) string {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	return strings.Join(parts, "&")
}

// A token response has the members of RFC 6749, section 5.1.
func TestTokenEndpoint(t *testing.T) {
	c := newClients(t)
	server := oauthServer(t, c)
	byBasic := basic(clientID, c.secret.Reveal())
	for _, tc := range []struct {
		name, body string
		headers    []string
		asked      string
	}{
		{"by Basic", "grant_type=client_credentials", []string{byBasic}, ""},
		{"by Basic in another case", "grant_type=client_credentials",
			[]string{strings.Replace(byBasic, "Basic", "bASIC", 1)}, ""},
		{"by Basic with several spaces", "grant_type=client_credentials",
			[]string{strings.Replace(byBasic, "Basic ", "Basic   ", 1)}, ""},
		{"by Basic, with its id in the body", form("grant_type", "client_credentials", "client_id", clientID),
			[]string{byBasic}, ""},
		{"in the body", form("grant_type", "client_credentials", "client_id", clientID, "client_secret",
			c.secret.Reveal(), "scope", "a b"), nil, "a b"},
		{"unknown parameters", "grant_type=client_credentials&audience=x&resource=y&&scope=", []string{byBasic}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c.calls = nil
			got := server.do(t, "POST", server.public+"/oauth2/token", tc.body,
				append(tc.headers, formType+"; charset=UTF-8", "X-Forwarded-For: 192.0.2.9")...)
			want := `{"access_token":"` + c.granted.Reveal() + `","token_type":"Bearer","expires_in":90,"scope":"a b"}`
			if got.StatusCode != 200 || got.text != want {
				t.Errorf("got %d %s, want 200 %s", got.StatusCode, got.text, want)
			}
			for name, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache",
				"Content-Type": "application/json"} {
				check.Equal(t, got.Header.Get(name), want, "%s", name)
			}
			if want := fmt.Sprintf("grant %q to %s at 192.0.2.9", tc.asked, tokenID); !slices.Equal(c.calls,
				[]string{want}) {
				t.Errorf("asked %q, want %q", c.calls, want)
			}
		})
	}
}

// A token that lives less than a second does not have expires_in 0.
func TestExpiresInIsAtLeastOne(t *testing.T) {
	c := newClients(t)
	c.lifetime = time.Millisecond
	server := oauthServer(t, c)
	got := server.do(t, "POST", server.public+"/oauth2/token", "grant_type=client_credentials",
		basic(clientID, c.secret.Reveal()), formType)
	if !strings.Contains(got.text, `"expires_in":1,`) {
		t.Errorf("got %s, want expires_in 1", got.text)
	}
}

// Every error has the form of RFC 6749, section 5.2.
func TestOAuthErrors(t *testing.T) {
	c := newClients(t)
	server := oauthServer(t, c)
	right, grant := basic(clientID, c.secret.Reveal()), "grant_type=client_credentials"
	inBody := form("client_id", clientID, "client_secret", c.secret.Reveal())
	raw := func(text string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
	}
	type testCase struct {
		name, body string
		headers    []string
		status     int
		code       string
	}
	both := []testCase{ // for the token and revocation endpoints
		{"no authentication", grant, nil, 401, "invalid_client"},
		{"an id without a secret", form("client_id", clientID), nil, 401, "invalid_client"},
		{"a secret without an id", form("client_secret", c.secret.Reveal()), nil, 401, "invalid_client"},
		{"the wrong secret", grant, []string{basic(clientID, "lkc_wrong")}, 401, "invalid_client"},
		{"the wrong secret in the body", form("client_id", clientID, "client_secret", "lkc_wrong"), nil, 401,
			"invalid_client"},
		{"an unknown client", grant, []string{basic("nobody", c.secret.Reveal())}, 401, "invalid_client"},
		{"an id that is not encoded", grant, []string{raw(clientID + ":" + c.secret.Reveal())}, 401, "invalid_client"},
		{"an id that is encoded wrongly", grant, []string{raw("100%:secret")}, 401, "invalid_client"},
		{"Basic without a colon", grant, []string{raw("client")}, 401, "invalid_client"},
		{"Basic that is not Base64", grant, []string{"Authorization: Basic ?"}, 401, "invalid_client"},
		{"another scheme", grant, []string{"Authorization: Bearer lka_good"}, 401, "invalid_client"},
		{"by Basic and in the body", inBody, []string{right}, 400, "invalid_request"},
		{"by Basic and with a secret in the body", form("client_secret", "x"), []string{right}, 400, "invalid_request"},
		{"the id of another in the body", form("client_id", "other"), []string{right}, 400, "invalid_request"},
		{"twice by Basic", grant, []string{right, right}, 400, "invalid_request"},
		{"a parameter twice", grant + "&x=1&x=2", []string{right}, 400, "invalid_request"},
		{"the same parameter twice", grant + "&" + grant, []string{right}, 400, "invalid_request"},
		{"no form", "grant_type=%zz", []string{right}, 400, "invalid_request"},
		{"a body too large", "x=" + strings.Repeat("y", 16<<10), []string{right}, 413, "invalid_request"},
		{"too many parameters", "a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1&l=1&m=1&n=1&o=1&p=1&q=1", []string{right},
			400, "invalid_request"},
		{"the database away", grant, []string{basic("unavailable", c.secret.Reveal())}, 503, "temporarily_unavailable"},
		{"a failure of ours", grant, []string{basic("broken", c.secret.Reveal())}, 500, "server_error"},
	}
	ofToken := append(slices.Clone(both), []testCase{
		{"no grant type", "scope=a", []string{right}, 400, "invalid_request"},
		{"an empty grant type", "grant_type=", []string{right}, 400, "invalid_request"},
		{"another grant type", "grant_type=authorization_code", []string{right}, 400, "unsupported_grant_type"},
		{"a scope out of reach", form("grant_type", "client_credentials", "scope", "unknown"), []string{right}, 400,
			"invalid_scope"},
		{"too many tokens", form("grant_type", "client_credentials", "scope", "too many"), []string{right}, 429,
			"temporarily_unavailable"},
		{"granting fails", form("grant_type", "client_credentials", "scope", "broken"), []string{right}, 500,
			"server_error"},
	}...)
	ofRevocation := append(slices.Clone(both), []testCase{
		{"no token", "token_type_hint=access_token", []string{right}, 400, "invalid_request"},
		{"revoking fails", "token=broken", []string{right}, 500, "server_error"},
	}...)
	for path, cases := range map[string][]testCase{"/oauth2/token": ofToken, "/oauth2/revoke": ofRevocation} {
		for _, tc := range cases {
			t.Run(path+"/"+tc.name, func(t *testing.T) {
				got := server.do(t, "POST", server.public+path, tc.body, append(tc.headers, formType)...)
				if code := errorOf(t, got); got.StatusCode != tc.status || code != tc.code {
					t.Errorf("got %d %s: %s, want %d %s", got.StatusCode, code, got.text, tc.status, tc.code)
				}
				challenge := ""
				if tc.status == 401 {
					challenge = `Basic realm="latchkey"`
				}
				if h := got.Header; h.Get("WWW-Authenticate") != challenge || h.Get("Cache-Control") != "no-store" ||
					h.Get("Pragma") != "no-cache" {
					t.Errorf("headers: got %v, want the challenge %q and no caching", h, challenge)
				}
				if strings.Contains(got.text, "internals") {
					t.Errorf("body: got %s, want it without the internal error", got.text)
				}
			})
		}
	}
}

// Only a form sent by POST is read.
func TestOAuthRequests(t *testing.T) {
	c := newClients(t)
	server := oauthServer(t, c)
	right, grant := basic(clientID, c.secret.Reveal()), "grant_type=client_credentials"
	for _, media := range []string{"", "application/json", "text/plain", "multipart/form-data; boundary=x"} {
		got := server.do(t, "POST", server.public+"/oauth2/token", grant, right, "Content-Type: "+media)
		if code := errorOf(t, got); got.StatusCode != 400 || code != "invalid_request" {
			t.Errorf("media type %q: got %d %s, want 400 invalid_request", media, got.StatusCode, got.text)
		}
	}
	for path, allow := range map[string]string{
		"/oauth2/token": "POST", "/oauth2/introspect": "POST", "/oauth2/revoke": "POST",
		"/.well-known/oauth-authorization-server": "GET, HEAD",
	} {
		got := server.do(t, "DELETE", server.public+path, "")
		if code := errorOf(t, got); got.StatusCode != 405 || got.Header.Get("Allow") != allow ||
			code != "invalid_request" {
			t.Errorf("DELETE %s: got %d, Allow %q, %s, want 405, %q, invalid_request", path, got.StatusCode,
				got.Header.Get("Allow"), got.text, allow)
		}
	}
	for _, path := range []string{"/oauth2", "/oauth2/", "/oauth2/tokens", "/oauth2/token/",
		"/oauth2/authorize?response_type=code"} {
		for _, method := range []string{"GET", "POST"} {
			got := server.do(t, method, server.public+path, grant, right, formType)
			if code := errorOf(t, got); got.StatusCode != 404 || code != "invalid_request" {
				t.Errorf("%s %s: got %d %s, want 404 invalid_request", method, path, got.StatusCode, got.text)
			}
		}
	}
	got := server.do(t, "POST", server.public+"/oauth2/token?"+grant, "", right, formType)
	check.Equal(t, errorOf(t, got), "invalid_request", "parameters in the address: %s", got.text)
}

// Timeouts, of the body or of the database, and internal errors have the same
// form.
func TestOAuthFailures(t *testing.T) {
	c := newClients(t)
	server := start(t, whoami, func(hc *httpserver.Config) {
		hc.Verifier, hc.OAuth = asked{}, c
		hc.Limits.ReadTimeout, hc.Limits.RequestTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	const grant = "grant_type=client_credentials"
	for _, tc := range []struct {
		name, path, body, authorization string
		status                          int
		code, retryAfter                string
	}{
		{"the database away", "token", grant, basic("unavailable", c.secret.Reveal()), 503, "temporarily_unavailable",
			"1"},
		{"a slow database", "token", grant, basic("slow", c.secret.Reveal()), 503, "temporarily_unavailable", "1"},
		{"a slow database at revocation", "revoke", "token=x", basic("slow", c.secret.Reveal()), 503,
			"temporarily_unavailable", "1"},
		{"a slow database at introspection", "introspect", "token=lka_slow", "Authorization: Bearer " + gatewayKey, 503,
			"temporarily_unavailable", "1"},
		{"a panic", "token", grant, basic("panics", c.secret.Reveal()), 500, "server_error", ""},
		{"a body over the limit of all", "introspect", strings.Repeat("x", 1001), "Authorization: Bearer " + gatewayKey,
			413, "invalid_request", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := server.do(t, "POST", server.public+"/oauth2/"+tc.path, tc.body, tc.authorization, formType)
			if code := errorOf(t, got); got.StatusCode != tc.status || code != tc.code ||
				got.Header.Get("Retry-After") != tc.retryAfter {
				t.Errorf("got %d %s, %v, want %d %s and Retry-After %q", got.StatusCode, got.text, got.Header,
					tc.status, tc.code, tc.retryAfter)
			}
		})
	}
	t.Run("a slow body", func(t *testing.T) {
		body, stalled := io.Pipe()
		defer stalled.Close()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.public+"/oauth2/token", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		res, err := server.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if code := errorOf(t, answer{res, string(text)}); err != nil || res.StatusCode != 408 ||
			code != "invalid_request" {
			t.Errorf("got %d %s, %v, want 408 invalid_request", res.StatusCode, text, err)
		}
	})
}

// Revoking a token that is revoked or unknown succeeds (RFC 7009, section 2.2).
// Another client's token is refused (section 2.1).
func TestRevocationEndpoint(t *testing.T) {
	c := newClients(t)
	server := oauthServer(t, c)
	got := server.do(t, "POST", server.public+"/oauth2/revoke", "token=lko_x&token_type_hint=refresh_token",
		basic(clientID, c.secret.Reveal()), formType)
	if got.StatusCode != 200 || got.text != "" ||
		!slices.Equal(c.calls, []string{fmt.Sprintf(`revoke "lko_x" of %s`, tokenID)}) {
		t.Errorf("revoking: got %d %q after the calls %q, want 200 without body after one revocation", got.StatusCode,
			got.text, c.calls)
	}
	got = server.do(t, "POST", server.public+"/oauth2/revoke", "token=another's", basic(clientID, c.secret.Reveal()),
		formType)
	if code := errorOf(t, got); got.StatusCode != 400 || code != "invalid_grant" {
		t.Errorf("revoking another client's token: got %d %s, want 400 invalid_grant", got.StatusCode, got.text)
	}
	server.stop()
	if err := <-server.ended; err != nil {
		t.Error(err)
	}
	if text := server.log.String(); !strings.Contains(text, `"refused_for":"another client's token"`) {
		t.Errorf("the log: got %s, want the reason \"another client's token\"", text)
	}
}

// Clients are counted like other credentials. The log line of a refused request
// has the reason and the address.
func TestClientsAreCounted(t *testing.T) {
	c := newClients(t)
	server := oauthServer(t, c)
	for _, path := range []string{"/oauth2/token", "/oauth2/revoke"} {
		for _, tc := range []struct {
			name  string
			lines []string
			want  []string
		}{
			{"let in", []string{basic(clientID, c.secret.Reveal())}, nil},
			{"wrong", []string{basic(clientID, "wrong")}, []string{`"refused_for":"unknown"`, `"client":"127.0.0.1"`}},
			{"revoked", []string{basic("revoked", c.secret.Reveal())},
				[]string{`"refused_for":"revoked or ended"`, `"credential_of":"` + tokenID.String()}},
		} {
			before := len(server.log.String())
			server.do(t, "POST", server.public+path, "grant_type=client_credentials&token=lko_x",
				append(tc.lines, formType)...)
			text := server.log.String()[before:]
			check.Equal(t, strings.Count(text, "\n"), 1, "%s, %s: the log: %s", path, tc.name, text)
			for _, want := range tc.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s, %s: the log: got %s, want %s in it", path, tc.name, text, want)
				}
			}
		}
		before := len(server.log.String())
		server.do(t, "POST", server.public+path, "", "Authorization: Basic ?", formType)
		server.do(t, "POST", server.public+path, "", formType)
		server.do(t, "POST", server.public+path, "client_secret=x", basic(clientID, "wrong"), formType)
		check.Equal(t, server.log.String()[before:], "", "%s, no Basic, none and two: the log", path)
	}
	metrics := server.do(t, "GET", server.admin+"/metrics", "").text
	for _, want := range []string{`outcome="accepted",reason=""} 2`, `outcome="refused",reason="unknown"} 2`,
		`outcome="refused",reason="revoked or ended"} 2`, `outcome="missing",reason=""} 2`,
		`outcome="refused",reason="malformed"} 2`, `outcome="error",reason=""} 0`} {
		if !strings.Contains(metrics, "latchkey_verifications_total{"+want) {
			t.Errorf("metrics: got %s, want %s in it", metrics, want)
		}
	}
}

func TestMetadata(t *testing.T) {
	server := oauthServer(t, newClients(t))
	const want = `{"issuer":"https://keys.example/latchkey","token_endpoint":"https://keys.example/latchkey/oauth2/token",` +
		`"scopes_supported":["account_read","store_cart"],"response_types_supported":[],"grant_types_supported":["client_credentials"],` +
		`"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],` +
		`"revocation_endpoint":"https://keys.example/latchkey/oauth2/revoke",` +
		`"revocation_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],` +
		`"introspection_endpoint":"https://keys.example/latchkey/oauth2/introspect",` +
		`"introspection_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","Bearer"]}`
	for _, path := range []string{"/.well-known/oauth-authorization-server",
		"/.well-known/oauth-authorization-server/latchkey"} {
		got := server.do(t, "GET", server.public+path, "")
		if got.StatusCode != 200 || strings.TrimSpace(got.text) != want ||
			!strings.HasPrefix(got.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: got %d %s %s, want 200 application/json %s", path, got.StatusCode,
				got.Header.Get("Content-Type"), got.text, want)
		}
	}
}

func TestIntrospection(t *testing.T) {
	c := newClients(t)
	server := oauthServer(t, c)
	gatewayID, own := uuid.Max.String(), c.secret.Reveal()
	byHeader, byBearer := "X-Latchkey-Gateway: "+gatewayKey, "Authorization: Bearer "+gatewayKey
	const (
		inactive = `{"active":false}`
		ids      = `"sub":"` + "01980000-0000-7000-8000-000000000001" + `","iss":"` + publicURL +
			`","account_uuid":"0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"`
		ofStore = `{"active":true,"scope":"store_cart store_cart_read_only","client_id":"client1","token_type":"Bearer","exp":1700003600,"iat":1700000000,` +
			ids + `,"store_hash":"acme1us","level":"STORE"}`
		confined = `{"active":true,"client_id":"client2","token_type":"Bearer","iat":1700000000,` + ids +
			`,"level":"ACCOUNT"}`
		person  = `{"active":true,"scope":"account_read","username":"o\"wner@acme.example","token_type":"Bearer","exp":1700000060,"iat":1700000000,` + ids + `}`
		another = `{"active":true,"scope":"account_read","client_id":"client3","token_type":"Bearer","iat":1700000000,"sub":"ffffffff-ffff-ffff-ffff-ffffffffffff",` +
			`"iss":"` + publicURL + `","account_uuid":"0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01","level":"ACCOUNT"}`
		client = `Basic realm="latchkey"`
		bare   = `Bearer realm="latchkey"`
		wrong  = `Bearer realm="latchkey", error="invalid_token"`
	)
	for _, tc := range []struct {
		name, body string
		headers    []string
		status     int
		want       string // the body, or the code of the error
		challenge  string
	}{
		{"a token, by the header", "token=lks_store", []string{byHeader}, 200, ofStore, ""},
		{"a token, by bearer", "token=lks_store&token_type_hint=access_token", []string{byBearer}, 200, ofStore, ""},
		{"a session", "token=lku_person", []string{byHeader}, 200, person, ""},
		{"a session of a browser", "token=lku_browser", []string{byHeader}, 200, inactive, ""},
		{"a session of a browser, itself", "token=lku_browser", []string{"Authorization: Bearer lku_browser"}, 401,
			"invalid_token", wrong},
		{"an unknown token", "token=lka_unknown", []string{byHeader}, 200, inactive, ""},
		{"a key of a gateway", "token=" + gatewayKey, []string{byHeader}, 200, inactive, ""},
		{"a confined token from an address of its own", "token=lka_confined&client_ip=203.0.113.9", []string{byHeader},
			200, confined, ""},
		{"the same, by IPv6", "token=lka_confined&client_ip=%3A%3Affff%3A203.0.113.9", []string{byHeader}, 200,
			confined, ""},
		{"a confined token from elsewhere", "token=lka_confined&client_ip=198.51.100.1", []string{byHeader}, 200,
			inactive, ""},
		{"a confined token from nowhere", "token=lka_confined", []string{byHeader, "X-Forwarded-For: 203.0.113.9"}, 200,
			inactive, ""},
		{"itself", "token=lks_store", []string{"Authorization: Bearer lks_store"}, 200, ofStore, ""},
		{"itself, from where it may be used", "token=lka_confined",
			[]string{"Authorization: Bearer lka_confined", "X-Forwarded-For: 203.0.113.9"}, 200, confined, ""},
		{"itself, from elsewhere", "token=lka_confined&client_ip=203.0.113.9",
			[]string{"Authorization: Bearer lka_confined"}, 401, "invalid_token", wrong},
		{"itself, unknown", "token=lka_unknown", []string{"Authorization: Bearer lka_unknown"}, 401, "invalid_token",
			wrong},
		{"another", "token=lks_store", []string{"Authorization: Bearer lku_person"}, 401, "invalid_token", wrong},
		{"nobody", "token=lks_store", nil, 401, "invalid_token", bare},
		{"a gateway as a client, by Basic", "token=lka_another", []string{basic(gatewayID, gatewayKey)}, 200, another,
			""},
		{"the same, with several spaces", "token=lka_another",
			[]string{strings.Replace(basic(gatewayID, gatewayKey), "Basic ", "Basic  ", 1)}, 200, another, ""},
		{"a gateway as a client, in the body",
			form("token", "lks_store", "client_id", gatewayID, "client_secret", gatewayKey), nil, 200, ofStore, ""},
		{"a gateway as a client, about a session", "token=lku_person", []string{basic(gatewayID, gatewayKey)}, 200,
			person, ""},
		{"a gateway as a client, with the id of another", "token=lks_store",
			[]string{basic(tokenID.String(), gatewayKey)}, 401, "invalid_client", client},
		{"a gateway as a client, with an unknown key", "token=lks_store", []string{basic(gatewayID, "lkg_unknown")},
			401, "invalid_client", client},
		{"a client, by Basic", "token=lks_store", []string{basic(clientID, own)}, 200, ofStore, ""},
		{"a client, in the body", form("token", "lks_store", "client_id", clientID, "client_secret", own), nil, 200,
			ofStore, ""},
		{"a client, about another's", "token=lka_another", []string{basic(clientID, own)}, 200, inactive, ""},
		{"a client, about a session", "token=lku_person", []string{basic(clientID, own)}, 200, inactive, ""},
		{"a client, about an unknown token", "token=lka_unknown", []string{basic(clientID, own)}, 200, inactive, ""},
		{"a client, about one from where it may be used", "token=lka_confined&client_ip=203.0.113.9",
			[]string{basic(clientID, own)}, 200, confined, ""},
		{"a client, about one from nowhere", "token=lka_confined", []string{basic(clientID, own)}, 200, inactive, ""},
		{"a client with the wrong secret", "token=lks_store", []string{basic(clientID, "lkc_x")}, 401, "invalid_client",
			client},
		{"a client without a token", "x=y", []string{basic(clientID, own)}, 400, "invalid_request", ""},
		{"a client, twice", form("token", "lks_store", "client_id", clientID, "client_secret", own),
			[]string{basic(clientID, own)}, 400, "invalid_request", ""},
		{"a key and a client", form("token", "lks_store", "client_id", clientID, "client_secret", own),
			[]string{byHeader}, 400, "invalid_request", ""},
		{"Basic after a tab", "token=lks_store",
			[]string{strings.Replace(basic(clientID, own), "Basic ", "Basic\t", 1)}, 401, "invalid_client", client},
		{"an empty key", "token=lks_store", []string{"X-Latchkey-Gateway: "}, 401, "invalid_token", bare},
		{"an unknown key", "token=lks_store", []string{"X-Latchkey-Gateway: lkg_unknown"}, 401, "invalid_token", wrong},
		{"a token for a key", "token=lks_store", []string{"X-Latchkey-Gateway: lks_store"}, 401, "invalid_token",
			wrong},
		{"a key and a token", "token=lks_store", []string{byHeader, "Authorization: Bearer lks_store"}, 400,
			"invalid_request", ""},
		{"two keys", "token=lks_store", []string{byHeader, byHeader}, 400, "invalid_request", ""},
		{"two bearers", "token=lks_store", []string{byBearer, byBearer}, 400, "invalid_request", ""},
		{"no token", "token=", []string{byHeader}, 400, "invalid_request", ""},
		{"two tokens", "token=lks_store&token=lku_person", []string{byHeader}, 400, "invalid_request", ""},
		{"an address that is none", "token=lks_store&client_ip=here", []string{byHeader}, 400, "invalid_request", ""},
		{"a failure over the token", "token=lka_broken", []string{byHeader}, 500, "server_error", ""},
		{"a failure over the key", "token=lks_store", []string{"X-Latchkey-Gateway: lkg_broken"}, 500, "server_error",
			""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := server.do(t, "POST", server.public+"/oauth2/introspect", tc.body, append(tc.headers, formType)...)
			found := got.text
			if tc.status != 200 {
				found = errorOf(t, got)
			} else if !json.Valid([]byte(found)) {
				t.Errorf("body: got %s, want JSON", found)
			}
			if got.StatusCode != tc.status || found != tc.want || got.Header.Get("WWW-Authenticate") != tc.challenge {
				t.Errorf("got %d, %q, %s\nwant %s", got.StatusCode, got.Header.Get("WWW-Authenticate"), found, tc.want)
			}
		})
	}
	server.stop()
	log := server.log.String()
	if strings.Contains(log, `"status":200`) || !strings.Contains(log, `"status":401`) {
		t.Errorf("want log lines for refused requests only: %s", log)
	}
	for _, free := range []string{"no credential", "two credentials", "another token"} {
		if strings.Contains(log, free) {
			t.Errorf("the log has a line for %s, want none: %s", free, log)
		}
	}
}

// Guessing client secrets is rate limited, with the same headers as in the API.
func TestClientsAreLimited(t *testing.T) {
	c := newClients(t)
	server := start(t, whoami, func(hc *httpserver.Config) {
		enough, few := config.Rate{Requests: 1000, Window: minutes}, config.Rate{Requests: 5, Window: minutes}
		hc.OAuth, hc.Rates = c, config.Rates{On: true, Token: enough, Account: enough, Failure: few}
	})
	var last answer
	for range 6 {
		last = server.do(t, "POST", server.public+"/oauth2/token", "grant_type=client_credentials",
			basic(clientID, "lkc_guess"), formType)
	}
	if code := errorOf(t, last); last.StatusCode != 429 || code != "temporarily_unavailable" ||
		last.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, %v, want 429 temporarily_unavailable with a Retry-After", last.StatusCode, last.text,
			last.Header)
	}
}
