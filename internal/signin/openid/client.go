package openid

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Limits on a provider's response, in bytes.
const (
	maxBody   = 1 << 20
	maxHeader = 64 << 10
)

// newClient returns a client that follows no redirects, which could send a
// code, a verifier or the client secret to another host, and that reads a
// limited part of each response.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	transport.MaxResponseHeaderBytes = maxHeader
	return &http.Client{
		Timeout: patience, Transport: bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded fails a response whose decoded body is longer than maxBody.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &boundedBody{answer.Body, maxBody}
	return answer, nil
}

type boundedBody struct {
	io.ReadCloser

	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if n > b.left {
		return 0, fmt.Errorf("the answer is longer than %d bytes", maxBody)
	}
	b.left -= n
	return n, err
}

// metadata is the part of the provider's metadata that go-oidc does not read
// (OpenID Connect Discovery 1.0, section 3).
type metadata struct {
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
}

// read reads and checks the metadata.
func (m *metadata) read(p *oidc.Provider, issuer string) error {
	if err := p.Claims(m); err != nil {
		return err
	}
	return m.check(issuer)
}

// check requires https for every endpoint of an issuer with https.
func (m *metadata) check(issuer string) error {
	at, err := url.Parse(issuer)
	if err != nil {
		return err
	}
	for name, address := range map[string]string{
		"authorization_endpoint": m.AuthorizationEndpoint, "token_endpoint": m.TokenEndpoint,
		"userinfo_endpoint": m.UserInfoEndpoint, "jwks_uri": m.JWKSURI,
	} {
		if address == "" && name == "userinfo_endpoint" {
			continue
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || at.Scheme == "https") {
			return fmt.Errorf("%s is %q, and must be an address that begins with https://", name, address)
		}
	}
	return nil
}

// authStyle returns how the client authenticates at the token endpoint: as the
// metadata says, or with client_secret_basic by default.
func (m *metadata) authStyle(secret string) (oauth2.AuthStyle, error) {
	switch {
	case secret == "":
		return oauth2.AuthStyleInParams, nil // a public client only sends its ID
	case len(m.TokenAuthMethods) == 0 || slices.Contains(m.TokenAuthMethods, "client_secret_basic"):
		return oauth2.AuthStyleInHeader, nil
	case slices.Contains(m.TokenAuthMethods, "client_secret_post"):
		return oauth2.AuthStyleInParams, nil
	}
	return 0, fmt.Errorf("the token endpoint takes neither client_secret_basic nor client_secret_post, but %q",
		m.TokenAuthMethods)
}
