// Package openid authenticates users at an OpenID Connect provider, with the
// authorization code flow (OpenID Connect Core 1.0, section 3.1), PKCE (RFC
// 7636), a state and a nonce.
package openid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"latchkey/internal/clock"
	"latchkey/internal/signin"
)

const (
	// patience is the timeout of one request to the provider.
	patience = 5 * time.Second
	// discoveryAge is how long the provider's metadata is cached, and retryAge
	// the least time before it is fetched again after a failure.
	discoveryAge = time.Hour
	retryAge     = 10 * time.Second
)

// Config configures a Provider.
type Config struct {
	// Issuer is the provider's identifier, from which its endpoints are
	// discovered (OpenID Connect Discovery 1.0, section 4).
	Issuer string
	// ClientID and ClientSecret are the client's credentials at the provider. A
	// public client has no secret.
	ClientID, ClientSecret string
	// Name is the provider's display name.
	Name string
	// RedirectURL is where the provider sends browsers back to.
	RedirectURL string
	Now         clock.Clock
}

// Provider is an OpenID Connect provider. It fetches the metadata on first use,
// so that no start-up waits for it, and again after an hour or a failure.
type Provider struct {
	config Config
	client *http.Client
	found  atomic.Pointer[discovered]
}

var _ signin.Provider = (*Provider)(nil)

// discovered is the provider's metadata.
type discovered struct {
	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	oauth    oauth2.Config
	userInfo bool
	at       time.Time
	// failed reports whether a request has failed since.
	failed atomic.Bool
}

// current reports whether the cached metadata may still be used.
func (d *discovered) current(now time.Time) bool {
	age := now.Sub(d.at)
	return age >= 0 && age < discoveryAge && (!d.failed.Load() || age < retryAge)
}

// New returns a provider. It makes no request.
func New(c Config) *Provider { return &Provider{config: c, client: newClient()} }

// Issuer returns the provider's identifier.
func (p *Provider) Issuer() string { return p.config.Issuer }

// Name returns the provider's display name.
func (p *Provider) Name() string { return p.config.Name }

// discover returns the provider's metadata. Concurrent first calls each fetch
// it; none waits for another.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	if known := p.found.Load(); known != nil && known.current(p.config.Now()) {
		return known, nil
	}
	// The keys are fetched later in the same context, long after this request.
	lasting := oidc.ClientContext(context.WithoutCancel(ctx), p.client)
	provider, err := oidc.NewProvider(lasting, p.config.Issuer)
	if err != nil {
		return nil, signin.Refuse(signin.ReasonUnreachable, fmt.Errorf("discover %s: %w", p.config.Issuer, err))
	}
	var more metadata
	if err := more.read(provider, p.config.Issuer); err != nil {
		return nil, untrusted(fmt.Errorf("discover %s: %w", p.config.Issuer, err))
	}
	endpoint := provider.Endpoint()
	if endpoint.AuthStyle, err = more.authStyle(p.config.ClientSecret); err != nil {
		return nil, signin.Refuse(signin.ReasonProvider, fmt.Errorf("discover %s: %w", p.config.Issuer, err))
	}
	known := &discovered{
		at: p.config.Now(), userInfo: more.UserInfoEndpoint != "",
		provider: provider,
		verifier: provider.VerifierContext(lasting, &oidc.Config{ClientID: p.config.ClientID, Now: p.config.Now}),
		oauth: oauth2.Config{
			ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: endpoint,
			RedirectURL: p.config.RedirectURL,
			Scopes:      []string{oidc.ScopeOpenID, "email"},
		},
	}
	p.found.Store(known)
	return known, nil
}

// Address returns the URL where the user authenticates. To ask for a new
// authentication it sets prompt and max_age, since providers may support only
// one of them (OpenID Connect Core, section 3.1.2.1).
func (p *Provider) Address(ctx context.Context, q signin.AuthRequest) (string, error) {
	known, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(q.Nonce), oauth2.S256ChallengeOption(q.Verifier)}
	if q.Again {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return known.oauth.AuthCodeURL(q.State, options...), nil
}

// Redeem exchanges a code for claims. After a failure the metadata is fetched
// again at the next sign-in, since the provider may have moved.
func (p *Provider) Redeem(ctx context.Context, code string, q signin.AuthRequest) (signin.Claims, error) {
	known, err := p.discover(ctx)
	if err != nil {
		return signin.Claims{}, err
	}
	result, err := p.redeem(oidc.ClientContext(ctx, p.client), known, code, q)
	if err != nil {
		known.failed.Store(true)
	}
	return result, err
}

func (p *Provider) redeem(ctx context.Context, known *discovered, code string, q signin.AuthRequest) (signin.Claims,
	error) {
	tokens, err := known.oauth.Exchange(ctx, code, oauth2.VerifierOption(q.Verifier))
	if err != nil {
		return signin.Claims{}, exchangeFailed(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := known.verifier.Verify(ctx, raw)
	if err != nil {
		return signin.Claims{}, untrusted(fmt.Errorf("the ID token: %w", err))
	}
	if err := checkKeySize(raw); err != nil {
		return signin.Claims{}, untrusted(fmt.Errorf("the ID token: %w", err))
	}
	var all claimSet
	if err := token.Claims(&all); err != nil {
		return signin.Claims{}, untrusted(fmt.Errorf("the claims of the ID token: %w", err))
	}
	result, err := p.idToken(all, q.Nonce)
	if err != nil {
		return signin.Claims{}, untrusted(fmt.Errorf("the claims of the ID token: %w", err))
	}
	if result.Email == "" {
		if err := known.askForEmail(ctx, tokens, &result); err != nil {
			return signin.Claims{}, err
		}
	}
	return result, nil
}

// minRSABytes is the size of the smallest RSA key that may sign an ID token (RFC
// 7518, section 3.3).
const minRSABytes = 2048 / 8

// checkKeySize returns an error for a verified ID token that was signed with an
// RSA key that is too short. The verifier does not show the key, but an RSA
// signature is as long as its key.
func checkKeySize(token string) error {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	})
	if err != nil {
		return err
	}
	for _, each := range signed.Signatures {
		isRSA := strings.HasPrefix(each.Header.Algorithm, "RS") || strings.HasPrefix(each.Header.Algorithm, "PS")
		if isRSA && len(each.Signature) < minRSABytes {
			return fmt.Errorf("it is signed with an RSA key of %d bits, and must be of at least %d",
				8*len(each.Signature), 8*minRSABytes)
		}
	}
	return nil
}

// askForEmail fetches the address from the userinfo endpoint of a provider that
// does not put it into ID tokens (OpenID Connect Core, sections 5.3.2 and 5.4).
func (d *discovered) askForEmail(ctx context.Context, tokens *oauth2.Token, to *signin.Claims) error {
	if !d.userInfo {
		return nil
	}
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return signin.Refuse(signin.ReasonProvider, fmt.Errorf("ask for the address: %w", err))
	}
	var all claimSet
	if err := info.Claims(&all); err != nil {
		return untrusted(fmt.Errorf("the claims of the user: %w", err))
	}
	var said signin.Claims
	if err := errors.Join(all.subject(&said.Subject), all.email(&said)); err != nil {
		return untrusted(fmt.Errorf("the claims of the user: %w", err))
	}
	if said.Subject != to.Subject {
		return untrusted(errors.New("the address is of another user: the subjects differ"))
	}
	to.Email, to.EmailVerified = said.Email, said.EmailVerified
	return nil
}

func untrusted(cause error) error { return signin.Refuse(signin.ReasonUntrusted, cause) }

// exchangeFailed distinguishes an error response of the provider from no
// response.
func exchangeFailed(err error) error {
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) {
		// The full response may contain secrets; its error code is enough.
		return signin.Refuse(signin.ReasonProvider,
			fmt.Errorf("redeem the code: HTTP %d %q", answered.Response.StatusCode, answered.ErrorCode))
	}
	return signin.Refuse(signin.ReasonUnreachable, fmt.Errorf("redeem the code: %w", err))
}
