package httpserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// npm's oauth4webapi discovers all endpoints from the server's URL.
func TestStrangerOnNode(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		d := serveDemo(t, url)
		c, other := d.issue("account_read", "store_cart").Credentials, d.issue("account_read").Credentials
		var gateway struct{ ID, Key string }
		if err := json.Unmarshal([]byte(d.run("gateway", "create", "--name", "stranger", "--output", "json")),
			&gateway); err != nil {
			t.Fatal(err)
		}
		out := node(t, "testdata/oauth", "oauth4webapi", "client.mjs", "LATCHKEY_ISSUER="+d.URL,
			"LATCHKEY_CLIENT_ID="+c.ClientID,
			"LATCHKEY_CLIENT_SECRET="+c.ClientSecret, "LATCHKEY_GATEWAY_ID="+gateway.ID,
			"LATCHKEY_GATEWAY_KEY="+gateway.Key,
			"LATCHKEY_OTHER_TOKEN="+other.AccessToken)
		check.Equal(t, strings.Count(out, "ok "), 12, "%s", out)
	})
}

// golang.org/x/oauth2 gets a token, uses it, and is refused immediately after
// the API token is revoked, with both authentication methods.
func TestStrangerInGo(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		d := serveDemo(t, url)
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient,
			&http.Client{Transport: transport, Timeout: 20 * time.Second})
		for name, style := range map[string]oauth2.AuthStyle{
			"Basic": oauth2.AuthStyleInHeader, "in the body": oauth2.AuthStyleInParams,
			"either": oauth2.AuthStyleAutoDetect,
		} {
			t.Run(name, func(t *testing.T) {
				c := d.issue("account_read", "store_cart")
				config := clientcredentials.Config{
					ClientID: c.Credentials.ClientID, ClientSecret: c.Credentials.ClientSecret,
					TokenURL: d.URL + "/oauth2/token", AuthStyle: style,
				}
				client := config.Client(ctx)
				wantViewer(t, client, d.api(), http.StatusOK, "account_read store_cart store_cart_read_only")
				narrow := config
				narrow.Scopes = []string{"store_cart_read_only", "account_read"}
				wantViewer(t, narrow.Client(ctx), d.api(), http.StatusOK, "account_read store_cart_read_only")
				narrow.Scopes = []string{"everything"}
				wantRefused(ctx, t, narrow, http.StatusBadRequest, "invalid_scope")
				d.revoke(t, c.APIToken.ID)
				wantViewer(t, client, d.api(), http.StatusUnauthorized, "")
				wantRefused(ctx, t, config, http.StatusUnauthorized, "invalid_client")
			})
		}
	})
}

// revoke revokes an API token as the owner, over the API.
func (d *demo) revoke(t *testing.T, id string) {
	t.Helper()
	body := `{"query":"mutation($in: RevokeApiTokensInput!) { apiToken { revokeApiTokens(input: $in) { revokedIds } } }","variables":{"in":{"ids":["` + id + `"]}}}`
	status, answer := post(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, d.api(), body,
		"X-Auth-Token", d.SessionToken)
	if status != http.StatusOK || strings.Contains(answer, "errors") {
		t.Fatalf("revokeApiTokens: got %d %s, want 200 without errors", status, answer)
	}
}

// wantViewer checks the viewer that the API returns for the client.
func wantViewer(t *testing.T, client *http.Client, api string, status int, scopes string) {
	t.Helper()
	got, body := post(t, client, api, `{"query":"{ viewer { kind scopes } }"}`)
	var answer struct {
		Data struct {
			Viewer struct {
				Kind   string
				Scopes []string
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || got != status {
		t.Fatalf("got %d %s, %v, want %d and JSON", got, body, err, status)
	}
	if viewer := answer.Data.Viewer; strings.Join(viewer.Scopes, " ") != scopes || status == http.StatusOK &&
		viewer.Kind != "API_TOKEN" {
		t.Errorf("the viewer is %+v, want %q", viewer, scopes)
	}
}

func post(t *testing.T, client *http.Client, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// wantRefused checks that a token request is refused.
func wantRefused(ctx context.Context, t *testing.T, config clientcredentials.Config, status int, code string) {
	t.Helper()
	_, err := config.Token(ctx)
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response.StatusCode != status || refused.ErrorCode != code ||
		refused.ErrorDescription == "" {
		t.Errorf("the error is %v, want %d %s", err, status, code)
	}
}
