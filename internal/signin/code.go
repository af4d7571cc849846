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
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Codes of an authenticator app are those that every app makes (RFC 6238,
// section 4; RFC 4226, section 5.3): six digits, by HMAC-SHA-1, a new one every
// 30 seconds.
const (
	step        = 30 // seconds
	totpSize    = 20 // bytes of a secret: as many as the hash has (RFC 4226, section 4)
	codeLength  = 6
	pictureSize = 220 // pixels
	// drift is how many steps the clocks may differ (RFC 6238, section 5.2).
	drift = 1
)

// issuerName is what apps show beside the codes.
const issuerName = "Latchkey"

// TOTP is the secret that a person's app makes codes of.
type TOTP struct {
	UserID uuid.UUID
	Secret secret.Sealed
	// LastStep is that of the last code that was used: neither it nor an
	// earlier one works again.
	LastStep  int64
	CreatedAt time.Time
}

// CodeRepository keeps what people's codes are judged by. A look-up of one
// thing returns fault.NotFound when there is none.
type CodeRepository interface {
	// TOTP returns the secret of a person's codes.
	TOTP(ctx context.Context, userID uuid.UUID) (TOTP, error)
	// KeepTOTP keeps a secret with recovery codes in the place of all earlier
	// ones. It returns fault.Conflict when the person has a secret, and Refused
	// with WhyChanged when the grounds no longer hold.
	KeepTOTP(ctx context.Context, by auth.Actor, t TOTP, g Grounds, codes []secret.KeyedDigest, events []audit.Event) error
	// UseStep notes that a code was used. It returns fault.NotFound when that
	// or a later one was used before; of several at once one wins.
	UseStep(ctx context.Context, userID uuid.UUID, step int64) error
	// RemoveTOTP removes the secret and the recovery codes of the user of the
	// grounds. It returns fault.NotFound when there is no secret, and Refused
	// with WhyChanged when the grounds no longer hold.
	RemoveTOTP(ctx context.Context, by auth.Actor, g Grounds, events []audit.Event) error
	// ReplaceCodes replaces the recovery codes of the user of the grounds. It
	// returns fault.NotFound for one without a secret, and Refused with
	// WhyChanged when the grounds no longer hold.
	ReplaceCodes(ctx context.Context, by auth.Actor, g Grounds, codes []secret.KeyedDigest, events []audit.Event) error
	// UseCode removes a recovery code, or returns fault.NotFound; of several at
	// once one wins.
	UseCode(ctx context.Context, userID uuid.UUID, candidates []secret.KeyedDigest, events []audit.Event) error
	// CountCodes returns how many recovery codes are left.
	CountCodes(ctx context.Context, userID uuid.UUID) (int, error)
}

// errNeedsCode is what Begin answers for somebody who proved half of it.
func errNeedsCode() *fault.Error {
	return fault.Errorf(fault.Forbidden, "This takes a code of your authenticator app as well.")
}

// NeedsCode reports whether a person who gave the proof has to enter a code of
// their authenticator app, too. After a passkey they do not: it stands for
// something they have and something they know or are. Nor do they after a
// provider, which asks for what it thinks fit.
func (s *Service) NeedsCode(ctx context.Context, userID uuid.UUID, proof Method) (bool, error) {
	if proof != ByPassword && proof != ByLink {
		return false, nil
	}
	_, err := s.Repository.TOTP(ctx, userID)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil, err
}

// HalfWay is somebody who gave one proof and owes a code.
type HalfWay struct {
	UserID uuid.UUID
	Email  string
	// First is how they proved the first half.
	First Method
	// Next is the page that they want to see.
	Next string
	// Password is the version of their password when they did, and ByOperator
	// reports whether it was by a link that the operator was shown.
	Password   PasswordVersion
	ByOperator bool
}

// AskCode remembers that a person gave the first proof, and returns the secret
// of the flow, for their browser. It returns fault.Forbidden for a way to sign
// in that is turned off.
func (s *Service) AskCode(ctx context.Context, first Proof, next string) (secret.Secret, error) {
	if err := s.admit(first); err != nil {
		return secret.Secret{}, err
	}
	who := first.User
	return s.beginFlow(ctx, proving(), forCode, HalfWay{who.ID, who.Email, first.Method, next, first.grounds.Password, first.byOperator})
}

// AskedCode returns who owes a code in the flow. It returns Refused when there
// is no such flow.
func (s *Service) AskedCode(ctx context.Context, flow string) (HalfWay, error) {
	var half HalfWay
	return half, s.lookFlow(ctx, forCode, flow, &half)
}

// Code ends a flow with a code of the app or a recovery code. It returns who it
// is and how they proved it; fault.Invalid on "code" for one that is wrong,
// fault.RateLimited after too many, and Refused when there is no such flow, or
// the password was changed after it was begun.
func (s *Service) Code(ctx context.Context, flow, typed string, v Visitor) (Proof, HalfWay, error) {
	half, err := s.AskedCode(ctx, flow)
	if err != nil {
		return Proof{}, half, err
	}
	person, err := s.Repository.PersonByID(ctx, half.UserID)
	if err != nil {
		return Proof{}, half, err
	}
	if person.version() != half.Password {
		return Proof{}, half, refused(WhyChanged, nil)
	}
	err = s.judgeCode(ctx, person, typed, v)
	s.Observe(Attempt{Method: withCode(half.First), UserID: person.ID, Origin: v.Origin, Err: err})
	if err != nil {
		return Proof{}, half, err
	}
	if err := s.takeFlow(ctx, forCode, flow, &half); err != nil {
		return Proof{}, half, err
	}
	proof := prove(person, withCode(half.First))
	proof.byOperator = half.ByOperator
	return proof, half, nil
}

// withCode is the method of a first proof and a code.
func withCode(first Method) Method {
	if first == ByLink {
		return ByLinkAndCode
	}
	return ByPasswordAndCode
}

// judgeCode uses up a code. How often codes are tried is counted apart from
// passwords: whoever knows the password must not win tries by it. Whoever has
// only the password can use up the tries of browsers that are not known, but not
// those of the user's own, nor those of recovery codes.
func (s *Service) judgeCode(ctx context.Context, who Person, typed string, v Visitor) error {
	bare := strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(typed)))
	judge, t := s.useRecoveryCode, s.attempts.recoveryTry(v.Origin.IP)
	if len(bare) == codeLength && strings.Trim(bare, "0123456789") == "" {
		judge, t = s.useCode, s.attempts.newTry(sortCode, v.Origin.IP, who.ID.String(), s.knows(v.Device, who), s.Now())
	}
	err := s.attempts.admit(t, s.Now, func() error { return judge(ctx, who.User, bare, v) })
	if fault.KindOf(err) == fault.Invalid && s.attempts.reached(t, s.Now()) {
		s.notifyOfFailures(sortCode, who.ID, v.Origin.IP)
	}
	return err
}

func errWrongCode() *fault.Error {
	return fault.Errorf(fault.Invalid, "This code is wrong or was used. Enter the one that your app shows now, or another recovery code.").On("code")
}

func (s *Service) useCode(ctx context.Context, who user.User, typed string, _ Visitor) error {
	kept, err := s.Repository.TOTP(ctx, who.ID)
	if err != nil {
		return err
	}
	plain, err := s.Keys.Open(kept.Secret, sealedTOTP(who.ID))
	if err != nil {
		return fmt.Errorf("open the secret of a person's codes: %w", err)
	}
	used, right := s.stepOf(string(plain), typed)
	if !right {
		return errWrongCode()
	}
	err = s.Repository.UseStep(ctx, who.ID, used)
	if fault.KindOf(err) == fault.NotFound {
		return errWrongCode()
	}
	return err
}

// stepOf returns the step whose code was typed, of those that are near enough.
func (s *Service) stepOf(base32Secret, typed string) (int64, bool) {
	now := s.Now().Unix() / step
	found, right := int64(0), false
	for each := now - drift; each <= now+drift; each++ {
		want, err := hotp.GenerateCode(base32Secret, uint64(each)) //nolint:gosec // after 1970
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(typed)) == 1 {
			found, right = each, true
		}
	}
	return found, right
}

// sealedTOTP is what the secret of a person's codes is sealed as: it fits
// nobody else.
func sealedTOTP(userID uuid.UUID) string { return "totp " + userID.String() }

func (s *Service) useRecoveryCode(ctx context.Context, who user.User, typed string, v Visitor) error {
	events, err := s.events(ctx, actor(who, uuid.Nil, v), who, audit.RecoveryCodeUsed)
	if err != nil {
		return err
	}
	err = s.Repository.UseCode(ctx, who.ID, s.Keys.CodeCandidates(who.ID.String(), secret.NewPassword(typed)), events)
	if fault.KindOf(err) == fault.NotFound {
		return errWrongCode()
	}
	if err == nil {
		s.notify(who.ID, v.Origin.IP, audit.RecoveryCodeUsed)
	}
	return err
}

// enrolment is what is kept while somebody adds an app.
type enrolment struct {
	UserID uuid.UUID
	Secret string // in base32
	// Password is the version of their password.
	Password PasswordVersion
}

// Enrolment is what an authenticator app has to be told.
type Enrolment struct {
	// Secret is in base32, in groups of four, to be typed.
	Secret string
	// Picture is a PNG of the QR code that apps read.
	Picture []byte
}

// AskTOTP begins to add an authenticator app, and returns the secret of the
// flow. It returns fault.Conflict when the person has one.
func (s *Service) AskTOTP(ctx context.Context, by *auth.Principal) (secret.Secret, error) {
	g, err := s.grounds(ctx, by)
	if err != nil {
		return secret.Secret{}, err
	}
	has, err := s.NeedsCode(ctx, by.Person(), ByPassword)
	if err != nil {
		return secret.Secret{}, err
	}
	if has {
		return secret.Secret{}, fault.Errorf(fault.Conflict, "You have an authenticator app already. Remove it before you add another.")
	}
	raw := make([]byte, totpSize)
	if _, err := io.ReadFull(s.Random, raw); err != nil {
		return secret.Secret{}, fmt.Errorf("read random bytes for an app: %w", err)
	}
	return s.beginFlow(ctx, by.Actor(), forTOTP, enrolment{by.Person(), base32.StdEncoding.EncodeToString(raw), g.Password})
}

// AskedTOTP returns what the app has to be told in the flow. It returns Refused
// when there is no such flow of the principal's.
func (s *Service) AskedTOTP(ctx context.Context, by *auth.Principal, flow string) (Enrolment, error) {
	var e enrolment
	if err := s.lookFlow(ctx, forTOTP, flow, &e); err != nil {
		return Enrolment{}, err
	}
	if e.UserID != by.Person() {
		return Enrolment{}, refused(WhyOver, nil)
	}
	address := fmt.Sprintf("otpauth://totp/%[1]s:%[2]s?secret=%[3]s&issuer=%[1]s&algorithm=SHA1&digits=%[4]d&period=%[5]d",
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

// EnableTOTP ends the flow: from then on the person is asked for codes, of which
// this is the first. It returns recovery codes, which cannot be had again;
// fault.Invalid on "code" for a wrong code, and fault.RateLimited after too many.
func (s *Service) EnableTOTP(ctx context.Context, by *auth.Principal, flow, typed string) ([]secret.Password, error) {
	var e enrolment
	if err := s.lookFlow(ctx, forTOTP, flow, &e); err != nil {
		return nil, err
	}
	if e.UserID != by.Person() {
		return nil, refused(WhyOver, nil)
	}
	var used int64
	t := s.attempts.newTry(sortCode, by.Origin.IP, by.Person().String(), "", s.Now())
	if err := s.attempts.admit(t, s.Now, func() (err error) {
		used, err = s.firstCode(e.Secret, typed)
		return err
	}); err != nil {
		return nil, err
	}
	if err := s.takeFlow(ctx, forTOTP, flow, &e); err != nil {
		return nil, err
	}
	sealed, err := s.Keys.Seal(s.Random, []byte(e.Secret), sealedTOTP(by.Person()))
	if err != nil {
		return nil, err
	}
	codes, digests, err := s.newCodes(by.Person())
	if err != nil {
		return nil, err
	}
	events, err := s.ownEvents(ctx, by, audit.TOTPEnabled)
	if err != nil {
		return nil, err
	}
	g := Grounds{UserID: by.Person(), Password: e.Password, Session: by.SessionID}
	kept := TOTP{UserID: by.Person(), Secret: sealed, LastStep: used, CreatedAt: s.moment()}
	if err := s.Repository.KeepTOTP(ctx, by.Actor(), kept, g, digests, events); err != nil {
		return nil, err
	}
	s.notify(by.Person(), by.Origin.IP, audit.TOTPEnabled)
	return codes, nil
}

// firstCode returns the step of the code that an app shows which is being added,
// and fault.Invalid on "code" for a wrong one.
func (s *Service) firstCode(base32Secret, typed string) (int64, error) {
	used, right := s.stepOf(base32Secret, strings.ReplaceAll(strings.TrimSpace(typed), " ", ""))
	if !right {
		return 0, fault.Errorf(fault.Invalid, "This is not the code that the app shows now. Look whether its clock and the secret are right.").On("code")
	}
	return used, nil
}

// DisableTOTP removes the principal's authenticator app and recovery codes,
// given a code of the app or a recovery code: a session alone, or the password
// alone, does not turn off the second factor. It returns fault.NotFound when
// there is no app, fault.Invalid on "code" for a wrong code, and
// fault.RateLimited after too many.
func (s *Service) DisableTOTP(ctx context.Context, by *auth.Principal, typed string, v Visitor) error {
	g, err := s.groundsWithCode(ctx, by, typed, v)
	if err != nil {
		return err
	}
	events, err := s.ownEvents(ctx, by, audit.TOTPDisabled)
	if err != nil {
		return err
	}
	if err := s.Repository.RemoveTOTP(ctx, by.Actor(), g, events); err != nil {
		return err
	}
	s.notify(by.Person(), by.Origin.IP, audit.TOTPDisabled)
	return nil
}

// groundsWithCode returns the grounds of a change to the second factor, for
// which the principal enters a code of the app or a recovery code.
func (s *Service) groundsWithCode(ctx context.Context, by *auth.Principal, typed string, v Visitor) (Grounds, error) {
	g, err := s.grounds(ctx, by)
	if err != nil {
		return Grounds{}, err
	}
	person, err := s.Repository.PersonByID(ctx, by.Person())
	if err != nil {
		return Grounds{}, err
	}
	if _, err := s.Repository.TOTP(ctx, by.Person()); err != nil {
		return Grounds{}, err
	}
	err = s.judgeCode(ctx, person, typed, v)
	if a := (Attempt{Method: ByPasswordAndCode, UserID: person.ID, Origin: v.Origin, Err: err}); a.isFailure() {
		s.failures.note(a, 1, s.Now())
	}
	return g, err
}
