package user

import (
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
)

// CheckRemoval returns fault.Conflict if the user owns the account or one of
// the owned stores, since these must always have an owner. The message says
// what to do first.
func CheckRemoval(a account.Account, owned []account.Store, p Person) error {
	if a.OwnerID == p.ID {
		return ownsIt("the account")
	}
	var hashes []string
	for _, s := range owned {
		if s.OwnerID == p.ID {
			hashes = append(hashes, s.Hash)
		}
	}
	switch len(hashes) {
	case 0:
		return nil
	case 1:
		return ownsIt("the store " + hashes[0])
	default:
		slices.Sort(hashes)
		return ownsIt("the stores " + strings.Join(hashes, ", "))
	}
}

// CheckStoreOwner returns fault.Conflict on the field "userId" if the user owns
// the store. An owner cannot be removed or deactivated, or lose permissions.
// The message says what to do first.
func CheckStoreOwner(s account.Store, userID uuid.UUID) error {
	if s.OwnerID == userID {
		return ownsIt("the store " + s.Hash).On("userId")
	}
	return nil
}

// ErrOwner is in the error chain of an error because the user is an owner.
var ErrOwner = errors.New("the user is an owner")

func ownsIt(what string) *fault.Error {
	return fault.Wrap(ErrOwner, fault.Conflict, "This user owns %s. Make another user its owner first.", what)
}
