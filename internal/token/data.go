package token

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/scope"
)

// tokenData is a token in the data of events: the fields of the API's ApiToken, except apiPath, which depends on the
// URL of the server that answers, and accessTokens, which a rotation's event has in its details.
type tokenData struct {
	ID               *string          `json:"id"`
	Name             string           `json:"name"`
	Level            scope.Level      `json:"level"`
	Store            *storeData       `json:"store"`
	ClientID         string           `json:"clientId"`
	Scopes           []string         `json:"scopes"`
	Status           Status           `json:"status"`
	AllowedIPRanges  []string         `json:"allowedIpRanges"`
	ChargeLimit      *limitData       `json:"chargeLimit"`
	CreatedAt        audit.Time       `json:"createdAt"`
	CreatedBy        audit.ActorData  `json:"createdBy"`
	ExpiresAt        audit.Time       `json:"expiresAt"`
	LastUsedAt       audit.Time       `json:"lastUsedAt"`
	LastUsedIP       *string          `json:"lastUsedIp"`
	RevokedAt        audit.Time       `json:"revokedAt"`
	RevokedBy        *audit.ActorData `json:"revokedBy"`
	RevocationReason *string          `json:"revocationReason"`
}

// storeData identifies the store of a token.
type storeData struct {
	ID        *string `json:"id"`
	StoreHash string  `json:"storeHash"`
}

// limitData is a charge limit.
type limitData struct {
	Amount amountData `json:"amount"`
	Per    string     `json:"per"`
}

type amountData struct {
	CurrencyCode string      `json:"currencyCode"`
	Value        json.Number `json:"value"`
}

// LimitPeriod is the time in which the charges of a token are counted against its limit.
const LimitPeriod = "MONTH"

// Data returns the token at the time now as the data of an event.
func (t Token) Data(now time.Time) json.RawMessage {
	d := tokenData{
		ID: audit.TargetAPIToken.ID(t.ID.String()), Name: t.Name, Level: t.Level(), ClientID: t.ClientID,
		Scopes: t.Scopes.Names(), Status: t.Status(now), AllowedIPRanges: []string{},
		CreatedAt: audit.Time(t.CreatedAt), CreatedBy: t.CreatedBy.Data(), ExpiresAt: audit.Time(t.ExpiresAt),
		LastUsedAt: audit.Time(t.LastUsedAt),
	}
	for _, p := range t.AllowedIPRanges {
		d.AllowedIPRanges = append(d.AllowedIPRanges, p.String())
	}
	if l := t.ChargeLimit; !l.IsZero() {
		d.ChargeLimit = &limitData{amountData{l.Currency, json.Number(l.Amount())}, LimitPeriod}
	}
	if t.Level() == scope.LevelStore {
		d.Store = &storeData{audit.TargetStore.ID(t.StoreID.String()), t.StoreHash}
	}
	if t.LastUsedIP.IsValid() {
		d.LastUsedIP = audit.Text(t.LastUsedIP.String())
	}
	if r := t.Revocation; r != nil {
		by := r.By.Data()
		d.RevokedAt, d.RevokedBy, d.RevocationReason = audit.Time(r.At), &by, audit.Text(r.Reason)
	}
	return audit.DataOf(d)
}

// EventOf returns the event of one of the revoked tokens: the template with an ID, the target and its data. The
// token's own Revocation is not considered.
func (e RevocationDraft) EventOf(t Token) audit.Event {
	event := e.Event
	event.ID, event.Target = uuid.Must(uuid.NewV7()), t.target()
	t.Revocation = &e.Revocation
	event.Data = t.Data(e.Revocation.At)
	return event
}
