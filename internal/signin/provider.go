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
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Provider says who somebody is (OpenID Connect Core 1.0). Its errors are
// Refused: WhyAway, WhyProvider or WhyUntrusted.
type Provider interface {
	// Issuer is its identifier, and Name what people call it.
	Issuer() string
	Name() string
	// Address is where the person goes to prove who they are.
	Address(ctx context.Context, q Question) (string, error)
	// Redeem turns the code of an answer to the question into what the provider
	// says, once it is proved that it says so, to us, in answer to the question.
	Redeem(ctx context.Context, code string, q Question) (Claims, error)
}

// Question is what the provider is asked.
type Question struct {
	// State comes back with the answer and Nonce in what it stands for (OpenID
	// Connect Core, section 3.1.2.1); Verifier proves that whoever redeems the
	// code asked for it (RFC 7636).
	State, Nonce, Verifier string
	// Again asks the provider to have the person prove who they are although it
	// knows them still.
	Again bool
}

// Claims are what the provider says of a person.
type Claims struct {
	Subject string
	Email   string
	// EmailVerified says that the provider made sure that the address is theirs.
	EmailVerified bool
	// AuthenticatedAt is when they proved who they are; zero if it does not say.
	AuthenticatedAt time.Time
}

// maxSubject is how long a subject may be, in bytes (OpenID Connect Core,
// section 2).
const maxSubject = 255

// ValidSubject reports whether text can be the subject of an identity: 1 to 255
// printable ASCII characters.
func ValidSubject(text string) bool {
	return text != "" && len(text) <= maxSubject && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// judged returns the claims if they can be kept: without an address that is no
// e-mail address. It returns Refused with WhyUntrusted for a subject that is
// none.
func (c Claims) judged() (Claims, error) {
	if !ValidSubject(c.Subject) {
		return Claims{}, refused(WhyUntrusted, errors.New("the subject is not 1 to 255 printable ASCII characters"))
	}
	if !user.ValidEmail(c.Email) {
		c.Email, c.EmailVerified = "", false
	}
	return c, nil
}

// Identity is who a person is at a provider.
type Identity struct {
	ID      uuid.UUID
	UserID  uuid.UUID
	Issuer  string
	Subject string
	// Email is the address there when the two were linked.
	Email      string
	CreatedAt  time.Time
	LastUsedAt time.Time
}

func (i Identity) details() []audit.Detail {
	return []audit.Detail{{Name: "issuer", Value: i.Issuer}, {Name: "subject", Value: i.Subject}}
}

// IdentityRepository keeps who people are at providers.
type IdentityRepository interface {
	// Identity returns who has the subject at the issuer, or fault.NotFound.
	Identity(ctx context.Context, issuer, subject string) (Identity, error)
	// Identities returns a person's, oldest first.
	Identities(ctx context.Context, userID uuid.UUID) ([]Identity, error)
	// LinkIdentity keeps an identity. It returns fault.Conflict when the subject is
	// somebody's, or the person another at the issuer, and Refused with
	// WhyChanged when the grounds no longer hold, and with WhyUnlinked for one
	// that is linked by its address and that the user has unlinked.
	LinkIdentity(ctx context.Context, by auth.Actor, i Identity, how Linking, g Grounds, events []audit.Event) error
	// UsedIdentity notes that somebody signed in with it.
	UsedIdentity(ctx context.Context, id uuid.UUID, at time.Time) error
}

// Linking is how an identity comes to be linked.
type Linking string

// The ways of linking.
const (
	// ByAddress: the provider vouches for the address of a user who signs in.
	ByAddress Linking = "address"
	// OnPurpose: the user links it in a session. It undoes an earlier unlinking.
	OnPurpose Linking = "purpose"
)

// Goal is what somebody proves who they are for.
type Goal string

// The goals.
const (
	// ToSignIn: to begin a session.
	ToSignIn Goal = "sign in"
	// ToLink: to be known by it from then on.
	ToLink Goal = "link"
	// ToProveAgain: to go on in a session that is no longer fresh.
	ToProveAgain Goal = "prove again"
)

// asked is what is kept while somebody is at the provider.
type asked struct {
	Question

	Goal Goal
	// UserID is whose session it was begun in, and Password the version of their
	// password; zero to sign in.
	UserID   uuid.UUID
	Password PasswordVersion
	Next     string
	At       time.Time
}

// AskProvider begins a flow at the provider, and returns the address to go to
// and the secret of the flow. The principal is nil for somebody who signs in.
// It returns Refused with WhyAway when the provider cannot be reached, and
// fault.RateLimited after too many from one address.
func (s *Service) AskProvider(ctx context.Context, by *auth.Principal, goal Goal, next string, v Visitor) (string, secret.Secret, error) {
	if s.Provider == nil {
		return "", secret.Secret{}, fault.Errorf(fault.NotFound, "No other place to sign in is set up.")
	}
	if err := s.attempts.begin(v.Origin.IP, s.Now()); err != nil {
		return "", secret.Secret{}, err
	}
	flow := asked{Goal: goal, Next: next, At: s.moment()}
	var err error
	if flow.Question, err = s.newQuestion(goal == ToProveAgain); err != nil {
		return "", secret.Secret{}, err
	}
	asks := proving()
	if goal != ToSignIn {
		g, err := s.grounds(ctx, by)
		if err != nil {
			return "", secret.Secret{}, err
		}
		flow.UserID, flow.Password, asks = g.UserID, g.Password, by.Actor()
	}
	address, err := s.Provider.Address(ctx, flow.Question)
	if err != nil {
		return "", secret.Secret{}, err
	}
	value, err := s.beginFlow(ctx, asks, forProvider, flow)
	return address, value, err
}

// newQuestion makes a question of 256 random bits for each of its parts; a
// verifier has at least 43 characters (RFC 7636, section 4.1).
func (s *Service) newQuestion(again bool) (Question, error) {
	const size = 32
	raw := make([]byte, 3*size)
	if _, err := io.ReadFull(s.Random, raw); err != nil {
		return Question{}, fmt.Errorf("read random bytes for a question: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString
	return Question{State: text(raw[:size]), Nonce: text(raw[size : 2*size]), Verifier: text(raw[2*size:]), Again: again}, nil
}

// Answer is what the provider sends a browser back with (OpenID Connect Core,
// sections 3.1.2.5 and 3.1.2.6).
type Answer struct {
	State, Code string
	// Error is set in the place of the code.
	Error string
	// Issuer may be missing (RFC 9207).
	Issuer string
}

// Arrival is somebody who came back from the provider.
type Arrival struct {
	Proof

	Goal Goal
	Next string
}

// accessDenied is the error of a person who said no (RFC 6749, section
// 4.1.2.1).
const accessDenied = "access_denied"

// Answered ends a flow at the provider. The principal is who is signed in, if
// anybody is. It returns Refused when it is not proved who came back, or they
// are nobody here. Whoever has the goal ToLink is linked then.
func (s *Service) Answered(ctx context.Context, by *auth.Principal, flow string, a Answer, v Visitor) (Arrival, error) {
	arrival, err := s.answered(ctx, by, flow, a, v)
	if arrival.Goal != ToLink {
		s.Observe(Attempt{Method: ByProvider, UserID: arrival.Proof.User.ID, Origin: v.Origin, Err: err})
	}
	return arrival, err
}

func (s *Service) answered(ctx context.Context, by *auth.Principal, flow string, a Answer, v Visitor) (Arrival, error) {
	if s.Provider == nil {
		return Arrival{}, fault.Errorf(fault.NotFound, "No other place to sign in is set up.")
	}
	var q asked
	if err := s.lookFlow(ctx, forProvider, flow, &q); err != nil {
		return Arrival{}, err
	}
	arrival := Arrival{Goal: q.Goal, Next: q.Next}
	// A wrong state ends nothing: anybody can send a browser here with one.
	if subtle.ConstantTimeCompare([]byte(a.State), []byte(q.State)) != 1 {
		return arrival, refused(WhyState, nil)
	}
	if err := s.takeFlow(ctx, forProvider, flow, &q); err != nil {
		return arrival, err
	}
	claims, err := s.claims(ctx, a, q)
	if err != nil {
		return arrival, err
	}
	if q.Goal != ToSignIn && (by == nil || by.Person() != q.UserID) {
		return arrival, refused(WhyOther, nil)
	}
	if q.Goal == ToSignIn {
		arrival.Proof, err = s.identified(ctx, claims, v)
		return arrival, err
	}
	g := Grounds{UserID: by.Person(), Password: q.Password, Session: by.SessionID}
	if q.Goal == ToLink {
		_, err = s.linkIdentity(ctx, by, self(by), OnPurpose, g, claims)
		return arrival, err
	}
	g.Identity, err = s.provedAgain(ctx, by, claims, q.At)
	arrival.Proof = Proof{User: self(by), Method: ByProvider, grounds: g}
	return arrival, err
}

// claims are what the provider says in its answer.
func (s *Service) claims(ctx context.Context, a Answer, q asked) (Claims, error) {
	switch {
	case a.Issuer != "" && a.Issuer != s.Provider.Issuer():
		return Claims{}, refused(WhyUntrusted, errors.New("the answer is of another issuer"))
	case a.Error == accessDenied:
		return Claims{}, refused(WhyDenied, nil)
	case a.Error != "" || a.Code == "":
		return Claims{}, refused(WhyProvider, fmt.Errorf("the provider answered no code, and the error %.100q", a.Error))
	}
	said, err := s.Provider.Redeem(ctx, a.Code, q.Question)
	if err != nil {
		return Claims{}, err
	}
	return said.judged()
}

// identified returns the proof of who the claims are of: who was linked to the
// subject, and otherwise who has the address, if the provider made sure that it
// is theirs. They are linked then: from then on the address no longer matters.
func (s *Service) identified(ctx context.Context, c Claims, v Visitor) (Proof, error) {
	found, err := s.Repository.Identity(ctx, s.Provider.Issuer(), c.Subject)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return Proof{}, err
	}
	if err == nil {
		person, err := s.Repository.PersonByID(ctx, found.UserID)
		if err != nil {
			return Proof{}, err
		}
		if person.VouchedBy == uuid.Nil || !c.vouchFor(person.Email) {
			proof := prove(person, ByProvider)
			proof.grounds.Identity = found.ID
			return proof, s.Repository.UsedIdentity(ctx, found.ID, s.moment())
		}
		if _, err := s.reclaim(ctx, person, v); err != nil {
			return Proof{}, err
		}
	}
	if c.Email == "" || !c.EmailVerified {
		return Proof{}, refused(WhyUnverified, nil)
	}
	return s.byAddress(ctx, c, v)
}

// byAddress returns the proof of the person whose address the provider vouches
// for, and links them.
func (s *Service) byAddress(ctx context.Context, c Claims, v Visitor) (Proof, error) {
	person, err := s.Repository.EnsurePerson(ctx, user.Fold(c.Email), s.moment())
	if fault.KindOf(err) == fault.NotFound || err == nil && !c.vouchFor(person.Email) {
		return Proof{}, refused(WhyUnknown, nil)
	}
	if err != nil {
		return Proof{}, err
	}
	all, err := s.Repository.Accounts(ctx, person.ID)
	if err != nil {
		return Proof{}, err
	}
	if len(accountsOf(all)) == 0 {
		return Proof{}, refused(WhyUnknown, nil)
	}
	if person.VouchedBy != uuid.Nil {
		if person, err = s.reclaim(ctx, person, v); err != nil {
			return Proof{}, err
		}
	}
	proof := prove(person, ByProvider)
	proof.grounds.Identity, err = s.linkIdentity(ctx, actor(person.User, uuid.Nil, v), person.User, ByAddress, proof.grounds, c)
	return proof, err
}

// reclaim takes a user back from those who may know the password that an account
// chose, for the person whose address a provider vouches for. The password ends,
// and with it the sessions and what may have been added by it, identities among
// it. It returns the user as they are then.
func (s *Service) reclaim(ctx context.Context, p Person, v Visitor) (Person, error) {
	if _, err := s.withoutPassword(ctx, actor(p.User, uuid.Nil, v), p, passwordChange{}); err != nil {
		return Person{}, err
	}
	return s.Repository.PersonByID(ctx, p.ID)
}

// vouchFor reports whether the provider says that the address is the person's.
func (c Claims) vouchFor(email string) bool {
	return c.Email != "" && c.EmailVerified && sameAddress(email, c.Email)
}

// sameAddress reports whether a provider vouches for the very address: letters of
// ASCII may differ in case, and nothing else. Addresses are looked up by a wider
// rule, by which a provider's could be taken for somebody else's.
func sameAddress(kept, said string) bool { return asciiLower(kept) == asciiLower(said) }

func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// linkIdentity remembers who a person is at the provider, and returns the id of
// the identity. Somebody who is known there by another subject is not linked
// anew: an address there may have gone to somebody else.
func (s *Service) linkIdentity(ctx context.Context, by *auth.Principal, who user.User, how Linking, g Grounds, c Claims) (uuid.UUID, error) {
	now := s.moment()
	identity := Identity{
		ID: uuid.Must(uuid.NewV7()), UserID: who.ID, Issuer: s.Provider.Issuer(), Subject: c.Subject, Email: c.Email, CreatedAt: now, LastUsedAt: now,
	}
	events, err := s.events(ctx, by, who, audit.IdentityLinked, identity.details()...)
	if err != nil {
		return uuid.Nil, err
	}
	if err = s.Repository.LinkIdentity(ctx, by.Actor(), identity, how, g, events); err == nil {
		s.notify(who.ID, by.Origin.IP, audit.IdentityLinked)
	}
	if fault.KindOf(err) != fault.Conflict || errors.Is(err, auth.ErrStale) {
		return identity.ID, err
	}
	other, missing := s.Repository.Identity(ctx, identity.Issuer, identity.Subject)
	switch {
	case fault.KindOf(missing) == fault.NotFound:
		return uuid.Nil, refused(WhyTaken, err)
	case missing != nil:
		return uuid.Nil, missing
	case other.UserID != who.ID:
		return uuid.Nil, refused(WhyLinked, err)
	}
	return other.ID, nil // another request of the same person was faster
}

// clockSkew is how far the provider's clock may be behind.
const clockSkew = time.Minute

// provedAgain makes sure that the claims are of the principal's person, who
// proved who they are after they were asked to, and returns the id of their
// identity.
func (s *Service) provedAgain(ctx context.Context, by *auth.Principal, c Claims, askedAt time.Time) (uuid.UUID, error) {
	found, err := s.Repository.Identity(ctx, s.Provider.Issuer(), c.Subject)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return uuid.Nil, err
	}
	if err != nil || found.UserID != by.Person() {
		return uuid.Nil, refused(WhyOther, err)
	}
	if c.AuthenticatedAt.Before(askedAt.Add(-clockSkew)) {
		return uuid.Nil, refused(WhyStale, nil)
	}
	return found.ID, s.Repository.UsedIdentity(ctx, found.ID, s.moment())
}
