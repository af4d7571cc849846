package panel

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/page"
	"latchkey/internal/setup"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// auditRow is an event in words.
type auditRow struct {
	At time.Time
	// Says is the sentence in pieces.
	Says    []piece
	Details []labelled
	// IP and RequestID are empty for what was done on the server itself.
	IP, RequestID string
	// ByActor and OfTarget are where all of the actor's and the target's events
	// are.
	ByActor, OfTarget string
}

// piece is a part of a sentence, which may lead somewhere.
type piece struct {
	Text, Address string
	// Name says that it is a name.
	Name bool
}

// labelled is a detail of an event.
type labelled struct{ Label, Value string }

// targets are those things that events of a page are about and that are there
// still.
type targets struct {
	people map[uuid.UUID]user.User
	tokens map[uuid.UUID]token.Token
	stores map[uuid.UUID]account.Store
}

func (v *visit) auditRows(found page.Page[audit.Event]) ([]auditRow, error) {
	there, err := v.targetsOf(found)
	if err != nil {
		return nil, err
	}
	rows := make([]auditRow, len(found.Items))
	for i, item := range found.Items {
		e := item.Node
		row := auditRow{At: e.At, Says: v.sentence(e, v.targetAddress(e.Target, there)), IP: e.IP, RequestID: e.RequestID}
		row.ByActor = v.asking("who", e.Actor.Name)
		if e.Target.Key != "" {
			row.OfTarget = v.asking("of", e.Target.Key)
		}
		for _, d := range e.Details {
			row.Details = append(row.Details, labelled{v.auditDetail(d.Name), v.valueOf(d)})
		}
		rows[i] = row
	}
	return rows, nil
}

// auditDetail is what a detail is called, or its name where nobody gave it another.
func (v *visit) auditDetail(name string) string { return v.told("audit.details.", name) }

// sentence tells an event. An action without words of its own is told by its
// name.
func (v *visit) sentence(e audit.Event, target string) []piece {
	key := "audit.says." + string(e.Action)
	text := v.text(key)
	if text == key {
		text = "{actor}: " + string(e.Action) + " {target}"
	}
	actor := piece{Text: e.Actor.Name, Address: v.asking("who", e.Actor.Name), Name: true}
	switch {
	case e.Actor.Kind == audit.ActorOperator && e.Actor.Name == setup.ActorName:
		actor.Text = v.text("audit.first_start")
	case e.Actor.Kind == audit.ActorOperator:
		actor.Text = v.text("audit.operator")
	}
	names := map[string]piece{"actor": actor, "target": {Text: e.Target.Name, Address: target, Name: true}}
	var pieces []piece
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		if before != "" {
			pieces = append(pieces, piece{Text: before})
		}
		name, after, closed := strings.Cut(rest, "}")
		if found && closed {
			pieces = append(pieces, names[name])
		}
		text = after
	}
	return pieces
}

// targetsOf finds what events are about, by the set.
func (v *visit) targetsOf(found page.Page[audit.Event]) (targets, error) {
	ctx := v.r.Context()
	ids := map[audit.TargetKind][]uuid.UUID{}
	for _, item := range found.Items {
		t := item.Node.Target
		if id, err := uuid.Parse(t.Key); err == nil {
			ids[t.Kind] = append(ids[t.Kind], id)
		}
	}
	var there targets
	var err error
	if there.people, err = v.Users.MembersByID(ctx, v.by, ids[audit.TargetUser]); err != nil {
		return there, err
	}
	if there.tokens, err = v.Tokens.TokensByID(ctx, v.by, ids[audit.TargetAPIToken]); err != nil {
		return there, err
	}
	stores := ids[audit.TargetStore]
	for _, t := range there.tokens {
		if t.StoreID != uuid.Nil {
			stores = append(stores, t.StoreID)
		}
	}
	there.stores, err = v.Accounts.StoresByID(ctx, v.by, stores)
	return there, err
}

// targetAddress is the page of what an event is about; empty where there is
// none, any more.
func (v *visit) targetAddress(t audit.Target, there targets) string {
	id, err := uuid.Parse(t.Key)
	if err != nil {
		return ""
	}
	switch t.Kind {
	case audit.TargetUser:
		if _, found := there.people[id]; found {
			return v.in("/users/" + id.String())
		}
	case audit.TargetStore:
		if st, found := there.stores[id]; found {
			return v.in("/stores/" + st.Hash + "/users")
		}
	case audit.TargetAPIToken:
		found, known := there.tokens[id]
		if !known {
			return ""
		}
		if st, inStore := there.stores[found.StoreID]; inStore {
			return v.in("/stores/" + st.Hash + "/tokens/" + id.String())
		}
		return v.in("/tokens/" + id.String())
	}
	return ""
}
