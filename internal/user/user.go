// Package user holds the users of an account: what the account records of a
// person, their places in its stores, and the sessions in which they act.
//
// An account reads and changes its own record of a person and nothing else.
// This package cannot tell whether another account knows the person: package
// signin alone connects the records of one address.
package user

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"latchkey/internal/account"
)

// User is what an account records of a person: one per e-mail address in each
// account. What the account writes there is seen by no other account.
type User struct {
	// ID is the account's own. Other accounts know the person by other ids.
	ID    uuid.UUID
	Email string
	// FirstName and LastName are empty until somebody gives them.
	FirstName string
	LastName  string
	// Locale is a BCP 47 language tag, such as "en" or "de".
	Locale    string
	CreatedAt time.Time
	// Pending says that the person has not accepted the membership yet. It gives
	// them no rights until then.
	Pending bool
}

// Fold returns the form of an e-mail address under which addresses are
// compared: without case, by Unicode's simple case folding of the composed form
// (Unicode Standard Annex 44, CaseFolding.txt). The full one would take
// addresses for one that mail systems tell apart, such as ß for ss. A domain in
// Unicode and its form in ASCII (RFC 5891, section 4) are one.
func Fold(email string) string {
	local, domain, is := cutAddress(strings.TrimSpace(email))
	if is {
		email = local + "@" + unicodeDomain(domain)
	}
	return strings.Map(foldRune, norm.NFC.String(strings.TrimSpace(email)))
}

// cutAddress splits an address at its last "@".
func cutAddress(email string) (local, domain string, is bool) {
	i := strings.LastIndexByte(email, '@')
	if i < 0 {
		return "", "", false
	}
	return email[:i], email[i+1:], true
}

// unicodeDomain returns a domain with every label in Unicode: as it is if it
// has one form only, or is no domain.
func unicodeDomain(domain string) string {
	ascii := strings.IndexFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	if ascii && !strings.Contains(strings.ToLower(domain), "xn--") {
		return domain
	}
	// Folded first: the mapping of IDNA would take ẞ for ss.
	encoded, err := idna.Lookup.ToASCII(strings.Map(foldRune, norm.NFC.String(domain)))
	if err != nil {
		return domain
	}
	decoded, err := idna.Lookup.ToUnicode(encoded)
	if err != nil {
		return domain
	}
	return decoded
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

// Person is a user with their place in the account.
type Person struct {
	User

	// Member says whether the person is in the account. The rest is zero for
	// one who is not.
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
	// UserID is the user of the account, and PersonID who signed in: see
	// auth.Principal.
	UserID, PersonID uuid.UUID
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
	// LastUsedAt is when it was last used, a little late, or when it began.
	LastUsedAt time.Time
}
