package signin

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// PasswordVersion identifies one setting of a password without revealing it.
// Every change of the password changes it, also to the same text.
type PasswordVersion string

// VersionOf returns the version of a password from its hash in PHC string
// format, or "" without one, and the ID that it was set with. The hash is not
// enough: passwords that accounts choose share a salt, so the same text has the
// same hash. A zero ID is that of a password from before IDs were stored, which
// keeps its version.
func VersionOf(hash string, id uuid.UUID) PasswordVersion {
	text := "password version " + hash
	if id != uuid.Nil {
		text += " " + id.String()
	}
	sum := sha256.Sum256([]byte(text))
	return PasswordVersion(hex.EncodeToString(sum[:]))
}

func (p Person) version() PasswordVersion { return VersionOf(p.PasswordHash, p.PasswordID) }

// Grounds are what a proof or a flow rests on. The repository checks them in
// the transaction that acts on them, and returns Refused with ReasonChanged if one
// of them no longer holds.
type Grounds struct {
	UserID uuid.UUID
	// Password is the version of the user's password.
	Password PasswordVersion
	// FinishPasskey and Identity exist and belong to the user; zero for none.
	Passkey, Identity uuid.UUID
	// Session is a live session of the user; zero for none.
	Session uuid.UUID
}

// Proof is a user who has authenticated.
type Proof struct {
	User   user.User
	Method Method

	grounds Grounds
	// byOperator reports whether the proof is a link that the operator was
	// shown.
	byOperator bool
}

// prove returns the proof of a user with their present password version.
func prove(p Person, by Method) Proof {
	return Proof{User: p.User, Method: by, grounds: Grounds{UserID: p.ID, Password: p.version()}}
}

func errNoPasswords() *fault.Error {
	return fault.Errorf(fault.Forbidden, "Sign-in with a password is turned off here.")
}

// admit returns fault.Forbidden for a proof by a sign-in method that is turned
// off. This is the only place that enforces it. Code that offers or mails a
// method checks noPasswords as well, so that it offers no method that would
// fail.
func (p Proof) admit(noPasswords bool) error {
	if !noPasswords {
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
