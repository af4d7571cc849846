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

// patience is how long the provider has for one answer.
const patience = 5 * time.Second

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
// first needed, and again until it answers, so that nothing else waits for it.
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
}

// New returns a provider, and asks it nothing.
func New(c Config) *Provider { return &Provider{config: c, client: &http.Client{Timeout: patience}} }

// Issuer is the provider's identifier.
func (p *Provider) Issuer() string { return p.config.Issuer }

// Name is what people call the provider.
func (p *Provider) Name() string { return p.config.Name }

// discover returns what the provider says of itself. Several may ask it at
// once, the first time; nobody waits for another.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	if known := p.found.Load(); known != nil {
		return known, nil
	}
	// The keys are read later on in the same context, long after this request.
	lasting := oidc.ClientContext(context.WithoutCancel(ctx), p.client)
	provider, err := oidc.NewProvider(lasting, p.config.Issuer)
	if err != nil {
		return nil, signin.Refuse(signin.WhyAway, fmt.Errorf("discover %s: %w", p.config.Issuer, err))
	}
	known := &discovered{
		provider: provider,
		verifier: provider.VerifierContext(lasting, &oidc.Config{ClientID: p.config.ClientID, Now: p.config.Now}),
		oauth: oauth2.Config{
			ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: provider.Endpoint(), RedirectURL: p.config.RedirectURL,
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

// claims are those of an ID token that are of use here.
type claims struct {
	Email         string   `json:"email"`
	EmailVerified verified `json:"email_verified"`
	AuthTime      int64    `json:"auth_time"`
	// AuthorizedParty must be us where the token is for several (OpenID Connect
	// Core, section 3.1.3.7, number 4).
	AuthorizedParty string `json:"azp"`
}

// verified is a boolean, which some providers write as text.
type verified bool

// UnmarshalJSON takes true and "true"; all else is false.
func (v *verified) UnmarshalJSON(text []byte) error {
	*v = string(text) == "true" || string(text) == `"true"`
	return nil
}

// Redeem turns a code into claims.
func (p *Provider) Redeem(ctx context.Context, code string, q signin.Question) (signin.Claims, error) {
	known, err := p.discover(ctx)
	if err != nil {
		return signin.Claims{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := known.oauth.Exchange(ctx, code, oauth2.VerifierOption(q.Verifier))
	if err != nil {
		return signin.Claims{}, exchangeFailed(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := known.verifier.Verify(ctx, raw)
	if err != nil {
		return signin.Claims{}, untrusted(fmt.Errorf("the ID token: %w", err))
	}
	if token.Nonce != q.Nonce {
		return signin.Claims{}, untrusted(errors.New("the ID token answers another question: its nonce is not ours"))
	}
	var said claims
	if err := token.Claims(&said); err != nil {
		return signin.Claims{}, untrusted(fmt.Errorf("the claims of the ID token: %w", err))
	}
	if len(token.Audience) > 1 && said.AuthorizedParty != p.config.ClientID {
		return signin.Claims{}, untrusted(errors.New("the ID token is for several, and not meant for us"))
	}
	if said.Email == "" {
		if err := known.askForEmail(ctx, tokens, token.Subject, &said); err != nil {
			return signin.Claims{}, err
		}
	}
	result := signin.Claims{Subject: token.Subject, Email: said.Email, EmailVerified: bool(said.EmailVerified)}
	if said.AuthTime > 0 {
		result.AuthenticatedAt = time.Unix(said.AuthTime, 0).UTC()
	}
	return result, nil
}

// askForEmail asks a provider for the address that does not put it into ID
// tokens (OpenID Connect Core, sections 5.3.2 and 5.4).
func (d *discovered) askForEmail(ctx context.Context, tokens *oauth2.Token, subject string, said *claims) error {
	if d.provider.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return signin.Refuse(signin.WhyProvider, fmt.Errorf("ask for the address: %w", err))
	}
	if info.Subject != subject {
		return untrusted(errors.New("the address is somebody else's: the subjects differ"))
	}
	said.Email, said.EmailVerified = info.Email, verified(info.EmailVerified)
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
