package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// MaxPasskeys is the most passkeys of a user.
const MaxPasskeys = 20

// Passkey is the public key of a user's passkey (Web Authentication: credential
// record). The private key never leaves the device or password manager.
type Passkey struct {
	ID     uuid.UUID
	UserID uuid.UUID
	// Name is the name that the user chose.
	Name string
	// Site is the host that the passkey works for.
	Site string
	// CredentialID and PublicKey are as the authenticator created them.
	CredentialID, PublicKey []byte
	// SignCount is the authenticator's signature counter, or zero if it has
	// none.
	SignCount uint32
	// Transports are the ways in which browsers reach the authenticator.
	Transports []string
	// BackupEligible reports whether the passkey can be synced. It never
	// changes.
	BackupEligible bool
	CreatedAt      time.Time
	LastUsedAt     time.Time
}

// PasskeyRepository stores passkeys. A lookup of one passkey returns
// fault.NotFound if it does not exist.
type PasskeyRepository interface {
	// Passkeys returns the user's passkeys, oldest first.
	Passkeys(ctx context.Context, userID uuid.UUID) ([]Passkey, error)
	// AddPasskey saves a passkey. It returns fault.Conflict if it is saved
	// already, ErrTooManyPasskeys if the user has MaxPasskeys, and Refused with
	// ReasonChanged if the grounds no longer hold.
	AddPasskey(ctx context.Context, by auth.Actor, p Passkey, g Grounds, events []audit.Event) error
	// RenamePasskey renames a passkey of the user in the grounds. It returns
	// Refused with ReasonChanged if the grounds no longer hold.
	RenamePasskey(ctx context.Context, by auth.Actor, g Grounds, id uuid.UUID, name string) error
	// UsedPasskey records a use of the passkey and its new signature count.
	UsedPasskey(ctx context.Context, id uuid.UUID, count uint32, at time.Time) error
}

// Passkeys signs users in with passkeys, and adds and renames them.
type Passkeys struct {
	persons  *persons
	repo     PasskeyRepository
	flows    *flows
	attempts *attempts
	failures *failures
	notices  *notices
	// authn verifies passkeys for the site; nil if passkeys do not work.
	authn *webauthn.WebAuthn
	site  string
	now   clock.Clock
}

// newAuthn returns the passkey verifier for the server at the URL, and the site
// that passkeys work for. It returns nil if the URL has no host name: browsers
// support no passkeys there (Web Authentication, section 5.1.3, step 7).
func newAuthn(publicURL string) (*webauthn.WebAuthn, string, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Hostname() == "" {
		return nil, "", nil //nolint:nilerr // no URL, no passkeys: the settings check URLs
	}
	site := strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(site); err == nil {
		return nil, "", nil
	}
	judge, err := webauthn.New(&webauthn.Config{
		RPID: site, RPDisplayName: issuerName, RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, "", fmt.Errorf("set up passkeys for %s: %w", publicURL, err)
	}
	return judge, site, nil
}

// PasskeysWork reports whether passkeys work on this server, which needs a host
// name rather than an IP address.
func (s *Passkeys) PasskeysWork() bool { return s.authn != nil }

func (s *Passkeys) needAuthn() error {
	if s.authn == nil {
		return fault.Errorf(fault.NotFound,
			"Passkeys do not work on a server that is reached by an IP address instead of a host name.")
	}
	return nil
}

// ErrTooManyPasskeys is the error for a user who has MaxPasskeys.
func ErrTooManyPasskeys() *fault.Error {
	return fault.Errorf(fault.LimitReached, "You have %d passkeys, the most that are allowed. Remove one first.",
		MaxPasskeys)
}

// holder adapts a person to the library's user interface.
type holder struct {
	who      user.User
	passkeys []webauthn.Credential
}

// WebAuthnID returns the user handle that the authenticator stores.
func (h holder) WebAuthnID() []byte { return h.who.ID[:] }

// WebAuthnName returns the name that the authenticator shows.
func (h holder) WebAuthnName() string { return h.who.Email }

// WebAuthnDisplayName returns the same as WebAuthnName.
func (h holder) WebAuthnDisplayName() string { return h.who.Email }

// WebAuthnCredentials returns the person's passkeys.
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.passkeys }

// holder returns a user with the passkeys that work, and all that are stored.
func (s *Passkeys) holder(ctx context.Context, who user.User) (holder, []Passkey, error) {
	kept, err := s.repo.Passkeys(ctx, who.ID)
	h := holder{who: who}
	for _, p := range kept {
		if p.worksFor(s.site) {
			h.passkeys = append(h.passkeys, p.credential())
		}
	}
	return h, kept, err
}

// worksFor reports whether the passkey signs in at the site. A passkey that was
// stored before its kind of key was refused does not.
func (p Passkey) worksFor(site string) bool {
	c := p.credential()
	return p.Site == site && site != "" && checkCredential(&c) == nil
}

func (p Passkey) credential() webauthn.Credential {
	c := webauthn.Credential{ID: p.CredentialID, PublicKey: p.PublicKey}
	for _, each := range p.Transports {
		c.Transport = append(c.Transport, protocol.AuthenticatorTransport(each))
	}
	c.Flags.UserPresent, c.Flags.UserVerified, c.Flags.BackupEligible = true, true, p.BackupEligible
	c.Authenticator.SignCount = p.SignCount
	return c
}

// ceremony is the state of a flow while a browser asks an authenticator.
type ceremony struct {
	// UserID is the user who is signed in, and Password the version of their
	// password; zero without a session.
	UserID   uuid.UUID
	Password PasswordVersion
	Session  webauthn.SessionData
}

// BeginPasskey begins a sign-in with any passkey. It returns the options for the
// browser (PublicKeyCredentialRequestOptionsJSON) and the secret of the flow;
// fault.NotFound if this server has no passkeys, and fault.RateLimited after
// too many from one address.
func (s *Passkeys) BeginPasskey(ctx context.Context, v Visitor) ([]byte, secret.Secret, error) {
	if err := s.needAuthn(); err != nil {
		return nil, secret.Secret{}, err
	}
	if err := s.attempts.begin(v.Origin.IP, s.now()); err != nil {
		return nil, secret.Secret{}, err
	}
	options, session, err := s.authn.BeginDiscoverableLogin(
		webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, secret.Secret{}, fmt.Errorf("ask for a passkey: %w", err)
	}
	return s.beginCeremony(ctx, proving(), forPasskey, ceremony{Session: *session}, options.Response)
}

func (s *Passkeys) beginCeremony(ctx context.Context, by auth.Actor, p purpose, c ceremony, options any) ([]byte,
	secret.Secret, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return nil, secret.Secret{}, fmt.Errorf("write options: %w", err)
	}
	value, err := s.flows.begin(ctx, by, p, c)
	return text, value, err
}

// PasskeyProof is a proof by passkey.
type PasskeyProof struct {
	Proof

	Passkey Passkey
	// Cloned reports that the signature counter did not increase: there may be
	// a copy of the passkey (Web Authentication, section 6.1.1).
	Cloned bool
}

// FinishPasskey finishes the flow with the browser's answer
// (AuthenticationResponseJSON) and returns the proof. It returns Refused for an
// answer that is not valid.
func (s *Passkeys) FinishPasskey(ctx context.Context, flow, answer string, v Visitor) (PasskeyProof, error) {
	proof, err := s.judgePasskey(ctx, flow, answer)
	s.failures.observe(ctx, Attempt{Method: ByPasskey, UserID: proof.User.ID, Origin: v.Origin, Err: err})
	if err != nil {
		return PasskeyProof{}, err
	}
	return proof, nil
}

// judgePasskey returns, with an error, only the user that the passkey claims to
// be of.
func (s *Passkeys) judgePasskey(ctx context.Context, flow, answer string) (PasskeyProof, error) {
	var proof PasskeyProof
	if err := s.needAuthn(); err != nil {
		return proof, err
	}
	var c ceremony
	if err := s.flows.take(ctx, forPasskey, flow, &c); err != nil {
		return proof, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return proof, refused(ReasonPasskey, err)
	}
	person, who, kept, err := s.holderOf(ctx, parsed.Response.UserHandle)
	if err != nil {
		return proof, err
	}
	proof.User = person.User
	_, used, err := s.authn.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return who, nil },
		c.Session, parsed)
	if err != nil {
		return proof, refused(ReasonPasskey, reasonOf(err))
	}
	for _, p := range kept {
		if string(p.CredentialID) == string(used.ID) {
			proof = PasskeyProof{Proof: prove(person, ByPasskey), Passkey: p, Cloned: used.Authenticator.CloneWarning}
			proof.grounds.Passkey = p.ID
			return proof, s.repo.UsedPasskey(ctx, p.ID, used.Authenticator.SignCount, s.now.Timestamp())
		}
	}
	return proof, refused(ReasonPasskey, nil)
}

// holderOf returns the user that the passkey claims to be of.
func (s *Passkeys) holderOf(ctx context.Context, handle []byte) (Person, holder, []Passkey, error) {
	id, err := uuid.FromBytes(handle)
	if err != nil {
		return Person{}, holder{}, nil, refused(ReasonPasskey, err)
	}
	person, err := s.persons.PersonByID(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return Person{}, holder{}, nil, refused(ReasonPasskey, err)
	}
	if err != nil {
		return Person{}, holder{}, nil, err
	}
	h, kept, err := s.holder(ctx, person.User)
	return person, h, kept, err
}

// reasonOf returns an error of the library with all its details.
func reasonOf(err error) error {
	var detailed *protocol.Error
	if errors.As(err, &detailed) && detailed.DevInfo != "" {
		return fmt.Errorf("%w: %s", err, detailed.DevInfo)
	}
	return err
}

// BeginNewPasskey begins to add a passkey for the principal. It returns the
// options for the browser (PublicKeyCredentialCreationOptionsJSON) and the
// secret of the flow; fault.NotFound if this server has no passkeys, and
// fault.LimitReached after too many.
func (s *Passkeys) BeginNewPasskey(ctx context.Context, by *auth.Principal) ([]byte, secret.Secret, error) {
	if err := s.needAuthn(); err != nil {
		return nil, secret.Secret{}, err
	}
	g, err := s.persons.grounds(ctx, by)
	if err != nil {
		return nil, secret.Secret{}, err
	}
	h, kept, err := s.holder(ctx, self(by))
	if err != nil {
		return nil, secret.Secret{}, err
	}
	if len(kept) >= MaxPasskeys {
		return nil, secret.Secret{}, ErrTooManyPasskeys()
	}
	options, session, err := s.authn.BeginRegistration(h,
		webauthn.WithExclusions(webauthn.Credentials(h.passkeys).CredentialDescriptors()))
	if err != nil {
		return nil, secret.Secret{}, fmt.Errorf("ask for a new passkey: %w", err)
	}
	return s.beginCeremony(ctx, by.Actor(), forNewPasskey, ceremony{by.Person(), g.Password, *session},
		options.Response)
}

// AddPasskey finishes the flow with the browser's answer
// (RegistrationResponseJSON). It returns fault.Invalid on "name" for an invalid
// name, which does not end the flow, and Refused for an answer that is not
// valid.
func (s *Passkeys) AddPasskey(ctx context.Context, by *auth.Principal, flow, name, answer string) error {
	if err := s.needAuthn(); err != nil {
		return err
	}
	name = strings.TrimSpace(name)
	if err := checkName(name); err != nil {
		return err
	}
	var c ceremony
	if err := s.flows.take(ctx, forNewPasskey, flow, &c); err != nil {
		return err
	}
	if c.UserID != by.Person() {
		return refused(ReasonOther, nil)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return refused(ReasonPasskey, reasonOf(err))
	}
	made, err := s.authn.CreateCredential(holder{who: self(by)}, c.Session, parsed)
	if err != nil {
		return refused(ReasonPasskey, reasonOf(err))
	}
	if err := checkCredential(made); err != nil {
		return refused(ReasonPasskey, err)
	}
	p := Passkey{
		ID: uuid.Must(uuid.NewV7()), UserID: by.Person(), Name: name, Site: s.site, CredentialID: made.ID,
		PublicKey: made.PublicKey,
		SignCount: made.Authenticator.SignCount, BackupEligible: made.Flags.BackupEligible,
		CreatedAt:  s.now.Timestamp(),
		Transports: knownTransports(made.Transport),
	}
	events, err := s.persons.ownEvents(ctx, by, audit.PasskeyAdded, audit.Detail{Name: "passkey", Value: name})
	if err != nil {
		return err
	}
	err = s.repo.AddPasskey(ctx, by.Actor(), p,
		Grounds{UserID: by.Person(), Password: c.Password, Session: by.SessionID}, events)
	if fault.KindOf(err) == fault.Conflict && !errors.Is(err, auth.ErrStale) {
		return fault.Errorf(fault.Conflict, "This passkey is added already.")
	}
	if err == nil {
		s.notices.notify(by.Person(), by.Origin.IP, audit.PasskeyAdded)
	}
	return err
}

func checkName(name string) error {
	if !user.ValidName(name) {
		return fault.Errorf(fault.Invalid, "A name has 1 to %d characters, all on one line.", user.MaxName).On("name")
	}
	return nil
}

// RenamePasskey renames a passkey of the principal's person. It returns
// fault.Invalid on "name" for an invalid name, and fault.NotFound if there is
// no such passkey.
func (s *Passkeys) RenamePasskey(ctx context.Context, by *auth.Principal, id uuid.UUID, name string) error {
	name = strings.TrimSpace(name)
	if err := checkName(name); err != nil {
		return err
	}
	g, err := s.persons.grounds(ctx, by)
	if err != nil {
		return err
	}
	return s.repo.RenamePasskey(ctx, by.Actor(), g, id, name)
}
