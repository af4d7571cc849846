package signin

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"image/png"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Parameters of TOTP codes that all authenticator apps support (RFC 6238,
// section 4; RFC 4226, section 5.3): six digits, HMAC-SHA-1, a new code every
// 30 seconds.
const (
	step        = 30 // seconds
	totpSize    = 20 // bytes of a secret: the size of the hash (RFC 4226, section 4)
	codeLength  = 6
	pictureSize = 220 // pixels
	// drift is how many steps the clocks may differ (RFC 6238, section 5.2).
	drift = 1
)

// issuerName is the name that apps show beside the codes.
const issuerName = "Latchkey"

// TOTP is the secret of a user's authenticator app.
type TOTP struct {
	UserID uuid.UUID
	Secret secret.Sealed
	// LastStep is the step of the last used code. That code and earlier ones no
	// longer work.
	LastStep  int64
	CreatedAt time.Time
}

// CodeRepository stores authenticator secrets and recovery codes. A lookup of
// one record returns fault.NotFound if it does not exist.
type CodeRepository interface {
	// TOTP returns the user's authenticator secret.
	TOTP(ctx context.Context, userID uuid.UUID) (TOTP, error)
	// SaveTOTP saves a secret and replaces all earlier recovery codes. It
	// returns fault.Conflict if the user already has a secret, and Refused with
	// ReasonChanged if the grounds no longer hold.
	SaveTOTP(ctx context.Context, by auth.Actor, t TOTP, g Grounds, codes []secret.KeyedDigest,
		events []audit.Event) error
	// UseStep records a used code. It returns fault.NotFound if that code or a
	// later one was used before. Of concurrent calls, one succeeds.
	UseStep(ctx context.Context, userID uuid.UUID, step int64) error
	// RemoveTOTP deletes the secret and the recovery codes of the user in the
	// grounds. It returns fault.NotFound if there is no secret, and Refused
	// with ReasonChanged if the grounds no longer hold.
	RemoveTOTP(ctx context.Context, by auth.Actor, g Grounds, events []audit.Event) error
	// ReplaceCodes replaces the recovery codes of the user in the grounds. It
	// returns fault.NotFound if the user has no secret, and Refused with
	// ReasonChanged if the grounds no longer hold.
	ReplaceCodes(ctx context.Context, by auth.Actor, g Grounds, codes []secret.KeyedDigest, events []audit.Event) error
	// UseCode deletes a recovery code, or returns fault.NotFound. Of concurrent
	// calls, one succeeds.
	UseCode(ctx context.Context, userID uuid.UUID, candidates []secret.KeyedDigest, events []audit.Event) error
	// CountCodes returns how many recovery codes are left.
	CountCodes(ctx context.Context, userID uuid.UUID) (int, error)
}

// Codes checks the codes of authenticator apps and recovery codes, and adds and
// removes them.
type Codes struct {
	persons     *persons
	repo        CodeRepository
	flows       *flows
	attempts    *attempts
	devices     *Devices
	failures    *failures
	notices     *notices
	keys        *secret.Keyring
	random      io.Reader
	noPasswords bool
	now         clock.Clock
}

// errNeedsCode is the error of Begin for a proof that still needs a code.
func errNeedsCode() *fault.Error {
	return fault.Errorf(fault.Forbidden, "Enter a code of your authenticator app as well.")
}

// NeedsCode reports whether the user must also enter a code of their
// authenticator app after this proof. A passkey needs none, since it already
// combines two factors. Neither does a provider, which decides on its own
// factors.
func (s *Codes) NeedsCode(ctx context.Context, userID uuid.UUID, proof Method) (bool, error) {
	if proof != ByPassword && proof != ByLink {
		return false, nil
	}
	_, err := s.repo.TOTP(ctx, userID)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil, err
}

// PendingSignIn is a user who has given the first proof and must enter a code.
type PendingSignIn struct {
	UserID uuid.UUID
	Email  string
	// First is the method of the first proof.
	First Method
	// Next is the page to show after the sign-in.
	Next string
	// Password is the version of the user's password at the first proof.
	// ByOperator reports whether that proof was a link that the operator was
	// shown.
	Password   PasswordVersion
	ByOperator bool
}

// BeginCode saves the first proof in a flow and returns the secret of the flow,
// for the browser. It returns fault.Forbidden for a sign-in method that is
// turned off.
func (s *Codes) BeginCode(ctx context.Context, first Proof, next string) (secret.Secret, error) {
	if err := first.admit(s.noPasswords); err != nil {
		return secret.Secret{}, err
	}
	who := first.User
	return s.flows.begin(ctx, proving(), forCode,
		PendingSignIn{who.ID, who.Email, first.Method, next, first.grounds.Password, first.byOperator})
}

// PendingCode returns the user who must enter a code in the flow. It returns
// Refused if there is no such flow.
func (s *Codes) PendingCode(ctx context.Context, flow string) (PendingSignIn, error) {
	var pending PendingSignIn
	return pending, s.flows.peek(ctx, forCode, flow, &pending)
}

// FinishCode finishes a flow with a code of the app or a recovery code and returns
// the proof of the user. It returns fault.Invalid on "code" for a wrong code,
// fault.RateLimited after too many, and Refused if there is no such flow or the
// password has changed since it began.
func (s *Codes) FinishCode(ctx context.Context, flow, typed string, v Visitor) (Proof, PendingSignIn, error) {
	pending, err := s.PendingCode(ctx, flow)
	if err != nil {
		return Proof{}, pending, err
	}
	person, err := s.persons.PersonByID(ctx, pending.UserID)
	if err != nil {
		return Proof{}, pending, err
	}
	if person.version() != pending.Password {
		return Proof{}, pending, refused(ReasonChanged, nil)
	}
	proof := prove(person, withCode(pending.First))
	proof.byOperator = pending.ByOperator
	if err := proof.admit(s.noPasswords); err != nil { // before a recovery code is used up
		return Proof{}, pending, err
	}
	err = s.judgeCode(ctx, person, typed, v)
	s.failures.observe(ctx, Attempt{Method: withCode(pending.First), UserID: person.ID, Origin: v.Origin, Err: err})
	if err != nil {
		return Proof{}, pending, err
	}
	if err := s.flows.take(ctx, forCode, flow, &pending); err != nil {
		return Proof{}, pending, err
	}
	return proof, pending, nil
}

// withCode returns the method of a first proof followed by a code.
func withCode(first Method) Method {
	if first == ByLink {
		return ByLinkAndCode
	}
	return ByPasswordAndCode
}

// judgeCode checks and uses up a code. Attempts on codes are counted separately
// from passwords, so that a known password gives no extra attempts. With only
// the password, an attacker can use up the attempts of unknown browsers, but
// not those of the user's own browsers or of recovery codes.
func (s *Codes) judgeCode(ctx context.Context, who Person, typed string, v Visitor) error {
	bare := strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(typed)))
	judge, t := s.useRecoveryCode, s.attempts.recoveryTry(v.Origin.IP)
	if len(bare) == codeLength && strings.Trim(bare, "0123456789") == "" {
		judge, t = s.useCode, s.attempts.newTry(sortCode, v.Origin.IP, who.ID.String(), s.devices.knows(v.Device, who),
			s.now())
	}
	err := s.attempts.admit(t, s.now, func() error { return judge(ctx, who.User, bare, v) })
	if fault.KindOf(err) == fault.Invalid && s.attempts.reached(t, s.now()) {
		s.notices.notifyOfFailures(sortCode, who.ID, v.Origin.IP)
	}
	return err
}

func errWrongCode() *fault.Error {
	return fault.Errorf(fault.Invalid,
		"This code is wrong or already used. Enter the one that your app shows now, or another recovery code.").On("code")
}

func (s *Codes) useCode(ctx context.Context, who user.User, typed string, _ Visitor) error {
	kept, err := s.repo.TOTP(ctx, who.ID)
	if err != nil {
		return err
	}
	plain, err := s.keys.Open(kept.Secret, sealedTOTP(who.ID))
	if err != nil {
		return fmt.Errorf("open the secret of a person's codes: %w", err)
	}
	used, right := s.stepOf(string(plain), typed)
	if !right {
		return errWrongCode()
	}
	err = s.repo.UseStep(ctx, who.ID, used)
	if fault.KindOf(err) == fault.NotFound {
		return errWrongCode()
	}
	return err
}

// stepOf returns the step of the typed code, if it is within the allowed drift.
func (s *Codes) stepOf(base32Secret, typed string) (int64, bool) {
	now := s.now().Unix() / step
	found, right := int64(0), false
	for each := now - drift; each <= now+drift; each++ {
		want, err := hotp.GenerateCode(base32Secret, uint64(each)) //nolint:gosec // after 1970
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(typed)) == 1 {
			found, right = each, true
		}
	}
	return found, right
}

// sealedTOTP returns the context that a user's secret is sealed with. It opens
// for no other user.
func sealedTOTP(userID uuid.UUID) string { return "totp " + userID.String() }

func (s *Codes) useRecoveryCode(ctx context.Context, who user.User, typed string, v Visitor) error {
	events, err := s.persons.events(ctx, actor(who, uuid.Nil, v), who, audit.RecoveryCodeUsed)
	if err != nil {
		return err
	}
	err = s.repo.UseCode(ctx, who.ID, s.keys.CodeCandidates(who.ID.String(), secret.NewPassword(typed)), events)
	if fault.KindOf(err) == fault.NotFound {
		return errWrongCode()
	}
	if err == nil {
		s.notices.notify(who.ID, v.Origin.IP, audit.RecoveryCodeUsed)
	}
	return err
}

// enrolment is the state of adding an authenticator app.
type enrolment struct {
	UserID uuid.UUID
	Secret string // in base32
	// Password is the version of the user's password.
	Password PasswordVersion
}

// Enrolment is what an authenticator app needs.
type Enrolment struct {
	// Secret is in base32, in groups of four, for typing.
	Secret string
	// Picture is a PNG of the QR code for the app.
	Picture []byte
}

// BeginTOTP begins to add an authenticator app and returns the secret of the
// flow. It returns fault.Conflict if the user already has one.
func (s *Codes) BeginTOTP(ctx context.Context, by *auth.Principal) (secret.Secret, error) {
	g, err := s.persons.grounds(ctx, by)
	if err != nil {
		return secret.Secret{}, err
	}
	has, err := s.NeedsCode(ctx, by.Person(), ByPassword)
	if err != nil {
		return secret.Secret{}, err
	}
	if has {
		return secret.Secret{}, fault.Errorf(fault.Conflict,
			"You have an authenticator app already. Remove it before you add another.")
	}
	raw := make([]byte, totpSize)
	if _, err := io.ReadFull(s.random, raw); err != nil {
		return secret.Secret{}, fmt.Errorf("read random bytes for an app: %w", err)
	}
	return s.flows.begin(ctx, by.Actor(), forTOTP,
		enrolment{by.Person(), base32.StdEncoding.EncodeToString(raw), g.Password})
}

// PendingTOTP returns what the app needs. It returns Refused if the principal has
// no such flow.
func (s *Codes) PendingTOTP(ctx context.Context, by *auth.Principal, flow string) (Enrolment, error) {
	var e enrolment
	if err := s.flows.peek(ctx, forTOTP, flow, &e); err != nil {
		return Enrolment{}, err
	}
	if e.UserID != by.Person() {
		return Enrolment{}, refused(ReasonEnded, nil)
	}
	address := fmt.Sprintf(
		"otpauth://totp/%[1]s:%[2]s?secret=%[3]s&issuer=%[1]s&algorithm=SHA1&digits=%[4]d&period=%[5]d",
		issuerName, url.PathEscape(by.Name), e.Secret, codeLength, step)
	key, err := otp.NewKeyFromURL(address)
	if err != nil {
		return Enrolment{}, fmt.Errorf("describe an app: %w", err)
	}
	picture, err := key.Image(pictureSize, pictureSize)
	if err != nil {
		return Enrolment{}, fmt.Errorf("draw a QR code: %w", err)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		return Enrolment{}, fmt.Errorf("draw a QR code: %w", err)
	}
	return Enrolment{grouped(e.Secret, " "), file.Bytes()}, nil
}

// EnableTOTP finishes the flow with the first code of the app. From then on,
// sign-ins ask for codes. It returns recovery codes, which cannot be shown
// again; fault.Invalid on "code" for a wrong code; and fault.RateLimited after
// too many.
func (s *Codes) EnableTOTP(ctx context.Context, by *auth.Principal, flow, typed string) ([]secret.Password, error) {
	var e enrolment
	if err := s.flows.peek(ctx, forTOTP, flow, &e); err != nil {
		return nil, err
	}
	if e.UserID != by.Person() {
		return nil, refused(ReasonEnded, nil)
	}
	var used int64
	t := s.attempts.newTry(sortCode, by.Origin.IP, by.Person().String(), "", s.now())
	if err := s.attempts.admit(t, s.now, func() (err error) {
		used, err = s.firstCode(e.Secret, typed)
		return err
	}); err != nil {
		return nil, err
	}
	if err := s.flows.take(ctx, forTOTP, flow, &e); err != nil {
		return nil, err
	}
	sealed, err := s.keys.Seal(s.random, []byte(e.Secret), sealedTOTP(by.Person()))
	if err != nil {
		return nil, err
	}
	codes, digests, err := s.newCodes(by.Person())
	if err != nil {
		return nil, err
	}
	events, err := s.persons.ownEvents(ctx, by, audit.TOTPEnabled)
	if err != nil {
		return nil, err
	}
	g := Grounds{UserID: by.Person(), Password: e.Password, Session: by.SessionID}
	kept := TOTP{UserID: by.Person(), Secret: sealed, LastStep: used, CreatedAt: s.now.Timestamp()}
	if err := s.repo.SaveTOTP(ctx, by.Actor(), kept, g, digests, events); err != nil {
		return nil, err
	}
	s.notices.notify(by.Person(), by.Origin.IP, audit.TOTPEnabled)
	return codes, nil
}

// firstCode returns the step of the first code of a new app, or fault.Invalid
// on "code" for a wrong code.
func (s *Codes) firstCode(base32Secret, typed string) (int64, error) {
	used, right := s.stepOf(base32Secret, strings.ReplaceAll(strings.TrimSpace(typed), " ", ""))
	if !right {
		return 0, fault.Errorf(fault.Invalid,
			"This is not the code that the app shows now. Check its clock and the secret.").On("code")
	}
	return used, nil
}

// DisableTOTP removes the principal's authenticator app and recovery codes. It
// requires a code of the app or a recovery code: neither a session nor the
// password is enough to turn off the second factor. It returns fault.NotFound
// if there is no app, fault.Invalid on "code" for a wrong code, and
// fault.RateLimited after too many.
func (s *Codes) DisableTOTP(ctx context.Context, by *auth.Principal, typed string, v Visitor) error {
	g, err := s.groundsWithCode(ctx, by, typed, v)
	if err != nil {
		return err
	}
	events, err := s.persons.ownEvents(ctx, by, audit.TOTPDisabled)
	if err != nil {
		return err
	}
	if err := s.repo.RemoveTOTP(ctx, by.Actor(), g, events); err != nil {
		return err
	}
	s.notices.notify(by.Person(), by.Origin.IP, audit.TOTPDisabled)
	return nil
}

// groundsWithCode checks a code of the app or a recovery code and returns the
// grounds of a change to the second factor.
func (s *Codes) groundsWithCode(ctx context.Context, by *auth.Principal, typed string, v Visitor) (Grounds, error) {
	g, err := s.persons.grounds(ctx, by)
	if err != nil {
		return Grounds{}, err
	}
	person, err := s.persons.PersonByID(ctx, by.Person())
	if err != nil {
		return Grounds{}, err
	}
	if _, err := s.repo.TOTP(ctx, by.Person()); err != nil {
		return Grounds{}, err
	}
	err = s.judgeCode(ctx, person, typed, v)
	if a := (Attempt{Method: ByPasswordAndCode, UserID: person.ID, Origin: v.Origin, Err: err}); a.isFailure() {
		s.failures.note(a, 1, s.now())
	}
	return g, err
}
