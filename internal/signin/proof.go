package signin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// PasswordVersion identifies a password without revealing it. It changes with
// every change of the password, also to the same text, since hashes are salted.
type PasswordVersion string

// VersionOf returns the version of a password by its hash in PHC's form, which
// is empty for a user without one.
func VersionOf(hash string) PasswordVersion {
	sum := sha256.Sum256([]byte("password version " + hash))
	return PasswordVersion(hex.EncodeToString(sum[:]))
}

func (p Person) version() PasswordVersion { return VersionOf(p.PasswordHash) }

// Grounds are what a proof or a flow rests on. The repository compares them in
// the transaction that acts on it, and returns Refused with WhyChanged where one
// of them no longer holds.
type Grounds struct {
	UserID uuid.UUID
	// Password is the version of the user's password.
	Password PasswordVersion
	// Passkey and Identity exist and belong to the user; zero for none.
	Passkey, Identity uuid.UUID
	// Session is a live session of the user; zero for none.
	Session uuid.UUID
}

// Proof is a user who has proved who they are.
type Proof struct {
	User   user.User
	Method Method

	grounds Grounds
	// byOperator reports whether the proof is a link that the operator was shown.
	byOperator bool
}

// prove returns the proof of a user who has the password at this moment.
func prove(p Person, by Method) Proof {
	return Proof{User: p.User, Method: by, grounds: Grounds{UserID: p.ID, Password: p.version()}}
}

// OperatorProof returns the proof of the user with the e-mail address, who came
// by a secret that the operator was shown. It returns fault.NotFound on "email"
// if there is no such user.
func (s *Service) OperatorProof(ctx context.Context, email string) (Proof, error) {
	person, err := s.known(ctx, email)
	if err != nil {
		return Proof{}, err
	}
	p := prove(person, ByLink)
	p.byOperator = true
	return p, nil
}

// grounds returns those of a change that a user makes to their own account, with
// the version of their password at this moment.
func (s *Service) grounds(ctx context.Context, by *auth.Principal) (Grounds, error) {
	if by == nil || by.Kind != auth.Session {
		return Grounds{}, auth.Denied()
	}
	person, err := s.Repository.PersonByID(ctx, by.Person())
	return Grounds{UserID: by.Person(), Password: person.version(), Session: by.SessionID}, err
}

func errNoPasswords() *fault.Error {
	return fault.Errorf(fault.Forbidden, "Nobody signs in with a password here.")
}

// admit returns fault.Forbidden for a proof by a way to sign in that is turned
// off. It is the one place that decides so; whoever offers or mails a way asks
// NoPasswords as well, so that nobody is sent to a closed door.
func (s *Service) admit(p Proof) error {
	if !s.NoPasswords {
		return nil
	}
	switch p.Method {
	case ByPassword, ByPasswordAndCode:
		return errNoPasswords()
	case ByLink, ByLinkAndCode:
		if !p.byOperator {
			return errNoPasswords()
		}
	case ByProvider, ByPasskey:
	}
	return nil
}
