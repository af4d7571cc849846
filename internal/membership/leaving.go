package membership

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// leavers looks up the users that a request removes from an account, deactivates or
// reactivates.
type leavers struct {
	account account.Account
	owned   []account.Store
	byEmail map[string]user.Person
	byID    map[uuid.UUID]user.Person
}

// findLeavers reads the named users in a fixed number of queries.
func findLeavers(ctx context.Context, c Change, named []user.Ref) (*leavers, error) {
	a, err := c.Account(ctx)
	if err != nil {
		return nil, err
	}
	var folded []string
	var ids []uuid.UUID
	for _, ref := range named {
		if ref.Email != nil {
			folded = append(folded, user.Fold(*ref.Email))
		}
		if ref.ID != nil {
			ids = append(ids, *ref.ID)
		}
	}
	persons, err := c.MembersByEmail(ctx, slices.Compact(slices.Sorted(slices.Values(folded))))
	if err != nil {
		return nil, err
	}
	others, err := c.Members(ctx, ids)
	if err != nil {
		return nil, err
	}
	l := &leavers{account: a, byEmail: map[string]user.Person{}, byID: map[uuid.UUID]user.Person{}}
	for _, p := range append(persons, others...) {
		if p.Member {
			l.byEmail[user.Fold(p.Email)], l.byID[p.ID] = p, p
		}
	}
	ids = ids[:0]
	for id := range l.byID {
		ids = append(ids, id)
	}
	l.owned, err = c.OwnedStores(ctx, ids)
	return l, err
}

// find returns the user that ref names, if they can be removed or deactivated. It
// returns errors as member does, and fault.Conflict for an owner.
func (l *leavers) find(ref user.Ref) (user.Person, error) {
	p, err := l.member(ref)
	if err == nil {
		err = user.CheckRemoval(l.account, l.owned, p)
	}
	return p, err
}

// member returns the user that ref names. It returns fault.Invalid if ref names no user
// or two different ones, and on "email" if that is not an address; and fault.NotFound on
// "email" or "id" if no member has it.
func (l *leavers) member(ref user.Ref) (user.Person, error) {
	if ref.Email != nil {
		if err := user.CheckEmail(strings.TrimSpace(*ref.Email)); err != nil {
			return user.Person{}, err
		}
	}
	var byEmail, byID user.Person
	switch {
	case ref.Email == nil && ref.ID == nil:
		return user.Person{}, fault.Errorf(fault.Invalid, "Name the user by email address or id.")
	case ref.Email == nil:
		byID = l.byID[*ref.ID]
		byEmail = byID
	default:
		byEmail = l.byEmail[user.Fold(*ref.Email)]
		byID = byEmail
		if ref.ID != nil {
			byID = l.byID[*ref.ID]
		}
	}
	switch {
	case byEmail.ID != byID.ID:
		return user.Person{}, fault.Errorf(fault.Invalid,
			"The email address and the id belong to different users. Give one of the two.").On("id")
	case byEmail.Member:
		return byEmail, nil
	case ref.Email != nil:
		return user.Person{}, user.ErrNotInAccount().On("email")
	}
	return user.Person{}, user.ErrNotInAccount().On("id")
}

// leaverSlice is a part of the users named in a request. The slices are removed
// one after the other.
type leaverSlice struct {
	named []user.Ref
	// first is the index in the request of the first element of named.
	first int
	// removed are the users removed by the earlier slices.
	removed []user.Person
}

// leavingPlan is what a bulk request does to a slice of the users that it removes.
type leavingPlan struct {
	account account.Account
	// outcomes are the outcomes of the named users, in order, and leaving the users to
	// remove.
	outcomes []Outcome
	leaving  []user.Person
}

// planLeaving returns the plan for the named users. An address that is not in the
// account counts as removed already, so that a request can be sent again.
func planLeaving(ctx context.Context, c Change, by *auth.Principal, slice leaverSlice) (leavingPlan, error) {
	l, err := findLeavers(ctx, c, slice.named)
	if err != nil {
		return leavingPlan{}, err
	}
	plan := leavingPlan{account: l.account}
	removed := map[uuid.UUID]bool{}
	for _, p := range slice.removed {
		removed[p.ID], l.byID[p.ID] = true, p
		if _, isBack := l.byEmail[user.Fold(p.Email)]; !isBack {
			l.byEmail[user.Fold(p.Email)] = p
		}
	}
	for i, ref := range slice.named {
		p, err := l.find(ref)
		var o Outcome
		switch {
		case ref.Email != nil:
			o.Email = *ref.Email
		case user.MayListAll(by) == nil:
			o.Email = p.Email
		}
		if p.Member {
			o.Person = &p
		}
		switch f := fault.Flatten(err); {
		case len(f) > 0 && f[0].Kind == fault.NotFound && f[0].Field == "email", removed[p.ID]:
			o.Action = Unchanged
		case len(f) > 0:
			o.Action, o.Fault = Failed, f[0].On(onItem(slice.first+i, f[0].Field))
		default:
			o.Action, plan.leaving = Removed, append(plan.leaving, p)
			removed[p.ID] = true
		}
		plan.outcomes = append(plan.outcomes, o)
	}
	return plan, nil
}
