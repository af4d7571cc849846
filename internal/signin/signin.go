// Package signin authenticates users in a browser, and starts, changes and ends
// their sessions. Package auth decides what a user may do in a session.
//
// A session belongs to one person in one account. A person with several
// accounts switches by a new session, which replaces the old one.
package signin

import (
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/user"
)

// Method is how a user authenticated.
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

// Limits of sessions.
const (
	// DefaultLifetime is the default lifetime of a session in a browser.
	DefaultLifetime = 12 * time.Hour
	// Fresh is how long after authentication a user may do what cannot be
	// undone without authenticating again.
	Fresh = 15 * time.Minute
	// maxUserAgent is how much of a User-Agent header is stored, in bytes.
	maxUserAgent = 200
)

// Visitor is the client of a request.
type Visitor struct {
	Origin auth.Origin
	// UserAgent is the User-Agent header (RFC 9110, section 10.1.5).
	UserAgent string
	// Device is the browser's device cookie (Devices.Device), or empty.
	Device string
}

// Person is an identity that signs in: the person of an address, for all of
// their accounts, or a user of one account with a password that the account
// chose. The latter signs in to that account only, and is removed when the
// person accepts the membership with a proof of their own.
type Person struct {
	// User is the person. Its ID is not that of any account's user, except for
	// those from before accounts had their own users.
	user.User

	// PasswordHash is in PHC string format, or empty without a password.
	PasswordHash string
	// PasswordID changes whenever a password is set; zero for one that was set
	// before IDs were stored.
	PasswordID uuid.UUID
	// VouchedBy is the account whose members may know the password, which
	// therefore signs in to no other account; zero for none.
	VouchedBy uuid.UUID
	// OfAccount reports that this is a user of one account with a password that
	// the account chose, and not the person of the address.
	OfAccount bool
}

// Membership is a person's membership in an account.
type Membership struct {
	account.Account

	// UserID is the account's user for the person.
	UserID uuid.UUID
	// Pending reports that the person has not accepted the membership.
	Pending bool
	// Barred reports that the person cannot sign in to the account, since
	// members of another account may know their password.
	Barred bool
}

// Owner reports whether the person owns the account.
func (m Membership) Owner() bool { return m.OwnerID == m.UserID }
