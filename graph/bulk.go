package graph

import (
	"context"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/offboard"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// whom reads who is meant. What is no id is nobody's: one person in a bulk who
// is named wrongly is no reason to leave the others alone.
func whom(email, id *string) user.Whom {
	w := user.Whom{Email: email}
	if id != nil {
		key, err := object.ParseKey(scalar.User, *id)
		if err != nil {
			key = uuid.Nil
		}
		w.ID = &key
	}
	return w
}

func given(b *bool) bool { return b != nil && *b }

func removalOf(input model.RemoveUserFromAccountInput) offboard.Removal {
	return offboard.Removal{Whom: whom(input.Email, input.UserID), RevokeTokens: given(input.RevokeAPITokens)}
}

func provisionRequest(input model.ProvisionUsersInput) user.ProvisionRequest {
	req := user.ProvisionRequest{
		Users: make([]user.ProvisionItem, len(input.Users)), DryRun: given(input.DryRun), RemoveOthers: given(input.RemoveOthers),
	}
	for i, u := range input.Users {
		stores := make([]account.StoreRef, len(u.Stores))
		for k, text := range u.Stores {
			stores[k] = object.ParseStore(text)
		}
		req.Users[i] = user.ProvisionItem{
			Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, Locale: u.Locale, ExternalID: u.ExternalID,
			Stores: stores, Role: u.Role, Permissions: u.Permissions,
		}
	}
	return req
}

func deprovisionRequest(input model.DeprovisionUsersInput) offboard.DeprovisionRequest {
	req := offboard.DeprovisionRequest{
		Users: make([]user.Whom, len(input.Users)), DryRun: given(input.DryRun), RevokeTokens: given(input.RevokeAPITokens),
	}
	for i, u := range input.Users {
		req.Users[i] = whom(u.Email, u.ID)
	}
	return req
}

// renamed moves the failures on one field to another, where an input has its
// own name for it.
func renamed(err error, from, to string) error {
	for _, f := range fault.Flatten(err) {
		if f.Field == from {
			return f.On(to)
		}
	}
	return err
}

// removed shows somebody's leaving.
func (r *Resolver) removed(by *auth.Principal, of offboard.Removed) *model.RemoveUserFromAccountResult {
	view := r.view()
	return &model.RemoveUserFromAccountResult{
		AccountID: object.Account{Key: by.AccountID}.GlobalID().String(), UserID: object.User{User: of.Person.User}.GlobalID().String(),
		APITokensToReview: shownTokens(of.Review, view.Tokens(of.Review)), RevokedAPITokenIds: object.TokenIDs(of.Revoked),
	}
}

// provisioned shows what became of people. All of them are one level, and so
// are all of their tokens. An error that the answer does not show is logged.
func (r *Resolver) provisioned(ctx context.Context, report offboard.Report) []model.ProvisionedUser {
	if report.Stopped != nil {
		r.log.WarnContext(ctx, "a change of many users has stopped before its end", "error", report.Stopped)
	}
	var all []token.Token
	var people []user.User
	for _, item := range report.Items {
		all = append(all, item.Review...)
		if item.Person != nil {
			people = append(people, item.Person.User)
		}
	}
	node, person := r.view().Tokens(all), object.NewUsers(people)
	shown := make([]model.ProvisionedUser, len(report.Items))
	for i, item := range report.Items {
		shown[i] = model.ProvisionedUser{
			Email: item.Email, Action: item.Action, Changes: make([]model.UserChange, len(item.Changes)),
			APITokensToReview: shownTokens(item.Review, node),
		}
		if item.Person != nil {
			u := person(item.Person.User)
			shown[i].User = &u
		}
		for k, c := range item.Changes {
			shown[i].Changes[k] = model.UserChange(c)
		}
		if f := item.Fault; f != nil {
			code := string(f.Kind)
			shown[i].Field, shown[i].Code, shown[i].Message = &f.Field, &code, &f.Message
		}
	}
	return shown
}

func shownTokens(tokens []token.Token, node func(token.Token) object.APIToken) []object.APIToken {
	shown := make([]object.APIToken, len(tokens))
	for i, t := range tokens {
		shown[i] = node(t)
	}
	return shown
}

func countsOf(r offboard.Report) model.ProvisionCounts {
	return model.ProvisionCounts{
		Created: r.Count(user.Created), Updated: r.Count(user.Updated),
		Unchanged: r.Count(user.Unchanged), Removed: r.Count(user.Removed), Failed: r.Count(user.Failed),
	}
}
