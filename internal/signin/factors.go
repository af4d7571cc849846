package signin

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// Factors lists and removes the factors of users.
type Factors struct {
	persons *persons
	repo    FactorRepository
	notices *notices
	// site is the site of passkeys; empty if they do not work.
	site string
	// provider is nil for none.
	provider    Provider
	noPasswords bool
	now         clock.Clock
}

// Options are the ways in which a user can sign in.
type Options struct {
	// Password reports whether the user has a password.
	Password bool
	Passkeys []Passkey
	// Issuers has the issuer of each identity.
	Issuers []string
}

// Removed lists the removed factors of a user.
type Removed struct {
	TOTP          bool
	RecoveryCodes int
	Passkeys      []Passkey
	Identities    []Identity
}

// FactorRepository stores all factors except passwords.
type FactorRepository interface {
	FlowRepository
	CodeRepository
	PasskeyRepository
	IdentityRepository
	// Remove deletes the passkey or identity with the ID, of the user in the
	// grounds, if check returns nil for the ways that remain. The user does not
	// change in between. It returns fault.NotFound if there is neither, and
	// Refused with ReasonChanged if the grounds no longer hold. A deleted identity
	// is not linked again by its address.
	Remove(ctx context.Context, by auth.Actor, g Grounds, id uuid.UUID, at time.Time,
		check func(stays Options) error,
		event func(Removed) []audit.Event) error
	// RemoveAll deletes all of the user's factors in this repository and
	// returns them. Identities can be linked by their address again.
	RemoveAll(ctx context.Context, by auth.Actor, userID uuid.UUID, event func(Removed) []audit.Event) (Removed, error)
	// CountOwners returns how many users own an account, and how many of them
	// have a passkey that works or an identity at the issuer.
	CountOwners(ctx context.Context, issuer string, works func(Passkey) bool) (all, ready int, err error)
}

// Security lists the factors of a user.
type Security struct {
	// Password reports whether the user has a password. It works unless
	// passwords are turned off.
	Password bool
	// TOTPSince is when the user added an authenticator app, or zero.
	TOTPSince time.Time
	// RecoveryCodes is how many recovery codes are left.
	RecoveryCodes int
	Passkeys      []Passkey
	Identities    []Identity
	// Linked reports whether one of the identities is at the configured
	// provider.
	Linked bool
}

// Security returns the factors of the principal's person.
func (s *Factors) Security(ctx context.Context, by *auth.Principal) (Security, error) {
	if by.Kind != auth.Session {
		return Security{}, auth.Denied()
	}
	var all Security
	person, err := s.persons.PersonByID(ctx, by.Person())
	if err != nil {
		return all, err
	}
	all.Password = person.PasswordHash != ""
	kept, err := s.repo.TOTP(ctx, by.Person())
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return all, err
	}
	all.TOTPSince = kept.CreatedAt
	if all.RecoveryCodes, err = s.repo.CountCodes(ctx, by.Person()); err != nil {
		return all, err
	}
	if all.Passkeys, err = s.repo.Passkeys(ctx, by.Person()); err != nil {
		return all, err
	}
	if all.Identities, err = s.repo.Identities(ctx, by.Person()); err != nil {
		return all, err
	}
	for _, each := range all.Identities {
		all.Linked = all.Linked || s.provider != nil && each.Issuer == s.provider.Issuer()
	}
	return all, nil
}

// Proofs are the ways in which a user can authenticate again.
type Proofs struct{ Password, Passkey, Provider bool }

// Proofs returns the ways in which the principal's person can authenticate
// again. A user who signed in by a link and set up no factor has none.
func (s *Factors) Proofs(ctx context.Context, by *auth.Principal) (Proofs, error) {
	all, err := s.Security(ctx, by)
	if err != nil {
		return Proofs{}, err
	}
	return Proofs{Password: all.Password && !s.noPasswords, Provider: all.Linked,
		Passkey: slices.ContainsFunc(all.Passkeys, s.PasskeyWorks)}, nil
}

// Remove deletes a passkey or an identity of the principal's person. It returns
// fault.NotFound if there is none with the ID, and fault.Conflict if it is
// their last way to sign in.
func (s *Factors) Remove(ctx context.Context, by *auth.Principal, id uuid.UUID) error {
	g, err := s.persons.grounds(ctx, by)
	if err != nil {
		return err
	}
	accounts, err := s.persons.Accounts(ctx, by.Person())
	if err != nil {
		return err
	}
	now := s.now.Timestamp()
	var lost Removed
	err = s.repo.Remove(ctx, by.Actor(), g, id, now, s.mayLose, func(removed Removed) []audit.Event {
		lost = removed
		return removalEvents(by, self(by), removed, accounts, now)
	})
	if err == nil {
		s.notices.notify(by.Person(), by.Origin.IP, lost.actions()...)
	}
	return err
}

// OwnersWithoutPassword returns how many users own an account, and how many
// of them can already sign in without a password. The others can do so with an
// address that the provider has verified.
func (s *Factors) OwnersWithoutPassword(ctx context.Context) (all, ready int, err error) {
	issuer := ""
	if s.provider != nil {
		issuer = s.provider.Issuer()
	}
	return s.repo.CountOwners(ctx, issuer, s.PasskeyWorks)
}

// PasskeyWorks reports whether the passkey signs in on this server: it was added for the
// site, and its key is of a kind that is accepted.
func (s *Factors) PasskeyWorks(p Passkey) bool { return p.worksFor(s.site) }

// mayLose returns fault.Conflict if the remaining ways would not let the user
// sign in.
func (s *Factors) mayLose(stays Options) error {
	if stays.Password && !s.noPasswords {
		return nil
	}
	if slices.ContainsFunc(stays.Passkeys, s.PasskeyWorks) {
		return nil
	}
	for _, issuer := range stays.Issuers {
		if s.provider != nil && issuer == s.provider.Issuer() {
			return nil
		}
	}
	return fault.Errorf(fault.Conflict,
		"This is your last way to sign in. Set a password or add another passkey before you remove it.")
}

// signsIn reports whether a person has a factor of their own to sign in with.
func (s *Factors) signsIn(ctx context.Context, p Person) (bool, error) {
	if p.PasswordHash != "" && !s.noPasswords {
		return true, nil
	}
	passkeys, err := s.repo.Passkeys(ctx, p.ID)
	if err != nil {
		return false, err
	}
	identities, err := s.repo.Identities(ctx, p.ID)
	if err != nil {
		return false, err
	}
	stays := Options{Passkeys: passkeys}
	for _, each := range identities {
		stays.Issuers = append(stays.Issuers, each.Issuer)
	}
	return s.mayLose(stays) == nil, nil
}

// ResetFactors deletes all factors except the password of a user who has lost
// them, and returns them. It returns fault.Forbidden unless the principal is
// the operator, and fault.NotFound on "email" if no user has the address.
func (s *Factors) ResetFactors(ctx context.Context, by *auth.Principal, email string) (Removed, error) {
	if by.Kind != auth.Operator {
		return Removed{}, auth.Denied()
	}
	person, err := s.persons.Person(ctx, user.Fold(email))
	if fault.KindOf(err) == fault.NotFound {
		return Removed{}, fault.Errorf(fault.NotFound, "No user has this email address.").On("email")
	}
	if err != nil {
		return Removed{}, err
	}
	accounts, err := s.persons.Accounts(ctx, person.ID)
	if err != nil {
		return Removed{}, err
	}
	now := s.now.Timestamp()
	removed, err := s.repo.RemoveAll(ctx, by.Actor(), person.ID, func(removed Removed) []audit.Event {
		return removalEvents(by, person.User, removed, accounts, now)
	})
	if err == nil {
		s.notices.notify(person.ID, by.Origin.IP, removed.actions()...)
	}
	return removed, err
}

// RemovalEvents returns the events, in the principal's account, of the factors that were removed from a user of it.
func RemovalEvents(by *auth.Principal, who user.User, removed Removed, at time.Time) []audit.Event {
	in := Membership{Account: account.Account{ID: by.AccountID}, UserID: who.ID}
	return removalEvents(by, who, removed, []Membership{in}, at)
}

// removalEvents returns the events of the removed factors, for every account.
func removalEvents(by *auth.Principal, who user.User, removed Removed, accounts []Membership,
	at time.Time) []audit.Event {
	var all []audit.Event
	if removed.TOTP {
		all = append(all, eventsIn(accounts, by, who, at, audit.TOTPDisabled)...)
	}
	for _, p := range removed.Passkeys {
		all = append(all, eventsIn(accounts, by, who, at, audit.PasskeyRemoved,
			audit.Detail{Name: "passkey", Value: p.Name})...)
	}
	for _, i := range removed.Identities {
		all = append(all, eventsIn(accounts, by, who, at, audit.IdentityUnlinked, i.details()...)...)
	}
	return all
}
