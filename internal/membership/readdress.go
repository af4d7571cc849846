package membership

import (
	"context"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// readdress changes the user's address. It returns the user with it, and the details about API tokens of the event.
func (w editing) readdress(ctx context.Context, before user.Person, email string) (user.Person, []audit.Detail, error) {
	if err := user.CheckNewEmail(email); err != nil {
		return user.Person{}, nil, err
	}
	after := before
	after.Email = email
	others, err := w.MembersByEmail(ctx, []string{user.Fold(email)})
	if err != nil {
		return user.Person{}, nil, err
	}
	if len(others) > 0 {
		return user.Person{}, nil, user.ErrEmailTaken()
	}
	in, err := w.mayLeave(ctx, before.ID)
	if err != nil {
		return user.Person{}, nil, err
	}
	if err := checkHandOver(w.by, before); err != nil {
		return user.Person{}, nil, err
	}
	after.Pending = true
	var review []audit.Detail
	_, _, err = depart(ctx, w.Change, w.by, []user.Person{before}, moving(email, &review), handlingBy(in, ""), w.now)
	return after, review, err
}

// moving is the departure of the person with the former address, while the membership stays. It sets details to those
// about the tokens that the person knows.
func moving(email string, details *[]audit.Detail) departure {
	leave := func(ctx context.Context, c Change, by *auth.Principal, persons []user.Person, now time.Time,
		review user.Review) error {
		p := persons[0]
		ended := func(s user.Session) audit.Event { return user.SessionEnded(by, s, now) }
		// It comes first, since it keeps new sessions from starting.
		if err := c.EndSessions(ctx, userIDs(persons), now, ended); err != nil {
			return err
		}
		if err := c.ChangeEmail(ctx, by, p.User, email, now); err != nil {
			return err
		}
		known, err := review()
		*details = user.ReviewDetails(known[p.ID])
		return err
	}
	return departure{leave: leave, reason: "The user who knew its secret got another email address."}
}

// checkHandOver returns fault.Conflict on "userName" if the user has a permission that the principal could not grant
// to the person with the new address.
func checkHandOver(by *auth.Principal, p user.Person) error {
	for _, place := range p.Places {
		if user.CheckGrant(user.Grantable(by, place.StoreID, nil), nil, place.Permissions) != nil {
			return fault.Errorf(fault.Conflict, "This user has high-risk permissions, which an API token cannot give "+
				"to another address. Remove these permissions in the control panel first, or add a user with the new "+
				"address and remove this one.").On("userName")
		}
	}
	return nil
}
