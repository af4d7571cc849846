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
	"latchkey/internal/page"
	"latchkey/internal/scope"
)

// Bounds of a Filter.
const (
	// MaxNamed is how many addresses, or external ids, a filter can name.
	MaxNamed = 250
	// MinSearch and MaxSearch are the fewest and the most characters to search
	// for.
	MinSearch = 2
	MaxSearch = 100
)

// Filter narrows a list of users. Zero fields do not narrow it; whoever is
// listed meets all others.
type Filter struct {
	// Emails are addresses, compared without case. An empty list that is not
	// nil names nobody.
	Emails []string
	// Search is a part of the address, or of the first and last name with a
	// space between them, compared without case as addresses are (Fold).
	Search string
	// ExternalIDs are ids of another system, compared as they are. An empty
	// list that is not nil names nobody.
	ExternalIDs []string
	// StoreID is a store of the account's that the user has a place in.
	StoreID uuid.UUID
	// UpdatedAfter is before anything of the user changed last.
	UpdatedAfter time.Time
	// GrantedBy are API tokens of the account, one of which created or added the
	// user or gave them permissions. An empty list that is not nil admits none.
	GrantedBy []uuid.UUID
	// WithoutStores leaves those who have a place in no store.
	WithoutStores bool
}

// Check returns every fault of the filter (fault.Invalid), each with its field.
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
		wrong("withoutStores", "Ask for the people of a store or for those without any, not for both.")
	}
	return faults.Err()
}

// Finder returns what says whether the search finds a person.
func (f Filter) Finder() func(foldedEmail, firstName, lastName string) bool {
	part := Fold(f.Search)
	return func(foldedEmail, firstName, lastName string) bool {
		return strings.Contains(foldedEmail, part) || strings.Contains(Fold(firstName+" "+lastName), part)
	}
}

// MembersByID returns those of the people who are in the principal's account.
func (s *Service) MembersByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]User, error) {
	return s.repo.MembersByID(ctx, by.AccountID, ids)
}

// MembershipsByID returns the places in the principal's account of those of
// the people who are in it.
func (s *Service) MembershipsByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]Membership, error) {
	return s.repo.MembershipsByID(ctx, by.AccountID, ids)
}

// Users returns a page of those users of the principal's account that the
// filter admits. It returns fault.Invalid for a filter or a page that breaks a
// rule, with every field at fault.
func (s *Service) Users(ctx context.Context, by *auth.Principal, f Filter, r page.Request) (page.Page[User], error) {
	w, err := r.Window(page.MaxSize)
	faults := append(fault.List(fault.Flatten(err)), fault.Flatten(fault.Under(f.Check(), "filter"))...)
	if err := faults.Err(); err != nil {
		return page.Page[User]{}, err
	}
	if f.walks() {
		end, err := s.walks.Enter(ctx, by.AccountID)
		if err != nil {
			return page.Page[User]{}, err
		}
		defer end()
	}
	return s.repo.Users(ctx, by.AccountID, f, w)
}

// CountUsers returns how many users of the principal's account the filter
// admits.
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

// ByID returns people by id: owners and the like, whose ids the caller got
// from records of the principal's account.
func (s *Service) ByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]User, error) {
	return s.repo.UsersByID(ctx, by.AccountID, ids)
}

// MayList refuses principals that may not see who is in the store. It returns
// fault.Forbidden, or nil.
func MayList(by *auth.Principal, s account.Store) error {
	return by.Require(s.AccountID, s.ID, auth.ManageUsers, scope.AccountUsersRead)
}

// StoreUsers returns a page of each store's members, for stores that the
// principal reached already. Whoever shows one asks MayList first.
func (s *Service) StoreUsers(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[StoreMember], error) {
	return s.repo.StoreUsers(ctx, by.AccountID, storeIDs, w)
}

// CountStoreUsers returns how many members each of the stores has.
func (s *Service) CountStoreUsers(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID) (map[uuid.UUID]int64, error) {
	return s.repo.CountStoreUsers(ctx, by.AccountID, storeIDs)
}

// UserPlaces returns a page of each person's places in those stores of the
// principal's account whose people the principal may see.
func (s *Service) UserPlaces(ctx context.Context, by *auth.Principal, userIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[StorePlace], error) {
	return s.repo.UserPlaces(ctx, by.AccountID, userIDs, peopledStores(by), w)
}

// CountUserPlaces returns how many such places each of the people has.
func (s *Service) CountUserPlaces(ctx context.Context, by *auth.Principal, userIDs []uuid.UUID) (map[uuid.UUID]int64, error) {
	return s.repo.CountUserPlaces(ctx, by.AccountID, userIDs, peopledStores(by))
}

// peopledStores are the stores whose people the principal may see, nil for all
// of the account.
func peopledStores(by *auth.Principal) []uuid.UUID {
	if len(by.Missing(scope.AccountUsersRead)) == 0 || by.OwnsAccount(by.AccountID) {
		return nil
	}
	return by.StoresWhere(auth.ManageUsers)
}
