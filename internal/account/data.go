package account

import (
	"encoding/json"

	"latchkey/internal/audit"
	"latchkey/internal/scope"
)

// accountData is an account in the data of events: the fields of the API's Account without its lists.
type accountData struct {
	ID          *string         `json:"id"`
	AccountInfo accountInfoData `json:"accountInfo"`
	Owner       ownerData       `json:"owner"`
	Features    []scope.Feature `json:"features"`

	OffboardingPolicy OffboardingPolicy `json:"offboardingPolicy"`
	LeakPolicy        LeakPolicy        `json:"leakPolicy"`
}

type accountInfoData struct {
	Name string `json:"name"`
}

// ownerData identifies the owner of an account or a store.
type ownerData struct {
	ID *string `json:"id"`
}

// storeData is a store in the data of events: the fields of the API's Store without its lists.
type storeData struct {
	ID        *string   `json:"id"`
	Name      string    `json:"name"`
	StoreHash string    `json:"storeHash"`
	Owner     ownerData `json:"owner"`
}

// Data returns the account as the data of an event.
func (a Account) Data() json.RawMessage {
	return audit.DataOf(accountData{
		ID: audit.TargetAccount.ID(a.ID.String()), AccountInfo: accountInfoData{a.Name},
		Owner: ownerData{audit.TargetUser.ID(a.OwnerID.String())}, Features: audit.List(a.Features),
		OffboardingPolicy: a.Offboarding, LeakPolicy: a.Leaks,
	})
}

// Data returns the store as the data of an event.
func (s Store) Data() json.RawMessage {
	return audit.DataOf(storeData{
		ID: audit.TargetStore.ID(s.ID.String()), Name: s.Name, StoreHash: s.Hash,
		Owner: ownerData{audit.TargetUser.ID(s.OwnerID.String())},
	})
}
