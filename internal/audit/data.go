package audit

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// IDPrefix begins every ID in the API, followed by the kind of the object, a slash and its key.
const IDPrefix = "bc/account/"

// ID returns the ID that the API gives an object of the kind. It returns nil, which is null in JSON, if the key is
// empty.
func (k TargetKind) ID(key string) *string {
	if key == "" {
		return nil
	}
	id := IDPrefix + string(k) + "/" + key
	return &id
}

// Time is a time as the API writes it: in UTC in RFC 3339 format, or null if it is zero.
type Time time.Time

// MarshalJSON writes the time.
func (t Time) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	b := append(make([]byte, 0, len(time.RFC3339Nano)+2), '"')
	b = time.Time(t).UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"'), nil
}

// ActorData is an actor as the API shows it.
type ActorData struct {
	Kind ActorKind `json:"kind"`
	// ID is nil for the operator, and for a user or API token of another account.
	ID   *string `json:"id"`
	Name string  `json:"name"`
}

// Data returns the actor as the API shows it.
func (a Actor) Data() ActorData {
	d := ActorData{Kind: a.Kind, Name: a.Name}
	switch {
	case a.ID == uuid.Nil:
	case a.Kind == ActorUser:
		d.ID = TargetUser.ID(a.ID.String())
	case a.Kind == ActorAPIToken:
		d.ID = TargetAPIToken.ID(a.ID.String())
	}
	return d
}

// ServiceName is the name of the service as an actor, of the kind ActorOperator.
const ServiceName = "latchkey"

// Text returns a text as the API shows an optional one: null if it is empty.
func Text(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// List returns a list as the API shows it: never null.
func List[T any](list []T) []T { return append([]T{}, list...) }

// DataOf encodes an object for Event.Data. It panics if the object's type cannot be encoded as JSON.
func DataOf(object any) json.RawMessage {
	encoded, err := json.Marshal(object)
	if err != nil {
		panic(fmt.Sprintf("audit: cannot encode the data of an event: %v", err))
	}
	return encoded
}
