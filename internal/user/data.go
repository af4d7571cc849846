package user

import (
	"encoding/json"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// userData is a user in the data of events: the fields of the API's User without its list of stores.
type userData struct {
	ID         *string    `json:"id"`
	Email      string     `json:"email"`
	FirstName  string     `json:"firstName"`
	LastName   string     `json:"lastName"`
	Locale     string     `json:"locale"`
	ExternalID *string    `json:"externalId"`
	Pending    bool       `json:"pending"`
	CreatedAt  audit.Time `json:"createdAt"`
	UpdatedAt  audit.Time `json:"updatedAt"`
}

// Data returns the user as the data of an event.
func (p Person) Data() json.RawMessage {
	return audit.DataOf(userData{
		ID: audit.TargetUser.ID(p.ID.String()), Email: p.Email, FirstName: p.FirstName, LastName: p.LastName,
		Locale: p.Locale, ExternalID: audit.Text(p.ExternalID), Pending: p.Pending, CreatedAt: audit.Time(p.CreatedAt),
		UpdatedAt: audit.Time(p.UpdatedAt),
	})
}

// storeUserData is a member of a store in the data of events: the fields of the API's StoreUser, and the store.
type storeUserData struct {
	ID          *string    `json:"id"`
	Email       string     `json:"email"`
	FirstName   string     `json:"firstName"`
	LastName    string     `json:"lastName"`
	Locale      string     `json:"locale"`
	Pending     bool       `json:"pending"`
	LastLoginAt audit.Time `json:"lastLoginAt"`
	Permissions []string   `json:"permissions"`
	Role        Role       `json:"role"`
	Status      Status     `json:"status"`
	UpdatedAt   audit.Time `json:"updatedAt"`
	Store       storeData  `json:"store"`
}

// storeData identifies the store of a member.
type storeData struct {
	ID        *string `json:"id"`
	StoreHash string  `json:"storeHash"`
}

// Data returns the member of the store with the hash as the data of an event.
func (m StoreMember) Data(storeHash string) json.RawMessage {
	u := m.User
	return audit.DataOf(storeUserData{
		ID: audit.TargetUser.ID(u.ID.String()), Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
		Locale: u.Locale, Pending: u.Pending, LastLoginAt: audit.Time(m.LastLoginAt),
		Permissions: audit.List(m.Permissions), Role: m.Role(), Status: m.Status, UpdatedAt: audit.Time(m.UpdatedAt),
		Store: storeData{audit.TargetStore.ID(m.StoreID.String()), storeHash},
	})
}

// PersonEvent returns the event of an action by the principal on a user, with the user's data.
func PersonEvent(by *auth.Principal, action audit.Action, p Person, at time.Time,
	details ...audit.Detail) audit.Event {
	e := Event(by, action, p.Target(), at, details...)
	e.Data = p.Data()
	return e
}

// Target returns the member of the store with the hash as the target of an event.
func (m StoreMember) Target(storeHash string) audit.Target {
	return audit.Target{Kind: audit.TargetStoreUser, Key: m.User.ID.String() + ":" + storeHash, Name: m.User.Email}
}

// StoreMemberEvent returns the event of an action by the principal on a member of the store with the hash, with the
// member's data.
func StoreMemberEvent(by *auth.Principal, action audit.Action, m StoreMember, storeHash string, at time.Time,
	details ...audit.Detail) audit.Event {
	details = append(details, audit.Detail{Name: "storeHash", Value: storeHash})
	e := Event(by, action, m.Target(storeHash), at, details...)
	e.Data = m.Data(storeHash)
	return e
}
