package httpserver_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/httpserver"
	"latchkey/internal/oauth"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

const (
	gatewayKey = "lkg_gateway"
	publicURL  = "https://keys.example/latchkey"
)

var storeAccount = uuid.MustParse("0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01")

// records are the tokens of the verifier in these tests.
func records() map[string]*access.Record {
	issued := time.Unix(1_700_000_000, 0)
	token := auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: tokenID, Name: "secret name",
		AccountID: storeAccount}
	ofStore, confined, another := token, token, token
	another.ID = uuid.Max
	ofStore.StoreID, ofStore.ExpiresAt = uuid.Max, issued.Add(time.Hour)
	confined.AllowedIPRanges = prefixes("203.0.113.0/24")
	person := auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: tokenID, Name: "o\"wner@acme.example",
		AccountID: storeAccount, ExpiresAt: issued.Add(time.Minute)}
	browser := &access.Record{Principal: person, Method: "password"}
	id, account := tokenID.String(), storeAccount.String()
	return map[string]*access.Record{
		"lks_store": {Principal: ofStore, ClientID: "client1", StoreHash: "acme1us",
			ScopeText: "store_cart store_cart_read_only", IssuedAt: issued, IDText: id, AccountText: account},
		"lka_confined": {Principal: confined, ClientID: "client2", IssuedAt: issued, IDText: id, AccountText: account},
		"lku_person": {Principal: person, ScopeText: "account_read", IssuedAt: issued, IDText: id,
			AccountText: account},
		"lku_browser": browser,
		"lka_another": {Principal: another, ClientID: "client3", ScopeText: "account_read", IssuedAt: issued,
			IDText: uuid.Max.String(), AccountText: account},
	}
}

// asked is the verifier of these tests.
type asked struct{ httpserver.Verifier }

// Verify returns one of the records, fails, or blocks.
func (asked) Verify(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error) {
	switch presented {
	case "lka_broken":
		return nil, io.ErrUnexpectedEOF
	case "lka_slow":
		return nil, await(ctx)
	}
	r, known := records()[presented]
	if !known || len(r.Principal.AllowedIPRanges) > 0 && !r.Principal.AllowedIPRanges[0].Contains(origin.IP) {
		return nil, access.ErrRefused()
	}
	return r, nil
}

func (a asked) Inspect(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error) {
	return a.Verify(ctx, presented, origin)
}

// VerifyGateway accepts one key and fails on another.
func (asked) VerifyGateway(_ context.Context, presented string, _ auth.Origin) (*access.Record, error) {
	switch presented {
	case gatewayKey:
		return &access.Record{Principal: auth.Principal{Kind: auth.Gateway, ID: uuid.Max}}, nil
	case "lkg_broken":
		return nil, io.ErrUnexpectedEOF
	}
	return nil, access.ErrRefused()
}

// clients is an oauth.Service in memory. It has one working client and several
// that fail.
type clients struct {
	secret  secret.Secret
	granted secret.Secret
	// lifetime is that of granted tokens.
	lifetime time.Duration
	// calls are the names and arguments of the calls made.
	calls []string
}

const clientID = "client:1 & only" // needs both encodings

func newClients(t testing.TB) *clients {
	t.Helper()
	c := &clients{lifetime: 90*time.Second + time.Millisecond}
	for kind, place := range map[secret.Kind]*secret.Secret{secret.ClientSecret: &c.secret,
		secret.OAuthAccessToken: &c.granted} {
		var err error
		if *place, err = secret.Generate(rand.Reader, kind); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *clients) Authenticate(ctx context.Context, id string, presented secret.Secret,
	from auth.Origin) (*auth.Principal, error) {
	if id == "unavailable" {
		return nil, fmt.Errorf("look up: %w: %w", fault.ErrUnavailable, errors.New("internals"))
	}
	switch id {
	case "slow":
		return nil, await(ctx)
	case "panics":
		panic("internals")
	case "broken":
		return nil, errors.New("internals")
	}
	if id == "revoked" {
		return nil, fault.Errorf(fault.Unauthenticated,
			"refused").Because(&oauth.Refusal{Reason: oauth.ReasonRevoked, Of: tokenID})
	}
	if id != clientID || presented.Reveal() != c.secret.Reveal() {
		return nil, fault.Errorf(fault.Unauthenticated, "refused").Because(&oauth.Refusal{Reason: oauth.ReasonUnknown})
	}
	return &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: tokenID, AccountID: storeAccount,
		Origin: from}, nil
}

func (c *clients) Grant(_ context.Context, client *auth.Principal, asked string) (oauth.Granted, error) {
	c.calls = append(c.calls, fmt.Sprintf("grant %q to %s at %s", asked, client.ID, client.Origin.IP))
	switch asked {
	case "broken":
		return oauth.Granted{}, errors.New("internals")
	case "too many":
		return oauth.Granted{}, fault.Errorf(fault.LimitReached, "too many")
	case "unknown":
		return oauth.Granted{}, fault.Errorf(fault.Invalid, "no such scope").On("scope")
	}
	return oauth.Granted{AccessToken: c.granted, Scopes: scope.NewSet("a", "b"), Lifetime: c.lifetime}, nil
}

func (c *clients) Revoke(_ context.Context, client *auth.Principal, presented string) error {
	c.calls = append(c.calls, fmt.Sprintf("revoke %q of %s", presented, client.ID))
	switch presented {
	case "broken":
		return errors.New("internals")
	case "another's":
		return oauth.ErrNotIssuedToClient()
	}
	return nil
}

// await behaves like a database that does not answer in time.
func await(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("look up: %w: %w", fault.ErrUnavailable, ctx.Err())
}

// oauthServer returns a server with these clients.
func oauthServer(t *testing.T, c *clients) *running {
	t.Helper()
	return start(t, whoami, func(config *httpserver.Config) {
		config.Verifier = asked{}
		config.OAuth, config.PublicURL = c, publicURL
		config.Scopes = func() []string { return []string{"account_read", "store_cart"} }
		config.Limits.MaxBody = 1 << 20
		config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
}

// errorOf parses an error of RFC 6749, section 5.2. It fails the test if the
// body has other members or characters that the RFC does not allow.
func errorOf(t *testing.T, a answer) string {
	t.Helper()
	var body map[string]string
	if err := json.Unmarshal([]byte(a.text), &body); err != nil || len(body) != 2 || body["error_description"] == "" {
		t.Fatalf("body: got %s, %v, want an error of two members with a description", a.text, err)
	}
	for _, member := range body {
		for _, r := range member {
			if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
				t.Errorf("letter %q in %s, want printable ASCII without quotes", r, a.text)
			}
		}
	}
	return body["error"]
}
