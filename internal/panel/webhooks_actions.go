package panel

import (
	"net/http"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/webhook"
)

func (h *webhookDetailHandler) routes() []route {
	const one = webhookPattern + "/{webhook}"
	return []route{
		get(one, member, h.page),
		post(one+"/state", member, h.setState),
		post(one+"/test", member, h.test),
		post(one+"/replay", member, h.replay),
		post(one+"/rotate", member, h.rotate, fresh),
	}
}

// secretOverlaps are the choices of how long the previous secret also signs after a rotation.
var secretOverlaps = []struct {
	key  string
	time time.Duration
}{{"none", 0}, {"hour", time.Hour}, {"day", 24 * time.Hour}, {"week", 7 * 24 * time.Hour}}

func overlapKeys() []string {
	keys := make([]string, len(secretOverlaps))
	for i, o := range secretOverlaps {
		keys[i] = o.key
	}
	return keys
}

// replayKinds are the choices for the replay of a period: events whose delivery has one of the states, or all.
var replayKinds = []struct {
	key    string
	states []webhook.DeliveryState
}{
	{"dead", []webhook.DeliveryState{webhook.Dead}},
	{"failed", []webhook.DeliveryState{webhook.Dead, webhook.Pending}},
	{"all", nil},
}

func replayKindKeys() []string {
	keys := make([]string, len(replayKinds))
	for i, k := range replayKinds {
		keys[i] = k.key
	}
	return keys
}

// submitted returns the webhook that the address names and the submitted form, if the visitor may change webhooks.
func (h *webhookDetailHandler) submitted(q *request, fields ...string) (webhook.Webhook, *form, error) {
	w, err := h.findToChange(q)
	if err != nil {
		return webhook.Webhook{}, nil, err
	}
	f, err := q.parseForm(fields...)
	return w, f, err
}

// setState pauses or enables a webhook. A disabled one also gets what it missed, if the form asks for it.
func (h *webhookDetailHandler) setState(q *request) error {
	w, f, err := h.submitted(q, "state", "missed")
	if err != nil {
		return err
	}
	state := webhook.State(f.Value("state"))
	if state != webhook.Enabled && state != webhook.Paused {
		return noChoice(q, "state")
	}
	at := h.describe(q, w).Address
	missed, err := h.missed(q, w)
	if err != nil {
		return err
	}
	if _, err := h.webhooks.Update(q.r.Context(), q.by, webhook.Update{ID: w.ID, State: &state}); err != nil {
		return err
	}
	if state == webhook.Paused {
		return q.redirectWithNotice(at, noticeOf("webhook_paused", w.URL))
	}
	if missed == nil || f.Value("missed") == "" {
		return q.redirectWithNotice(at, noticeOf("webhook_enabled", w.URL))
	}
	scheduled, err := h.replayMissed(q, w, missed)
	if err != nil {
		return err
	}
	return q.redirectWithNotice(at, noticeOf("webhook_enabled_replayed", w.URL).times(scheduled))
}

// replayMissed replays what died around the time when the webhook stopped working, and all events since.
func (h *webhookDetailHandler) replayMissed(q *request, w webhook.Webhook, m *missedEvents) (int, error) {
	dead := m.dead()
	total := 0
	for _, each := range []webhook.ReplayRequest{
		{WebhookID: w.ID, Since: dead.After, Until: m.Since, States: dead.States},
		{WebhookID: w.ID, Since: m.Since},
	} {
		n, err := h.webhooks.Replay(q.r.Context(), q.by, each)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// once calls act unless the form was already submitted, and goes back to the webhook with the notice that has the key.
func (h *webhookDetailHandler) once(q *request, w webhook.Webhook, f *form, key string,
	act func() (int, error)) error {
	at := h.describe(q, w).Address
	err := h.forms.Claim(q.r.Context(), q.by, f.Value("form"))
	if fault.KindOf(err) == fault.Conflict {
		return q.redirectWithNotice(at, noticeOf("webhook_sent_before", ""))
	}
	if err != nil {
		return err
	}
	n, err := act()
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showDetail(q, http.StatusUnprocessableEntity, w, f)
	}
	return q.redirectWithNotice(at, noticeOf(key, w.URL).times(n))
}

// test sends a test event.
func (h *webhookDetailHandler) test(q *request) error {
	w, f, err := h.submitted(q, replayFields...)
	if err != nil {
		return err
	}
	return h.once(q, w, f, "webhook_tested", func() (int, error) {
		_, err := h.webhooks.SendTest(q.r.Context(), q.by, w.ID)
		return 1, err
	})
}

// replay schedules deliveries again: the chosen ones, all dead ones, or those of a period.
func (h *webhookDetailHandler) replay(q *request) error {
	w, f, err := h.submitted(q, replayFields...)
	if err != nil {
		return err
	}
	what, err := h.replayOf(q, w, f)
	if err != nil {
		return err
	}
	if f.Refused() {
		return h.showDetail(q, http.StatusUnprocessableEntity, w, f)
	}
	return h.once(q, w, f, "webhook_replayed", func() (int, error) {
		return h.webhooks.Replay(q.r.Context(), q.by, what)
	})
}

// replayOf returns what a form asks to replay. It adds invalid fields to the form's errors.
func (h *webhookDetailHandler) replayOf(q *request, w webhook.Webhook, f *form) (webhook.ReplayRequest, error) {
	what := webhook.ReplayRequest{WebhookID: w.ID}
	switch f.Value("which") {
	case "dead":
		what.Since, what.States = h.now().Add(-webhook.MaxHistory), []webhook.DeliveryState{webhook.Dead}
		return what, nil
	case "period":
		h.readPeriod(q, f, &what)
		return what, nil
	}
	ids, err := uuidsOf(f.Values["event"])
	if err != nil {
		return what, err
	}
	if len(ids) == 0 {
		f.addError("", q.text("webhooks.replay.none_chosen"))
	}
	what.EventIDs = ids
	return what, nil
}

// readPeriod reads the period and the states to replay.
func (h *webhookDetailHandler) readPeriod(q *request, f *form, what *webhook.ReplayRequest) {
	since, _, right := parsePeriod(q, f.Value("since"))
	if !right || since.IsZero() {
		f.addError("since", q.text("webhooks.replay.no_time"))
	}
	_, until, right := parsePeriod(q, f.Value("until"))
	if !right {
		f.addError("until", q.text("webhooks.replay.no_time"))
	}
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		f.addError("until", q.text("webhooks.replay.order"))
	}
	what.Since, what.Until = since, until
	known := false
	for _, k := range replayKinds {
		if k.key == f.Value("states") {
			what.States, known = k.states, true
		}
	}
	if !known {
		f.addError("states", q.text("errors.choice"))
	}
}

// rotate creates a new signing secret and shows it once.
func (h *webhookDetailHandler) rotate(q *request) error {
	w, f, err := h.submitted(q, "overlap")
	if err != nil {
		return err
	}
	var overlap *time.Duration
	for _, o := range secretOverlaps {
		if o.key == f.Value("overlap") {
			overlap = &o.time
		}
	}
	if overlap == nil {
		return noChoice(q, "overlap")
	}
	at := h.describe(q, w).Address
	if err := h.forms.Claim(q.r.Context(), q.by, f.Value("form")); err != nil {
		if fault.KindOf(err) == fault.Conflict {
			return showWebhookSent(q, at)
		}
		return err
	}
	r, err := h.webhooks.RotateSecret(q.r.Context(), q.by, w.ID, overlap)
	if err != nil {
		return err
	}
	if err := q.note(noticeOf("webhook_rotated", r.Webhook.URL)); err != nil {
		return err
	}
	return webhookSecretTemplate.show(q, http.StatusOK, webhookSecretPage{
		Base: webhooksBase(q), Webhook: r.Webhook, Kind: "rotated",
		Shown: secretValues(r.Webhook, r.Secret.Reveal()), Files: secretFiles(r.Webhook, r.Secret.Reveal()),
		Address: at, Done: at, PreviousEnds: r.PreviousExpiresAt,
	})
}
