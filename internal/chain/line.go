package chain

import (
	"encoding/json"

	"github.com/google/uuid"

	"latchkey/internal/audit"
)

// Line is a sealed event as exports and streams write it: a line of JSON.
type Line struct {
	AccountID uuid.UUID       `json:"accountId"`
	ID        uuid.UUID       `json:"id"`
	At        audit.Time      `json:"at"`
	Action    audit.Action    `json:"action"`
	Actor     audit.ActorData `json:"actor"`
	Target    LineTarget      `json:"target"`
	IP        *string         `json:"ip"`
	RequestID *string         `json:"requestId"`
	Details   []LineDetail    `json:"details"`
	// Sequence is the event's number among those of its target that have a type; 0 if it has none.
	Sequence int64 `json:"sequence"`
	// Data is the target after the change; an empty object if the event has no type.
	Data json.RawMessage `json:"data"`
	// Chain is the event's place in the chain of its account.
	Chain LineLink `json:"chain"`
}

// LineTarget is the object of an event. The ID is that of the API.
type LineTarget struct {
	Kind audit.TargetKind `json:"kind"`
	ID   *string          `json:"id"`
	Name string           `json:"name"`
}

// LineDetail is a fact about the change.
type LineDetail struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// LineLink is the number and the hash of an event in the chain of its account.
type LineLink struct {
	Number int64  `json:"number"`
	Hash   string `json:"hash"`
}

// Line returns the event in the form of a line.
func (e SealedEvent) Line() Line {
	target := e.Event.Target.Object()
	line := Line{AccountID: e.Event.AccountID, ID: e.Event.ID, At: audit.Time(e.Event.At), Action: e.Event.Action,
		Actor: e.Event.Actor.Data(), Target: LineTarget{target.Kind, target.Kind.ID(target.Key), target.Name},
		IP: audit.Text(e.Event.IP), RequestID: audit.Text(e.Event.RequestID), Details: []LineDetail{},
		Sequence: e.Event.Sequence, Data: e.Event.Data, Chain: LineLink{e.Link.Number, e.Link.Hash.String()}}
	for _, d := range e.Event.Details {
		line.Details = append(line.Details, LineDetail(d))
	}
	if !json.Valid(line.Data) {
		line.Data = json.RawMessage("null") // it was changed in the database
	}
	return line
}
