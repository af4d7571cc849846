// Package offboard is what happens when people leave an account, one or by the
// thousand: they are out of every store and of the account, their sessions
// there have ended, and the API tokens whose secrets they know are named, or
// revoked, all in one transaction. It also brings an account's people to what
// another system says of them, since that may take people out as well.
//
// It stands above the people (package user) and the tokens (package token),
// which do not know each other.
package offboard

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Change is a transaction over the people of one account and the tokens that
// they know.
type Change interface {
	user.Change
	// TokensKnownTo returns the tokens live at the moment that each of the
	// people created, or one of whose live access tokens they saw.
	TokensKnownTo(ctx context.Context, userIDs []uuid.UUID, now time.Time) (map[uuid.UUID][]token.Token, error)
	// EndTokens ends those of the account's tokens that are not revoked yet,
	// each with its event, and returns them.
	EndTokens(ctx context.Context, e token.Ending) ([]uuid.UUID, error)
}

// Repository runs changes.
type Repository interface {
	// Change runs work on the account's people. It returns fault.NotFound when
	// there is no such account, and what work returns. When it returns nil,
	// every verifier of this process has heard of it.
	Change(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error
	// ChangeSlice is Change for a slice of a bulk, which may have to wait for
	// other writes.
	ChangeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error
	// SliceSize returns how many people one transaction may change at most, so
	// that no other write waits for long.
	SliceSize() int
	// View runs work, which only reads, on one state of the database. It returns
	// what Change returns.
	View(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error
}

// Service provisions people and takes them out of accounts.
type Service struct {
	repo Repository
	now  func() time.Time
}

// NewService returns a service over the repository.
func NewService(repo Repository, now func() time.Time) *Service {
	return &Service{repo: repo, now: now}
}

// moment is now as it is kept.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// reason is that of every token revoked for somebody's leaving.
const reason = "Somebody who knew its secret left the account."

// Removal asks for one person to be taken out of the principal's account.
type Removal struct {
	Whom user.Whom
	// RevokeTokens revokes the tokens that the person knows at once. It needs
	// the right to revoke any token of the account.
	RevokeTokens bool
	// Tokens are those of the tokens that the person knows to be revoked, where
	// RevokeTokens is false: at once, by the same right.
	Tokens []uuid.UUID
}

// Removed is what became of a removal.
type Removed struct {
	Person user.Person
	// Review are the tokens that were live and that the person created, or
	// whose secret they saw; also those revoked now, as they are now.
	Review []token.Token
	// Revoked are those that were revoked now.
	Revoked []uuid.UUID
}

// Remove takes a person out of every store of the account and out of it, and
// ends their sessions there. It returns fault.Forbidden for a principal that
// may not, or may not revoke and was asked to; fault.Invalid when not one
// person is named; fault.NotFound for one who is not in the account; and
// fault.Conflict for an owner, and on "tokens" for a token that the person does
// not know. Fields are "email", "id" and "tokens".
func (s *Service) Remove(ctx context.Context, by *auth.Principal, r Removal) (Removed, error) {
	if err := MayRemove(by, r.RevokeTokens || len(r.Tokens) > 0); err != nil {
		return Removed{}, err
	}
	var removed Removed
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, func(c Change) error {
		leavers, err := user.FindLeavers(ctx, c, []user.Whom{r.Whom})
		if err != nil {
			return err
		}
		if removed.Person, err = leavers.Find(r.Whom); err != nil {
			return err
		}
		now := s.moment()
		known, revoked, err := leave(ctx, c, by, []user.Person{removed.Person}, r.RevokeTokens, now)
		if err == nil && len(r.Tokens) > 0 && !r.RevokeTokens {
			revoked, err = endSome(ctx, c, by, known, r.Tokens, now)
		}
		removed.Review, removed.Revoked = known[removed.Person.ID], revoked
		return err
	})
	if err != nil {
		return Removed{}, err
	}
	return removed, nil
}

// MayRemove refuses principals that may not take people out of their account
// or, if that is asked, not revoke the tokens that those know. It returns
// fault.Forbidden, or nil.
func MayRemove(by *auth.Principal, revoke bool) error {
	if err := user.MayInBulk(by, scope.AccountUsersDelete); err != nil {
		return err
	}
	if revoke {
		return token.MayRevokeAll(by)
	}
	return nil
}

// leave takes people out of the account who may leave it, and returns the
// tokens that each knows, and those that were revoked.
func leave(ctx context.Context, c Change, by *auth.Principal, people []user.Person, revoke bool, now time.Time) (map[uuid.UUID][]token.Token, []uuid.UUID, error) {
	known, err := knownTo(ctx, c, people, now)
	if err != nil {
		return nil, nil, err
	}
	if err := user.Leave(ctx, c, by, people, now); err != nil || !revoke {
		return known, nil, err
	}
	revoked, err := end(ctx, c, by, known, idsOf(known), now)
	return known, revoked, err
}

// knownTo returns the tokens that people know.
func knownTo(ctx context.Context, c Change, people []user.Person, now time.Time) (map[uuid.UUID][]token.Token, error) {
	ids := make([]uuid.UUID, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	return c.TokensKnownTo(ctx, ids, now)
}

// idsOf are those of all the tokens.
func idsOf(known map[uuid.UUID][]token.Token) []uuid.UUID {
	var ids []uuid.UUID
	for _, list := range known {
		for _, t := range list {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// endSome revokes some of the tokens. One that is not among them is known no
// more, as it was when somebody chose it: then it is for them to look again.
func endSome(ctx context.Context, c Change, by *auth.Principal, known map[uuid.UUID][]token.Token, chosen []uuid.UUID, now time.Time) ([]uuid.UUID, error) {
	all := idsOf(known)
	for _, id := range chosen {
		if !slices.Contains(all, id) {
			return nil, fault.Errorf(fault.Conflict, "The API tokens that this person knows are not the same any more. Look through them again.").On("tokens")
		}
	}
	return end(ctx, c, by, known, chosen, now)
}

// end revokes those of the tokens, and lets them show it.
func end(ctx context.Context, c Change, by *auth.Principal, known map[uuid.UUID][]token.Token, ids []uuid.UUID, now time.Time) ([]uuid.UUID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ending := token.NewEnding(by, ids, reason, now)
	ended, err := c.EndTokens(ctx, ending)
	if err != nil {
		return nil, err
	}
	for _, list := range known {
		for i := range list {
			if slices.Contains(ended, list[i].ID) {
				list[i].Revocation = &ending.Revocation
			}
		}
	}
	return ended, nil
}
