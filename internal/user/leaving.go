package user

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// Whom names a person, by either or both.
type Whom struct {
	// Email is an address, compared without case.
	Email *string
	// ID is that of a person of the account: of others ids are no way to find
	// anything out. The zero UUID is nobody's.
	ID *uuid.UUID
}

// Leavers are the people whom somebody wants out of an account.
type Leavers struct {
	account account.Account
	owned   []account.Store
	byEmail map[string]Person
	byID    map[uuid.UUID]Person
}

// FindLeavers reads who is named, by sets.
func FindLeavers(ctx context.Context, c Change, named []Whom) (*Leavers, error) {
	a, err := c.Account(ctx)
	if err != nil {
		return nil, err
	}
	var folded []string
	var ids []uuid.UUID
	for _, w := range named {
		if w.Email != nil {
			folded = append(folded, Fold(*w.Email))
		}
		if w.ID != nil {
			ids = append(ids, *w.ID)
		}
	}
	people, err := c.MembersByEmail(ctx, sortedOnce(folded))
	if err != nil {
		return nil, err
	}
	others, err := c.Members(ctx, ids)
	if err != nil {
		return nil, err
	}
	l := &Leavers{account: a, byEmail: map[string]Person{}, byID: map[uuid.UUID]Person{}}
	for _, p := range append(people, others...) {
		if p.Member {
			l.byEmail[Fold(p.Email)], l.byID[p.ID] = p, p
		}
	}
	ids = ids[:0]
	for id := range l.byID {
		ids = append(ids, id)
	}
	l.owned, err = c.OwnedStores(ctx, ids)
	return l, err
}

// errNotIn is the answer for somebody who is not in the account, whether there
// is such a person or not.
func errNotIn() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such person in this account.")
}

// Find returns who is meant, who may leave. It returns fault.Invalid when
// nobody is named, or two people, and on "email" for what is no address; fault.NotFound on the field for an address
// ("email") or an id ("id") of nobody in the account; and fault.Conflict for
// an owner.
func (l *Leavers) Find(w Whom) (Person, error) {
	var byEmail, byID Person
	switch {
	case w.Email == nil && w.ID == nil:
		return Person{}, fault.Errorf(fault.Invalid, "Name the person by an e-mail address or an id.")
	case w.Email != nil && !ValidEmail(strings.TrimSpace(*w.Email)):
		return Person{}, invalidEmail()
	case w.Email == nil:
		byID = l.byID[*w.ID]
		byEmail = byID
	default:
		byEmail = l.byEmail[Fold(*w.Email)]
		byID = byEmail
		if w.ID != nil {
			byID = l.byID[*w.ID]
		}
	}
	switch {
	case byEmail.ID != byID.ID:
		return Person{}, fault.Errorf(fault.Invalid, "The e-mail address and the id are not one person's. Give one of the two.").On("id")
	case byEmail.Member:
		return byEmail, CheckRemoval(l.account, l.owned, byEmail)
	case w.Email != nil:
		return Person{}, errNotIn().On("email")
	}
	return Person{}, errNotIn().On("id")
}

// LeaverSlice is some of those named in a request, each slice of whom leaves
// after the one before.
type LeaverSlice struct {
	Named []Whom
	// First is the number of the first of Named in the request.
	First int
	// Gone are those who left with the slices before.
	Gone []Person
}

// PlanLeaving returns, for the principal who asks, what becomes of those named, in their order, and who
// leaves. Somebody of an address who is not in the account is gone already:
// that is no failure, so that a request can be sent again.
func PlanLeaving(ctx context.Context, c Change, by *auth.Principal, slice LeaverSlice) (outcomes []Outcome, leaving []Person, err error) {
	l, err := FindLeavers(ctx, c, slice.Named)
	if err != nil {
		return nil, nil, err
	}
	gone := map[uuid.UUID]bool{}
	for _, p := range slice.Gone {
		gone[p.ID], l.byID[p.ID] = true, p
		if _, isBack := l.byEmail[Fold(p.Email)]; !isBack {
			l.byEmail[Fold(p.Email)] = p
		}
	}
	for i, w := range slice.Named {
		p, err := l.Find(w)
		var o Outcome
		switch {
		case w.Email != nil:
			o.Email = *w.Email
		case mayInAccount(by, scope.AccountUsersRead) == nil:
			o.Email = p.Email
		}
		if p.Member {
			o.Person = &p
		}
		switch f := fault.Flatten(err); {
		case len(f) > 0 && f[0].Kind == fault.NotFound && f[0].Field == "email", gone[p.ID]:
			o.Action = Unchanged
		case len(f) > 0:
			o.Action, o.Fault = Failed, f[0].On(OnItem(slice.First+i, f[0].Field))
		default:
			o.Action, leaving = Removed, append(leaving, p)
			gone[p.ID] = true
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, leaving, nil
}
