// Package user manages the users of an account: the account's record of each
// user, their memberships in its stores, and their sessions.
//
// An account reads and changes only its own records. This package cannot find
// out whether another account has a user with the same address: only package
// signin connects the records of one address.
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

// IDPrefix begins the IDs of users in the API.
const IDPrefix = account.IDPrefix + "user/"

// User is an account's record of one e-mail address. Each account has its own;
// no account sees another's.
type User struct {
	// ID is unique to the account. Other accounts have other IDs for the same
	// person.
	ID    uuid.UUID
	Email string
	// FirstName and LastName are empty until they are set.
	FirstName string
	LastName  string
	// Locale is a BCP 47 language tag, such as "en" or "de".
	Locale    string
	CreatedAt time.Time
	// Pending reports that the user has not accepted the membership yet. A
	// pending membership gives no rights.
	Pending bool
}

// Fold returns the form of an e-mail address that comparisons use. It removes
// case, by Unicode's simple case folding of the composed form (Unicode Standard
// Annex 44, CaseFolding.txt). Full case folding would make addresses equal that
// mail systems distinguish, such as ß and ss. A domain in Unicode and its ASCII
// form (RFC 5891, section 4) are equal, and domains are compared as the domain
// name system compares them: σ and ς differ there.
func Fold(email string) string {
	local, domain, is := cutAddress(strings.TrimSpace(email))
	if !is {
		return foldText(strings.TrimSpace(email))
	}
	return foldText(local) + "@" + foldDomain(domain)
}

func foldText(text string) string { return strings.Map(foldRune, norm.NFC.String(text)) }

// cutAddress splits an address at its last "@".
func cutAddress(email string) (local, domain string, is bool) {
	i := strings.LastIndexByte(email, '@')
	if i < 0 {
		return "", "", false
	}
	return email[:i], email[i+1:], true
}

// foldDomain returns a domain in lower case with every label in Unicode.
func foldDomain(domain string) string {
	ascii := strings.IndexFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	if ascii && !strings.Contains(strings.ToLower(domain), "xn--") {
		return foldText(domain)
	}
	labels := strings.Split(strings.Map(func(r rune) rune {
		if isDot(r) {
			return '.'
		}
		return r
	}, domain), ".")
	for i, label := range labels {
		labels[i] = foldLabel(label)
	}
	return strings.Join(labels, ".")
}

// isDot reports whether r separates the labels of a domain (Unicode Technical
// Standard 46, section 4).
func isDot(r rune) bool { return r == '.' || r == '。' || r == '．' || r == '｡' }

// foldLabel folds a label of a domain. Of one that IDNA does not allow, only the
// case is removed.
func foldLabel(label string) string {
	// Lower case first: the IDNA mapping would turn ẞ into ss.
	lower := strings.Map(lowerRune, norm.NFC.String(label))
	encoded, err := idna.Lookup.ToASCII(lower)
	if err != nil {
		return lower
	}
	decoded, err := idna.Lookup.ToUnicode(encoded)
	if err != nil || decoded == "" { // "xn--" encodes nothing
		return lower
	}
	return decoded
}

// foldRune returns the same character for all characters that differ only in
// case: the lower case of the smallest of them.
func foldRune(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return lowerRune(least)
}

// lowerRune is unicode.ToLower, except for characters whose lower case is not
// theirs alone: İ would become i, and so
// the address of another person.
func lowerRune(r rune) rune {
	lower := unicode.ToLower(r)
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		if other == lower {
			return lower
		}
	}
	return r
}

// Status is the status of a store membership.
type Status string

// The statuses of store members (docs/compatibility.md: "Queries").
const (
	Active   Status = "ACTIVE"
	Inactive Status = "INACTIVE"
)

// Place is a user's membership in a store.
type Place struct {
	// ID is the membership's, not the user's.
	ID      uuid.UUID
	StoreID uuid.UUID
	Status  Status
	// Permissions are the names of the user's permissions in the store, sorted.
	Permissions []string
	// LastLoginAt is zero if the user never signed in there.
	LastLoginAt time.Time
	UpdatedAt   time.Time
}

// StoreMember is a member of a store.
type StoreMember struct {
	Place

	User User
	// Owner reports whether the user owns the store.
	Owner bool
}

// Role returns the user's role in the store.
func (m StoreMember) Role() Role { return RoleOf(m.Permissions, m.Owner) }

// StorePlace is a user's membership in a store, with the store.
type StorePlace struct {
	Place

	UserID uuid.UUID
	Store  account.Store
}

// Role returns the user's role in the store.
func (p StorePlace) Role() Role { return RoleOf(p.Permissions, p.Store.OwnerID == p.UserID) }

// Person is a user with their membership in the account.
type Person struct {
	User

	// Member reports whether the user is in the account. If not, the following
	// fields are zero.
	Member bool
	// ExternalID is the user's ID in the account's other system, unique in the
	// account, or empty.
	ExternalID string
	JoinedAt   time.Time
	// UpdatedAt is when a field of the user in this account last changed.
	UpdatedAt time.Time
	// Places are the memberships in the account's stores, sorted by ID.
	Places []Place
}

// Place returns the user's membership in the store, if there is one.
func (p Person) Place(storeID uuid.UUID) (Place, bool) {
	for _, place := range p.Places {
		if place.StoreID == storeID {
			return place, true
		}
	}
	return Place{}, false
}

// Session is the record of a user's session in one account. Only a keyed digest
// of its secret is stored.
type Session struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	// UserID is the user of the account, and PersonID the person who signed in;
	// see auth.Principal.
	UserID, PersonID uuid.UUID
	// Email is the user's address.
	Email     string
	CreatedAt time.Time
	ExpiresAt time.Time

	// Method is how the user signed in, as one of package signin's methods;
	// empty for a session that the operator started.
	Method string
	// AuthenticatedAt is when the user last authenticated; zero for a session
	// that the operator started.
	AuthenticatedAt time.Time
	// IP is the client's address at that time, and UserAgent its User-Agent
	// header. Both may be empty.
	IP, UserAgent string
	// LastUsedAt is when the session was last used, a little late, or started.
	LastUsedAt time.Time
}

// Ref identifies a user by e-mail address, ID, or both.
type Ref struct {
	// Email is an address, compared without case.
	Email *string
	// ID is the ID of a member of the account. Users of other accounts cannot
	// be looked up by ID. The zero UUID matches no user.
	ID *uuid.UUID
}
