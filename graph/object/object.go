// Package object holds the objects of the schema: domain values with the few
// things that only the API adds to them, such as their ids. gqlgen binds to it.
package object

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Account is an account, read from the database only when something beyond
// its id is asked of it.
type Account struct {
	Key uuid.UUID
	// Read returns the rest; it asks the database once.
	Read func() (account.Account, error)
}

// IsNode marks a Node.
func (Account) IsNode() {}

// GlobalID is the account's id.
func (a Account) GlobalID() scalar.NodeID { return id(scalar.Account, a.Key) }

// Store is a store among its siblings.
type Store struct {
	account.Store

	Siblings *Siblings[account.Store]
}

// NewStores returns stores as each other's siblings.
func NewStores(stores []account.Store) func(account.Store) Store {
	siblings := NewSiblings(stores)
	return func(s account.Store) Store { return Store{s, siblings} }
}

// IsNode marks a Node.
func (Store) IsNode() {}

// GlobalID is the store's id.
func (s Store) GlobalID() scalar.NodeID { return id(scalar.Store, s.ID) }

// App is an app.
type App struct{ account.App }

// IsNode marks a Node.
func (App) IsNode() {}

// GlobalID is the app's id.
func (a App) GlobalID() scalar.AppID { return scalar.AppID(a.ID) }

// User is a person among their siblings.
type User struct {
	user.User

	siblings *Siblings[user.User]
}

// NewUsers returns people as each other's siblings.
func NewUsers(people []user.User) func(user.User) User {
	siblings := NewSiblings(people)
	return func(u user.User) User { return User{u, siblings} }
}

// Siblings are the people of the person's level: nobody else for one of whom
// no others were told.
func (u User) Siblings() *Siblings[user.User] {
	if u.siblings == nil {
		return NewSiblings([]user.User{u.User})
	}
	return u.siblings
}

// IsNode marks a Node.
func (User) IsNode() {}

// GlobalID is the person's id.
func (u User) GlobalID() scalar.NodeID { return id(scalar.User, u.ID) }

// UserStore is a person's place in a store, which is one of the stores of its
// level.
type UserStore struct {
	user.StorePlace

	stores *Siblings[account.Store]
}

// NewUserStores returns places in stores, the stores as each other's siblings.
func NewUserStores(places []user.StorePlace) func(user.StorePlace) UserStore {
	known := map[uuid.UUID]bool{}
	var stores []account.Store
	for _, p := range places {
		if !known[p.StoreID] {
			known[p.StoreID] = true
			stores = append(stores, p.Store)
		}
	}
	siblings := NewSiblings(stores)
	return func(p user.StorePlace) UserStore { return UserStore{p, siblings} }
}

// GlobalID is the store's id, the same as Store has.
func (p UserStore) GlobalID() scalar.NodeID { return id(scalar.Store, p.StoreID) }

// InStore is the store.
func (p UserStore) InStore() Store { return Store{p.Store, p.stores} }

// StoreRoleInfo is a role in a store.
type StoreRoleInfo struct{ Role user.Role }

// Name is the role's name for people.
func (r StoreRoleInfo) Name() string { return r.Role.Name() }

// Permissions are what somebody in the role may do.
func (r StoreRoleInfo) Permissions() []string { return append([]string{}, r.Role.Permissions()...) }

// StoreUser is a member of a store among its siblings.
type StoreUser struct {
	user.StoreMember

	Siblings *Siblings[user.StoreMember]
}

// GlobalID is the person's id, the same as User has.
func (u StoreUser) GlobalID() scalar.NodeID { return id(scalar.User, u.User.ID) }

// Email is the person's e-mail address.
func (u StoreUser) Email() string { return u.User.Email }

// FirstName is the person's first name.
func (u StoreUser) FirstName() string { return u.User.FirstName }

// LastName is the person's last name.
func (u StoreUser) LastName() string { return u.User.LastName }

// Locale is the person's language tag.
func (u StoreUser) Locale() string { return u.User.Locale }

// Pending says that the person has not accepted the membership.
func (u StoreUser) Pending() bool { return u.User.Pending }

// APIToken is an API token among its siblings, as of a moment.
type APIToken struct {
	token.Token

	Siblings *Siblings[token.Token]
	view     View
}

// View is what the API's form of a token depends on besides the token.
type View struct {
	// PublicURL leads the API paths.
	PublicURL string
	// Now is the moment of which the status is told.
	Now time.Time
}

// Tokens returns tokens as each other's siblings.
func (v View) Tokens(tokens []token.Token) func(token.Token) APIToken {
	siblings := NewSiblings(tokens)
	return func(t token.Token) APIToken { return APIToken{t, siblings, v} }
}

// Token returns a token without siblings.
func (v View) Token(t token.Token) APIToken { return v.Tokens([]token.Token{t})(t) }

// IsNode marks a Node.
func (APIToken) IsNode() {}

// GlobalID is the token's id.
func (t APIToken) GlobalID() scalar.NodeID { return id(scalar.APIToken, t.ID) }

// APIPath is where the token is used.
func (t APIToken) APIPath() string { return token.APIPath(t.view.PublicURL, t.Token) }

// ScopeNames are the scopes the token holds.
func (t APIToken) ScopeNames() []string { return t.Scopes.Names() }

// CurrentStatus is the token's status at the moment of the view.
func (t APIToken) CurrentStatus() token.Status { return t.Status(t.view.Now) }

// Ranges are the address ranges as text.
func (t APIToken) Ranges() []string {
	ranges := make([]string, len(t.AllowedIPRanges))
	for i, p := range t.AllowedIPRanges {
		ranges[i] = p.String()
	}
	return ranges
}

// Creator is who created the token.
func (t APIToken) Creator() Actor { return Actor{t.CreatedBy} }

// RevokedAt is when the token was revoked, zero for one that is not.
func (t APIToken) RevokedAt() time.Time {
	if t.Revocation == nil {
		return time.Time{}
	}
	return t.Revocation.At
}

// RevokedBy is who revoked the token, nil for one that is not.
func (t APIToken) RevokedBy() *Actor {
	if t.Revocation == nil {
		return nil
	}
	return &Actor{t.Revocation.By}
}

// RevocationReason is why the token was revoked, nil where nobody said.
func (t APIToken) RevocationReason() *string {
	if t.Revocation == nil {
		return nil
	}
	return optional(t.Revocation.Reason)
}

// AccessToken is the record of an access token.
type AccessToken struct{ token.AccessToken }

// GlobalID is the access token's id.
func (a AccessToken) GlobalID() scalar.NodeID { return id(scalar.AccessToken, a.ID) }

// Actor is who did something.
type Actor struct{ audit.Actor }

// GlobalID is the id of the actor, zero for the operator.
func (a Actor) GlobalID() scalar.NodeID {
	switch a.Kind {
	case audit.ActorUser:
		return id(scalar.User, a.ID)
	case audit.ActorAPIToken:
		return id(scalar.APIToken, a.ID)
	default:
		return scalar.NodeID{}
	}
}

// AuditEvent is an event of the audit log.
type AuditEvent struct{ audit.Event }

// GlobalID is the event's id.
func (e AuditEvent) GlobalID() scalar.NodeID { return id(scalar.AuditEvent, e.ID) }

// Who is who acted.
func (e AuditEvent) Who() Actor { return Actor{e.Actor} }

// Deed is what was done.
func (e AuditEvent) Deed() string { return string(e.Action) }

// TargetID is the id of what was changed, nil where nothing in particular was.
func (e AuditEvent) TargetID() *string {
	if e.Target.Key == "" {
		return nil
	}
	target := idPrefix + string(e.Target.Kind) + "/" + e.Target.Key
	return &target
}

// TargetName is what the thing that was changed was called then.
func (e AuditEvent) TargetName() *string { return optional(e.Target.Name) }

// From is the address of the request, nil for the operator's commands.
func (e AuditEvent) From() *string { return optional(e.IP) }

// Request is the request's id, nil likewise.
func (e AuditEvent) Request() *string { return optional(e.RequestID) }

// ScopeResource is a resource of the catalogue.
type ScopeResource struct{ scope.Resource }

// PermissionList is what can be granted of the resource.
func (r ScopeResource) PermissionList() []ScopePermission {
	list := make([]ScopePermission, len(r.Permissions))
	for i, p := range r.Permissions {
		list[i] = ScopePermission{p}
	}
	return list
}

// ScopePermission is a permission of a resource.
type ScopePermission struct{ scope.Permission }

// Included are the scopes that the permission implies.
func (p ScopePermission) Included() []string {
	return append([]string{}, p.Implies...)
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// Counter counts the whole of a list, when that is asked.
type Counter func(context.Context) (int64, error)

// CollectionInfo is the figures about a whole list.
type CollectionInfo struct{ TotalItems int64 }

func (count Counter) info(ctx context.Context) (*CollectionInfo, error) {
	total, err := count(ctx)
	if err != nil {
		return nil, err
	}
	return &CollectionInfo{TotalItems: total}, nil
}
