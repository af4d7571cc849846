package user

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Sort is what a list of users is sorted by.
type Sort string

// The sort orders. ByName compares names, or addresses where there are none, without case. ByLastSignIn compares the
// last sign-in to any store, or to that of the filter; users who never signed in count as the earliest.
const (
	ByName       Sort = "name"
	ByLastSignIn Sort = "last"
)

// MaxSorted is the most users that Sorted sorts. Unlike the pages of Users, a sorted list is made of all of its users.
const MaxSorted = 5000

// SortKey is a user with what they are sorted by.
type SortKey struct {
	ID                               uuid.UUID
	FoldedEmail, FirstName, LastName string
	LastSignIn                       time.Time
}

// name returns what ByName compares.
func (k SortKey) name() string {
	switch {
	case k.FirstName == "" && k.LastName == "":
		return k.FoldedEmail
	case k.FirstName == "" || k.LastName == "":
		return Fold(k.FirstName + k.LastName)
	}
	return Fold(k.FirstName + " " + k.LastName)
}

// Order is a part of a sorted list: Size users after Skip ones.
type Order struct {
	By         Sort
	Descending bool
	Skip, Size int
}

// Sorted returns a part of the users of the principal's account that the filter selects, in an order, and how many it
// selects. Users who compare equal are sorted by when they joined. It returns fault.Invalid with every field of the
// filter that breaks a rule, and fault.LimitReached if the filter selects more than MaxSorted users.
func (s *Service) Sorted(ctx context.Context, by *auth.Principal, f Filter, o Order) (users []User, total int,
	err error) {
	if err := fault.Under(f.Check(), "filter"); err != nil {
		return nil, 0, err
	}
	end, err := s.walks.Enter(ctx, by.AccountID)
	if err != nil {
		return nil, 0, err
	}
	defer end()
	keys, err := s.repo.SortKeys(ctx, by.AccountID, f, MaxSorted+1)
	if err != nil {
		return nil, 0, err
	}
	if len(keys) > MaxSorted {
		return nil, 0, fault.Errorf(fault.LimitReached, "Lists of at most %d users can be sorted.", MaxSorted)
	}
	ids := o.part(keys)
	found, err := s.repo.MembersByID(ctx, by.AccountID, ids)
	for _, id := range ids {
		if u, there := found[id]; there { // not removed meanwhile
			users = append(users, u)
		}
	}
	return users, len(keys), err
}

// part sorts the keys and returns the users of the part.
func (o Order) part(keys []SortKey) []uuid.UUID {
	names := make(map[uuid.UUID]string, len(keys))
	for _, k := range keys {
		names[k.ID] = k.name()
	}
	slices.SortFunc(keys, func(a, b SortKey) int {
		order := cmp.Compare(names[a.ID], names[b.ID])
		if o.By == ByLastSignIn {
			order = a.LastSignIn.Compare(b.LastSignIn)
		}
		if o.Descending {
			order = -order
		}
		return cmp.Or(order, slices.Compare(a.ID[:], b.ID[:]))
	})
	first := min(max(o.Skip, 0), len(keys))
	var ids []uuid.UUID
	for _, k := range keys[first:min(first+o.Size, len(keys))] {
		ids = append(ids, k.ID)
	}
	return ids
}
