// Package directory serves an account's users and stores to identity providers, as the users and groups of SCIM 2.0. It
// translates: package scim reads what a request asks for, package membership decides and writes, and this package reads
// what is answered. It also records what identity providers did last, for the control panel.
package directory

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/bulkhead"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scim"
	"latchkey/internal/user"
)

// BaseURL returns the address of an account's SCIM API on a server with the public URL, without a trailing slash.
func BaseURL(publicURL string, accountID uuid.UUID) string {
	return publicURL + "/accounts/" + accountID.String() + "/scim/v2"
}

// Query selects a page of users or groups.
type Query struct {
	// Where selects the resources; nil selects all.
	Where scim.Condition
	// Skip is the number of resources before the page, and Count the most on it.
	Skip, Count int
	// Details reads the roles of users. Of groups, the service reads the members with AddMembers.
	Details bool
}

// Page is a page of users or groups.
type Page[T any] struct {
	// Total is the number of resources that the query selects.
	Total int64
	Items []T
}

// Repository reads users and groups, in the order of their IDs.
type Repository interface {
	// CountUsers returns the number of users of the account, including deactivated ones.
	CountUsers(ctx context.Context, accountID uuid.UUID) (int64, error)
	Users(ctx context.Context, accountID uuid.UUID, q Query) (Page[scim.User], error)
	// CountGroups returns the number of groups of the account.
	CountGroups(ctx context.Context, accountID uuid.UUID) (int64, error)
	// Groups returns groups without their members.
	Groups(ctx context.Context, accountID uuid.UUID, q Query) (Page[scim.Group], error)
	// CountMembers returns the number of members of the groups.
	CountMembers(ctx context.Context, accountID uuid.UUID, groups []scim.Group) (int64, error)
	// AddMembers adds the members to the groups, in the order of their IDs. It returns fault.ComplexityLimit if the
	// groups have too many members.
	AddMembers(ctx context.Context, accountID uuid.UUID, groups []scim.Group) error
	// SaveRequests records different requests: as the last one of their account, unless a later one is recorded, and
	// those that failed. It deletes failed ones if an account has more than MaxFailures.
	SaveRequests(ctx context.Context, requests []Request) error
	// Requests returns the last request of the account, or the zero Request, and the failed ones, newest first.
	Requests(ctx context.Context, accountID uuid.UUID) (last Request, failed []Request, err error)
}

// Service reads and changes the users and groups of the principal's account. All its methods return fault.Forbidden
// unless the principal is an account-level API token with the scope: account_users_read to read, account_users_write to
// change, and account_users_delete to deactivate and remove users. Other errors are a *scim.Error or a fault.
type Service struct {
	repo        Repository
	memberships *membership.Service
	now         clock.Clock
	charge      func(ctx context.Context, fields int) error
	walks       *bulkhead.Bulkhead
	sending     *bulkhead.Bulkhead
	// log holds requests until they are saved.
	log log
}

// NewService returns a service over the repository. charge is called with the number of users or groups before a search
// reads all of an account, and with the number of members before the members of groups are read. It can refuse; nil
// charges nothing.
func NewService(repo Repository, memberships *membership.Service, now clock.Clock,
	charge func(ctx context.Context, fields int) error) *Service {
	if charge == nil {
		charge = func(context.Context, int) error { return nil }
	}
	return &Service{repo: repo, memberships: memberships, now: now, charge: charge,
		walks: bulkhead.New(bulkhead.HalfTheProcessors()), sending: bulkhead.New(MaxSending)}
}

// MayRead returns fault.Forbidden unless the principal may read the directory.
func MayRead(by *auth.Principal) error { return mayUse(by, user.MayListAll) }

// MayWrite returns fault.Forbidden unless the principal may change the directory.
func MayWrite(by *auth.Principal) error { return mayUse(by, user.MayChangeAll) }

// MayDiscover returns fault.Forbidden unless the principal is an account-level API token. It may read what SCIM
// supports here, which needs no scope (RFC 7644, section 4).
func MayDiscover(by *auth.Principal) error {
	if by.Kind != auth.APIToken || by.StoreID != uuid.Nil {
		return fault.Errorf(fault.Forbidden, "Use an account-level API token for SCIM, not a session.")
	}
	return nil
}

// mayUse returns fault.Forbidden unless the principal is an account-level API token with the right.
func mayUse(by *auth.Principal, may func(*auth.Principal) error) error {
	if err := MayDiscover(by); err != nil {
		return err
	}
	return may(by)
}

// Users returns a page of users. A search by another attribute than id, userName and externalId reads the users one
// by one. It returns fault.RateLimited if that costs too many requests.
func (s *Service) Users(ctx context.Context, by *auth.Principal, q Query) (Page[scim.User], error) {
	if err := MayRead(by); err != nil {
		return Page[scim.User]{}, err
	}
	if walks(q.Where) {
		leave, err := s.admit(ctx, by, s.repo.CountUsers)
		if err != nil {
			return Page[scim.User]{}, err
		}
		defer leave()
	}
	return s.repo.Users(ctx, by.AccountID, q)
}

// walks reports whether no index answers a search, so that it reads the resources of the account one by one.
func walks(where scim.Condition) bool {
	_, indexed := scim.Key(where)
	return where != nil && !indexed
}

// admit charges a search that walks by the number of resources, which count returns, and lets it wait for others of the
// account.
func (s *Service) admit(ctx context.Context, by *auth.Principal,
	count func(context.Context, uuid.UUID) (int64, error)) (leave func(), err error) {
	n, err := count(ctx, by.AccountID)
	if err != nil {
		return nil, err
	}
	if err := s.charge(ctx, int(n)); err != nil {
		return nil, err
	}
	return s.enter(ctx, by)
}

const (
	// LargeAnswer is the size in bytes from which answers are limited to MaxSending at a time in an account.
	LargeAnswer = 64 << 10
	// MaxSending is how many large answers the clients of an account can be receiving.
	MaxSending = 4
)

// Send waits until an answer of that many bytes may be sent to a client of the principal's account, and returns a
// function to call when it was sent: clients that read slowly keep their answers in memory. It returns an error with
// the status 503 if the request's time ends first.
func (s *Service) Send(ctx context.Context, by *auth.Principal, size int) (sent func(), err error) {
	if size < LargeAnswer {
		return func() {}, nil
	}
	sent, err = s.sending.Enter(ctx, by.AccountID)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, scim.ErrBusy
	}
	return sent, err
}

// enter waits for a place among the expensive reads of the principal's account. It returns an error with the status 503
// if the request's time ends first.
func (s *Service) enter(ctx context.Context, by *auth.Principal) (leave func(), err error) {
	leave, err = s.walks.Enter(ctx, by.AccountID)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, scim.ErrBusy
	}
	return leave, err
}

// User returns a user. It returns scim.ErrNotFound if the account has none with the ID.
func (s *Service) User(ctx context.Context, by *auth.Principal, id string) (scim.User, error) {
	if err := MayRead(by); err != nil {
		return scim.User{}, err
	}
	parsed, err := parseID(id)
	if err != nil {
		return scim.User{}, err
	}
	return s.user(ctx, by, parsed)
}

// parseID reads the ID in an address. It returns scim.ErrNotFound for a text that is not an ID in its only form.
func parseID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return uuid.Nil, scim.ErrNotFound
	}
	return id, nil
}

func (s *Service) user(ctx context.Context, by *auth.Principal, id uuid.UUID) (scim.User, error) {
	found, err := s.repo.Users(ctx, by.AccountID, Query{Where: idIs(id), Count: 1, Details: true})
	return only(found, err)
}

func idIs(id uuid.UUID) scim.Condition {
	return scim.Comparison{Field: scim.ID, Op: scim.Equal, Value: id.String()}
}

// only returns the only item of a page, or scim.ErrNotFound.
func only[T any](found Page[T], err error) (T, error) {
	if err == nil && len(found.Items) == 0 {
		err = scim.ErrNotFound
	}
	if err != nil {
		return *new(T), err
	}
	return found.Items[0], nil
}

// CreateUser adds a user, or makes one active again whose userName or externalId the request has. It reports whether
// the user was added.
func (s *Service) CreateUser(ctx context.Context, by *auth.Principal, change scim.UserChange) (scim.User, bool, error) {
	if err := MayWrite(by); err != nil {
		return scim.User{}, false, err
	}
	var p user.Person
	var added bool
	err := auth.BoundWrite(ctx, func(ctx context.Context) (err error) {
		p, added, err = s.memberships.Enroll(ctx, by, editOf(uuid.Nil, change))
		return err
	})
	if err != nil {
		return scim.User{}, false, err
	}
	created, err := s.user(ctx, by, p.ID)
	return created, added, err
}

func editOf(id uuid.UUID, c scim.UserChange) membership.Edit {
	return membership.Edit{
		Update: user.Update{UserID: id, FirstName: c.GivenName, LastName: c.FamilyName, Locale: c.Locale,
			ExternalID: c.ExternalID},
		Email: c.UserName, Active: c.Active,
	}
}

// ChangeUser changes a user, if ifMatch is empty or names the user's version. It returns scim.ErrNotFound and
// scim.ErrStale.
func (s *Service) ChangeUser(ctx context.Context, by *auth.Principal, id, ifMatch string,
	change scim.UserChange) (scim.User, error) {
	if err := MayWrite(by); err != nil {
		return scim.User{}, err
	}
	parsed, err := parseID(id)
	if err != nil {
		return scim.User{}, err
	}
	err = auth.BoundWrite(ctx, func(ctx context.Context) error {
		_, err := s.memberships.Edit(ctx, by, editOf(parsed, change), matches(ifMatch))
		return err
	})
	if err != nil {
		return scim.User{}, s.refused(ctx, by, parsed, notFound(err))
	}
	return s.user(ctx, by, parsed)
}

// RemoveUser removes a user from the account, if ifMatch is empty or names the user's version. It returns
// scim.ErrNotFound and scim.ErrStale.
func (s *Service) RemoveUser(ctx context.Context, by *auth.Principal, id, ifMatch string) error {
	if err := mayUse(by, func(by *auth.Principal) error { return membership.MayRemove(by, false) }); err != nil {
		return err
	}
	parsed, err := parseID(id)
	if err != nil {
		return err
	}
	err = auth.BoundWrite(ctx, func(ctx context.Context) error {
		_, err := s.memberships.Remove(ctx, by, membership.Removal{User: user.Ref{ID: &parsed}, If: matches(ifMatch)})
		return err
	})
	return s.refused(ctx, by, parsed, notFound(err))
}

// notFound returns scim.ErrNotFound for a user or a store that is not in the account, and other errors unchanged.
func notFound(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return scim.ErrNotFound
	}
	return err
}

// refused records an event if the error is that the user is an owner, so that the account's administrators see it, and
// returns the error.
func (s *Service) refused(ctx context.Context, by *auth.Principal, id uuid.UUID, err error) error {
	if !errors.Is(err, user.ErrOwner) {
		return err
	}
	if failed := s.memberships.RecordRefusal(ctx, by, id, fault.Flatten(err)[0].Message); failed != nil {
		return failed
	}
	return err
}

// matches returns the precondition that ifMatch, the value of an If-Match header, names the user's version. It is nil
// if ifMatch is empty.
func matches(ifMatch string) membership.Precondition {
	if ifMatch == "" {
		return nil
	}
	return func(ctx context.Context, c membership.Change, before user.Person) error {
		stores, err := user.PlacesWithStores(ctx, c, before)
		if err != nil {
			return err
		}
		if !scim.MatchesTag(ifMatch, userOf(before, stores).Version()) {
			return scim.ErrStale
		}
		return nil
	}
}

// userOf returns the user as SCIM shows it.
func userOf(p user.Person, places []user.StorePlace) scim.User {
	u := scim.User{
		ID: p.ID, UserName: p.Email, ExternalID: p.ExternalID, GivenName: p.FirstName, FamilyName: p.LastName,
		Locale: p.Locale, Active: !p.Deactivated(), Created: p.JoinedAt, LastModified: p.UpdatedAt,
	}
	for _, place := range places {
		u.Roles = append(u.Roles, scim.StoreRole{Hash: place.Store.Hash, Name: place.Store.Name, Role: place.Role()})
	}
	slices.SortFunc(u.Roles, scim.ByHash)
	return u
}
