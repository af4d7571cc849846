package signin

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/secret/password"
	"latchkey/internal/user"
)

// hasher is the part of password.Hasher that Passwords uses.
type hasher interface {
	Hash(ctx context.Context, p secret.Password) (string, error)
	HashSalted(ctx context.Context, p secret.Password, salt [password.SaltSize]byte) (string, error)
	Match(ctx context.Context, p secret.Password, hashes ...string) (int, error)
}

// Passwords checks and sets passwords.
type Passwords struct {
	persons  *persons
	repo     PasswordRepository
	hasher   hasher
	keys     *secret.Keyring
	attempts *attempts
	devices  *Devices
	failures *failures
	notices  *notices
	// publicURL is one of the names that a password must not consist of.
	publicURL   string
	noPasswords bool
	now         clock.Clock
}

// errWrong is the error for every wrong pair of address and password: it does
// not reveal which of the two is wrong.
func errWrong() *fault.Error {
	return fault.Errorf(fault.Unauthenticated, "The email address or the password is wrong.")
}

// VerifyPassword returns the proof of the user with the address and the password. It
// returns fault.Unauthenticated if there is none, fault.RateLimited after too
// many wrong ones (Wait), and fault.Forbidden if passwords are turned off.
func (s *Passwords) VerifyPassword(ctx context.Context, email string, typed secret.Password, v Visitor) (Proof, error) {
	if s.noPasswords {
		return Proof{}, errNoPasswords()
	}
	email = strings.TrimSpace(email)
	if !user.IsEmail(email) {
		// No user has such an address, however long it is, so no hash is
		// needed.
		s.failures.observe(ctx, Attempt{Method: ByPassword, Origin: v.Origin, Err: errWrong()})
		return Proof{}, errWrong()
	}
	known, err := s.persons.Known(ctx, user.Fold(email))
	if err != nil {
		return Proof{}, err
	}
	all := identities(known)
	g := s.attempts.newGuess(v.Origin.IP, s.counted(user.Fold(email), all, v.Device), s.now())
	matched, err := s.attempts.judgeGuess(ctx, g, s.now, func(open []bool) (int, error) {
		return s.matching(ctx, typed, email, all, open)
	})
	person := append(known, Person{})[0]
	switch {
	case matched != none:
		person = all[matched]
	case err == nil:
		err = errWrong()
	}
	for _, i := range s.attempts.reachedBy(g, matched, s.now()) {
		s.notices.notifyOfFailures(sortPassword, all[i].ID, v.Origin.IP)
	}
	s.failures.observe(ctx, Attempt{Method: ByPassword, UserID: person.ID, Origin: v.Origin, Err: err})
	if err != nil {
		return Proof{}, err
	}
	return prove(person, ByPassword), nil
}

// identities returns the identities whose passwords a guess at an address is
// compared with: the person of the address, who is zero if there is none,
// followed by the users whose accounts chose their password.
func identities(known []Person) []Person {
	all := make([]Person, 1, len(known)+1)
	for _, p := range known {
		if p.OfAccount {
			all = append(all, p)
		} else {
			all[0] = p
		}
	}
	return all
}

// counted returns what attempts on the identities are counted by. The person is
// counted by the address, whether or not there is one yet. A device is known
// only for the identity that signed in with it.
func (s *Passwords) counted(folded string, all []Person, device string) []identity {
	names := make([]identity, len(all))
	for i, p := range all {
		names[i] = identity{name: p.ID.String(), browser: s.devices.knows(device, p)}
	}
	names[0].name = folded
	return names
}

// unmatchableHash is the hash of no known password. Comparing with it takes as
// long as with any other, so that the duration of an answer does not reveal who
// has a password here.
const unmatchableHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// matching returns which of the open identities has the password, or none. It
// computes one hash for the person's own and one for those that accounts chose,
// which share a salt (user.VouchedSalt), whether or not there are any.
func (s *Passwords) matching(ctx context.Context, typed secret.Password, email string, all []Person, open []bool) (int,
	error) {
	chosen := password.DummyHash(user.VouchedSalt(s.keys, email))
	own, salt := unmatchableHash, chosen[:strings.LastIndex(chosen, "$")]
	hashes := make([]string, len(all))
	for i, p := range all {
		hashes[i] = chosen
		if !open[i] || p.PasswordHash == "" {
			continue
		}
		hashes[i] = p.PasswordHash
		if !strings.HasPrefix(p.PasswordHash, salt) {
			own = p.PasswordHash
		}
	}
	i, err := s.hasher.Match(ctx, typed, append(hashes, chosen, own)...)
	if err != nil || i < 0 || i >= len(all) || hashes[i] == chosen {
		return none, err
	}
	return i, nil
}

// SetPassword replaces the password of the user with the email address and
// ends all of their sessions, except those that the operator started without a
// password. It returns fault.Forbidden unless the principal is the operator,
// fault.Invalid on "password" for one that breaks a rule, and fault.NotFound on
// "email" if no user has the address.
func (s *Passwords) SetPassword(ctx context.Context, by *auth.Principal, email string, chosen secret.Password) error {
	if by.Kind != auth.Operator {
		return auth.Denied()
	}
	who, err := s.persons.byEmail(ctx, email)
	if err != nil {
		return err
	}
	_, err = s.set(ctx, by, who.User, passwordChange{Chosen: user.PasswordChoice{Password: chosen,
		Confirmation: chosen}, SignedIn: true})
	return err
}

// passwordChange is a chosen password with what authorizes the change.
type passwordChange struct {
	Chosen user.PasswordChoice
	// VouchedBy, Link, Keep and Grounds are those of NewPassword.
	VouchedBy, Link, Keep uuid.UUID
	Grounds               Grounds
	// SignedIn is that of NewPassword.
	SignedIn bool
	// In is the account of the link, which gets an event although the
	// membership is pending.
	In uuid.UUID
	// id is that of NewPassword; zero if the user keeps their own password.
	id uuid.UUID
}

// set replaces a password and records it in all accounts of the person.
// It deletes their links and ends their sessions, except Keep. It returns the
// version of the new password.
func (s *Passwords) set(ctx context.Context, by *auth.Principal, u user.User, c passwordChange) (PasswordVersion,
	error) {
	accounts, err := s.persons.Accounts(ctx, u.ID)
	if err != nil {
		return "", err
	}
	names := []string{u.Email, u.FirstName, u.LastName}
	for _, a := range accounts {
		names = append(names, a.Name)
	}
	hash, err := s.hashFor(ctx, c, u.Email, names...)
	if err != nil {
		return "", err
	}
	c.id = uuid.Must(uuid.NewV7())
	return VersionOf(hash, c.id), s.keep(ctx, by, u, hash, c, audit.PasswordSet)
}

// removeVouched is set without a new password. The user keeps their own
// password; one that others may know is removed.
func (s *Passwords) removeVouched(ctx context.Context, by *auth.Principal, p Person, c passwordChange) (PasswordVersion,
	error) {
	if p.VouchedBy == uuid.Nil {
		return p.version(), s.keep(ctx, by, p.User, "", c)
	}
	c.id = uuid.Must(uuid.NewV7())
	return VersionOf("", c.id), s.keep(ctx, by, p.User, "", c, audit.PasswordRemoved)
}

// keep saves a hash and its events, in every account of the user.
func (s *Passwords) keep(ctx context.Context, by *auth.Principal, u user.User, hash string, c passwordChange,
	actions ...audit.Action) error {
	accounts, err := s.persons.Accounts(ctx, u.ID)
	if err != nil {
		return err
	}
	now := s.now.Timestamp()
	for i := range accounts {
		accounts[i].Pending = accounts[i].Pending && accounts[i].ID != c.In
	}
	var own []audit.Event
	for _, action := range actions {
		own = append(own, eventsIn(accounts, by, u, now, action)...)
	}
	var lost Removed
	err = s.repo.SetPassword(ctx, by.Actor(), NewPassword{
		UserID: u.ID, Hash: hash, ID: c.id, VouchedBy: c.VouchedBy, Link: c.Link, Keep: c.Keep, Grounds: c.Grounds,
		SignedIn: c.SignedIn, At: now, Own: own,
		Ended: func(old user.Session) audit.Event { return user.SessionEnded(by, old, now) },
		Removed: func(removed Removed) []audit.Event {
			lost = removed
			return removalEvents(by, u, removed, accounts, now)
		},
	})
	if err == nil {
		s.notices.notify(u.ID, by.Origin.IP, append(actions, lost.actions()...)...)
	}
	return err
}

// hashFor is HashPassword, but uses the shared salt for a password that an
// account chooses.
func (s *Passwords) hashFor(ctx context.Context, c passwordChange, email string, names ...string) (string, error) {
	if c.VouchedBy == uuid.Nil {
		return s.HashPassword(ctx, c.Chosen, names...)
	}
	if err := s.checkPassword(c.Chosen, names...); err != nil {
		return "", err
	}
	return s.hasher.HashSalted(ctx, c.Chosen.Password, user.VouchedSalt(s.keys, email))
}

// checkPassword returns fault.Invalid on "password" and "passwordConfirmation".
func (s *Passwords) checkPassword(chosen user.PasswordChoice, names ...string) error {
	return password.Check(chosen.Password, chosen.Confirmation, append(names, s.publicURL)...).Err()
}

// HashPassword returns the hash of a chosen password. It must not consist of
// the names: the user's address and name, and the names of their accounts. It
// returns fault.Invalid on "password" and "passwordConfirmation".
func (s *Passwords) HashPassword(ctx context.Context, chosen user.PasswordChoice, names ...string) (string, error) {
	if err := s.checkPassword(chosen, names...); err != nil {
		return "", err
	}
	return s.hasher.Hash(ctx, chosen.Password)
}

// ChangePassword replaces the password of the principal's person. It checks the
// present one as Password does, and ends all of their sessions except the
// principal's. It returns fault.Invalid on "password" and
// "passwordConfirmation".
func (s *Passwords) ChangePassword(ctx context.Context, by *auth.Principal, present secret.Password,
	chosen user.PasswordChoice, v Visitor) error {
	if by.Kind != auth.Session {
		return auth.Denied()
	}
	person, err := s.persons.PersonByID(ctx, by.Person())
	if err != nil {
		return err
	}
	proof, err := s.VerifyPassword(ctx, person.Email, present, v)
	if err != nil {
		return err
	}
	if proof.User.ID != person.ID { // another identity of the same address
		return errWrong()
	}
	proof.grounds.Session = by.SessionID
	// VouchedBy stays: a user who knows the current password may make this change.
	change := passwordChange{Chosen: chosen, VouchedBy: person.VouchedBy, Keep: by.SessionID, Grounds: proof.grounds}
	_, err = s.set(ctx, by, person.User, change)
	return err
}
