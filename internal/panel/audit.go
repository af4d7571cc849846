package panel

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// auditHandler serves the audit log and its export.
type auditHandler struct {
	events    audit.Reader
	users     *user.Service
	tokens    *token.Service
	accounts  *account.Service
	webhooks  *webhook.Service
	catalogue *scope.Catalogue
	sessions  *sessions
	log       *slog.Logger
}

func (h *auditHandler) routes() []route {
	return []route{
		get(accountPattern+"/audit", member, h.page),
		get(accountPattern+"/audit/export.csv", member, h.export),
	}
}

// mayReadAudit returns an error unless the visitor has the scope that reads the audit log over the API.
func mayReadAudit(q *request) error { return q.by.RequireScopes(scope.AccountAuditRead) }

// auditSize is how many events a page shows.
const auditSize = 50

// auditFields are the fields of the filter form. They are also query parameters.
var auditFields = []string{"who", "action", "period", "from", "to", "target", "of"}

// moreFields are those that the form shows when its second row is open.
var moreFields = []string{"from", "to", "target"}

// auditPage is the data of the audit log's page.
type auditPage struct {
	Here, CSV string
	Form      *form
	// Chips are the filters that are set. More reports whether the second row of the form is open.
	Chips []chip
	More  bool
	// Known are the actor names that the form suggests.
	Known   []string
	Topics  []topic
	Periods []string
	Rows    []auditRow
	Pages   pageLinks
}

// chip is a filter that is set, and the address of the page without it.
type chip struct{ Text, Without string }

// periods are the periods up to now that the form offers, as parts of message keys.
var periods = []struct {
	key    string
	length time.Duration
}{{"hour", time.Hour}, {"day", 24 * time.Hour}, {"week", 7 * 24 * time.Hour}, {"month", 30 * 24 * time.Hour}}

func (h *auditHandler) page(q *request) error {
	if err := mayReadAudit(q); err != nil {
		return err
	}
	shown := auditPage{Here: q.address("/audit"), Form: &form{Values: q.r.URL.Query(), fields: auditFields},
		Topics: topics}
	for _, each := range periods {
		shown.Periods = append(shown.Periods, each.key)
	}
	var err error
	if shown.Known, err = h.knownActors(q); err != nil {
		return err
	}
	filter, err := h.filter(q, shown.Form)
	if err != nil {
		return err
	}
	filters := url.Values{}
	for _, name := range auditFields {
		if value := shown.Form.Value(name); value != "" {
			filters.Set(name, value)
			shown.More = shown.More || slices.Contains(moreFields, name)
		}
	}
	if shown.Form.Refused() {
		return auditTemplate.show(q, http.StatusUnprocessableEntity, shown)
	}
	shown.CSV = (&url.URL{Path: shown.Here + "/export.csv", RawQuery: filters.Encode()}).String()
	window, err := q.pageRequest(auditSize).Window(paging.MaxSize)
	if err != nil {
		return err
	}
	found, err := h.events.Events(q.r.Context(), q.by.AccountID, filter, window)
	if err != nil {
		return err
	}
	shown.Pages = pageLinksOf(q, found)
	if shown.Rows, err = h.rows(q, found); err != nil {
		return err
	}
	shown.Chips = chipsOf(q, shown.Form, found)
	return auditTemplate.show(q, http.StatusOK, shown)
}

// filter reads the filter from the form. It adds invalid fields to the form's errors.
func (h *auditHandler) filter(q *request, f *form) (audit.Filter, error) {
	filter := audit.Filter{ActorName: f.Value("who"), TargetName: f.Value("target"), TargetKey: f.Value("of")}
	if action := f.Value("action"); action != "" {
		filter.Actions = actionsOf(action)
		if len(filter.Actions) == 0 {
			f.addError("action", q.text("audit.no_action"))
		}
	}
	from, _, right := parsePeriod(q, f.Value("from"))
	if !right {
		f.addError("from", q.text("audit.no_time"))
	}
	_, until, right := parsePeriod(q, f.Value("to"))
	if !right {
		f.addError("to", q.text("audit.no_time"))
	}
	if begin := periodStart(q, f); begin.After(from) {
		from = begin
	}
	if !from.IsZero() {
		filter.After = from.Add(-time.Microsecond) // After is exclusive; events are stored in microseconds
	}
	filter.Before = until
	if filter.ActorName == q.text("audit.operator") {
		filter.ActorName = "operator"
	}
	if !strings.Contains(filter.ActorName, "@") {
		return filter, nil
	}
	// Email addresses are case-insensitive. Events store the address as the user's record has it.
	size := 1
	users, err := h.users.Users(q.r.Context(), q.by, user.Filter{Emails: []string{filter.ActorName}},
		paging.Request{First: &size})
	if err != nil {
		return audit.Filter{}, err
	}
	for _, item := range users.Items {
		filter.ActorName = item.Node.Email
	}
	return filter, nil
}

// actionsOf returns the actions that a name selects: one action, all actions on one kind of thing, or all of a topic.
func actionsOf(name string) []audit.Action {
	return slices.DeleteFunc(audit.Actions(), func(a audit.Action) bool {
		return string(a) != name && a.Thing() != name && topicOf(a).Key != name
	})
}

// actionLabel returns the label of the actions that a name selects (actionsOf).
func actionLabel(q *request, name string) string {
	if slices.ContainsFunc(topics, func(each topic) bool { return each.Key == name }) {
		return q.text("audit.topics." + name)
	}
	if slices.ContainsFunc(audit.Actions(), func(a audit.Action) bool { return a.Thing() == name }) {
		return q.text("audit.things." + name)
	}
	return q.text("audit.names." + name)
}

// periodStart returns when the chosen period begins, or the zero time if the form has none. It adds an error to the
// form if there is no such period.
func periodStart(q *request, f *form) time.Time {
	name := f.Value("period")
	if name == "" {
		return time.Time{}
	}
	for _, each := range periods {
		if each.key == name {
			return q.now().Add(-each.length)
		}
	}
	f.addError("period", q.text("errors.choice"))
	return time.Time{}
}

// chipsOf returns the filters that are set. found is the page of events that they select.
func chipsOf(q *request, f *form, found paging.Page[audit.Event]) []chip {
	var chips []chip
	var unset []string // pairs that remove the empty fields of the form from addresses
	for _, name := range auditFields {
		if f.Value(name) == "" {
			unset = append(unset, name, "")
		}
	}
	for _, name := range auditFields {
		value := f.Value(name)
		if value == "" {
			continue
		}
		switch name {
		case "action":
			value = actionLabel(q, value)
		case "period":
			value = q.text("audit.periods." + value)
		case "from", "to":
			value = strings.Replace(value, "T", " ", 1)
		case "of":
			if len(found.Items) > 0 {
				value = found.Items[0].Node.Target.Name
			}
		}
		chips = append(chips, chip{q.text("audit.chips."+name, "value", value),
			q.withQuery(append(unset, name, "")...)})
	}
	return chips
}

// knownActors returns the names of the account's newest users and API tokens.
func (h *auditHandler) knownActors(q *request) ([]string, error) {
	ctx, size := q.r.Context(), paging.MaxSize
	known := []string{q.text("audit.operator")}
	if user.MayListAll(q.by) == nil {
		users, err := h.users.Users(ctx, q.by, user.Filter{}, paging.Request{First: &size})
		if err != nil {
			return nil, err
		}
		for _, item := range users.Items {
			known = append(known, item.Node.Email)
		}
	}
	query, err := h.tokens.Query(token.Filter{})
	if err != nil {
		return nil, err
	}
	tokens, err := h.tokens.AccountTokens(ctx, q.by, query, paging.Request{First: &size})
	if fault.KindOf(err) == fault.Forbidden {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	for _, item := range tokens.Items {
		known = append(known, item.Node.Name)
	}
	slices.SortFunc(known[1:], func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.Compact(known), nil
}
