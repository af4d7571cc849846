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

	DeactivatedAt audit.Time `json:"deactivatedAt"`
}

// leavingData is the data of the event of a removal or deactivation.
type leavingData struct {
	userData

	// APITokensToReview are at most maxListedTokens of the API tokens whose secrets the user knows, and
	// APITokensToReviewCount is the number of all of them.
	APITokensToReview      []knownTokenData `json:"apiTokensToReview"`
	APITokensToReviewCount int              `json:"apiTokensToReviewCount"`
}

// knownTokenData has no name: the event is also for readers of users who may not read API tokens.
type knownTokenData struct {
	ID     *string `json:"id"`
	Status string  `json:"status"`
}

// Data returns the user as the data of an event.
func (p Person) Data() json.RawMessage { return audit.DataOf(p.data()) }

func (p Person) data() userData {
	return userData{
		ID: audit.TargetUser.ID(p.ID.String()), Email: p.Email, FirstName: p.FirstName, LastName: p.LastName,
		Locale: p.Locale, ExternalID: audit.Text(p.ExternalID), Pending: p.Pending, CreatedAt: audit.Time(p.CreatedAt),
		UpdatedAt: audit.Time(p.UpdatedAt), DeactivatedAt: audit.Time(p.DeactivatedAt),
	}
}

// leavingData returns the data of the event of the user's removal or deactivation.
func (p Person) leavingData(known []KnownToken) json.RawMessage {
	data := leavingData{userData: p.data(), APITokensToReview: []knownTokenData{}, APITokensToReviewCount: len(known)}
	for _, t := range known[:min(len(known), maxListedTokens)] {
		shown := knownTokenData{ID: audit.TargetAPIToken.ID(t.ID.String()), Status: "ACTIVE"}
		if t.Revoked {
			shown.Status = "REVOKED"
		}
		data.APITokensToReview = append(data.APITokensToReview, shown)
	}
	return audit.DataOf(data)
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

	DeactivatedAt audit.Time `json:"deactivatedAt"`
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
		Permissions: audit.List(m.Permissions), Role: m.Role(), Status: m.EffectiveStatus(),
		UpdatedAt: audit.Time(m.UpdatedAt), DeactivatedAt: audit.Time(u.DeactivatedAt),
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
