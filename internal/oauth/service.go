package oauth

import (
	"context"
	"crypto/subtle"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// Service authenticates clients, and grants and revokes their access tokens.
type Service struct {
	repo      Repository
	catalogue *scope.Catalogue
	keys      *secret.Keyring
	lifetime  time.Duration
	random    io.Reader
	now       clock.Clock
}

// Config has the dependencies of a Service.
type Config struct {
	Repository Repository
	// Catalogue has the implications of scopes.
	Catalogue *scope.Catalogue
	Keys      *secret.Keyring
	// Lifetime is the lifetime of a granted access token, unless its API token
	// expires earlier. It must be positive and at most MaxLifetime.
	Lifetime time.Duration
	// Random is a cryptographic source of randomness.
	Random io.Reader
	Now    clock.Clock
}

// NewService returns a service.
func NewService(c Config) *Service {
	return &Service{
		repo: c.Repository, catalogue: c.Catalogue, keys: c.Keys, lifetime: min(c.Lifetime, MaxLifetime),
		random: c.Random, now: c.Now,
	}
}

// Authenticate returns the API token of the client with the ID and the secret, as a
// principal with its current scopes. For every client that it rejects it returns
// fault.Unauthenticated with the same message for all reasons, and a *Refusal as
// its cause.
func (s *Service) Authenticate(ctx context.Context, id string, presented secret.Secret,
	from auth.Origin) (*auth.Principal, error) {
	if presented.Kind() != secret.ClientSecret || !plausible(id) {
		return nil, refuse(ReasonMalformed, uuid.Nil)
	}
	client, err := s.repo.Client(ctx, id)
	unknown := fault.KindOf(err) == fault.NotFound
	if err != nil && !unknown {
		return nil, err
	}
	// Compare the secret of an unknown client too, so that both take the same time.
	if !s.matches(client.Secret, presented) || unknown {
		return nil, refuse(ReasonUnknown, client.Principal.ID)
	}
	p := client.Principal
	if why := s.refusal(&client, from.IP); why != "" {
		return nil, refuse(why, p.ID)
	}
	p.Scopes = s.catalogue.Visible(p.Scopes, client.Features)
	p.Origin, p.Credential.VerifiedAt = from, s.now()
	return &p, nil
}

// plausible reports whether a client could have the ID: 1 to 128 visible ASCII
// characters (RFC 6749, appendix A.1), which every database accepts.
func plausible(id string) bool {
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(id, strange)
}

// matches reports whether the secret has the stored digest. It takes constant time.
func (s *Service) matches(stored secret.KeyedDigest, presented secret.Secret) bool {
	match := 0
	for _, c := range s.keys.Candidates(presented) {
		match |= subtle.ConstantTimeCompare([]byte(c.Key), []byte(stored.Key)) & subtle.ConstantTimeCompare(c.Digest[:],
			stored.Digest[:])
	}
	return match == 1
}

// refusal returns the reason why the client's API token does not work now from the
// address, or "" if it works.
func (s *Service) refusal(c *Client, from netip.Addr) Reason {
	p := &c.Principal
	from = from.Unmap().WithZone("")
	switch {
	case c.Revoked:
		return ReasonRevoked
	case c.Suspended:
		return ReasonSuspended
	case !p.ExpiresAt.IsZero() && !s.now().Before(p.ExpiresAt):
		return ReasonExpired
	case len(p.AllowedIPRanges) > 0 && !slices.ContainsFunc(p.AllowedIPRanges,
		func(r netip.Prefix) bool { return r.Contains(from) }):
		return ReasonAddress
	}
	return ""
}

func refuse(why Reason, of uuid.UUID) error { return errClient().Because(&Refusal{why, of}) }

// Grant issues an access token to a client that Authenticate returned. requested has
// scopes separated by spaces (RFC 6749, section 3.3); if it is empty, the access
// token gets all scopes of the API token. Grant returns fault.Invalid on "scope"
// for blanks, and for a scope that does not exist or that the API token does not
// hold; fault.Unauthenticated if the API token stopped working in the meantime; and
// fault.LimitReached if the API token has MaxLive live granted access tokens.
func (s *Service) Grant(ctx context.Context, client *auth.Principal, requested string) (Granted, error) {
	scopes, err := s.narrow(client.Scopes, requested)
	if err != nil {
		return Granted{}, err
	}
	now := s.now.Timestamp()
	ends := now.Add(s.lifetime)
	if !client.ExpiresAt.IsZero() && client.ExpiresAt.Before(ends) {
		ends = client.ExpiresAt
	}
	value, err := secret.Generate(s.random, secret.OAuthAccessToken)
	if err != nil {
		return Granted{}, err
	}
	err = s.repo.Grant(ctx, client.Actor(), Draft{
		AccountID: client.AccountID, TokenID: client.ID, ID: uuid.Must(uuid.NewV7()),
		Digest: s.keys.Digest(value), Hint: value.Hint(), Scopes: scopes, CreatedAt: now, ExpiresAt: ends,
		MaxLive: MaxLive,
		Event: newEvent(client, audit.AccessTokenGranted, now, audit.Detail{Name: "hint", Value: value.Hint()},
			audit.Detail{Name: "scopes", Value: scopes.String()},
			audit.Detail{Name: "expiresAt", Value: ends.Format(time.RFC3339Nano)}),
	})
	if err := ended(err, client); err != nil {
		return Granted{}, err
	}
	return Granted{AccessToken: value, Scopes: scopes, Lifetime: ends.Sub(now)}, nil
}

// narrow returns the requested scopes, and the held scopes that they imply.
func (s *Service) narrow(held scope.Set, requested string) (scope.Set, error) {
	if requested == "" {
		return held, nil
	}
	// Only spaces separate scopes (RFC 6749, section 3.3). Any other character is
	// part of a name.
	names := strings.FieldsFunc(requested, func(r rune) bool { return r == ' ' })
	if len(names) == 0 {
		return scope.Set{}, fault.Errorf(fault.Invalid,
			"The scope is blank. Leave it out for all that the API token holds.").On("scope")
	}
	if len(held.Missing(names...)) > 0 {
		return scope.Set{}, fault.Errorf(fault.Invalid,
			"A scope is unknown, or the API token does not hold it. Ask for fewer, or for none, which stands for all that it holds.").On("scope")
	}
	return held.Intersect(s.catalogue.Expand(names...)), nil
}

// Revoke revokes an access token of a client that Authenticate returned, granted or
// durable. It returns nil for a token that is already revoked or does not exist
// (RFC 7009, section 2.2), and fault.Forbidden for another client's token and for a
// secret that is not issued to clients (section 2.1).
func (s *Service) Revoke(ctx context.Context, client *auth.Principal, presented string) error {
	value, err := secret.Parse(presented)
	if err != nil {
		return nil //nolint:nilerr // RFC 7009, section 2.2: an invalid token is not an error
	}
	switch value.Kind() {
	case secret.OAuthAccessToken, secret.AccountAccessToken, secret.StoreAccessToken:
	default:
		return ErrNotIssuedToClient() // without a lookup
	}
	now := s.now.Timestamp()
	err = s.repo.Revoke(ctx, client.Actor(), Revocation{
		AccountID: client.AccountID, TokenID: client.ID, Kind: value.Kind(), Candidates: s.keys.Candidates(value),
		At:    now,
		Event: newEvent(client, audit.AccessTokenRevoked, now, audit.Detail{Name: "hint", Value: value.Hint()}),
	})
	return ended(err, client)
}

// ended replaces the error for a client whose API token was revoked after
// Authenticate with the error that Authenticate returns for it.
func ended(err error, client *auth.Principal) error {
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Unauthenticated:
		return refuse(ReasonRevoked, client.ID)
	}
	return err
}

// newEvent returns the audit event of a client's action on an access token of its
// API token.
func newEvent(client *auth.Principal, action audit.Action, at time.Time, details ...audit.Detail) audit.Event {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: client.AccountID, At: at, Actor: audit.ActorOf(client.Subject()),
		Action:    action,
		Target:    audit.Target{Kind: audit.TargetAPIToken, Key: client.ID.String(), Name: client.Name},
		RequestID: client.Origin.RequestID, Details: details,
	}
	if client.Origin.IP.IsValid() {
		e.IP = client.Origin.IP.String()
	}
	return e
}
