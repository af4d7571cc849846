package membership

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// departure is how users leave an account: they are removed from it, or deactivated in it.
type departure struct {
	leave func(ctx context.Context, c Change, by *auth.Principal, persons []user.Person, now time.Time,
		review user.Review) error
	// reason is the revocation reason of the tokens that are revoked with it.
	reason string
	// done reports whether a user of the account has left in this way, so that nothing is to change.
	done func(user.Person) bool
	// byHand reports whether it changes what an identity provider keeps, so that user.CheckByHand is to decide.
	byHand bool
}

var (
	removing = departure{leave(user.Leave), "A user who knew its secret left the account.",
		func(user.Person) bool { return false }, false}
	deactivating = departure{leave(user.Deactivate), "A user who knew its secret was deactivated.",
		func(p user.Person) bool { return p.Deactivated() }, true}
)

// leave returns a departure's function that needs no more than the account's users.
func leave(in func(context.Context, user.Change, *auth.Principal, []user.Person, time.Time, user.Review) error) func(
	context.Context, Change, *auth.Principal, []user.Person, time.Time, user.Review) error {
	return func(ctx context.Context, c Change, by *auth.Principal, persons []user.Person, now time.Time,
		review user.Review) error {
		return in(ctx, c, by, persons, now, review)
	}
}

// handling is what happens to the tokens whose secrets leaving users know.
type handling struct {
	// revoke revokes all of them.
	revoke bool
	// chosen are the ones to revoke of a single user, if revoke is false.
	chosen []uuid.UUID
}

// handlingBy returns the handling that the policy asks for or, if it is empty, that of the account.
func handlingBy(a account.Account, policy account.OffboardingPolicy) handling {
	if policy == "" {
		policy = a.Offboarding
	}
	return handling{revoke: policy == account.RevokeTokens}
}

// OffboardingOf returns the policy of a request that says whether to revoke tokens, or nothing about them if revoke is
// nil.
func OffboardingOf(revoke *bool) account.OffboardingPolicy {
	switch {
	case revoke == nil:
		return ""
	case *revoke:
		return account.RevokeTokens
	}
	return account.KeepTokens
}

// handling returns the handling of the request's tokens.
func (l *leavers) handling(r Removal) handling {
	if r.Tokens != nil {
		return handling{chosen: r.Tokens}
	}
	return handlingBy(l.account, r.Offboarding)
}

// depart removes or deactivates users. It returns the tokens whose secrets each user knows, and those that were
// revoked.
func depart(ctx context.Context, c Change, by *auth.Principal, persons []user.Person, way departure, h handling,
	now time.Time) (known map[uuid.UUID][]token.Token, revoked []uuid.UUID, err error) {
	if len(persons) == 0 {
		return nil, nil, nil
	}
	if known, err = knownTo(ctx, c, persons, now); err != nil {
		return nil, nil, err
	}
	// Tokens are revoked once no session of the users is left that could issue others.
	review := func() (map[uuid.UUID][]user.KnownToken, error) {
		var err error
		switch {
		case h.revoke:
			revoked, err = revokeAll(ctx, c, by, persons, known, way.reason, now)
		case len(h.chosen) > 0:
			revoked, err = revokeSome(ctx, c, by, known, h.chosen, way.reason, now)
		}
		return reviewed(known), err
	}
	if err := way.leave(ctx, c, by, persons, now, review); err != nil {
		return nil, nil, err
	}
	return known, revoked, nil
}

// reviewed returns the tokens as the events of the users name them.
func reviewed(known map[uuid.UUID][]token.Token) map[uuid.UUID][]user.KnownToken {
	all := make(map[uuid.UUID][]user.KnownToken, len(known))
	for id, list := range known {
		for _, t := range list {
			all[id] = append(all[id], user.KnownToken{ID: t.ID, Name: t.Name, Revoked: t.Revocation != nil})
		}
	}
	return all
}
