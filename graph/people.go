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
	"latchkey/internal/page"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// userKey reads the id of a person in a field of the input.
func userKey(text, field string) (uuid.UUID, error) {
	key, err := object.ParseKey(scalar.User, text)
	return key, onField(err, field)
}

// identifierOf reads who is meant. It returns a fault on "id".
func identifierOf(input model.UserIdentifierInput) (user.Whom, error) {
	who := user.Whom{Email: input.Email}
	if input.ID == nil {
		return who, nil
	}
	key, err := userKey(*input.ID, "id")
	who.ID = &key
	return who, err
}

func choiceOf(input model.CreateUserWithPasswordInput) user.PasswordChoice {
	return user.PasswordChoice{
		Password: secret.NewPassword(input.Password), Confirmation: secret.NewPassword(input.PasswordConfirmation),
	}
}

// userUpdate reads a change. An external id that is null is taken away.
func userUpdate(input model.UpdateUserInput) (user.Update, error) {
	key, err := userKey(input.UserID, "userId")
	u := user.Update{UserID: key, FirstName: input.FirstName, LastName: input.LastName, Locale: input.Locale}
	if external, given := input.ExternalID.ValueOK(); given {
		text := textOf(external)
		u.ExternalID = &text
	}
	return u, err
}

// transferOf reads what is to be given, nil for the account, and to whom.
func transferOf(input model.TransferOwnershipInput) (*account.StoreRef, uuid.UUID, error) {
	to, err := userKey(input.UserID, "userId")
	if err != nil || input.StoreID == nil {
		return nil, to, err
	}
	ref := object.ParseStore(*input.StoreID)
	return &ref, to, nil
}

// storeUser is a member of a store by themselves.
func storeUser(m user.StoreMember) *object.StoreUser {
	return &object.StoreUser{StoreMember: m, Siblings: object.NewSiblings([]user.StoreMember{m})}
}

// transferred is what was given, as the answer has it.
func (r *Resolver) transferred(ctx context.Context, by *auth.Principal, done user.Transfer) *model.TransferOwnershipResult {
	result := &model.TransferOwnershipResult{Account: *r.account(ctx, by)}
	if done.Store != nil {
		shown := object.NewStores([]account.Store{*done.Store})(*done.Store)
		result.Store = &shown
	}
	return result
}

func storeID(s account.Store) string { return object.Store{Store: s}.GlobalID().String() }

func inInput(err error) error { return fault.Under(err, "input") }

// userConnection answers a page of the list, which is of the account's users.
func (r *Resolver) userConnection(ctx context.Context, by *auth.Principal, list object.List, f user.Filter, asked page.Request) (*object.UserConnection, error) {
	found, err := r.users.Users(ctx, by, f, asked)
	if err != nil {
		return nil, err
	}
	info, edges := object.Connect[object.UserEdge](list, found, object.NewUsers(object.Nodes(found)))
	count := func(ctx context.Context) (int64, error) { return r.users.CountUsers(ctx, by, f) }
	return &object.UserConnection{PageInfo: info, Edges: edges, Count: count}, nil
}
