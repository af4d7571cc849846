package signin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// Ways are the ways in which a person can sign in.
type Ways struct {
	// Password says that they have one.
	Password bool
	// Passkeys are the sites that they have passkeys for, and Issuers the
	// providers where they are known; one of each for every passkey and
	// identity.
	Passkeys, Issuers []string
}

// Removed is what a person is no longer known by.
type Removed struct {
	TOTP          bool
	RecoveryCodes int
	Passkeys      []Passkey
	Identities    []Identity
}

// FactorRepository keeps what people prove who they are with besides a password.
type FactorRepository interface {
	FlowRepository
	CodeRepository
	PasskeyRepository
	IdentityRepository
	// Remove removes a passkey or an identity of the user of the grounds,
	// whichever has the id, if check agrees to what stays. Nothing changes for
	// the user in between. It returns fault.NotFound when there is no such thing,
	// and Refused with WhyChanged when the grounds no longer hold. An identity
	// that is removed is not linked again by its address.
	Remove(ctx context.Context, by auth.Actor, g Grounds, id uuid.UUID, at time.Time, check func(stays Ways) error, event func(Removed) []audit.Event) error
	// RemoveAll removes all that this repository keeps of a person, and
	// returns what that was. Identities can be linked by their address again.
	RemoveAll(ctx context.Context, by auth.Actor, userID uuid.UUID, event func(Removed) []audit.Event) (Removed, error)
	// CountOwners returns how many people own an account, and how many of them
	// have a passkey of the site or an identity at the issuer.
	CountOwners(ctx context.Context, site, issuer string) (all, ready int, err error)
}

// Security is what a person can prove who they are with.
type Security struct {
	// Password says that they have one, which works unless passwords do not.
	Password bool
	// TOTPSince is when they added an authenticator app; zero for none.
	TOTPSince time.Time
	// RecoveryCodes is how many of them are left.
	RecoveryCodes int
	Passkeys      []Passkey
	Identities    []Identity
	// Linked says that one of the identities is at the provider that is set.
	Linked bool
}

// Security returns what the principal's person can prove who they are with.
func (s *Service) Security(ctx context.Context, by *auth.Principal) (Security, error) {
	if by.Kind != auth.Session {
		return Security{}, auth.Denied()
	}
	var all Security
	person, err := s.Repository.PersonByID(ctx, by.Person())
	if err != nil {
		return all, err
	}
	all.Password = person.PasswordHash != ""
	kept, err := s.Repository.TOTP(ctx, by.Person())
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return all, err
	}
	all.TOTPSince = kept.CreatedAt
	if all.RecoveryCodes, err = s.Repository.CountCodes(ctx, by.Person()); err != nil {
		return all, err
	}
	if all.Passkeys, err = s.Repository.Passkeys(ctx, by.Person()); err != nil {
		return all, err
	}
	if all.Identities, err = s.Repository.Identities(ctx, by.Person()); err != nil {
		return all, err
	}
	for _, each := range all.Identities {
		all.Linked = all.Linked || s.Provider != nil && each.Issuer == s.Provider.Issuer()
	}
	return all, nil
}

// Proofs are the ways in which a person can prove again who they are.
type Proofs struct{ Password, Passkey, Provider bool }

// Proofs returns how the principal's person can prove again who they are. None
// of the ways works for somebody who came by a link and set up nothing.
func (s *Service) Proofs(ctx context.Context, by *auth.Principal) (Proofs, error) {
	all, err := s.Security(ctx, by)
	if err != nil {
		return Proofs{}, err
	}
	proofs := Proofs{Password: all.Password && !s.NoPasswords, Provider: all.Linked}
	for _, p := range all.Passkeys {
		proofs.Passkey = proofs.Passkey || p.Site == s.site
	}
	return proofs, nil
}

// Remove removes a passkey or an identity of the principal's person. It returns
// fault.NotFound when there is none of the id, and fault.Conflict when it is
// the last way in which they can sign in.
func (s *Service) Remove(ctx context.Context, by *auth.Principal, id uuid.UUID) error {
	g, err := s.grounds(ctx, by)
	if err != nil {
		return err
	}
	accounts, err := s.Repository.Accounts(ctx, by.Person())
	if err != nil {
		return err
	}
	now := s.moment()
	var gone Removed
	err = s.Repository.Remove(ctx, by.Actor(), g, id, now, s.mayLose, func(removed Removed) []audit.Event {
		gone = removed
		return removalEvents(by, self(by), removed, accounts, now)
	})
	if err == nil {
		s.notify(by.Person(), by.Origin.IP, gone.actions()...)
	}
	return err
}

// OwnersWithoutPassword returns how many people own an account, and how many of
// them can sign in without a password already. The others can by an address that
// the provider has confirmed.
func (s *Service) OwnersWithoutPassword(ctx context.Context) (all, ready int, err error) {
	issuer := ""
	if s.Provider != nil {
		issuer = s.Provider.Issuer()
	}
	return s.Repository.CountOwners(ctx, s.site, issuer)
}

// mayLose refuses a change after which a person could not sign in.
func (s *Service) mayLose(stays Ways) error {
	if stays.Password && !s.NoPasswords {
		return nil
	}
	for _, site := range stays.Passkeys {
		if site == s.site && s.site != "" {
			return nil
		}
	}
	for _, issuer := range stays.Issuers {
		if s.Provider != nil && issuer == s.Provider.Issuer() {
			return nil
		}
	}
	return fault.Errorf(fault.Conflict, "This is the last way in which you can sign in. Set a password or add another passkey before you remove it.")
}

// ResetFactors removes whatever a person proves who they are with besides a
// password, for somebody who lost it all, and returns what that was. It is the
// operator's alone: fault.Forbidden for anybody else, and fault.NotFound on
// "email" when nobody has the address.
func (s *Service) ResetFactors(ctx context.Context, by *auth.Principal, email string) (Removed, error) {
	if by.Kind != auth.Operator {
		return Removed{}, auth.Denied()
	}
	person, err := s.Repository.Person(ctx, user.Fold(email))
	if fault.KindOf(err) == fault.NotFound {
		return Removed{}, fault.Errorf(fault.NotFound, "Nobody has this e-mail address.").On("email")
	}
	if err != nil {
		return Removed{}, err
	}
	accounts, err := s.Repository.Accounts(ctx, person.ID)
	if err != nil {
		return Removed{}, err
	}
	now := s.moment()
	gone, err := s.Repository.RemoveAll(ctx, by.Actor(), person.ID, func(gone Removed) []audit.Event {
		return removalEvents(by, person.User, gone, accounts, now)
	})
	if err == nil {
		s.notify(person.ID, by.Origin.IP, gone.actions()...)
	}
	return gone, err
}

// removalEvents tell of what was removed, in every account.
func removalEvents(by *auth.Principal, who user.User, gone Removed, accounts []Membership, at time.Time) []audit.Event {
	var all []audit.Event
	if gone.TOTP {
		all = append(all, eventsIn(accounts, by, who, at, audit.TOTPDisabled)...)
	}
	for _, p := range gone.Passkeys {
		all = append(all, eventsIn(accounts, by, who, at, audit.PasskeyRemoved, audit.Detail{Name: "passkey", Value: p.Name})...)
	}
	for _, i := range gone.Identities {
		all = append(all, eventsIn(accounts, by, who, at, audit.IdentityUnlinked, i.details()...)...)
	}
	return all
}

// ownEvents are those of something that a person did for themself.
func (s *Service) ownEvents(ctx context.Context, by *auth.Principal, action audit.Action, details ...audit.Detail) ([]audit.Event, error) {
	return s.events(ctx, by, self(by), action, details...)
}

// events tell of a change to a person in every account whose membership they
// accepted: it is about all of them.
func (s *Service) events(ctx context.Context, by *auth.Principal, who user.User, action audit.Action, details ...audit.Detail) ([]audit.Event, error) {
	accounts, err := s.Repository.Accounts(ctx, who.ID)
	if err != nil {
		return nil, err
	}
	return eventsIn(accounts, by, who, s.moment(), action, details...), nil
}

// eventsIn are an event for each account, which knows the person by its own id.
// Pending memberships are told nothing of what people do elsewhere.
func eventsIn(accounts []Membership, by *auth.Principal, who user.User, at time.Time, action audit.Action, details ...audit.Detail) []audit.Event {
	var events []audit.Event
	for _, a := range accounts {
		if !a.Pending {
			events = append(events, a.event(by, who, at, action, details...))
		}
	}
	return events
}

// event is an event in the account about the person.
func (m Membership) event(by *auth.Principal, who user.User, at time.Time, action audit.Action, details ...audit.Detail) audit.Event {
	if by.Kind == auth.Session && by.Person() == who.ID {
		own := *by
		own.ID, by = m.UserID, &own
	}
	who.ID = m.UserID
	e := user.Event(by, action, who.Target(), at, details...)
	e.AccountID = m.ID
	return e
}

// self is the person of a session.
func self(by *auth.Principal) user.User { return user.User{ID: by.Person(), Email: by.Name} }
