package panel

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
)

// webhookPattern is the pattern of the list of webhooks.
const webhookPattern = accountPattern + "/webhooks"

// webhookHandler serves the list of webhooks and the descriptions of event types, and describes webhooks for the other
// handlers of webhooks.
type webhookHandler struct{ webhooks *webhook.Service }

func (h *webhookHandler) routes() []route {
	return []route{
		get(webhookPattern, member, h.list),
		get(webhookPattern+"/types", member, h.types),
	}
}

// webhooksPerPage is how many webhooks a page of the list shows.
const webhooksPerPage = 25

// shownWebhook is a webhook as pages show it.
type shownWebhook struct {
	webhook.Webhook

	Address, Creator string
	// Status is a part of message keys: the state, or "failing" for an enabled webhook that fails. Badge is its look.
	Status, Badge string
	// Named are the types with the anchors of their descriptions.
	Named []typeName
	// Last is the delivery of the newest event, or nil. Delivered and Failed count attempts of the last 24 hours. Only
	// the list has them.
	Last              *shownDelivery
	Delivered, Failed int
}

// Sends reports whether deliveries are sent.
func (w shownWebhook) Sends() bool { return w.State == webhook.Enabled }

// typesInLead is how many event types the list names.
const typesInLead = 3

// Lead returns the first event types.
func (w shownWebhook) Lead() []string { return w.Types[:min(len(w.Types), typesInLead)] }

// More returns how many event types Lead leaves out.
func (w shownWebhook) More() int { return len(w.Types) - len(w.Lead()) }

// typeName is an event type or a pattern, with the anchor of its description.
type typeName struct{ Name, Anchor string }

// anchorOf returns the ID of the element that describes an event type or the types of a pattern.
func anchorOf(name string) string { return strings.TrimSuffix(name, ofGroup) }

// The looks of states: the CSS class of the badge.
var webhookLooks = map[string]string{"enabled": "good", "failing": "bad", "paused": "warn", "disabled": "bad"}

var deliveryLooks = map[webhook.DeliveryState]string{
	webhook.Pending: "warn", webhook.Delivered: "good", webhook.Dead: "bad",
}

// describe returns a webhook as pages show it.
func (h *webhookHandler) describe(q *request, w webhook.Webhook) shownWebhook {
	shown := shownWebhook{
		Webhook: w, Address: q.address("/webhooks/" + w.ID.String()), Creator: actorName(q, w.CreatedBy),
		Status: strings.ToLower(string(w.State)),
	}
	if w.State == webhook.Enabled && !w.FailingSince.IsZero() {
		shown.Status = "failing"
	}
	shown.Badge = webhookLooks[shown.Status]
	for _, name := range w.Types {
		shown.Named = append(shown.Named, typeName{name, anchorOf(name)})
	}
	return shown
}

// webhooksBase returns the address of the list.
func webhooksBase(q *request) string { return q.address("/webhooks") }

// find returns the webhook that the address names.
func (h *webhookHandler) find(q *request) (webhook.Webhook, error) {
	id, err := uuid.Parse(q.r.PathValue("webhook"))
	if err != nil {
		return webhook.Webhook{}, errNoPage()
	}
	return h.webhooks.Webhook(q.r.Context(), q.by, id)
}

// findToChange returns the webhook that the address names if the visitor may change webhooks.
func (h *webhookHandler) findToChange(q *request) (webhook.Webhook, error) {
	if err := webhook.MayChange(q.by); err != nil {
		return webhook.Webhook{}, err
	}
	return h.find(q)
}

// webhookListPage is the data of the list.
type webhookListPage struct {
	Base      string
	Rows      []shownWebhook
	MayChange bool
	Pages     pageLinks
	// Count is the number of all webhooks.
	Count int
}

func (h *webhookHandler) list(q *request) error {
	found, err := h.webhooks.Webhooks(q.r.Context(), q.by, q.pageRequest(webhooksPerPage))
	if err != nil {
		return err
	}
	count, err := h.webhooks.CountWebhooks(q.r.Context(), q.by)
	if err != nil {
		return err
	}
	shown := webhookListPage{Base: webhooksBase(q), MayChange: webhook.MayChange(q.by) == nil,
		Pages: pageLinksOf(q, found), Count: int(count)}
	for _, item := range found.Items {
		shown.Rows = append(shown.Rows, h.describe(q, item.Node))
	}
	if err := h.addHealth(q, shown.Rows); err != nil {
		return err
	}
	return webhooksTemplate.show(q, http.StatusOK, shown)
}

// addHealth adds the last delivery and the attempts of the last 24 hours to webhooks.
func (h *webhookHandler) addHealth(q *request, rows []shownWebhook) error {
	ids := make([]uuid.UUID, len(rows))
	for i, w := range rows {
		ids[i] = w.ID
	}
	last, err := h.webhooks.DeliveriesOf(q.r.Context(), q.by, ids, webhook.DeliveryFilter{},
		paging.Window{Size: 1}, true)
	if err != nil {
		return err
	}
	now := q.now()
	for i := range rows {
		if items := last[rows[i].ID].Items; len(items) > 0 {
			delivery := describeDelivery(q, items[0].Node)
			rows[i].Last = &delivery
		}
		hours, err := h.webhooks.History(q.r.Context(), q.by, rows[i].ID, now.Add(-23*time.Hour), now)
		if err != nil {
			return err
		}
		for _, hour := range hours {
			rows[i].Delivered += int(hour.Delivered)
			rows[i].Failed += int(hour.Failed)
		}
	}
	return nil
}

// Patterns of event types.
const (
	everyType = "*"
	ofGroup   = ".*"
)

// eventTypeGroup is the event types about one kind of thing.
type eventTypeGroup struct {
	// Anchor is the kind, Pattern what selects all its types, and Chosen reports whether it is chosen.
	Anchor, Label, Pattern string
	Chosen                 bool
	Types                  []eventTypeChoice
}

// Count returns the number of its types that are chosen.
func (g eventTypeGroup) Count() int {
	if g.Chosen {
		return len(g.Types)
	}
	n := 0
	for _, t := range g.Types {
		if t.Chosen {
			n++
		}
	}
	return n
}

// Opens reports whether forms show the group open: some of its types are chosen, and not all at once.
func (g eventTypeGroup) Opens() bool { return !g.Chosen && g.Count() > 0 }

// eventTypeChoice is one event type.
type eventTypeChoice struct {
	audit.TypeInfo

	Anchor string
	Chosen bool
}

// SentTo returns a part of a message key that says who gets the events: "both", "partner" or "merchant". It is empty
// for events that every account has of its own.
func (c eventTypeChoice) SentTo() string {
	if len(c.Logs) > 1 {
		return "both"
	}
	return strings.Join(c.Logs, "")
}

// Words returns what a search over event types finds.
func (c eventTypeChoice) Words() string { return strings.ToLower(string(c.Name) + " " + c.Description) }

// eventTypeGroups returns all event types by the kind of thing, with the chosen ones selected.
func eventTypeGroups(q *request, chosen []string) []eventTypeGroup {
	var groups []eventTypeGroup
	for _, each := range audit.Catalogue() {
		name := string(each.Name)
		thing, _, _ := strings.Cut(name, ".")
		i := slices.IndexFunc(groups, func(g eventTypeGroup) bool { return g.Anchor == thing })
		if i < 0 {
			pattern := thing + ofGroup
			i = len(groups)
			groups = append(groups, eventTypeGroup{Anchor: thing, Label: q.label("webhooks.things.", thing),
				Pattern: pattern, Chosen: slices.Contains(chosen, pattern)})
		}
		groups[i].Types = append(groups[i].Types,
			eventTypeChoice{TypeInfo: each, Anchor: name, Chosen: slices.Contains(chosen, name)})
	}
	return groups
}

// webhookTypesPage is the data of the page that describes the event types.
type webhookTypesPage struct {
	Base   string
	Groups []eventTypeGroup
}

func (h *webhookHandler) types(q *request) error {
	if err := webhook.MayRead(q.by); err != nil {
		return err
	}
	return webhookTypesTemplate.show(q, http.StatusOK, webhookTypesPage{webhooksBase(q), eventTypeGroups(q, nil)})
}
