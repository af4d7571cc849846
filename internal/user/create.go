package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/secret/password"
)

// Details are the fields of a new user.
type Details struct {
	Email, FirstName, LastName, Locale string
}

// PasswordChoice is a chosen password and its confirmation.
type PasswordChoice struct {
	Password, Confirmation secret.Password
}

// Create adds a user to the account, as pending, with the names that the
// account records. It returns fault.Forbidden if the principal neither may add
// users to some store nor holds account_users_write, fault.Invalid for each
// field that breaks a rule, and fault.Conflict on "email" for an address that
// is already in the account.
func (s *Service) Create(ctx context.Context, by *auth.Principal, d Details) (Person, error) {
	if err := MayCreate(by); err != nil {
		return Person{}, err
	}
	if err := CheckDetails(d).Err(); err != nil {
		return Person{}, err
	}
	return s.create(ctx, by, NewUser{User: d.user()})
}

// CreateWithPassword is Create for a user with a password. The user who chose it
// knows it, so it signs in to the principal's account only. Each account can
// choose a password for the same address. It also returns fault.Invalid on
// "password" and "passwordConfirmation", and fault.RateLimited if too many requests
// wait for hashes, or ctx is done while this one waits. auth.WriteTimeout limits what
// follows the hash.
func (s *Service) CreateWithPassword(ctx context.Context, by *auth.Principal, d Details, chosen PasswordChoice) (Person,
	error) {
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
	hash, err := s.hash(ctx, by.AccountID, d.Email, chosen.Password)
	if err != nil {
		return Person{}, err
	}
	var created Person
	err = auth.BoundWrite(ctx, func(ctx context.Context) (err error) {
		created, err = s.create(ctx, by, NewUser{User: d.user(), PasswordHash: hash, VouchedBy: by.AccountID})
		return err
	})
	return created, err
}

// Limits of the passwords that wait for a hash or are hashed: a request needs memory
// while it waits.
const (
	// mostHashes is the limit of this process.
	mostHashes = 32
	// mostHashesInAccount is the limit of an account, low enough that a few accounts
	// leave room for others.
	mostHashesInAccount = 8
)

// hash hashes a password that the account chooses for the address.
func (s *Service) hash(ctx context.Context, accountID uuid.UUID, email string, p secret.Password) (string, error) {
	leave, err := s.hashes.Enter(ctx, accountID)
	if err != nil {
		return "", fault.Wrap(err, fault.RateLimited,
			"Too many users are being created with passwords. Create fewer at the same time, or try again in a few seconds.")
	}
	defer leave()
	return s.passwords.HashSalted(ctx, p, VouchedSalt(s.keys, email))
}

// VouchedSalt returns the salt of every password that an account chooses for
// the address. With one salt, one computation compares a password with those of
// all accounts, so its duration does not reveal how many there are.
func VouchedSalt(keys *secret.Keyring, email string) [password.SaltSize]byte {
	signed := keys.Sign("salt of passwords that accounts choose", Fold(email))
	return [password.SaltSize]byte(signed.Digest[:password.SaltSize])
}

func (d Details) user() User {
	return User{Email: d.Email, FirstName: d.FirstName, LastName: d.LastName, Locale: d.Locale}
}

// MayCreate returns fault.Forbidden unless the principal may create users.
func MayCreate(by *auth.Principal) error {
	if by.MaySomewhere(auth.AddUsers) {
		return nil
	}
	return mayInAccount(by, scopeWrite)
}

// CheckDetails returns an error for each field that breaks a rule.
func CheckDetails(d Details) fault.List {
	var faults fault.List
	if err := CheckNewEmail(d.Email); err != nil {
		faults = append(faults, err)
	}
	return append(faults, checkNames(&d.FirstName, &d.LastName, &d.Locale)...)
}

// checkNames checks the arguments that are not nil.
func checkNames(firstName, lastName, locale *string) fault.List {
	var faults fault.List
	for _, name := range []struct {
		field, called string
		text          *string
	}{{"firstName", "first name", firstName}, {"lastName", "last name", lastName}} {
		if name.text != nil && !ValidName(*name.text) {
			faults = append(faults, fault.Errorf(fault.Invalid,
				"Enter the %s: one line of at most %d characters, without space around it.", name.called,
				MaxName).On(name.field))
		}
	}
	if locale != nil && !ValidLocale(*locale) {
		faults = append(faults, fault.Errorf(fault.Invalid, "Write a language tag, such as en or pt-BR.").On("locale"))
	}
	return faults
}

// CheckEmail returns fault.Invalid on "email" if no user can have the address text.
func CheckEmail(text string) error {
	if !IsEmail(text) {
		return invalidEmail()
	}
	return nil
}

// CheckValidEmail returns fault.Invalid on "email" unless ValidEmail accepts text.
func CheckValidEmail(text string) error {
	if !ValidEmail(text) {
		return invalidEmail()
	}
	return nil
}

// CheckNewEmail returns fault.Invalid on "email" if no new user may have the address text, with the reason. It returns
// nil otherwise.
func CheckNewEmail(text string) *fault.Error {
	if !ValidEmail(text) {
		return invalidEmail()
	}
	if why := confusing(text); why != "" {
		return fault.Errorf(fault.Invalid, "A new user cannot have this email address. %s", why).On("email")
	}
	return nil
}

func invalidEmail() *fault.Error {
	return fault.Errorf(fault.Invalid, "This is not an email address. Write name@example.com, at most %d characters.",
		MaxEmail).On("email")
}

// ErrEmailTaken is the error on "email" for an address that another user in the account has.
func ErrEmailTaken() *fault.Error {
	return fault.Errorf(fault.Conflict, "A user in this account already has this email address.").On("email")
}

func (s *Service) create(ctx context.Context, by *auth.Principal, u NewUser) (Person, error) {
	var created Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		same, err := e.MembersByEmail(ctx, []string{Fold(u.Email)})
		if err != nil {
			return err
		}
		if len(same) > 0 {
			return ErrEmailTaken()
		}
		if created, err = e.create(ctx, u); err != nil {
			return err
		}
		e.addPersonEvent(audit.UserCreated, created, nameDetails(created.User)...)
		return e.join(ctx, &created)
	})
	return created, err
}

// create creates a user of the account, who becomes a member with join.
func (e *edit) create(ctx context.Context, u NewUser) (Person, error) {
	u.ID, u.CreatedAt, u.Pending = uuid.Must(uuid.NewV7()), e.now, true
	return Person{User: u.User}, e.CreateUsers(ctx, []NewUser{u})
}

// nameDetails returns the user's names as event details.
func nameDetails(u User) []audit.Detail {
	return []audit.Detail{{Name: "firstName", Value: u.FirstName}, {Name: "lastName", Value: u.LastName},
		{Name: "locale", Value: u.Locale}}
}
