package graph

import (
	"context"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/membership"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// userRef decodes the fields that identify a user. An invalid ID becomes the zero UUID,
// which no user has, so that only this item of a bulk operation fails.
func userRef(email, id *string) user.Ref {
	ref := user.Ref{Email: email}
	if id != nil {
		key, err := object.ParseKey(scalar.User, *id)
		if err != nil {
			key = uuid.Nil
		}
		ref.ID = &key
	}
	return ref
}

func removalOf(input model.RemoveUserFromAccountInput) membership.Removal {
	return membership.Removal{User: userRef(input.Email, input.UserID),
		Offboarding: membership.OffboardingOf(input.RevokeAPITokens)}
}

func provisionRequest(input model.ProvisionUsersInput) membership.ProvisionRequest {
	req := membership.ProvisionRequest{
		Users: make([]membership.ProvisionItem, len(input.Users)), DryRun: isTrue(input.DryRun),
		RemoveOthers: isTrue(input.RemoveOthers),
	}
	for i, u := range input.Users {
		stores := make([]account.StoreRef, len(u.Stores))
		for k, text := range u.Stores {
			stores[k] = object.ParseStore(text)
		}
		req.Users[i] = membership.ProvisionItem{
			Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, Locale: u.Locale, ExternalID: u.ExternalID,
			Stores: stores, Role: u.Role, Permissions: u.Permissions,
		}
	}
	return req
}

func deprovisionRequest(input model.DeprovisionUsersInput) membership.DeprovisionRequest {
	req := membership.DeprovisionRequest{
		Users: make([]user.Ref, len(input.Users)), DryRun: isTrue(input.DryRun),
		Offboarding: membership.OffboardingOf(input.RevokeAPITokens),
	}
	for i, u := range input.Users {
		req.Users[i] = userRef(u.Email, u.ID)
	}
	return req
}

// removed encodes the removal of a user.
func (r *Resolver) removed(by *auth.Principal, of membership.RemovalResult) *model.RemoveUserFromAccountResult {
	view := r.view()
	return &model.RemoveUserFromAccountResult{
		AccountID:          object.Account{Key: by.AccountID}.GlobalID().String(),
		UserID:             object.User{User: of.Person.User}.GlobalID().String(),
		APITokensToReview:  shownTokens(of.Review, view.Tokens(of.Review)),
		RevokedAPITokenIds: object.TokenIDs(of.Revoked),
	}
}

// provisioned encodes the outcomes of a bulk operation. All users are siblings,
// and so are all of their tokens. An error that stopped the operation is only
// logged.
func (r *Resolver) provisioned(ctx context.Context, report membership.Report) []model.ProvisionedUser {
	if report.Stopped != nil {
		r.log.WarnContext(ctx, "bulk change of users stopped early", "error", report.Stopped)
	}
	var all []token.Token
	removed := map[uuid.UUID]bool{}
	for _, item := range report.Items {
		all = append(all, item.Review...)
		if item.Action == membership.Removed && !report.DryRun {
			removed[item.Person.ID] = true
		}
	}
	var users []user.User
	for _, item := range report.Items {
		if item.Person != nil {
			users = append(users, asNow(item.Person.User, removed))
		}
	}
	node, person := r.view().Tokens(all), object.NewUsers(object.NewSiblings(users))
	shown := make([]model.ProvisionedUser, len(report.Items))
	for i, item := range report.Items {
		shown[i] = model.ProvisionedUser{
			Email: item.Email, Action: item.Action, Changes: item.Changes,
			APITokensToReview: shownTokens(item.Review, node),
		}
		if item.Person != nil {
			u := person(asNow(item.Person.User, removed))
			shown[i].User = &u
		}
		if f := item.Fault; f != nil {
			code := string(f.Kind)
			shown[i].Field, shown[i].Code, shown[i].Message = &f.Field, &code, &f.Message
		}
	}
	return shown
}

// asNow returns a user of a report as the account has them after the report's removals.
func asNow(u user.User, removed map[uuid.UUID]bool) user.User {
	if removed[u.ID] {
		return u.Former()
	}
	return u
}

func countsOf(r membership.Report) model.ProvisionCounts {
	return model.ProvisionCounts{
		Created: r.Count(membership.Created), Updated: r.Count(membership.Updated),
		Unchanged: r.Count(membership.Unchanged), Removed: r.Count(membership.Removed),
		Failed: r.Count(membership.Failed),
	}
}
