package panel

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/webhook"
)

// webhookFormHandler serves the pages that create, edit and delete a webhook.
type webhookFormHandler struct {
	*webhookHandler

	forms *formtoken.FormTokens
}

func (h *webhookFormHandler) routes() []route {
	const one = webhookPattern + "/{webhook}"
	return []route{
		get(webhookPattern+"/new", member, h.page),
		post(webhookPattern, member, h.create, fresh),
		get(one+"/edit", member, h.edit),
		post(one, member, h.update, fresh),
		get(one+"/delete", member, h.confirm),
		post(one+"/delete", member, h.delete, fresh),
	}
}

// webhookFields are the fields of the form of a webhook, named as in the faults of package webhook.
var webhookFields = []string{"url", "description", "eventTypes"}

// webhookFormPage is the data of the form of a new webhook and of one to edit.
type webhookFormPage struct {
	*form
	Base, FormID string
	// Address and URL are of the webhook to edit.
	Address, URL string
	Groups       []eventTypeGroup
	// Everything reports whether all event types are chosen.
	Everything bool
}

// chosenTypes returns the event types that a form selects, without those that a chosen pattern covers.
func (f *form) chosenTypes() []string {
	chosen := slices.DeleteFunc(slices.Clone(f.Values["eventTypes"]), func(name string) bool { return name == "" })
	if slices.Contains(chosen, everyType) {
		return []string{everyType}
	}
	return slices.DeleteFunc(slices.Clone(chosen), func(name string) bool {
		thing, rest, _ := strings.Cut(name, ".")
		return rest != "*" && slices.Contains(chosen, thing+ofGroup)
	})
}

func (h *webhookFormHandler) page(q *request) error {
	if err := webhook.MayChange(q.by); err != nil {
		return err
	}
	return h.showForm(q, http.StatusOK, newForm(webhookFields...))
}

// shownForm returns the data of a form with its event types.
func shownForm(q *request, f *form) webhookFormPage {
	chosen := f.Values["eventTypes"]
	return webhookFormPage{form: f, Base: webhooksBase(q), Groups: eventTypeGroups(q, chosen),
		Everything: slices.Contains(chosen, everyType)}
}

// showForm shows the form of a new webhook with a new form token.
func (h *webhookFormHandler) showForm(q *request, status int, f *form) error {
	shown := shownForm(q, f)
	shown.FormID = h.forms.New()
	return webhookNewTemplate.show(q, status, shown)
}

func (h *webhookFormHandler) create(q *request) error {
	if err := webhook.MayChange(q.by); err != nil {
		return err
	}
	f, err := q.parseForm(webhookFields...)
	if err != nil {
		return err
	}
	created, err := h.createOnce(q, f)
	if fault.KindOf(err) == fault.Conflict {
		return showWebhookSent(q, webhooksBase(q))
	}
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showForm(q, http.StatusUnprocessableEntity, f)
	}
	at := h.describe(q, created.Webhook).Address
	if err := q.note(noticeOf("webhook_created", created.Webhook.URL)); err != nil {
		return err
	}
	return webhookSecretTemplate.show(q, http.StatusOK, webhookSecretPage{
		Base: webhooksBase(q), Webhook: created.Webhook, Kind: "created",
		Shown:   secretValues(created.Webhook, created.Secret.Reveal()),
		Files:   secretFiles(created.Webhook, created.Secret.Reveal()),
		Address: at, Done: at,
	})
}

// createOnce creates the webhook that a form describes, unless the form was already submitted.
func (h *webhookFormHandler) createOnce(q *request, f *form) (webhook.Created, error) {
	req := webhook.Request{URL: f.Value("url"), Description: f.Value("description"), Types: f.chosenTypes()}
	if err := h.webhooks.Check(q.r.Context(), q.by, req); err != nil {
		return webhook.Created{}, err
	}
	if err := h.forms.Claim(q.r.Context(), q.by, f.Value("form")); err != nil {
		return webhook.Created{}, err
	}
	return h.webhooks.Create(q.r.Context(), q.by, req)
}

// webhookSentPage is the data of the page for a form that was already submitted.
type webhookSentPage struct{ Base, Back string }

func showWebhookSent(q *request, back string) error {
	return webhookSentTemplate.show(q, http.StatusConflict, webhookSentPage{webhooksBase(q), back})
}

// webhookSecretPage is the data of the page that shows a signing secret once.
type webhookSecretPage struct {
	Base    string
	Webhook webhook.Webhook
	// Kind is a part of message keys: "created" or "rotated".
	Kind  string
	Shown []shownValue
	Files []shownFile
	// Address is where reloading the page leads, and Done the link that leaves it.
	Address, Done string
	// PreviousEnds is until when the previous secret also signs, zero for a new webhook.
	PreviousEnds time.Time
}

func secretValues(w webhook.Webhook, secret string) []shownValue {
	return []shownValue{{"signing_secret", secret}, {"url", w.URL}}
}

// secretFiles returns files with a signing secret, as filesShown does for tokens. Their names have the receiver's host.
func secretFiles(w webhook.Webhook, secret string) []shownFile {
	name := "latchkey-webhook-" + w.ID.String()
	if to, err := url.Parse(w.URL); err == nil && to.Hostname() != "" {
		name = "latchkey-webhook-" + strings.ReplaceAll(to.Hostname(), ":", "-") // the colons of IPv6
	}
	file := func(ending, key, text string) shownFile {
		content := "data:text/plain;charset=utf-8;base64," + base64.StdEncoding.EncodeToString([]byte(text))
		return shownFile{name + ending, key, template.URL(content)} //nolint:gosec // base64, after a fixed media type
	}
	return []shownFile{
		file(".txt", "txt", "SIGNING SECRET: "+secret+"\nWEBHOOK URL: "+w.URL+"\n"),
		file(".env", "env", "WEBHOOK_SECRET='"+secret+"'\n"),
	}
}

func (h *webhookFormHandler) edit(q *request) error {
	w, err := h.findToChange(q)
	if err != nil {
		return err
	}
	f := newForm(webhookFields...)
	f.Values.Set("url", w.URL)
	f.Values.Set("description", w.Description)
	f.Values["eventTypes"] = w.Types
	return h.showEdit(q, http.StatusOK, w, f)
}

func (h *webhookFormHandler) showEdit(q *request, status int, w webhook.Webhook, f *form) error {
	shown := shownForm(q, f)
	shown.Address, shown.URL = h.describe(q, w).Address, w.URL
	return webhookEditTemplate.show(q, status, shown)
}

func (h *webhookFormHandler) update(q *request) error {
	w, err := h.findToChange(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm(webhookFields...)
	if err != nil {
		return err
	}
	if _, err = h.webhooks.Update(q.r.Context(), q.by, updateOf(w, f)); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showEdit(q, http.StatusUnprocessableEntity, w, f)
	}
	return q.redirectWithNotice(h.describe(q, w).Address, noticeOf("webhook_updated", w.URL))
}

// updateOf returns the changes that a form makes to a webhook. Unchanged fields are not set.
func updateOf(w webhook.Webhook, f *form) webhook.Update {
	u := webhook.Update{ID: w.ID}
	if url := f.Value("url"); url != w.URL {
		u.URL = &url
	}
	if description := f.Value("description"); description != w.Description {
		u.Description = &description
	}
	if types := f.chosenTypes(); !slices.Equal(slices.Sorted(slices.Values(types)), w.Types) {
		u.Types = append([]string{}, types...)
	}
	return u
}

// webhookDeletePage is the data of the page that confirms the deletion of a webhook.
type webhookDeletePage struct {
	Base    string
	Webhook shownWebhook
	// Pending is how many deliveries are lost.
	Pending int
}

func (h *webhookFormHandler) confirm(q *request) error {
	w, err := h.findToChange(q)
	if err != nil {
		return err
	}
	counts, err := h.counts(q, w)
	if err != nil {
		return err
	}
	return webhookDeleteTemplate.show(q, http.StatusOK,
		webhookDeletePage{webhooksBase(q), h.describe(q, w), counts.Pending})
}

func (h *webhookFormHandler) delete(q *request) error {
	w, err := h.findToChange(q)
	if err != nil {
		return err
	}
	if err := h.webhooks.Delete(q.r.Context(), q.by, w.ID); err != nil {
		return err
	}
	return q.redirectWithNotice(webhooksBase(q), noticeOf("webhook_deleted", w.URL))
}
