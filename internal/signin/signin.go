// Package signin finds out who is at a browser, and starts, changes and ends
// their sessions. What a person may do in a session is said elsewhere (package
// auth); that it is theirs is said here.
//
// A session is of one person in one account. Whoever works in several goes from
// one to another by a new session, and the old one ends.
package signin

import (
	"cmp"
	"context"
	"io"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/password"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Method is how a person proved who they are.
type Method string

// The methods.
const (
	ByPassword Method = "password"
	ByLink     Method = "link"
	ByProvider Method = "openid_connect"
	ByPasskey  Method = "passkey"
	// A code of an authenticator app came second.
	ByPasswordAndCode Method = "password_and_code"
	ByLinkAndCode     Method = "link_and_code"
)

// Methods returns all methods.
func Methods() []Method {
	return []Method{ByPassword, ByLink, ByProvider, ByPasskey, ByPasswordAndCode, ByLinkAndCode}
}

// Bounds of sessions.
const (
	// DefaultLifetime is how long a session in a browser lasts unless set
	// otherwise.
	DefaultLifetime = 12 * time.Hour
	// Fresh is how long after a person proved who they are they may do what
	// cannot be undone without proving it again.
	Fresh = 15 * time.Minute
	// maxUserAgent is how much is kept of what a browser calls itself, in bytes.
	maxUserAgent = 200
)

// Visitor is who sends a request, as far as the request says.
type Visitor struct {
	Origin auth.Origin
	// UserAgent is what the browser calls itself (RFC 9110, section 10.1.5).
	UserAgent string
	// Device is what the browser presents as a Device; empty for nothing.
	Device string
}

// Person is who signs in, with what is kept to know them by: the person of an
// address, who opens all of their accounts, or a user of one account with a
// password that the account chose. That one opens the account alone, and ends
// when the person accepts the membership with a proof of their own.
type Person struct {
	// User is the person. Its ID is that of no user of an account, but for people
	// from before accounts had users of their own.
	user.User

	// PasswordHash is in PHC's form; empty for nobody's password.
	PasswordHash string
	// VouchedBy is the account whose people may know the password, which
	// therefore opens no other account; zero for none.
	VouchedBy uuid.UUID
}

// Membership is an account that a person is in.
type Membership struct {
	account.Account

	// UserID is the user that the person is there.
	UserID uuid.UUID
	// Pending says that the person has not accepted the membership.
	Pending bool
	// Barred says that the person cannot sign in to it: the people of another
	// account may know their password.
	Barred bool
}

// Acceptance is the acceptance of a membership.
type Acceptance struct {
	AccountID, UserID uuid.UUID
	// PersonID is whose proof it was.
	PersonID uuid.UUID
	// Link is the one-time link by which it is accepted; zero for none.
	Link uuid.UUID
	At   time.Time
	// Event tells of it. Ended and Removed tell of the sessions and of the
	// factors that end with it: those of a password that the account chose.
	Event   audit.Event
	Ended   func(user.Session) audit.Event
	Removed func(Removed) []audit.Event
}

// Repository keeps what people are known by, and their sessions. A look-up of
// one thing returns fault.NotFound when there is none. A write returns
// fault.Unauthenticated where the actor's credential does not work any more, and
// fault.Conflict where its rights changed.
type Repository interface {
	FactorRepository

	// Person returns the person of the folded e-mail address.
	Person(ctx context.Context, foldedEmail string) (Person, error)
	// Known returns who signs in with the folded e-mail address: the person, and
	// users with a password that their account chose.
	Known(ctx context.Context, foldedEmail string) ([]Person, error)
	// EnsurePerson is Person for an address that some account has. It keeps the
	// person, as of the moment, if there is none yet.
	EnsurePerson(ctx context.Context, foldedEmail string, at time.Time) (Person, error)
	// PersonByID returns a person, whatever account they are in.
	PersonByID(ctx context.Context, id uuid.UUID) (Person, error)
	// Accounts returns the accounts that a person is in, by name.
	Accounts(ctx context.Context, userID uuid.UUID) ([]Membership, error)
	// SetPassword replaces a person's password, and ends their one-time links
	// and all of their sessions but the one to keep. It returns fault.NotFound
	// when the link by which it is set is gone, and Refused with WhyChanged when
	// the grounds no longer hold. When it returns, every verifier of this
	// process has heard of it.
	SetPassword(ctx context.Context, by auth.Actor, p NewPassword) error

	// KeepLink keeps a link by its digest, with its events, and ends those that
	// it replaces: its person's of the same purpose, or its server's.
	KeepLink(ctx context.Context, by auth.Actor, l Link, digest secret.KeyedDigest, own []audit.Event) error
	// Link returns the link of a digest that has not expired at the moment, with
	// what is to be known to judge it.
	Link(ctx context.Context, candidates []secret.KeyedDigest, at time.Time) (OpenLink, error)
	// EndLink ends a link. One that is gone is no failure.
	EndLink(ctx context.Context, id uuid.UUID) error

	// Record keeps events of what changed nothing else.
	Record(ctx context.Context, by auth.Actor, events []audit.Event) error

	// Begin keeps a session, notes the sign-in at the user's places in the
	// account, accepts the membership, and ends the session of its grounds, if
	// there is one. It returns Refused with WhyChanged when the grounds no longer
	// hold, and fault.NotFound when the user is not in the account. When it
	// returns, every verifier of this process has heard of it.
	Begin(ctx context.Context, by auth.Actor, n NewSession) error
	// Accept accepts a membership. It returns fault.NotFound when the link is
	// gone. When it returns, every verifier of this process has heard of it.
	Accept(ctx context.Context, by auth.Actor, a Acceptance) error
	// Sessions returns the live sessions of a selection, newest first.
	Sessions(ctx context.Context, which user.SessionSelection, at time.Time) ([]user.Session, error)
	// EndSessions is user.Repository's.
	EndSessions(ctx context.Context, by auth.Actor, which user.SessionSelection, at time.Time, event func(user.Session) audit.Event) ([]user.Session, error)
}

// NewSession is a session about to be kept.
type NewSession struct {
	// Acceptance is that of the session's membership, if it is pending.
	Acceptance

	Session user.Session
	Digest  secret.KeyedDigest
	// Grounds are what it rests on; it replaces their session.
	Grounds Grounds
	Started audit.Event
}

// NewPassword is a password about to be kept.
type NewPassword struct {
	UserID uuid.UUID
	// Hash is in PHC's form. An empty one sets no password: one that others may
	// know is removed, and one that only the user knows stays.
	Hash string
	// Grounds are what the change rests on; zero for none.
	Grounds Grounds
	// VouchedBy is the account whose people may know the password; zero for
	// none.
	VouchedBy uuid.UUID
	// Link is the one-time link by which it is set; zero for none.
	Link uuid.UUID
	// Keep is the session that goes on; zero for none.
	Keep uuid.UUID
	At   time.Time
	// Own are the events of the password, Ended is that of a session that ends,
	// and Removed are those of what else the person is known by, which goes with
	// a password that others may have known: it may be theirs.
	Own     []audit.Event
	Ended   func(user.Session) audit.Event
	Removed func(Removed) []audit.Event
	// SignedIn says that only sessions end that a person signed in to.
	SignedIn bool
}

// Config is what a Service is made of.
type Config struct {
	Repository Repository
	// Users makes and adds the people who are invited.
	Users *user.Service
	// Mail tells people of their links; nil where no mail is set up.
	Mail Mail
	// PublicURL is how browsers reach the panel, without a slash at its end.
	// Passkeys are good for its host.
	PublicURL string
	Keys      *secret.Keyring
	Random    io.Reader
	Now       func() time.Time
	// Lifetime is how long a session lasts.
	Lifetime time.Duration
	// Idle is how long a session lasts without a use; zero for as long as it may.
	Idle time.Duration
	// Provider is asked who somebody is; nil for none.
	Provider Provider
	// NoPasswords turns passwords off: nobody signs in with one or sets one, and
	// no link that is mailed, or that an owner is shown, signs anybody in.
	NoPasswords bool
	// Unlimited says that attempts are not counted.
	Unlimited bool
	// OnAttempt hears of each attempt; nil does not.
	OnAttempt func(Attempt)
	// OnMailFailed hears of mails that could not be sent. The errors name the
	// mail server and what it said, and are for the log alone. Nil does not.
	OnMailFailed func(ctx context.Context, err error)
	// OnEventsFailed hears that events about failed sign-ins could not be written.
	// They are written later, unless the server stops. Nil does not.
	OnEventsFailed func(ctx context.Context, err error)
}

// Attempt is somebody's attempt to prove who they are.
type Attempt struct {
	Method Method
	// UserID is who they would be; zero for nobody.
	UserID uuid.UUID
	Origin auth.Origin
	// Err is why it failed; nil if it did not.
	Err error
}

// Observe tells of an attempt, for metrics and the log, and counts one that
// failed for the audit log.
func (s *Service) Observe(a Attempt) {
	if a.isFailure() {
		s.failures.note(a, 1, s.Now())
	}
	if s.OnAttempt != nil {
		s.OnAttempt(a)
	}
}

// hasher is password.Hasher, whose methods say more.
type hasher interface {
	Hash(ctx context.Context, p secret.Password) (string, error)
	HashSalted(ctx context.Context, p secret.Password, salt [password.SaltSize]byte) (string, error)
	Match(ctx context.Context, p secret.Password, hashes ...string) (int, error)
}

// Service signs people in and out.
type Service struct {
	Config

	passwords hasher
	attempts  *attempts
	// authn judges passkeys, which are good for the site; nil for none.
	authn    *webauthn.WebAuthn
	site     string
	failures *failures
	// forgotten are addresses to which links are to be mailed.
	forgotten chan string
	notices   *notices
	// invitations bounds those that are mailed.
	invitations *invitations
	// onSession hears of the secrets of sessions that were started; nil does not.
	onSession func(secret.Secret)
}

// NewService returns a service.
func NewService(c Config) (*Service, error) {
	limits, err := newAttempts(c.Unlimited)
	if err != nil {
		return nil, err
	}
	told, err := newNotices()
	if err != nil {
		return nil, err
	}
	invited, err := newInvitations()
	if err != nil {
		return nil, err
	}
	authn, site, err := newAuthn(c.PublicURL)
	if err != nil {
		return nil, err
	}
	return &Service{
		Config: c, passwords: password.NewHasher(c.Random), attempts: limits, authn: authn, site: site,
		failures: newFailures(), forgotten: make(chan string, mostWaiting), notices: told,
		invitations: invited,
	}, nil
}

// OnSession sets the function that is called with the secret of each session
// that was started, once it works. Set it before the service is used.
func (s *Service) OnSession(started func(secret.Secret)) { s.onSession = started }

// errWrong is the answer to every pair of address and password that is not
// somebody's: it does not say which of the two is wrong.
func errWrong() *fault.Error {
	return fault.Errorf(fault.Unauthenticated, "The e-mail address or the password is wrong.")
}

// Password returns the proof of who has the address and the password. It returns
// fault.Unauthenticated where nobody does, and fault.RateLimited after too many
// wrong ones (Wait), and fault.Forbidden where nobody signs in with a password.
func (s *Service) Password(ctx context.Context, email string, typed secret.Password, v Visitor) (Proof, error) {
	if s.NoPasswords {
		return Proof{}, errNoPasswords()
	}
	email = strings.TrimSpace(email)
	if !user.ValidEmail(email) {
		// It is nobody's, however long it is, so it may cost nothing.
		s.Observe(Attempt{Method: ByPassword, Origin: v.Origin, Err: errWrong()})
		return Proof{}, errWrong()
	}
	folded := user.Fold(email)
	known, err := s.Repository.Known(ctx, folded)
	if err != nil {
		return Proof{}, err
	}
	person := append(known, Person{})[0]
	t := s.attempts.newTry(sortPassword, v.Origin.IP, nameOfUser(person.ID, folded), s.knowsAny(v.Device, known), s.Now())
	right, err := s.attempts.judge(ctx, t, s.Now, func() (right bool, err error) {
		person, right, err = s.whose(ctx, typed, email, known)
		return right, err
	})
	if err == nil && !right {
		err = errWrong()
		if s.attempts.reached(t, s.Now()) {
			s.notifyOfFailures(sortPassword, person.ID, v.Origin.IP)
		}
	}
	s.Observe(Attempt{Method: ByPassword, UserID: person.ID, Origin: v.Origin, Err: err})
	if err != nil {
		return Proof{}, err
	}
	return prove(person, ByPassword), nil
}

// nobodys is the hash of a password that nobody has. Comparing with it takes
// as long as comparing with another, so that the time an answer takes does not
// say who has a password here.
const nobodys = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// whose returns which of those who sign in with the address has the password. It
// computes one hash for the person's own and one for those that accounts chose,
// which share a salt (user.VouchedSalt), whether or not there are any.
func (s *Service) whose(ctx context.Context, typed secret.Password, email string, known []Person) (Person, bool, error) {
	chosen := password.Nobodys(user.VouchedSalt(s.Keys, email))
	own, salt := nobodys, chosen[:strings.LastIndex(chosen, "$")]
	hashes := []string{chosen}
	for _, p := range known {
		if p.PasswordHash != "" && !strings.HasPrefix(p.PasswordHash, salt) {
			own = p.PasswordHash
		}
		hashes = append(hashes, cmp.Or(p.PasswordHash, chosen))
	}
	i, err := s.passwords.Match(ctx, typed, append(hashes, own)...)
	if err != nil || i < 1 || i > len(known) {
		return append(known, Person{})[0], false, err
	}
	return known[i-1], true, nil
}

// knowsAny is knows for whichever of the people the Device is of.
func (s *Service) knowsAny(device string, people []Person) string {
	for _, p := range people {
		if id := s.knows(device, p); id != "" {
			return id
		}
	}
	return ""
}

// moment is now as it is kept.
func (s *Service) moment() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }
