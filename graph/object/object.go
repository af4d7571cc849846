// Package object holds the objects of the schema: domain values with additions
// for the API, such as global IDs. gqlgen binds the schema to it.
package object

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/eventsource"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Account is an account. It is read from the database only if a field other than
// the ID is selected.
type Account struct {
	Key uuid.UUID
	// Read returns the account. It reads the database once.
	Read func() (account.Account, error)
}

// IsNode marks a Node.
func (Account) IsNode() {}

// GlobalID is the account's id.
func (a Account) GlobalID() scalar.NodeID { return id(scalar.Account, a.Key) }

// Store is a store with its siblings.
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

// App is an app with its siblings.
type App struct {
	account.App

	siblings *Siblings[account.App]
}

// NewApps returns apps as each other's siblings.
func NewApps(apps []account.App) func(account.App) App {
	siblings := NewSiblings(apps)
	return func(a account.App) App { return App{a, siblings} }
}

// Siblings returns the apps on the same level of the response.
func (a App) Siblings() *Siblings[account.App] { return a.siblings }

// IsNode marks a Node.
func (App) IsNode() {}

// GlobalID is the app's id.
func (a App) GlobalID() scalar.AppID { return scalar.AppID(a.ID) }

// AWSEventSource is an event source of an app.
type AWSEventSource struct{ eventsource.Source }

// GlobalID is the event source's id.
func (s AWSEventSource) GlobalID() scalar.NodeID { return id(scalar.EventSource, s.ID) }

// WebhooksCount is 1 if events are sent to the event source. They are sent by a webhook of its own, which lists of
// webhooks omit.
func (s AWSEventSource) WebhooksCount() int64 {
	if s.Receiving {
		return 1
	}
	return 0
}

// User is a user with its siblings.
type User struct {
	user.User

	siblings *Siblings[user.User]
}

// NewUsers returns users with their siblings.
func NewUsers(siblings *Siblings[user.User]) func(user.User) User {
	return func(u user.User) User { return User{u, siblings} }
}

// Siblings returns the users on the same level of the response. A user that was
// not created by NewUsers has no siblings but itself.
func (u User) Siblings() *Siblings[user.User] {
	if u.siblings == nil {
		return NewSiblings([]user.User{u.User})
	}
	return u.siblings
}

// External is the user's external ID, nil if there is none.
func (u User) External() *string { return optional(u.ExternalID) }

// IsNode marks a Node.
func (User) IsNode() {}

// GlobalID is the user's ID.
func (u User) GlobalID() scalar.NodeID { return id(scalar.User, u.ID) }

// UserStore is a user's membership in a store.
type UserStore struct {
	user.StorePlace

	stores *Siblings[account.Store]
}

// NewUserStores returns store memberships whose stores are each other's siblings.
func NewUserStores(places []user.StorePlace) func(user.StorePlace) UserStore {
	seen := map[uuid.UUID]bool{}
	var stores []account.Store
	for _, p := range places {
		if !seen[p.StoreID] {
			seen[p.StoreID] = true
			stores = append(stores, p.Store)
		}
	}
	siblings := NewSiblings(stores)
	return func(p user.StorePlace) UserStore { return UserStore{p, siblings} }
}

// GlobalID is the store's ID, the same as that of Store.
func (p UserStore) GlobalID() scalar.NodeID { return id(scalar.Store, p.StoreID) }

// InStore is the store.
func (p UserStore) InStore() Store { return Store{p.Store, p.stores} }

// StoreRoleInfo is a role in a store.
type StoreRoleInfo struct{ Role user.Role }

// Name is the display name of the role.
func (r StoreRoleInfo) Name() string { return r.Role.Name() }

// Permissions are the permissions of the role.
func (r StoreRoleInfo) Permissions() []string { return append([]string{}, r.Role.Permissions()...) }

// StoreUser is a member of a store with its siblings.
type StoreUser struct {
	user.StoreMember

	Siblings *Siblings[user.StoreMember]
}

// GlobalID is the user's ID, the same as that of User.
func (u StoreUser) GlobalID() scalar.NodeID { return id(scalar.User, u.User.ID) }

// Email is the user's email address.
func (u StoreUser) Email() string { return u.User.Email }

// FirstName is the user's first name.
func (u StoreUser) FirstName() string { return u.User.FirstName }

// LastName is the user's last name.
func (u StoreUser) LastName() string { return u.User.LastName }

// Locale is the user's language tag.
func (u StoreUser) Locale() string { return u.User.Locale }

// Pending reports whether the user has not yet accepted the account membership.
func (u StoreUser) Pending() bool { return u.User.Pending }

// DeactivatedAt is when the account membership was deactivated; zero if it is not.
func (u StoreUser) DeactivatedAt() time.Time { return u.User.DeactivatedAt }

// APIToken is an API token with its siblings, as of the time of its view.
type APIToken struct {
	token.Token

	Siblings *Siblings[token.Token]
	view     View
}

// View holds what the fields of an API token depend on, other than the token.
type View struct {
	// PublicURL is the prefix of API paths.
	PublicURL string
	// Now is the time for which the status is computed.
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

// APIPath is the URL of the API that the token is for.
func (t APIToken) APIPath() string { return token.APIPath(t.view.PublicURL, t.Token) }

// ScopeNames are the scopes the token holds.
func (t APIToken) ScopeNames() []string { return t.Scopes.Names() }

// CurrentStatus is the token's status at the time of the view.
func (t APIToken) CurrentStatus() token.Status { return t.Status(t.view.Now) }

// Ranges are the address ranges as text.
func (t APIToken) Ranges() []string {
	ranges := make([]string, len(t.AllowedIPRanges))
	for i, p := range t.AllowedIPRanges {
		ranges[i] = p.String()
	}
	return ranges
}

// Creator is the actor that created the token.
func (t APIToken) Creator() Actor { return Actor{t.CreatedBy} }

// RevokedAt is when the token was revoked, or zero.
func (t APIToken) RevokedAt() time.Time {
	if t.Revocation == nil {
		return time.Time{}
	}
	return t.Revocation.At
}

// RevokedBy is the actor that revoked the token, or nil.
func (t APIToken) RevokedBy() *Actor {
	if t.Revocation == nil {
		return nil
	}
	return &Actor{t.Revocation.By}
}

// RevocationReason is the reason for the revocation, or nil.
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

// Actor is the actor of an action.
type Actor struct{ audit.Actor }

// GlobalID is the actor's ID, or zero for the operator.
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

// ActedBy is the actor of the action.
func (e AuditEvent) ActedBy() Actor { return Actor{e.Actor} }

// ActionName is the name of the action.
func (e AuditEvent) ActionName() string { return string(e.Action) }

// TargetID is the ID of the changed object, or nil if it has none.
func (e AuditEvent) TargetID() *string {
	of := e.Target.Object()
	return of.Kind.ID(of.Key)
}

// TargetName is the name of the changed object at the time of the event.
func (e AuditEvent) TargetName() *string { return optional(e.Target.Name) }

// SourceIP is the source IP address of the request, or nil for commands of the
// operator.
func (e AuditEvent) SourceIP() *string { return optional(e.IP) }

// Request is the request's ID, or nil for commands of the operator.
func (e AuditEvent) Request() *string { return optional(e.RequestID) }

// ScopeResource is a resource of the catalogue.
type ScopeResource struct{ scope.Resource }

// PermissionList is the levels of access to the resource.
func (r ScopeResource) PermissionList() []ScopePermission {
	list := make([]ScopePermission, len(r.Permissions))
	for i, p := range r.Permissions {
		list[i] = ScopePermission{p}
	}
	return list
}

// ScopePermission is a level of access to a resource.
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

// Counter returns the number of items in a whole list.
type Counter func(context.Context) (int64, error)

// CountOnce returns a Counter that runs count at most once, even if the total is
// selected several times.
func CountOnce(count Counter) Counter {
	var once sync.Once
	var total int64
	var err error
	return func(ctx context.Context) (int64, error) {
		once.Do(func() { total, err = count(ctx) })
		return total, err
	}
}

// CollectionInfo is the figures about a whole list.
type CollectionInfo struct{ TotalItems int64 }

func (count Counter) info(ctx context.Context) (*CollectionInfo, error) {
	total, err := count(ctx)
	if err != nil {
		return nil, err
	}
	return &CollectionInfo{TotalItems: total}, nil
}
