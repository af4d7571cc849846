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
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// MaxPasskeys is how many passkeys a person can have.
const MaxPasskeys = 20

// Passkey is a key pair of a person's (Web Authentication: credential record).
// Its private half never leaves their device or the keeper of their passwords.
type Passkey struct {
	ID     uuid.UUID
	UserID uuid.UUID
	// Name is what the person calls it.
	Name string
	// Site is the host that it is good for.
	Site string
	// CredentialID and PublicKey are as the authenticator made them.
	CredentialID, PublicKey []byte
	// SignCount is how often it has signed, where the authenticator counts.
	SignCount uint32
	// Transports are how browsers reach the authenticator.
	Transports []string
	// BackupEligible says that it can be on several devices. It never changes.
	BackupEligible bool
	CreatedAt      time.Time
	LastUsedAt     time.Time
}

// PasskeyRepository keeps passkeys. A look-up of one returns fault.NotFound
// when there is none.
type PasskeyRepository interface {
	// Passkeys returns a person's, oldest first.
	Passkeys(ctx context.Context, userID uuid.UUID) ([]Passkey, error)
	// AddPasskey keeps one. It returns fault.Conflict when it is kept already,
	// and Refused with WhyChanged when the grounds no longer hold.
	AddPasskey(ctx context.Context, by auth.Actor, p Passkey, g Grounds, events []audit.Event) error
	// RenamePasskey gives one of the user of the grounds another name. It returns
	// Refused with WhyChanged when the grounds no longer hold.
	RenamePasskey(ctx context.Context, by auth.Actor, g Grounds, id uuid.UUID, name string) error
	// UsedPasskey notes that one signed, and the count that it came to.
	UsedPasskey(ctx context.Context, id uuid.UUID, count uint32, at time.Time) error
}

// newAuthn returns what judges passkeys of the server at the URL, and the site
// that they are good for; nothing where browsers know no passkeys: at an
// address without a name (Web Authentication, section 5.1.3, step 7).
func newAuthn(publicURL string) (*webauthn.WebAuthn, string, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Hostname() == "" {
		return nil, "", nil //nolint:nilerr // no URL, no passkeys: settings judge URLs
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

// PasskeysWork reports whether there can be passkeys where this server is: under
// a name, not under a number.
func (s *Service) PasskeysWork() bool { return s.authn != nil }

func (s *Service) needAuthn() error {
	if s.authn == nil {
		return fault.Errorf(fault.NotFound, "There are no passkeys where this server is reached by a number instead of a name.")
	}
	return nil
}

// holder is a person as the library asks for one.
type holder struct {
	who      user.User
	passkeys []webauthn.Credential
}

// WebAuthnID is what the authenticator keeps of the person besides their name.
func (h holder) WebAuthnID() []byte { return h.who.ID[:] }

// WebAuthnName is what the authenticator shows.
func (h holder) WebAuthnName() string { return h.who.Email }

// WebAuthnDisplayName is likewise.
func (h holder) WebAuthnDisplayName() string { return h.who.Email }

// WebAuthnCredentials are the person's passkeys.
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.passkeys }

func (s *Service) holder(ctx context.Context, who user.User) (holder, []Passkey, error) {
	kept, err := s.Repository.Passkeys(ctx, who.ID)
	h := holder{who: who}
	for _, p := range kept {
		h.passkeys = append(h.passkeys, p.credential())
	}
	return h, kept, err
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

// ceremony is what is kept while a browser asks an authenticator.
type ceremony struct {
	// UserID is who is signed in, and Password the version of their password;
	// zero for nobody.
	UserID   uuid.UUID
	Password PasswordVersion
	Session  webauthn.SessionData
}

// AskPasskey begins a proof by passkey, whoever it may be. It returns the
// options for the browser (PublicKeyCredentialRequestOptionsJSON) and the secret
// of the flow; fault.NotFound where there are no passkeys, and fault.RateLimited
// after too many from one address.
func (s *Service) AskPasskey(ctx context.Context, v Visitor) ([]byte, secret.Secret, error) {
	if err := s.needAuthn(); err != nil {
		return nil, secret.Secret{}, err
	}
	if err := s.attempts.begin(v.Origin.IP, s.Now()); err != nil {
		return nil, secret.Secret{}, err
	}
	options, session, err := s.authn.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, secret.Secret{}, fmt.Errorf("ask for a passkey: %w", err)
	}
	return s.beginCeremony(ctx, proving(), forPasskey, ceremony{Session: *session}, options.Response)
}

func (s *Service) beginCeremony(ctx context.Context, by auth.Actor, p purpose, c ceremony, options any) ([]byte, secret.Secret, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return nil, secret.Secret{}, fmt.Errorf("write options: %w", err)
	}
	value, err := s.beginFlow(ctx, by, p, c)
	return text, value, err
}

// PasskeyProof is somebody who proved who they are by a passkey.
type PasskeyProof struct {
	Proof

	Passkey Passkey
	// Cloned says that the passkey counted fewer uses than it should have: there
	// may be a copy of it (Web Authentication, section 6.1.1).
	Cloned bool
}

// Passkey ends the flow with the browser's answer (AuthenticationResponseJSON),
// and returns who it is of. It returns Refused when it proves nothing.
func (s *Service) Passkey(ctx context.Context, flow, answer string, v Visitor) (PasskeyProof, error) {
	proof, err := s.judgePasskey(ctx, flow, answer)
	s.Observe(Attempt{Method: ByPasskey, UserID: proof.User.ID, Origin: v.Origin, Err: err})
	if err != nil {
		return PasskeyProof{}, err
	}
	return proof, nil
}

// judgePasskey returns with an error no more of a proof than whose passkey it
// was said to be.
func (s *Service) judgePasskey(ctx context.Context, flow, answer string) (PasskeyProof, error) {
	var proof PasskeyProof
	if err := s.needAuthn(); err != nil {
		return proof, err
	}
	var c ceremony
	if err := s.takeFlow(ctx, forPasskey, flow, &c); err != nil {
		return proof, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return proof, refused(WhyPasskey, err)
	}
	person, who, kept, err := s.holderOf(ctx, parsed.Response.UserHandle)
	if err != nil {
		return proof, err
	}
	proof.User = person.User
	_, used, err := s.authn.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return who, nil }, c.Session, parsed)
	if err != nil {
		return proof, refused(WhyPasskey, reasonOf(err))
	}
	for _, p := range kept {
		if string(p.CredentialID) == string(used.ID) {
			proof = PasskeyProof{Proof: prove(person, ByPasskey), Passkey: p, Cloned: used.Authenticator.CloneWarning}
			proof.grounds.Passkey = p.ID
			return proof, s.Repository.UsedPasskey(ctx, p.ID, used.Authenticator.SignCount, s.moment())
		}
	}
	return proof, refused(WhyPasskey, nil)
}

// holderOf returns whom a passkey says that it is of.
func (s *Service) holderOf(ctx context.Context, handle []byte) (Person, holder, []Passkey, error) {
	id, err := uuid.FromBytes(handle)
	if err != nil {
		return Person{}, holder{}, nil, refused(WhyPasskey, err)
	}
	person, err := s.Repository.PersonByID(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return Person{}, holder{}, nil, refused(WhyPasskey, err)
	}
	if err != nil {
		return Person{}, holder{}, nil, err
	}
	h, kept, err := s.holder(ctx, person.User)
	return person, h, kept, err
}

// reasonOf is an error of the library with all that it says.
func reasonOf(err error) error {
	var detailed *protocol.Error
	if errors.As(err, &detailed) && detailed.DevInfo != "" {
		return fmt.Errorf("%w: %s", err, detailed.DevInfo)
	}
	return err
}

// AskNewPasskey begins to add a passkey of the principal's. It returns the
// options for the browser (PublicKeyCredentialCreationOptionsJSON) and the
// secret of the flow; fault.NotFound where there are no passkeys, and
// fault.LimitReached for one too many.
func (s *Service) AskNewPasskey(ctx context.Context, by *auth.Principal) ([]byte, secret.Secret, error) {
	if err := s.needAuthn(); err != nil {
		return nil, secret.Secret{}, err
	}
	g, err := s.grounds(ctx, by)
	if err != nil {
		return nil, secret.Secret{}, err
	}
	h, kept, err := s.holder(ctx, self(by))
	if err != nil {
		return nil, secret.Secret{}, err
	}
	if len(kept) >= MaxPasskeys {
		return nil, secret.Secret{}, fault.Errorf(fault.LimitReached, "You have %d passkeys, which is as many as there can be. Remove one first.", MaxPasskeys)
	}
	options, session, err := s.authn.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.passkeys).CredentialDescriptors()))
	if err != nil {
		return nil, secret.Secret{}, fmt.Errorf("ask for a new passkey: %w", err)
	}
	return s.beginCeremony(ctx, by.Actor(), forNewPasskey, ceremony{by.Person(), g.Password, *session}, options.Response)
}

// AddPasskey ends the flow with the browser's answer (RegistrationResponseJSON).
// It returns fault.Invalid on "name" for a bad name, after which the flow goes
// on, and Refused for an answer that proves nothing.
func (s *Service) AddPasskey(ctx context.Context, by *auth.Principal, flow, name, answer string) error {
	if err := s.needAuthn(); err != nil {
		return err
	}
	name = strings.TrimSpace(name)
	if err := checkName(name); err != nil {
		return err
	}
	var c ceremony
	if err := s.takeFlow(ctx, forNewPasskey, flow, &c); err != nil {
		return err
	}
	if c.UserID != by.Person() {
		return refused(WhyOther, nil)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return refused(WhyPasskey, reasonOf(err))
	}
	made, err := s.authn.CreateCredential(holder{who: self(by)}, c.Session, parsed)
	if err != nil {
		return refused(WhyPasskey, reasonOf(err))
	}
	if err := checkCredential(made); err != nil {
		return refused(WhyPasskey, err)
	}
	p := Passkey{
		ID: uuid.Must(uuid.NewV7()), UserID: by.Person(), Name: name, Site: s.site, CredentialID: made.ID, PublicKey: made.PublicKey,
		SignCount: made.Authenticator.SignCount, BackupEligible: made.Flags.BackupEligible, CreatedAt: s.moment(),
		Transports: knownTransports(made.Transport),
	}
	events, err := s.ownEvents(ctx, by, audit.PasskeyAdded, audit.Detail{Name: "passkey", Value: name})
	if err != nil {
		return err
	}
	err = s.Repository.AddPasskey(ctx, by.Actor(), p, Grounds{UserID: by.Person(), Password: c.Password, Session: by.SessionID}, events)
	if fault.KindOf(err) == fault.Conflict && !errors.Is(err, auth.ErrStale) {
		return fault.Errorf(fault.Conflict, "This passkey is added already.")
	}
	if err == nil {
		s.notify(by.Person(), by.Origin.IP, audit.PasskeyAdded)
	}
	return err
}

func checkName(name string) error {
	if !user.ValidName(name) {
		return fault.Errorf(fault.Invalid, "A name has 1 to %d characters, all on one line.", user.MaxName).On("name")
	}
	return nil
}

// RenamePasskey gives a passkey of the principal's another name. It returns
// fault.Invalid on "name" for a bad one, and fault.NotFound when there is no
// such passkey.
func (s *Service) RenamePasskey(ctx context.Context, by *auth.Principal, id uuid.UUID, name string) error {
	name = strings.TrimSpace(name)
	if err := checkName(name); err != nil {
		return err
	}
	g, err := s.grounds(ctx, by)
	if err != nil {
		return err
	}
	return s.Repository.RenamePasskey(ctx, by.Actor(), g, id, name)
}
