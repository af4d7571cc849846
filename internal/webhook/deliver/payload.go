package deliver

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
)

// MaxBody is the maximum size of a request's body in bytes. An event with more data is sent without it.
const MaxBody = 20_000

// body is the JSON of a request. The fields are written in this order.
type body struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Version   int             `json:"version"`
	Timestamp string          `json:"timestamp"`
	AccountID string          `json:"accountId"`
	Sequence  int64           `json:"sequence"`
	Actor     actor           `json:"actor"`
	Data      json.RawMessage `json:"data"`
	Truncated bool            `json:"truncated,omitempty"`
}

type actor struct {
	Kind audit.ActorKind `json:"kind"`
	ID   *string         `json:"id"`
	Name string          `json:"name"`
}

// EventID returns the ID of an event as the API writes it. It is the webhook-id of requests and the id in their body.
func EventID(e audit.Event) string { return apiID("event", e.ID.String()) }

func apiID(kind, key string) string { return account.IDPrefix + kind + "/" + key }

// Body returns the body of requests for an event. Every attempt for every webhook has the same bytes.
func Body(e audit.Event) ([]byte, error) {
	b := body{
		ID: EventID(e), Type: string(e.Action.Type()), Version: e.Version,
		Timestamp: e.At.UTC().Format(time.RFC3339Nano), AccountID: apiID("account", e.AccountID.String()),
		Sequence: e.Sequence, Actor: actor{Kind: e.Actor.Kind, Name: e.Actor.Name}, Data: e.Data,
	}
	if e.Actor.ID != uuid.Nil {
		kind := audit.TargetUser
		if e.Actor.Kind == audit.ActorAPIToken {
			kind = audit.TargetAPIToken
		}
		id := apiID(string(kind), e.Actor.ID.String())
		b.Actor.ID = &id
	}
	if len(b.Data) == 0 {
		b.Data = json.RawMessage("{}")
	}
	if len(b.Data) <= MaxBody {
		text, err := encode(b)
		if err != nil || len(text) <= MaxBody {
			return text, err
		}
	}
	data, err := encode(struct {
		ID string `json:"id"`
	}{apiID(string(e.Target.Kind), e.Target.Key)})
	if err != nil {
		return nil, err
	}
	b.Data, b.Truncated = data, true
	return encode(b)
}

// encode returns the JSON of v without the escapes for HTML that json.Marshal writes.
func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}
