package user

import (
	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Provisioned reports whether an identity provider keeps the user up to date.
func (u User) Provisioned() bool { return u.ProvisionedBy != uuid.Nil }

// CheckByHand returns fault.Conflict if the principal is a session and an identity provider keeps the user up to date.
// The provider would overwrite what is changed by hand. API tokens are not bound by it: they change users of an account
// as a directory does.
func CheckByHand(by *auth.Principal, p Person) error {
	if by.Kind != auth.Session || !p.Provisioned() {
		return nil
	}
	return fault.Errorf(fault.Conflict, "An identity provider keeps this user up to date. Make the change there. "+
		"The account's owner can also choose to manage the user by hand.")
}
