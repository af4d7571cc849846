package panel

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/manifest/setup"
	"latchkey/internal/paging"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// auditRow is an event as the page shows it.
type auditRow struct {
	At time.Time
	// Says is the sentence, in pieces.
	Says    []piece
	Details []labelled
	// IP and RequestID are empty for actions of the operator on the server itself.
	IP, RequestID string
	// ByActor and OfTarget link to all events of the actor and of the target.
	ByActor, OfTarget string
}

// piece is a part of a sentence, with an optional link.
type piece struct {
	Text, Address string
	// Name reports whether the text is a name.
	Name bool
}

// labelled is a detail of an event.
type labelled struct{ Label, Value string }

// targets are the targets of a page's events that still exist.
type targets struct {
	users  map[uuid.UUID]user.User
	tokens map[uuid.UUID]token.Token
	stores map[uuid.UUID]account.Store
	// webhooks has the IDs of webhooks.
	webhooks map[uuid.UUID]bool
}

func (h *auditHandler) rows(q *request, found paging.Page[audit.Event]) ([]auditRow, error) {
	there, err := h.targets(q, found)
	if err != nil {
		return nil, err
	}
	rows := make([]auditRow, len(found.Items))
	for i, item := range found.Items {
		e := item.Node
		of := e.Target.Object()
		row := auditRow{At: e.At, Says: sentence(q, e, targetAddress(q, of, there)), IP: e.IP,
			RequestID: e.RequestID}
		row.ByActor = q.withQuery("who", e.Actor.Name)
		if of.Key != "" {
			row.OfTarget = q.withQuery("of", of.Key)
		}
		for _, d := range e.Details {
			row.Details = append(row.Details, labelled{auditDetail(q, d.Name), detailValue(q, h.catalogue, d)})
		}
		rows[i] = row
	}
	return rows, nil
}

// auditDetail returns the label of a detail, or its name if there is no message for it.
func auditDetail(q *request, name string) string { return q.label("audit.details.", name) }

// sentence describes an event. For an action without a message it uses the action's name.
func sentence(q *request, e audit.Event, target string) []piece {
	key := "audit.says." + string(e.Action)
	text := q.text(key)
	if text == key {
		text = "{actor}: " + string(e.Action) + " {target}"
	}
	actor := piece{Text: e.Actor.Name, Address: q.withQuery("who", e.Actor.Name), Name: true}
	switch {
	case e.Actor.Kind == audit.ActorOperator && e.Actor.Name == setup.ActorName:
		actor.Text = q.text("audit.first_start")
	case e.Actor.Kind == audit.ActorOperator && e.Actor.Name == audit.ServiceName:
		actor.Text = q.text("audit.service")
	case e.Actor.Kind == audit.ActorOperator:
		actor.Text = q.text("audit.operator")
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

// targets loads the targets of all events, with one query for each kind.
func (h *auditHandler) targets(q *request, found paging.Page[audit.Event]) (targets, error) {
	ctx := q.r.Context()
	ids := map[audit.TargetKind][]uuid.UUID{}
	for _, item := range found.Items {
		t := item.Node.Target.Object()
		if id, err := uuid.Parse(t.Key); err == nil {
			ids[t.Kind] = append(ids[t.Kind], id)
		}
	}
	var there targets
	var err error
	if there.users, err = h.users.MembersByID(ctx, q.by, ids[audit.TargetUser]); err != nil {
		return there, err
	}
	if there.webhooks, err = h.webhooksThere(q, ids[audit.TargetWebhook]); err != nil {
		return there, err
	}
	if there.tokens, err = h.tokens.TokensByID(ctx, q.by, ids[audit.TargetAPIToken]); err != nil {
		return there, err
	}
	stores := ids[audit.TargetStore]
	for _, t := range there.tokens {
		if t.StoreID != uuid.Nil {
			stores = append(stores, t.StoreID)
		}
	}
	there.stores, err = h.accounts.StoresByID(ctx, q.by, stores)
	return there, err
}

// webhooksThere reports which of the webhooks still exist.
func (h *auditHandler) webhooksThere(q *request, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	there := map[uuid.UUID]bool{}
	if len(ids) == 0 || webhook.MayRead(q.by) != nil {
		return there, nil //nolint:nilerr // a reader without the right sees no links
	}
	found, err := h.webhooks.WebhooksByID(q.r.Context(), q.by, ids)
	for id := range found {
		there[id] = true
	}
	return there, err
}

// targetAddress returns the address of the target's page, or "" if it has none or no longer exists.
func targetAddress(q *request, t audit.Target, there targets) string {
	id, err := uuid.Parse(t.Key)
	if err != nil {
		return ""
	}
	switch t.Kind {
	case audit.TargetUser:
		if _, found := there.users[id]; found {
			return q.address("/users/" + id.String())
		}
	case audit.TargetStore:
		if st, found := there.stores[id]; found {
			return q.address("/stores/" + st.Hash + "/users")
		}
	case audit.TargetWebhook:
		if there.webhooks[id] {
			return q.address("/webhooks/" + id.String())
		}
	case audit.TargetAPIToken:
		found, known := there.tokens[id]
		if !known {
			return ""
		}
		if st, inStore := there.stores[found.StoreID]; inStore {
			return q.address("/stores/" + st.Hash + "/tokens/" + id.String())
		}
		return q.address("/tokens/" + id.String())
	}
	return ""
}
