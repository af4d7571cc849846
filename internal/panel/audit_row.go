package panel

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/paging"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// auditRow is an event as the page shows it.
type auditRow struct {
	At time.Time
	// Day is the heading of the day, for the first event of the day on the page.
	Day  string
	Icon string
	// Says is the sentence, in pieces.
	Says []piece
	// IP is empty for actions of the operator on the server itself.
	IP    string
	Facts []fact
	// ByActor and OfTarget link to all events of the actor and of the target.
	ByActor, OfTarget string
}

// fact is a detail of an event, with an optional link. Code reports whether the value is an identifier.
type fact struct {
	Label, Value, Address string
	Code                  bool
}

// targets are the actors and targets of a page's events that still exist.
type targets struct {
	users  map[uuid.UUID]user.User
	tokens map[uuid.UUID]token.Token
	stores map[uuid.UUID]account.Store
	// hashes are the stores that events name by their hash.
	hashes map[string]account.Store
	// webhooks has the IDs of webhooks.
	webhooks map[uuid.UUID]bool
}

func (h *auditHandler) rows(q *request, found paging.Page[audit.Event]) ([]auditRow, error) {
	there, err := h.targets(q, found)
	if err != nil {
		return nil, err
	}
	rows, day := make([]auditRow, len(found.Items)), ""
	for i, item := range found.Items {
		e := item.Node
		row := auditRow{At: e.At, Icon: topicOf(e.Action).Icon, Says: sentence(q, e, there), IP: e.IP,
			Facts: h.facts(q, e, there), ByActor: q.withQuery("who", e.Actor.Name)}
		if its := dayHeading(q, e.At); its != day {
			day, row.Day = its, its
		}
		if of := e.Target.Object(); of.Key != "" {
			row.OfTarget = q.withQuery("of", of.Key)
		}
		rows[i] = row
	}
	return rows, nil
}

// facts returns what an opened row shows.
func (h *auditHandler) facts(q *request, e audit.Event, there targets) []fact {
	of := e.Target.Object()
	facts := []fact{
		{Label: q.text("audit.facts.time"), Value: exactTime(q.zone, e.At)},
		{Label: q.text("audit.facts.actor"), Value: actorFact(q, e.Actor, there)},
	}
	if of.Name != "" {
		facts = append(facts, fact{Label: q.text("audit.facts.target"), Value: of.Name,
			Address: targetAddress(q, of, there)})
	}
	if hash := storeHash(e, there); hash != "" && of.Kind != audit.TargetStore {
		one := fact{Label: q.text("audit.facts.store"), Value: storeName(e, there)}
		if store, found := there.hashes[hash]; found {
			one.Address = q.address("/stores/" + store.Hash + "/users")
		}
		facts = append(facts, one)
	}
	for _, d := range e.Details {
		if d.Name != "storeHash" {
			facts = append(facts, fact{Label: auditDetail(q, d.Name), Value: detailValue(q, h.catalogue, d)})
		}
	}
	if e.IP != "" {
		facts = append(facts, fact{Label: q.text("audit.ip"), Value: e.IP})
	}
	if e.RequestID != "" {
		facts = append(facts, fact{Label: q.text("audit.request"), Value: e.RequestID, Code: true})
	}
	return facts
}

// auditDetail returns the label of a detail, or its name if there is no message for it.
func auditDetail(q *request, name string) string { return q.label("audit.details.", name) }

// actorFact returns the actor as recorded, with the user's current name if there is one.
func actorFact(q *request, a audit.Actor, there targets) string {
	shown := actorText(q, a, there)
	if a.Kind != audit.ActorUser || shown == a.Name {
		return shown
	}
	return q.text("audit.facts.user", "name", shown, "email", a.Name)
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
		if actor := item.Node.Actor; actor.Kind == audit.ActorUser && actor.ID != uuid.Nil {
			ids[audit.TargetUser] = append(ids[audit.TargetUser], actor.ID)
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
	if there.stores, err = h.accounts.StoresByID(ctx, q.by, stores); err != nil {
		return there, err
	}
	there.hashes, err = h.storesNamed(q, found, there)
	return there, err
}

// storesNamed loads the stores that events name by their hash.
func (h *auditHandler) storesNamed(q *request, found paging.Page[audit.Event],
	there targets) (map[string]account.Store, error) {
	named := map[string]account.Store{}
	var refs []account.StoreRef
	for _, item := range found.Items {
		ref := account.StoreRef{Hash: storeHash(item.Node, there)}
		if ref.Hash != "" && !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		return named, nil
	}
	stores, err := h.accounts.StoresByRef(q.r.Context(), q.by, refs)
	for _, store := range stores {
		named[store.Hash] = store
	}
	return named, err
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
