package user

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
)

// Limits of a Filter.
const (
	// MaxNamed is the most addresses, or external IDs, in a filter.
	MaxNamed = 250
	// MinSearch and MaxSearch are the fewest and the most characters of a
	// search.
	MinSearch = 2
	MaxSearch = 100
)

// Filter selects users. A user must match all fields that are not zero.
type Filter struct {
	// Emails are addresses, compared without case. An empty list that is not
	// nil matches no user.
	Emails []string
	// Search is a part of the address, or of the first and last name joined by
	// a space. It is compared without case, as by Fold.
	Search string
	// ExternalIDs are IDs in the account's other system, compared exactly. An
	// empty list that is not nil matches no user.
	ExternalIDs []string
	// StoreID is a store of the account that the user is a member of.
	StoreID uuid.UUID
	// UpdatedAfter selects users whose record changed after this time.
	UpdatedAfter time.Time
	// GrantedBy are IDs of the account's API tokens. One of them must have
	// created, added or reactivated the user, or given them permissions. An
	// empty list that is not nil matches no user.
	GrantedBy []uuid.UUID
	// WithoutStores selects users without a store membership.
	WithoutStores bool
	// Standing selects users whose membership in the account has this standing.
	Standing Standing
	// Role selects users with the role in StoreID or, if that is zero, in any
	// store. Custom does not select users without permissions.
	Role Role
}

// Standing is what a membership in an account allows at present. The empty
// Standing selects all.
type Standing string

// The standings. A deactivated membership is Deactivated whether it is accepted
// or not.
const (
	StandingActive      Standing = "active"
	StandingPending     Standing = "pending"
	StandingDeactivated Standing = "deactivated"
)

// Standing returns the standing of the user's membership in the account.
func (u User) Standing() Standing {
	switch {
	case u.Deactivated():
		return StandingDeactivated
	case u.Pending:
		return StandingPending
	}
	return StandingActive
}

// Check returns all errors of the filter (fault.Invalid), each with its field.
func (f Filter) Check() error {
	var faults fault.List
	wrong := func(field, format string, args ...any) {
		faults = append(faults, fault.Errorf(fault.Invalid, format, args...).On(field))
	}
	if len(f.Emails) > MaxNamed {
		wrong("emails", "Name at most %d addresses.", MaxNamed)
	}
	if len(f.ExternalIDs) > MaxNamed {
		wrong("externalIds", "Name at most %d ids.", MaxNamed)
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(f.Search)); f.Search != "" && (n < MinSearch || n > MaxSearch) {
		wrong("search", "Search for %d to %d characters.", MinSearch, MaxSearch)
	}
	if f.WithoutStores && f.StoreID != uuid.Nil {
		wrong("withoutStores", "Ask for the users of a store or for those without a store, not for both.")
	}
	return faults.Err()
}

// Finder returns a function that reports whether the search matches a user.
func (f Filter) Finder() func(foldedEmail, firstName, lastName string) bool {
	part := Fold(f.Search)
	return func(foldedEmail, firstName, lastName string) bool {
		return strings.Contains(foldedEmail, part) || strings.Contains(Fold(firstName+" "+lastName), part)
	}
}

// MembersByID returns the users with the IDs who are in the principal's
// account.
func (s *Service) MembersByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]User, error) {
	return s.repo.MembersByID(ctx, by.AccountID, ids)
}

// Users returns a page of the users of the principal's account that the filter
// selects. It returns fault.Invalid with every field of the filter or page
// request that breaks a rule.
func (s *Service) Users(ctx context.Context, by *auth.Principal, f Filter, r paging.Request) (paging.Page[User],
	error) {
	w, err := r.Window(paging.MaxSize)
	faults := append(fault.List(fault.Flatten(err)), fault.Flatten(fault.Under(f.Check(), "filter"))...)
	if err := faults.Err(); err != nil {
		return paging.Page[User]{}, err
	}
	if f.walks() {
		end, err := s.walks.Enter(ctx, by.AccountID)
		if err != nil {
			return paging.Page[User]{}, err
		}
		defer end()
	}
	return s.repo.Users(ctx, by.AccountID, f, w)
}

// CountUsers returns how many users of the principal's account the filter
// selects.
func (s *Service) CountUsers(ctx context.Context, by *auth.Principal, f Filter) (int64, error) {
	if f.walks() {
		end, err := s.walks.Enter(ctx, by.AccountID)
		if err != nil {
			return 0, err
		}
		defer end()
	}
	return s.repo.CountUsers(ctx, by.AccountID, f)
}

// ByID returns users by ID, including former members, such as owners. The
// caller must have taken the IDs from records of the principal's account.
func (s *Service) ByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]User, error) {
	return s.repo.UsersByID(ctx, by.AccountID, ids)
}

// MayList returns fault.Forbidden unless the principal may list the users of
// the store.
func MayList(by *auth.Principal, s account.Store) error {
	return by.Require(s.AccountID, s.ID, auth.ManageUsers, scope.AccountUsersRead)
}

// StoreUsers returns a page of each store's members. The principal must be able
// to see the stores. The caller checks MayList before showing a page.
func (s *Service) StoreUsers(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[StoreMember], error) {
	return s.repo.StoreUsers(ctx, by.AccountID, storeIDs, w)
}

// CountStoreUsers returns how many members each of the stores has.
func (s *Service) CountStoreUsers(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID) (map[uuid.UUID]int64,
	error) {
	return s.repo.CountStoreUsers(ctx, by.AccountID, storeIDs)
}

// UserPlaces returns a page of each user's memberships in the stores of the
// principal's account whose users the principal may see.
func (s *Service) UserPlaces(ctx context.Context, by *auth.Principal, userIDs []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[StorePlace], error) {
	return s.repo.UserPlaces(ctx, by.AccountID, userIDs, visibleStores(by), w)
}

// CountUserPlaces returns how many such memberships each user has.
func (s *Service) CountUserPlaces(ctx context.Context, by *auth.Principal, userIDs []uuid.UUID) (map[uuid.UUID]int64,
	error) {
	return s.repo.CountUserPlaces(ctx, by.AccountID, userIDs, visibleStores(by))
}

// CountOwnPlaces returns how many stores the principal's user is a member of,
// including those where they are inactive.
func (s *Service) CountOwnPlaces(ctx context.Context, by *auth.Principal) (int64, error) {
	counts, err := s.repo.CountUserPlaces(ctx, by.AccountID, []uuid.UUID{by.ID}, nil)
	return counts[by.ID], err
}

// visibleStores returns the stores whose users the principal may see, or nil
// for all stores of the account.
func visibleStores(by *auth.Principal) []uuid.UUID {
	if len(by.Missing(scope.AccountUsersRead)) == 0 || by.OwnsAccount(by.AccountID) {
		return nil
	}
	return by.StoresWhere(auth.ManageUsers)
}
