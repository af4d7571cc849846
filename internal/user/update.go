package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Update is a change to a user. Nil fields are left unchanged.
type Update struct {
	UserID                      uuid.UUID
	FirstName, LastName, Locale *string
	// ExternalID is the user's ID in the account's other system; empty removes
	// it.
	ExternalID *string
}

func (u Update) names() bool { return u.FirstName != nil || u.LastName != nil || u.Locale != nil }

// Update changes the account's record of a user. Users may change their own
// names; any other change requires the account's owner or account_users_write.
// Other accounts' records of the same address are not affected. It returns
// fault.Forbidden, fault.Invalid for each field that breaks a rule,
// fault.NotFound on "userId", and fault.Conflict for an external ID that
// another user has, and from CheckByHand.
func (s *Service) Update(ctx context.Context, by *auth.Principal, u Update) (Person, error) {
	self := by.Kind == auth.Session && by.ID == u.UserID
	if err := mayInAccount(by, scopeWrite); err != nil && (!self || u.ExternalID != nil) {
		return Person{}, err
	}
	if err := u.check().Err(); err != nil {
		return Person{}, err
	}
	var updated Person
	err := s.edit(ctx, by, func(e *edit) error {
		before, err := e.member(ctx, u.UserID, "userId")
		if err != nil {
			return err
		}
		updated = u.Apply(before)
		if len(Differences(before, updated)) > 0 {
			if err := CheckByHand(by, before); err != nil {
				return err
			}
		}
		if err := CheckExternalID(ctx, e.Change, before, updated); err != nil {
			return err
		}
		return e.update(ctx, before, &updated)
	})
	return updated, err
}

func (u Update) check() fault.List {
	if !u.names() && u.ExternalID == nil {
		return fault.List{fault.Errorf(fault.Invalid, "Nothing would change. Change at least one field.")}
	}
	return append(checkNames(u.FirstName, u.LastName, u.Locale), checkExternalID(u.ExternalID)...)
}

// CheckFields returns an error for each field that breaks a rule. Unlike Service.Update, it accepts empty names, which
// remove a name.
func (u Update) CheckFields() fault.List {
	presentOrNil := func(text *string) *string {
		if text == nil {
			return nil
		}
		return nonEmpty(*text)
	}
	return append(checkNames(presentOrNil(u.FirstName), presentOrNil(u.LastName), u.Locale),
		checkExternalID(u.ExternalID)...)
}

// checkExternalID returns an error on "externalId" unless the external ID is nil, empty or valid.
func checkExternalID(id *string) fault.List {
	if id == nil || *id == "" || ValidName(*id) {
		return nil
	}
	return fault.List{fault.Errorf(fault.Invalid,
		"Enter the external id on one line of at most %d characters, without space around it, or leave it empty to remove it.", MaxName).On("externalId")}
}

// Apply returns the user with the update's fields.
func (u Update) Apply(p Person) Person {
	for _, change := range []struct{ to, from *string }{
		{&p.FirstName, u.FirstName}, {&p.LastName, u.LastName}, {&p.Locale, u.Locale}, {&p.ExternalID, u.ExternalID},
	} {
		if change.from != nil {
			*change.to = *change.from
		}
	}
	return p
}

// CheckExternalID returns fault.Conflict on "externalId" if the user gets an external ID that another user in the
// account has.
func CheckExternalID(ctx context.Context, c Change, before, after Person) error {
	if after.ExternalID == "" || after.ExternalID == before.ExternalID {
		return nil
	}
	others, err := c.MembersByExternalID(ctx, []string{after.ExternalID})
	if err == nil && len(others) > 0 {
		err = ErrExternalIDTaken()
	}
	return err
}

// ErrExternalIDTaken is the error on "externalId" for an external ID that another user in the account has.
func ErrExternalIDTaken() *fault.Error {
	return fault.Errorf(fault.Conflict, "Another user in this account has this external id.").On("externalId")
}

// update saves the user and records the changed fields.
func (e *edit) update(ctx context.Context, before Person, after *Person) error {
	details := Differences(before, *after)
	if len(details) == 0 {
		return nil
	}
	e.addPersonEvent(audit.UserUpdated, *after, details...)
	return e.saveMember(ctx, after)
}

// Differences returns the fields of the account's record in which the two differ, with the values of after, as the
// details of an event.
func Differences(before, after Person) []audit.Detail {
	var details []audit.Detail
	was := append(nameDetails(before.User), audit.Detail{Name: "externalId", Value: before.ExternalID})
	for i, is := range append(nameDetails(after.User), audit.Detail{Name: "externalId", Value: after.ExternalID}) {
		if is != was[i] {
			details = append(details, is)
		}
	}
	return details
}
