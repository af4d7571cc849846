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

// Create creates a person and takes them into the account. It returns
// fault.Forbidden for whoever neither may add people to some store nor holds
// account_users_write, fault.Invalid for every field that breaks a rule, and
// fault.Conflict on "email" for an address that somebody has: they are added.
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
// knows it, so it opens no other account than the principal's, unless that is
// the operator. It returns fault.Invalid on "password" and
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
	hash, err := s.passwords.Hash(ctx, chosen.Password)
	if err != nil {
		return Person{}, err
	}
	created := NewUser{User: d.user(), PasswordHash: hash}
	if by.Kind != auth.Operator {
		created.VouchedBy = by.AccountID
	}
	return s.create(ctx, by, created)
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
	return fault.Errorf(fault.Conflict, "Somebody has this e-mail address already. Take them into the account by account.addUserToAccount.").On("email")
}

func (s *Service) create(ctx context.Context, by *auth.Principal, u NewUser) (Person, error) {
	var created Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		same, err := e.PeopleByEmail(ctx, []string{Fold(u.Email)})
		if err != nil {
			return err
		}
		if len(same) > 0 {
			return emailTaken()
		}
		if created, err = e.create(ctx, u); err != nil {
			return err
		}
		return e.join(ctx, &created)
	})
	return created, err
}

// create creates a person whom nobody knows.
func (e *edit) create(ctx context.Context, u NewUser) (Person, error) {
	u.ID, u.CreatedAt = uuid.Must(uuid.NewV7()), e.now
	err := e.CreateUsers(ctx, []NewUser{u})
	if fault.KindOf(err) == fault.Conflict {
		return Person{}, emailTaken().Because(err) // in another account, this very moment
	}
	if err != nil {
		return Person{}, err
	}
	e.tell(audit.UserCreated, u.Target(), nameDetails(u.User)...)
	return Person{User: u.User}, nil
}

// nameDetails tells a person's names as details of an event.
func nameDetails(u User) []audit.Detail {
	return []audit.Detail{{Name: "firstName", Value: u.FirstName}, {Name: "lastName", Value: u.LastName}, {Name: "locale", Value: u.Locale}}
}
