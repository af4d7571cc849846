// Package membership removes users from an account, singly or in bulk, and deactivates them. In one transaction it
// deletes or deactivates their memberships, ends their sessions in the account, and lists or revokes the API tokens
// whose secrets they know, by the account's off-boarding policy or as the request says. It also provisions an account's
// users from another system: it plans what changes, and writes the plan.
//
// It uses the packages user and token, which do not import each other.
package membership

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Change is a transaction over the users of one account and the tokens whose secrets they know.
type Change interface {
	user.Change
	// TokensKnownTo returns, for each user, the live tokens that the user created or of which they saw a live access
	// token.
	TokensKnownTo(ctx context.Context, userIDs []uuid.UUID, now time.Time) (map[uuid.UUID][]token.Token, error)
	// RevokeTokens revokes those of the tokens that are not revoked yet, each with its event, and returns their IDs.
	RevokeTokens(ctx context.Context, e token.RevocationDraft) ([]uuid.UUID, error)
	// SetOffboardingPolicy changes the policy of the account.
	SetOffboardingPolicy(ctx context.Context, policy account.OffboardingPolicy) error
	// SetLeakPolicy changes the leak policy of the account.
	SetLeakPolicy(ctx context.Context, policy account.LeakPolicy) error

	// ChangeEmail changes the address of a member, which makes the membership pending. It deletes the one-time links
	// that the account created for the member, and from the member's record all ways to sign in: the password, the
	// passkeys, the linked identities, the authenticator app and its recovery codes. The caller has ended the member's
	// sessions, which keeps new ones from starting. It returns fault.Conflict for a member
	// who has accepted the membership and is in other accounts, too, or whose record is also that of the person who
	// signs in.
	ChangeEmail(ctx context.Context, by *auth.Principal, of user.User, email string, at time.Time) error

	// Group returns a store of the account as a group. It returns fault.NotFound.
	Group(ctx context.Context, storeID uuid.UUID) (Group, error)
	// SaveGroup changes the external ID and the default role of a store. It returns fault.Conflict on "externalId" if
	// another store of the account has it.
	SaveGroup(ctx context.Context, g Group) error
	// UsersInStore returns the users among ids, or all if ids is nil, who have a membership in the store.
	UsersInStore(ctx context.Context, storeID uuid.UUID, ids []uuid.UUID) ([]uuid.UUID, error)
}

// Repository runs changes.
type Repository interface {
	// Change runs work in a transaction over the account's users. It returns
	// fault.NotFound if the account does not exist, and otherwise the error of
	// work. When it returns nil, every verifier in this process has processed the
	// change.
	Change(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error
	// ChangeSlice is Change for a slice of a bulk request, which may have to wait
	// for other writes.
	ChangeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error
	// SliceSize returns the most users that one transaction may change, so that no
	// other write waits for long.
	SliceSize() int
	// View runs work, which only reads, on a snapshot of the database. It returns
	// errors as Change does.
	View(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error
}

// Service provisions users and removes them from accounts.
type Service struct {
	repo Repository
	now  clock.Clock
}

// NewService returns a service over the repository.
func NewService(repo Repository, now clock.Clock) *Service {
	return &Service{repo: repo, now: now}
}

// Removal is a request to remove one user from the principal's account.
type Removal struct {
	User user.Ref
	// Offboarding is what happens to the tokens whose secrets the user knows; empty
	// for the account's policy. To ask for account.RevokeTokens requires the right to
	// revoke every token of the account. The account's policy requires none.
	Offboarding account.OffboardingPolicy
	// Tokens, if not nil, are the tokens to revoke under any policy. The user
	// must know their secrets. If there are any, it requires the same right.
	Tokens []uuid.UUID
	// If decides whether the user may be removed, after the rules; nil permits it.
	If Precondition
}

// RemovalResult is the result of a Removal or a Deactivation.
type RemovalResult struct {
	Person user.Person
	// Review are the live tokens that the user created or whose secrets they saw, including those that were revoked by
	// this request.
	Review []token.Token
	// Revoked are the IDs of the tokens that this request revoked.
	Revoked []uuid.UUID
}

// Remove removes a user from the account and all its stores, and ends their
// sessions there. It returns fault.Forbidden if the principal may not remove users,
// or may not revoke tokens and the request does; fault.Invalid unless the request
// identifies exactly one user, and for an unknown policy; fault.NotFound for a user
// who is not in the account; and fault.Conflict for an owner, and on "tokens" for a
// token whose secret the user does not know. Fields are "email", "id" and "tokens".
func (s *Service) Remove(ctx context.Context, by *auth.Principal, r Removal) (RemovalResult, error) {
	return s.offboard(ctx, by, r, removing)
}

// offboard runs the removal or deactivation of one user.
func (s *Service) offboard(ctx context.Context, by *auth.Principal, r Removal, way departure) (RemovalResult, error) {
	if err := mayAsk(by, r.Offboarding, r.Tokens); err != nil {
		return RemovalResult{}, err
	}
	var done RemovalResult
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, func(c Change) error {
		done = RemovalResult{} // the transaction may be retried
		l, err := findLeavers(ctx, c, []user.Ref{r.User})
		if err != nil {
			return err
		}
		if done.Person, err = l.find(r.User); err != nil {
			return err
		}
		if err := r.may(ctx, c, by, way, done.Person); err != nil {
			return err
		}
		now, leaving := s.now.Timestamp(), []user.Person{done.Person}
		var known map[uuid.UUID][]token.Token
		if way.done(done.Person) {
			known, err = knownTo(ctx, c, leaving, now)
		} else {
			known, done.Revoked, err = depart(ctx, c, by, leaving, way, l.handling(r), now)
		}
		done.Person, done.Review = leaving[0], known[done.Person.ID]
		return err
	})
	if err != nil {
		return RemovalResult{}, err
	}
	return done, nil
}

// may returns an error unless the user may leave in this way: of a deactivation by hand, the one of user.CheckByHand,
// and that of the precondition.
func (r Removal) may(ctx context.Context, c Change, by *auth.Principal, way departure, p user.Person) error {
	if way.byHand && !way.done(p) {
		if err := user.CheckByHand(by, p); err != nil {
			return err
		}
	}
	if r.If == nil {
		return nil
	}
	return r.If(ctx, c, p)
}

// MayRemove returns fault.Forbidden if the principal may not remove users from its account or, with revoke, may not
// revoke tokens.
func MayRemove(by *auth.Principal, revoke bool) error {
	if err := mayInBulk(by, scope.AccountUsersDelete); err != nil {
		return err
	}
	if revoke {
		return token.MayRevokeAll(by)
	}
	return nil
}

// mayAsk returns an error if the principal may not make a request to remove or
// deactivate users that asks for this policy and the revocation of these tokens.
func mayAsk(by *auth.Principal, policy account.OffboardingPolicy, tokens []uuid.UUID) error {
	if policy != "" && !slices.Contains(account.OffboardingPolicies(), policy) {
		return errNoPolicy()
	}
	return MayRemove(by, policy == account.RevokeTokens && tokens == nil || len(tokens) > 0)
}

// revokeAll revokes the tokens that the users know, and adds to known the tokens that
// they come to know in the meantime, since a token can issue others until it is
// revoked. It ends when it finds no further ones: the revoked tokens are locked, so
// they cannot issue any.
func revokeAll(
	ctx context.Context, c Change, by *auth.Principal, persons []user.Person, known map[uuid.UUID][]token.Token,
	reason string, now time.Time,
) ([]uuid.UUID, error) {
	var revoked []uuid.UUID
	for live := known; ; {
		ended, err := revoke(ctx, c, by, known, idsOf(live), reason, now)
		if err != nil || len(ended) == 0 {
			return revoked, err
		}
		revoked = append(revoked, ended...)
		if live, err = knownTo(ctx, c, persons, now); err != nil {
			return nil, err
		}
		for id, list := range live { // none of them is in known yet
			known[id] = slices.Concat(known[id], list)
		}
	}
}

// knownTo returns the tokens whose secrets each user knows.
func knownTo(ctx context.Context, c Change, persons []user.Person, now time.Time) (map[uuid.UUID][]token.Token, error) {
	return c.TokensKnownTo(ctx, userIDs(persons), now)
}

// userIDs returns the IDs of the users.
func userIDs(persons []user.Person) []uuid.UUID {
	ids := make([]uuid.UUID, len(persons))
	for i, p := range persons {
		ids[i] = p.ID
	}
	return ids
}

// idsOf returns the IDs of all the tokens.
func idsOf(known map[uuid.UUID][]token.Token) []uuid.UUID {
	var ids []uuid.UUID
	for _, list := range known {
		for _, t := range list {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// revokeSome revokes the chosen tokens. It returns fault.Conflict if the user no longer knows the secret of one of
// them, so that the caller reviews the list again.
func revokeSome(ctx context.Context, c Change, by *auth.Principal, known map[uuid.UUID][]token.Token,
	chosen []uuid.UUID, reason string, now time.Time) ([]uuid.UUID, error) {
	all := idsOf(known)
	for _, id := range chosen {
		if !slices.Contains(all, id) {
			return nil, fault.Errorf(fault.Conflict,
				"The list of API tokens that this user knows has changed. Review it again.").On("tokens")
		}
	}
	return revoke(ctx, c, by, known, chosen, reason, now)
}

// revoke revokes the tokens with the IDs and sets their Revocation.
func revoke(ctx context.Context, c Change, by *auth.Principal, known map[uuid.UUID][]token.Token, ids []uuid.UUID,
	reason string, now time.Time) ([]uuid.UUID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ending := token.NewRevocationDraft(by, ids, reason, now)
	ended, err := c.RevokeTokens(ctx, ending)
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
