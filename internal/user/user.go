// Package user holds people: one user per e-mail address, their memberships
// in accounts and stores, and the sessions in which they act.
package user

import (
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"latchkey/internal/account"
)

// User is a person, one per e-mail address on the whole platform.
type User struct {
	ID        uuid.UUID
	Email     string
	FirstName string
	LastName  string
	// Locale is a BCP 47 language tag, such as "en" or "de".
	Locale    string
	CreatedAt time.Time
}

// Fold returns the form of an e-mail address under which addresses are
// compared: without case, by Unicode's simple case folding of the composed form
// (Unicode Standard Annex 44, CaseFolding.txt). The full one would take
// addresses for one that mail systems tell apart, such as ß for ss.
func Fold(email string) string {
	return strings.Map(foldRune, norm.NFC.String(strings.TrimSpace(email)))
}

// foldRune returns the same character for all that differ in case only: that in
// lower case of the least of them.
func foldRune(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return unicode.ToLower(least)
}

// Status says whether a person may work in a store.
type Status string

// The statuses of store members (account-api.md: StoreUserStatus).
const (
	Active   Status = "ACTIVE"
	Inactive Status = "INACTIVE"
)

// Place is a person's place in a store: a membership.
type Place struct {
	// ID is the membership's, not the person's.
	ID      uuid.UUID
	StoreID uuid.UUID
	Status  Status
	// Permissions are names of what the person may do in the store, sorted.
	Permissions []string
	// LastLoginAt is zero when the person never signed in there.
	LastLoginAt time.Time
	UpdatedAt   time.Time
}

// StoreMember is a person in a store.
type StoreMember struct {
	Place

	User User
	// Owner says whether the person owns the store.
	Owner bool
}

// Role is the person's role in the store.
func (m StoreMember) Role() Role { return RoleOf(m.Permissions, m.Owner) }

// StorePlace is a person's place in a store, with the store.
type StorePlace struct {
	Place

	UserID uuid.UUID
	Store  account.Store
}

// Role is the person's role in the store.
func (p StorePlace) Role() Role { return RoleOf(p.Permissions, p.Store.OwnerID == p.UserID) }

// Person is somebody, and their place in one account.
type Person struct {
	User

	// Member says whether the person is in the account. The rest is zero for
	// one who is not, but for Elsewhere.
	Member bool
	// ExternalID is how another system of the account's knows the person,
	// unique in the account; empty for not at all.
	ExternalID string
	JoinedAt   time.Time
	// UpdatedAt is when anything of the person that the account sees changed
	// last.
	UpdatedAt time.Time
	// Places are those in stores of the account, in the order of their ids.
	Places []Place
	// Elsewhere says whether the person is in another account: then it is not
	// for this one to change their name.
	Elsewhere bool
}

// Place returns the person's place in the store, if there is one.
func (p Person) Place(storeID uuid.UUID) (Place, bool) {
	for _, place := range p.Places {
		if place.StoreID == storeID {
			return place, true
		}
	}
	return Place{}, false
}

// Session is the record of a person's session in one account. Its secret is
// kept as a keyed digest only.
type Session struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	UserID    uuid.UUID
	// Email is the person's address.
	Email     string
	CreatedAt time.Time
	ExpiresAt time.Time

	// Method is how the person proved who they are, in the words of package
	// signin; empty for a session that the operator started.
	Method string
	// AuthenticatedAt is when they last did; zero likewise.
	AuthenticatedAt time.Time
	// IP is the address they did it from, and UserAgent what their browser
	// calls itself; both may be empty.
	IP, UserAgent string
}
