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
var auditFields = []string{"who", "action", "from", "to", "target", "of"}

// auditPage is the data of the audit log's page.
type auditPage struct {
	Here, CSV string
	Form      *form
	// Filtered reports whether a filter is set.
	Filtered bool
	// Known are the actor names that the form suggests.
	Known   []string
	Groups  []actionGroup
	Presets []preset
	Rows    []auditRow
	Pages   pageLinks
}

// actionGroup is the actions on one kind of thing.
type actionGroup struct {
	Thing   string
	Actions []audit.Action
}

// preset is a link that filters by a start time.
type preset struct{ Key, Address string }

func (h *auditHandler) page(q *request) error {
	if err := mayReadAudit(q); err != nil {
		return err
	}
	shown := auditPage{Here: q.address("/audit"), Form: &form{Values: q.r.URL.Query(), fields: auditFields},
		Groups: actionGroups(), Presets: presets(q)}
	var err error
	if shown.Known, err = h.knownActors(q); err != nil {
		return err
	}
	filter, err := h.filter(q, shown.Form)
	if err != nil {
		return err
	}
	if shown.Form.Refused() {
		return auditTemplate.show(q, http.StatusUnprocessableEntity, shown)
	}
	filters := url.Values{}
	for _, name := range auditFields {
		if value := shown.Form.Value(name); value != "" {
			filters.Set(name, value)
			shown.Filtered = true
		}
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

// actionsOf returns the actions that a name selects: one action, or all actions on one kind of thing.
func actionsOf(name string) []audit.Action {
	return slices.DeleteFunc(audit.Actions(),
		func(a audit.Action) bool { return string(a) != name && a.Thing() != name })
}

// presets returns links for common time ranges.
func presets(q *request) []preset {
	now := q.now().In(q.zone)
	list := []preset{{"any", q.withQuery("from", "", "to", "")}}
	for _, each := range []struct {
		key  string
		from time.Time
	}{{"hour", now.Add(-time.Hour)}, {"day", now.AddDate(0, 0, -1)}, {"week", now.AddDate(0, 0, -7)},
		{"month", now.AddDate(0, -1, 0)}} {
		list = append(list, preset{each.key, q.withQuery("from", each.from.Format(timeLayouts[0].layout), "to", "")})
	}
	return list
}

// actionGroups groups all actions by the kind of thing that they act on.
func actionGroups() []actionGroup {
	var groups []actionGroup
	for _, a := range audit.Actions() {
		i := slices.IndexFunc(groups, func(g actionGroup) bool { return g.Thing == a.Thing() })
		if i < 0 {
			groups, i = append(groups, actionGroup{Thing: a.Thing()}), len(groups)
		}
		groups[i].Actions = append(groups[i].Actions, a)
	}
	return groups
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
