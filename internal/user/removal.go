package user

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
)

// CheckRemoval judges whether a person can be taken out of the account, given
// stores of it that anybody owns: owners cannot, since what they own must
// always have an owner. It returns fault.Conflict, which says what to do first.
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

// CheckStoreOwner refuses to take the store's owner out of it, to deactivate
// them there, or to take permissions from them. It returns fault.Conflict
// on the field "userId", which says what to do first.
func CheckStoreOwner(s account.Store, userID uuid.UUID) error {
	if s.OwnerID == userID {
		return ownsIt("the store " + s.Hash).On("userId")
	}
	return nil
}

func ownsIt(what string) *fault.Error {
	return fault.Errorf(fault.Conflict, "This person owns %s. Make somebody else its owner first.", what)
}
