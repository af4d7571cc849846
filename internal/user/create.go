package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/password"
	"latchkey/internal/secret"
)

// Details are what is said of a person who is created.
type Details struct {
	Email, FirstName, LastName, Locale string
}

// PasswordChoice is a password that somebody chose, and typed twice.
type PasswordChoice struct {
	Password, Confirmation secret.Password
}

// Create takes a person into the account, pending, with the names that the
// account records. It returns fault.Forbidden for whoever neither may add people
// to some store nor holds account_users_write, fault.Invalid for every field that
// breaks a rule, and fault.Conflict on "email" for an address that the account
// has already.
func (s *Service) Create(ctx context.Context, by *auth.Principal, d Details) (Person, error) {
	if err := MayCreate(by); err != nil {
		return Person{}, err
	}
	if err := CheckDetails(d).Err(); err != nil {
		return Person{}, err
	}
	return s.create(ctx, by, NewUser{User: d.user()})
}

// CreateWithPassword is Create for a person with a password. Whoever chose it
// knows it, so it opens the principal's account alone. Each account can choose
// one for the same address. It returns fault.Invalid on "password" and
// "passwordConfirmation" besides.
func (s *Service) CreateWithPassword(ctx context.Context, by *auth.Principal, d Details, chosen PasswordChoice) (Person, error) {
	if err := MayCreate(by); err != nil {
		return Person{}, err
	}
	in, err := s.repo.Account(ctx, by.AccountID)
	if err != nil {
		return Person{}, err
	}
	names := append([]string{in.Name, d.Email, d.FirstName, d.LastName}, s.serviceNames...)
	faults := append(CheckDetails(d), password.Check(chosen.Password, chosen.Confirmation, names...)...)
	if err := faults.Err(); err != nil {
		return Person{}, err
	}
	hash, err := s.passwords.HashSalted(ctx, chosen.Password, VouchedSalt(s.keys, d.Email))
	if err != nil {
		return Person{}, err
	}
	return s.create(ctx, by, NewUser{User: d.user(), PasswordHash: hash, VouchedBy: by.AccountID})
}

// VouchedSalt is the salt of every password that an account chooses for the
// address: with one salt, one computation compares a password with those of all
// accounts, and its time does not tell how many there are.
func VouchedSalt(keys *secret.Keyring, email string) [password.SaltSize]byte {
	signed := keys.Sign("salt of passwords that accounts choose", Fold(email))
	return [password.SaltSize]byte(signed.Digest[:password.SaltSize])
}

func (d Details) user() User {
	return User{Email: d.Email, FirstName: d.FirstName, LastName: d.LastName, Locale: d.Locale}
}

// MayCreate refuses principals that may not create people. It returns
// fault.Forbidden, or nil.
func MayCreate(by *auth.Principal) error {
	if by.MaySomewhere(auth.AddUsers) {
		return nil
	}
	return mayInAccount(by, scopeWrite)
}

// CheckDetails returns every field that breaks a rule.
func CheckDetails(d Details) fault.List {
	var faults fault.List
	if !ValidEmail(d.Email) {
		faults = append(faults, invalidEmail())
	}
	return append(faults, checkNames(&d.FirstName, &d.LastName, &d.Locale)...)
}

// checkNames judges those that are given.
func checkNames(firstName, lastName, locale *string) fault.List {
	var faults fault.List
	for _, name := range []struct {
		field, called string
		text          *string
	}{{"firstName", "first name", firstName}, {"lastName", "last name", lastName}} {
		if name.text != nil && !ValidName(*name.text) {
			faults = append(faults, fault.Errorf(fault.Invalid, "Enter the %s: one line of at most %d characters, without space around it.", name.called, MaxName).On(name.field))
		}
	}
	if locale != nil && !ValidLocale(*locale) {
		faults = append(faults, fault.Errorf(fault.Invalid, "Write a language tag, such as en or pt-BR.").On("locale"))
	}
	return faults
}

// CheckEmail returns fault.Invalid on "email" for what is no e-mail address.
func CheckEmail(text string) error {
	if !ValidEmail(text) {
		return invalidEmail()
	}
	return nil
}

func invalidEmail() *fault.Error {
	return fault.Errorf(fault.Invalid, "This is no e-mail address. Write name@example.com, at most %d characters.", MaxEmail).On("email")
}

func emailTaken() *fault.Error {
	return fault.Errorf(fault.Conflict, "Somebody in this account has this e-mail address already.").On("email")
}

func (s *Service) create(ctx context.Context, by *auth.Principal, u NewUser) (Person, error) {
	var created Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		same, err := e.MembersByEmail(ctx, []string{Fold(u.Email)})
		if err != nil {
			return err
		}
		if len(same) > 0 {
			return emailTaken()
		}
		if created, err = e.create(ctx, u); err != nil {
			return err
		}
		e.tell(audit.UserCreated, created.Target(), nameDetails(created.User)...)
		return e.join(ctx, &created)
	})
	return created, err
}

// create creates a user of the account, who is not in it yet (join).
func (e *edit) create(ctx context.Context, u NewUser) (Person, error) {
	u.ID, u.CreatedAt, u.Pending = uuid.Must(uuid.NewV7()), e.now, true
	return Person{User: u.User}, e.CreateUsers(ctx, []NewUser{u})
}

// nameDetails tells a person's names as details of an event.
func nameDetails(u User) []audit.Detail {
	return []audit.Detail{{Name: "firstName", Value: u.FirstName}, {Name: "lastName", Value: u.LastName}, {Name: "locale", Value: u.Locale}}
}
