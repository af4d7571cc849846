package panel

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/paging"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/webhook"
)

// webhookDetailHandler serves the page of one webhook.
type webhookDetailHandler struct {
	*webhookHandler

	events audit.Reader
	forms  *formtoken.FormTokens
	now    clock.Clock
}

// deliveriesPerPage is how many deliveries the page of a webhook shows.
const deliveriesPerPage = 20

// chartHours is how many hours the chart shows.
const chartHours = 48

// replayFields are the fields of the form that replays a period.
var replayFields = []string{"since", "until", "states"}

// webhookPage is the data of a webhook's page.
type webhookPage struct {
	*form
	Base    string
	Webhook shownWebhook
	FormID  string
	// MayChange reports whether the visitor may change the webhook, and MayReplay whether it also takes deliveries.
	MayChange, MayReplay bool
	// Missed is what a disabled webhook missed, nil for any other.
	Missed *missedEvents
	// Previous reports whether the previous secret also signs.
	Previous bool
	Overlaps []string
	Chart    chart
	Counts   deliveryCounts
	Filters  []deliveryFilter
	// Deliveries are one page of those that the filter selects.
	Deliveries []shownDelivery
	Pages      pageLinks
	// Bounds are the fields of a period, and Kinds the choices for its replay.
	Bounds, Kinds []string
}

// Unused reports whether nothing was sent or waits to be sent.
func (p webhookPage) Unused() bool { return p.Counts.All == 0 && p.Chart.Delivered+p.Chart.Failed == 0 }

// deliveryCounts are the numbers of a webhook's deliveries by state.
type deliveryCounts struct{ All, Pending, Delivered, Dead int }

// deliveryFilter is a choice of the filter by state.
type deliveryFilter struct {
	Key, Address string
	Count        int
	Current      bool
}

// deliveryFilters are the choices of the filter, by the value of the parameter.
var deliveryFilters = []struct {
	key    string
	states []webhook.DeliveryState
}{
	{"all", nil},
	{"pending", []webhook.DeliveryState{webhook.Pending}},
	{"delivered", []webhook.DeliveryState{webhook.Delivered}},
	{"dead", []webhook.DeliveryState{webhook.Dead}},
}

// shownDelivery is a delivery as pages show it.
type shownDelivery struct {
	webhook.Delivery

	// MessageID is the header webhook-id of its requests.
	MessageID            string
	Type, Subject, Actor string
	Badge                string
	// Latest is the last attempt, nil if there is none. Shown are all attempts, newest first.
	Latest *shownAttempt
	Shown  []shownAttempt
	// Data is the event's data, indented.
	Data string
}

// shownAttempt is an attempt as pages show it.
type shownAttempt struct {
	webhook.Attempt

	StatusText, Took string
}

// describeDelivery returns a delivery as pages show it.
func describeDelivery(q *request, d webhook.Delivery) shownDelivery {
	shown := shownDelivery{Delivery: d, MessageID: account.IDPrefix + "event/" + d.Event.ID.String(),
		Type: string(d.Event.Action.Type()), Subject: d.Event.Target.Name,
		Actor: actorName(q, d.Event.Actor), Badge: deliveryLooks[d.State],
		Data: eventData(d.Event.Data)}
	if shown.Subject == "" {
		shown.Subject = d.Event.Target.Key
	}
	for _, a := range slices.Backward(d.Attempts) {
		shown.Shown = append(shown.Shown, shownAttempt{a, http.StatusText(a.Status), durationText(a.Duration)})
	}
	if len(shown.Shown) > 0 {
		shown.Latest = &shown.Shown[0]
	}
	return shown
}

// eventData formats the data of an event.
func eventData(data json.RawMessage) string {
	if len(data) == 0 {
		return "{}"
	}
	return indented(data)
}

// durationText formats the duration of an attempt.
func durationText(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

func (h *webhookDetailHandler) page(q *request) error {
	w, err := h.find(q)
	if err != nil {
		return err
	}
	f := newForm(replayFields...)
	f.Values.Set("since", h.now().In(q.zone).AddDate(0, 0, -1).Format(localTime))
	return h.showDetail(q, http.StatusOK, w, f)
}

// showDetail shows a webhook with f, the form that replays a period.
func (h *webhookDetailHandler) showDetail(q *request, status int, w webhook.Webhook, f *form) error {
	now := h.now()
	shown := webhookPage{
		form: f, Base: webhooksBase(q), Webhook: h.describe(q, w), FormID: h.forms.New(),
		MayChange: webhook.MayChange(q.by) == nil, Previous: len(w.SecretHints(now)) > 1, Overlaps: overlapKeys(),
		Bounds: []string{"since", "until"}, Kinds: replayKindKeys(),
	}
	shown.MayReplay = shown.MayChange && w.State != webhook.Disabled
	var err error
	if shown.Missed, err = h.missed(q, w); err != nil {
		return err
	}
	hours, err := h.webhooks.History(q.r.Context(), q.by, w.ID, now.Add(-(chartHours-1)*time.Hour), now)
	if err != nil {
		return err
	}
	shown.Chart = chartOf(q.zone, hours)
	if shown.Counts, err = h.counts(q, w); err != nil {
		return err
	}
	if err := h.addDeliveries(q, w, &shown); err != nil {
		return err
	}
	return webhookTemplate.show(q, status, shown)
}

// counts counts the deliveries of a webhook by state.
func (h *webhookHandler) counts(q *request, w webhook.Webhook) (deliveryCounts, error) {
	n, err := h.webhooks.CountStates(q.r.Context(), q.by, w.ID)
	c := deliveryCounts{Pending: int(n[webhook.Pending]), Delivered: int(n[webhook.Delivered]),
		Dead: int(n[webhook.Dead])}
	c.All = c.Pending + c.Delivered + c.Dead
	return c, err
}

// addDeliveries adds the filter and one page of the deliveries that it selects.
func (h *webhookDetailHandler) addDeliveries(q *request, w webhook.Webhook, shown *webhookPage) error {
	chosen := q.r.URL.Query().Get("state")
	var filter webhook.DeliveryFilter
	counts := map[string]int{"all": shown.Counts.All, "pending": shown.Counts.Pending,
		"delivered": shown.Counts.Delivered, "dead": shown.Counts.Dead}
	for _, f := range deliveryFilters {
		current := f.key == chosen
		if current {
			filter.States = f.states
		}
		address := shown.Webhook.Address
		if f.states != nil {
			address += "?state=" + f.key
		}
		shown.Filters = append(shown.Filters, deliveryFilter{f.key, address + "#deliveries", counts[f.key], current})
	}
	if filter.States == nil {
		shown.Filters[0].Current = true
	}
	found, err := h.webhooks.Deliveries(q.r.Context(), q.by, w.ID, filter, q.pageRequest(deliveriesPerPage))
	if err != nil {
		return err
	}
	shown.Pages = pageLinksOf(q, found)
	for _, item := range found.Items {
		shown.Deliveries = append(shown.Deliveries, describeDelivery(q, item.Node))
	}
	return nil
}

// missedEvents describes what a disabled webhook missed.
type missedEvents struct {
	// Since is when it was last known to work.
	Since time.Time
	// Dead counts the deliveries that died since then.
	Dead int
}

// longestRetry is about how long a delivery is attempted. One that died since a time is of an event that is at most
// that much older.
const longestRetry = 30 * time.Hour

// missed returns what a webhook missed, nil unless it is disabled.
func (h *webhookDetailHandler) missed(q *request, w webhook.Webhook) (*missedEvents, error) {
	if w.State != webhook.Disabled {
		return nil, nil //nolint:nilnil // the page shows nothing
	}
	m := &missedEvents{Since: w.FailingSince}
	if m.Since.IsZero() {
		disabled, err := h.disabledAt(q, w)
		if err != nil {
			return nil, err
		}
		m.Since = disabled
	}
	n, err := h.webhooks.CountDeliveries(q.r.Context(), q.by, w.ID, m.dead())
	m.Dead = int(n)
	return m, err
}

// dead selects the deliveries that died since then.
func (m *missedEvents) dead() webhook.DeliveryFilter {
	return webhook.DeliveryFilter{States: []webhook.DeliveryState{webhook.Dead}, After: m.Since.Add(-longestRetry)}
}

// disabledAt returns when a webhook was disabled.
func (h *webhookDetailHandler) disabledAt(q *request, w webhook.Webhook) (time.Time, error) {
	found, err := h.events.Events(q.r.Context(), w.AccountID, audit.Filter{TargetKey: w.ID.String(),
		Actions: []audit.Action{audit.WebhookDisabled}}, paging.Window{Size: 1})
	if err != nil || len(found.Items) == 0 {
		return w.CreatedAt, err
	}
	return found.Items[0].Node.At, nil
}
