// Package openid asks an OpenID Connect provider who somebody is: by the
// authorization code flow (OpenID Connect Core 1.0, section 3.1) with a proof
// key (RFC 7636), a state and a nonce.
package openid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"latchkey/internal/signin"
)

const (
	// patience is how long the provider has for one answer.
	patience = 5 * time.Second
	// discoveryAge is how long what the provider says of itself is kept, and
	// retryAge how long at least, after a failure.
	discoveryAge = time.Hour
	retryAge     = 10 * time.Second
)

// Config is what a Provider is made of.
type Config struct {
	// Issuer is the provider's identifier, from which all else about it is
	// discovered (OpenID Connect Discovery 1.0, section 4).
	Issuer string
	// ClientID and ClientSecret are what we are to the provider. A public client
	// has no secret.
	ClientID, ClientSecret string
	// Name is what people call the provider.
	Name string
	// RedirectURL is where it sends browsers back to.
	RedirectURL string
	Now         func() time.Time
}

// Provider is an OpenID Connect provider. It is asked about itself when it is
// first needed, and again after an hour and after a failure, so that nothing
// else waits for it.
type Provider struct {
	config Config
	client *http.Client
	found  atomic.Pointer[discovered]
}

var _ signin.Provider = (*Provider)(nil)

// discovered is what the provider says of itself.
type discovered struct {
	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	oauth    oauth2.Config
	userInfo bool
	at       time.Time
	// failed reports whether something went wrong since.
	failed atomic.Bool
}

// current reports whether it need not be asked for again.
func (d *discovered) current(now time.Time) bool {
	age := now.Sub(d.at)
	return age >= 0 && age < discoveryAge && (!d.failed.Load() || age < retryAge)
}

// New returns a provider, and asks it nothing.
func New(c Config) *Provider { return &Provider{config: c, client: newClient()} }

// Issuer is the provider's identifier.
func (p *Provider) Issuer() string { return p.config.Issuer }

// Name is what people call the provider.
func (p *Provider) Name() string { return p.config.Name }

// discover returns what the provider says of itself. Several may ask it at
// once, the first time; nobody waits for another.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	if known := p.found.Load(); known != nil && known.current(p.config.Now()) {
		return known, nil
	}
	// The keys are read later on in the same context, long after this request.
	lasting := oidc.ClientContext(context.WithoutCancel(ctx), p.client)
	provider, err := oidc.NewProvider(lasting, p.config.Issuer)
	if err != nil {
		return nil, signin.Refuse(signin.WhyAway, fmt.Errorf("discover %s: %w", p.config.Issuer, err))
	}
	var more metadata
	if err := more.read(provider, p.config.Issuer); err != nil {
		return nil, untrusted(fmt.Errorf("discover %s: %w", p.config.Issuer, err))
	}
	endpoint := provider.Endpoint()
	if endpoint.AuthStyle, err = more.authStyle(p.config.ClientSecret); err != nil {
		return nil, signin.Refuse(signin.WhyProvider, fmt.Errorf("discover %s: %w", p.config.Issuer, err))
	}
	known := &discovered{
		at: p.config.Now(), userInfo: more.UserInfoEndpoint != "",
		provider: provider,
		verifier: provider.VerifierContext(lasting, &oidc.Config{ClientID: p.config.ClientID, Now: p.config.Now}),
		oauth: oauth2.Config{
			ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: endpoint, RedirectURL: p.config.RedirectURL,
			Scopes: []string{oidc.ScopeOpenID, "email"},
		},
	}
	p.found.Store(known)
	return known, nil
}

// Address is where the person goes. One who is to prove it again is asked to by
// prompt and max_age, of which providers may know either (OpenID Connect Core,
// section 3.1.2.1).
func (p *Provider) Address(ctx context.Context, q signin.Question) (string, error) {
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

// Redeem turns a code into claims. After a failure the provider is discovered
// again at the next sign-in: it may have moved.
func (p *Provider) Redeem(ctx context.Context, code string, q signin.Question) (signin.Claims, error) {
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

func (p *Provider) redeem(ctx context.Context, known *discovered, code string, q signin.Question) (signin.Claims, error) {
	tokens, err := known.oauth.Exchange(ctx, code, oauth2.VerifierOption(q.Verifier))
	if err != nil {
		return signin.Claims{}, exchangeFailed(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := known.verifier.Verify(ctx, raw)
	if err != nil {
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

// askForEmail asks a provider for the address that does not put it into ID
// tokens (OpenID Connect Core, sections 5.3.2 and 5.4).
func (d *discovered) askForEmail(ctx context.Context, tokens *oauth2.Token, to *signin.Claims) error {
	if !d.userInfo {
		return nil
	}
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return signin.Refuse(signin.WhyProvider, fmt.Errorf("ask for the address: %w", err))
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
		return untrusted(errors.New("the address is somebody else's: the subjects differ"))
	}
	to.Email, to.EmailVerified = said.Email, said.EmailVerified
	return nil
}

func untrusted(cause error) error { return signin.Refuse(signin.WhyUntrusted, cause) }

// exchangeFailed tells a provider that answered from one that did not.
func exchangeFailed(err error) error {
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) {
		// The whole answer may hold what is for us alone; its code is enough.
		return signin.Refuse(signin.WhyProvider, fmt.Errorf("redeem the code: HTTP %d %q", answered.Response.StatusCode, answered.ErrorCode))
	}
	return signin.Refuse(signin.WhyAway, fmt.Errorf("redeem the code: %w", err))
}
