package signin

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Provider authenticates users (OpenID Connect Core 1.0). Its errors are
// Refused with ReasonUnreachable, ReasonProvider or ReasonUntrusted.
type Provider interface {
	// Issuer is the provider's identifier, and Name its display name.
	Issuer() string
	Name() string
	// Address returns the URL where the user authenticates.
	Address(ctx context.Context, q AuthRequest) (string, error)
	// Redeem exchanges the code of an answer for the provider's claims. It
	// verifies that the provider made them, for this client and this question.
	Redeem(ctx context.Context, code string, q AuthRequest) (Claims, error)
}

// AuthRequest is an authentication request to the provider.
type AuthRequest struct {
	// State is returned with the answer, and Nonce in the ID token (OpenID
	// Connect Core, section 3.1.2.1). Verifier proves that the client that
	// redeems the code requested it (RFC 7636).
	State, Nonce, Verifier string
	// Again asks the provider to authenticate the user even if they have a
	// session there.
	Again bool
}

// Claims are the provider's claims about a user.
type Claims struct {
	Subject string
	Email   string
	// EmailVerified reports whether the provider has verified the address.
	EmailVerified bool
	// AuthenticatedAt is when the user authenticated; zero if unknown.
	AuthenticatedAt time.Time
}

// maxSubject is the longest subject, in bytes (OpenID Connect Core, section 2).
const maxSubject = 255

// ValidSubject reports whether text is a valid subject: 1 to 255 printable
// ASCII characters.
func ValidSubject(text string) bool {
	return text != "" && len(text) <= maxSubject &&
		!strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// validated returns the claims in a form that can be stored: it drops an invalid
// email address. It returns Refused with ReasonUntrusted for an invalid subject.
func (c Claims) validated() (Claims, error) {
	if !ValidSubject(c.Subject) {
		return Claims{}, refused(ReasonUntrusted, errors.New("the subject is not 1 to 255 printable ASCII characters"))
	}
	if !user.ValidEmail(c.Email) {
		c.Email, c.EmailVerified = "", false
	}
	return c, nil
}

// Identity links a person to their identity at a provider.
type Identity struct {
	ID      uuid.UUID
	UserID  uuid.UUID
	Issuer  string
	Subject string
	// Email is the address at the provider when they were linked.
	Email      string
	CreatedAt  time.Time
	LastUsedAt time.Time
}

func (i Identity) details() []audit.Detail {
	return []audit.Detail{{Name: "issuer", Value: i.Issuer}, {Name: "subject", Value: i.Subject}}
}

// IdentityRepository stores identities.
type IdentityRepository interface {
	// Identity returns the identity with the subject at the issuer, or
	// fault.NotFound.
	Identity(ctx context.Context, issuer, subject string) (Identity, error)
	// Identities returns the user's identities, oldest first.
	Identities(ctx context.Context, userID uuid.UUID) ([]Identity, error)
	// LinkIdentity saves an identity. It returns fault.Conflict if the subject
	// is linked already, or the person to another subject at the issuer. It
	// returns Refused with ReasonChanged if the grounds no longer hold, and with
	// ReasonUnlinked for a link by address that the user has removed before.
	LinkIdentity(ctx context.Context, by auth.Actor, i Identity, how Linking, g Grounds, events []audit.Event) error
	// UsedIdentity records a sign-in with the identity.
	UsedIdentity(ctx context.Context, id uuid.UUID, at time.Time) error
}

// Identities signs users in at the provider, and links their identities there.
type Identities struct {
	persons *persons
	repo    IdentityRepository
	// provider is nil for none.
	provider  Provider
	flows     *flows
	passwords *Passwords
	attempts  *attempts
	failures  *failures
	notices   *notices
	random    io.Reader
	now       clock.Clock
}

// Linking is how an identity gets linked.
type Linking string

// The ways of linking.
const (
	// LinkByAddress: the provider vouches for the address of a user who signs in.
	LinkByAddress Linking = "address"
	// LinkByUser: the user links it in a session. It undoes an earlier
	// unlinking.
	LinkByUser Linking = "purpose"
)

// Goal is what the user authenticates for.
type Goal string

// The goals.
const (
	// ToSignIn: to start a session.
	ToSignIn Goal = "sign in"
	// ToLink: to link the identity.
	ToLink Goal = "link"
	// ToReauthenticate: to continue in a session that is no longer fresh.
	ToReauthenticate Goal = "prove again"
)

// providerFlow is the state of a flow while the user is at the provider.
type providerFlow struct {
	AuthRequest

	Goal Goal
	// UserID is the user of the session that began the flow, and Password the
	// version of their password; zero for a sign-in.
	UserID   uuid.UUID
	Password PasswordVersion
	Next     string
	At       time.Time
}

// BeginProvider begins a flow at the provider and returns the URL to go to and
// the secret of the flow. The principal is nil for a sign-in. It returns
// Refused with ReasonUnreachable if the provider is unreachable, and fault.RateLimited
// after too many from one address.
func (s *Identities) BeginProvider(ctx context.Context, by *auth.Principal, goal Goal, next string, v Visitor) (string,
	secret.Secret, error) {
	if s.provider == nil {
		return "", secret.Secret{}, fault.Errorf(fault.NotFound, "No sign-in provider is set up.")
	}
	if err := s.attempts.begin(v.Origin.IP, s.now()); err != nil {
		return "", secret.Secret{}, err
	}
	flow := providerFlow{Goal: goal, Next: next, At: s.now.Timestamp()}
	var err error
	if flow.AuthRequest, err = s.newAuthRequest(goal == ToReauthenticate); err != nil {
		return "", secret.Secret{}, err
	}
	starter := proving()
	if goal != ToSignIn {
		g, err := s.persons.grounds(ctx, by)
		if err != nil {
			return "", secret.Secret{}, err
		}
		flow.UserID, flow.Password, starter = g.UserID, g.Password, by.Actor()
	}
	address, err := s.provider.Address(ctx, flow.AuthRequest)
	if err != nil {
		return "", secret.Secret{}, err
	}
	value, err := s.flows.begin(ctx, starter, forProvider, flow)
	return address, value, err
}

// newAuthRequest returns a question with 256 random bits in each of its parts. A
// verifier has at least 43 characters (RFC 7636, section 4.1).
func (s *Identities) newAuthRequest(again bool) (AuthRequest, error) {
	const size = 32
	raw := make([]byte, 3*size)
	if _, err := io.ReadFull(s.random, raw); err != nil {
		return AuthRequest{}, fmt.Errorf("read random bytes for an authentication request: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString
	return AuthRequest{State: text(raw[:size]), Nonce: text(raw[size : 2*size]), Verifier: text(raw[2*size:]),
		Again: again}, nil
}

// AuthResponse is the provider's answer to the authentication request (OpenID Connect
// Core, sections 3.1.2.5 and 3.1.2.6).
type AuthResponse struct {
	State, Code string
	// Error is set instead of the code.
	Error string
	// Issuer may be missing (RFC 9207).
	Issuer string
}

// ProviderResult is a user who came back from the provider.
type ProviderResult struct {
	Proof

	Goal Goal
	Next string
}

// accessDenied is the error code if the user denies access (RFC 6749, section
// 4.1.2.1).
const accessDenied = "access_denied"

// FinishProvider finishes a flow at the provider. The principal is the signed-in
// user, or nil. With the goal ToLink, it links the identity. It returns Refused
// if the answer is not valid or its user is unknown here.
func (s *Identities) FinishProvider(ctx context.Context, by *auth.Principal, flow string, r AuthResponse,
	v Visitor) (ProviderResult, error) {
	result, err := s.finishProvider(ctx, by, flow, r, v)
	if result.Goal != ToLink {
		s.failures.observe(ctx, Attempt{Method: ByProvider, UserID: result.Proof.User.ID, Origin: v.Origin, Err: err})
	}
	return result, err
}

func (s *Identities) finishProvider(ctx context.Context, by *auth.Principal, flow string, r AuthResponse,
	v Visitor) (ProviderResult, error) {
	if s.provider == nil {
		return ProviderResult{}, fault.Errorf(fault.NotFound, "No sign-in provider is set up.")
	}
	var q providerFlow
	if err := s.flows.peek(ctx, forProvider, flow, &q); err != nil {
		return ProviderResult{}, err
	}
	result := ProviderResult{Goal: q.Goal, Next: q.Next}
	// A wrong state does not end the flow: any website can send a browser here
	// with one.
	if subtle.ConstantTimeCompare([]byte(r.State), []byte(q.State)) != 1 {
		return result, refused(ReasonState, nil)
	}
	if err := s.flows.take(ctx, forProvider, flow, &q); err != nil {
		return result, err
	}
	claims, err := s.claims(ctx, r, q)
	if err != nil {
		return result, err
	}
	if q.Goal != ToSignIn && (by == nil || by.Person() != q.UserID) {
		return result, refused(ReasonOther, nil)
	}
	if q.Goal == ToSignIn {
		result.Proof, err = s.identified(ctx, claims, v)
		return result, err
	}
	g := Grounds{UserID: by.Person(), Password: q.Password, Session: by.SessionID}
	if q.Goal == ToLink {
		_, err = s.linkIdentity(ctx, by, self(by), LinkByUser, g, claims)
		return result, err
	}
	g.Identity, err = s.reauthenticated(ctx, by, claims, q.At)
	result.Proof = Proof{User: self(by), Method: ByProvider, grounds: g}
	return result, err
}

// claims returns the provider's claims for its answer.
func (s *Identities) claims(ctx context.Context, r AuthResponse, q providerFlow) (Claims, error) {
	switch {
	case r.Issuer != "" && r.Issuer != s.provider.Issuer():
		return Claims{}, refused(ReasonUntrusted, errors.New("the answer is from another issuer"))
	case r.Error == accessDenied:
		return Claims{}, refused(ReasonDenied, nil)
	case r.Error != "" || r.Code == "":
		return Claims{}, refused(ReasonProvider,
			fmt.Errorf("the provider returned no code, but the error %.100q", r.Error))
	}
	claims, err := s.provider.Redeem(ctx, r.Code, q.AuthRequest)
	if err != nil {
		return Claims{}, err
	}
	return claims.validated()
}

// identified returns the proof of the user of the claims: the one linked to the
// subject or, without a link, the one with the address, if the provider has
// verified it. The latter is linked, so that later sign-ins ignore the address.
func (s *Identities) identified(ctx context.Context, c Claims, v Visitor) (Proof, error) {
	found, err := s.repo.Identity(ctx, s.provider.Issuer(), c.Subject)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return Proof{}, err
	}
	if err == nil {
		person, err := s.persons.PersonByID(ctx, found.UserID)
		if err != nil {
			return Proof{}, err
		}
		if person.VouchedBy == uuid.Nil || !c.vouchFor(person.Email) {
			proof := prove(person, ByProvider)
			proof.grounds.Identity = found.ID
			return proof, s.repo.UsedIdentity(ctx, found.ID, s.now.Timestamp())
		}
		if _, err := s.reclaim(ctx, person, v); err != nil {
			return Proof{}, err
		}
	}
	if c.Email == "" || !c.EmailVerified {
		return Proof{}, refused(ReasonUnverified, nil)
	}
	return s.byAddress(ctx, c, v)
}

// byAddress returns the proof of the person whose address the provider vouches
// for, and links them.
func (s *Identities) byAddress(ctx context.Context, c Claims, v Visitor) (Proof, error) {
	person, err := s.persons.EnsurePerson(ctx, user.Fold(c.Email), s.now.Timestamp())
	if fault.KindOf(err) == fault.NotFound || err == nil && !c.vouchFor(person.Email) {
		return Proof{}, refused(ReasonUnknown, nil)
	}
	if err != nil {
		return Proof{}, err
	}
	all, err := s.persons.Accounts(ctx, person.ID)
	if err != nil {
		return Proof{}, err
	}
	if len(accountsOf(all)) == 0 {
		return Proof{}, refused(ReasonUnknown, nil)
	}
	if person.VouchedBy != uuid.Nil {
		if person, err = s.reclaim(ctx, person, v); err != nil {
			return Proof{}, err
		}
	}
	proof := prove(person, ByProvider)
	proof.grounds.Identity, err = s.linkIdentity(ctx, actor(person.User, uuid.Nil, v), person.User, LinkByAddress,
		proof.grounds, c)
	return proof, err
}

// reclaim takes a user back from any visitor who may know the password that an
// account chose, for the person whose address the provider vouches for. It
// removes the password, its sessions, and the factors and identities that may
// have been added with it. It returns the updated user.
func (s *Identities) reclaim(ctx context.Context, p Person, v Visitor) (Person, error) {
	if _, err := s.passwords.removeVouched(ctx, actor(p.User, uuid.Nil, v), p, passwordChange{}); err != nil {
		return Person{}, err
	}
	return s.persons.PersonByID(ctx, p.ID)
}

// vouchFor reports whether the provider has verified that the address is the
// user's.
func (c Claims) vouchFor(email string) bool {
	return c.Email != "" && c.EmailVerified && sameAddress(email, c.Email)
}

// sameAddress reports whether the provider's address is exactly the stored one,
// ignoring only the case of ASCII letters. Addresses are looked up with wider
// case folding, under which a provider's address could match another user's.
func sameAddress(stored, claimed string) bool { return asciiLower(stored) == asciiLower(claimed) }

func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// linkIdentity links a person to their subject at the provider and returns the
// ID of the identity. A person with another subject there is not linked again:
// the provider may have given the address to a new user.
func (s *Identities) linkIdentity(ctx context.Context, by *auth.Principal, who user.User, how Linking, g Grounds,
	c Claims) (uuid.UUID, error) {
	now := s.now.Timestamp()
	identity := Identity{
		ID: uuid.Must(uuid.NewV7()), UserID: who.ID, Issuer: s.provider.Issuer(), Subject: c.Subject, Email: c.Email,
		CreatedAt: now, LastUsedAt: now,
	}
	events, err := s.persons.events(ctx, by, who, audit.IdentityLinked, identity.details()...)
	if err != nil {
		return uuid.Nil, err
	}
	if err = s.repo.LinkIdentity(ctx, by.Actor(), identity, how, g, events); err == nil {
		s.notices.notify(who.ID, by.Origin.IP, audit.IdentityLinked)
	}
	if fault.KindOf(err) != fault.Conflict || errors.Is(err, auth.ErrStale) {
		return identity.ID, err
	}
	other, missing := s.repo.Identity(ctx, identity.Issuer, identity.Subject)
	switch {
	case fault.KindOf(missing) == fault.NotFound:
		return uuid.Nil, refused(ReasonTaken, err)
	case missing != nil:
		return uuid.Nil, missing
	case other.UserID != who.ID:
		return uuid.Nil, refused(ReasonLinked, err)
	}
	return other.ID, nil // a concurrent request of the same person was first
}

// clockSkew is how far the provider's clock may be behind.
const clockSkew = time.Minute

// reauthenticated checks that the claims are of the principal's person, who
// authenticated after the request, and returns the ID of their identity.
func (s *Identities) reauthenticated(ctx context.Context, by *auth.Principal, c Claims, begunAt time.Time) (uuid.UUID,
	error) {
	found, err := s.repo.Identity(ctx, s.provider.Issuer(), c.Subject)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return uuid.Nil, err
	}
	if err != nil || found.UserID != by.Person() {
		return uuid.Nil, refused(ReasonOther, err)
	}
	if c.AuthenticatedAt.Before(begunAt.Add(-clockSkew)) {
		return uuid.Nil, refused(ReasonStale, nil)
	}
	return found.ID, s.repo.UsedIdentity(ctx, found.ID, s.now.Timestamp())
}
