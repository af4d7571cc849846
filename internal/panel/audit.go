package panel

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// auditRoutes are the pages of the audit log.
func auditRoutes() []route {
	const in = "/accounts/{account}/audit"
	return []route{
		{method: http.MethodGet, pattern: in, audience: insider, serve: (*visit).auditLog},
		{method: http.MethodGet, pattern: in + "/export.csv", audience: insider, serve: (*visit).auditExport},
	}
}

// auditLinks are those pages in the navigation that the visitor may see.
func (v *visit) auditLinks() []link {
	if v.mayReadAudit() != nil {
		return nil
	}
	return []link{v.link("nav.audit", "log", "/audit")}
}

// mayReadAudit refuses whoever may not read the audit log over the API.
func (v *visit) mayReadAudit() error { return v.by.RequireScopes(scope.AccountAuditRead) }

// auditSize is how many events a page shows.
const auditSize = 50

// auditFields are the fields of the filter, which are parameters of the
// address.
var auditFields = []string{"who", "action", "from", "to", "target", "of"}

// auditPage shows events.
type auditPage struct {
	Here, CSV string
	Form      *form
	// Filtered says that not all events are asked for.
	Filtered bool
	// Known are names to choose from for who did something.
	Known   []string
	Groups  []actionGroup
	Presets []preset
	Rows    []auditRow
	Turn    turn
}

// actionGroup are the actions on one sort of thing.
type actionGroup struct {
	Thing   string
	Actions []audit.Action
}

// preset is a time from which on to look.
type preset struct{ Key, Address string }

func (v *visit) auditLog() error {
	if err := v.mayReadAudit(); err != nil {
		return err
	}
	shown := auditPage{Here: v.in("/audit"), Form: &form{Values: v.r.URL.Query(), fields: auditFields}, Groups: actionGroups(), Presets: v.presets()}
	var err error
	if shown.Known, err = v.knownActors(); err != nil {
		return err
	}
	filter, err := v.auditFilter(shown.Form)
	if err != nil {
		return err
	}
	if shown.Form.Refused() {
		return v.page(http.StatusUnprocessableEntity, "audit", shown)
	}
	asked := url.Values{}
	for _, name := range auditFields {
		if value := shown.Form.Value(name); value != "" {
			asked.Set(name, value)
			shown.Filtered = true
		}
	}
	shown.CSV = (&url.URL{Path: shown.Here + "/export.csv", RawQuery: asked.Encode()}).String()
	window, err := v.pageAsked(auditSize).Window(page.MaxSize)
	if err != nil {
		return err
	}
	found, err := v.Audit.Events(v.r.Context(), v.by.AccountID, filter, window)
	if err != nil {
		return err
	}
	shown.Turn = turnOf(v, found)
	if shown.Rows, err = v.auditRows(found); err != nil {
		return err
	}
	return v.page(http.StatusOK, "audit", shown)
}

// auditFilter reads the filter of an address. What is wrong with it is for the
// form to show.
func (v *visit) auditFilter(f *form) (audit.Filter, error) {
	filter := audit.Filter{ActorName: f.Value("who"), TargetName: f.Value("target"), TargetKey: f.Value("of")}
	if action := f.Value("action"); action != "" {
		filter.Actions = actionsOf(action)
		if len(filter.Actions) == 0 {
			f.wrong("action", v.text("audit.no_action"))
		}
	}
	from, _, right := v.momentOf(f.Value("from"))
	if !right {
		f.wrong("from", v.text("audit.no_time"))
	}
	_, until, right := v.momentOf(f.Value("to"))
	if !right {
		f.wrong("to", v.text("audit.no_time"))
	}
	if !from.IsZero() {
		filter.After = from.Add(-time.Microsecond) // which is exclusive, and the finest that is kept
	}
	filter.Before = until
	if filter.ActorName == v.text("audit.operator") {
		filter.ActorName = "operator"
	}
	if !strings.Contains(filter.ActorName, "@") {
		return filter, nil
	}
	// Addresses are the same in any case; events have them as people do.
	size := 1
	people, err := v.Users.Users(v.r.Context(), v.by, user.Filter{Emails: []string{filter.ActorName}}, page.Request{First: &size})
	if err != nil {
		return audit.Filter{}, err
	}
	for _, item := range people.Items {
		filter.ActorName = item.Node.Email
	}
	return filter, nil
}

// actionsOf are the actions of a name: one, or all on one sort of thing.
func actionsOf(name string) []audit.Action {
	return slices.DeleteFunc(audit.Actions(), func(a audit.Action) bool { return string(a) != name && a.Thing() != name })
}

// timeLayouts are those in which browsers send moments and days of the viewer's
// zone (HTML, sections 4.10.5.1.7 and 4.10.5.1.9), each with how long it means.
var timeLayouts = []struct {
	layout string
	end    func(time.Time) time.Time
}{
	{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Second) }},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
}

// momentOf reads a moment in the viewer's zone: when it begins, and when it is
// over. An empty text is no moment.
func (v *visit) momentOf(text string) (begins, ends time.Time, right bool) {
	if text == "" {
		return begins, ends, true
	}
	for _, each := range timeLayouts {
		if at, err := time.ParseInLocation(each.layout, text, v.zone); err == nil {
			return at, each.end(at), true
		}
	}
	return begins, ends, false
}

// presets are the times that people ask for most.
func (v *visit) presets() []preset {
	now := v.Now().In(v.zone)
	list := []preset{{"any", v.asking("from", "", "to", "")}}
	for _, each := range []struct {
		key  string
		from time.Time
	}{{"hour", now.Add(-time.Hour)}, {"day", now.AddDate(0, 0, -1)}, {"week", now.AddDate(0, 0, -7)}, {"month", now.AddDate(0, -1, 0)}} {
		list = append(list, preset{each.key, v.asking("from", each.from.Format(timeLayouts[0].layout), "to", "")})
	}
	return list
}

// actionGroups are all actions by the things that they are about.
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

// knownActors are names of people and API tokens of the account: the newest.
func (v *visit) knownActors() ([]string, error) {
	ctx, size := v.r.Context(), page.MaxSize
	known := []string{v.text("audit.operator")}
	if user.MayListAll(v.by) == nil {
		people, err := v.Users.Users(ctx, v.by, user.Filter{}, page.Request{First: &size})
		if err != nil {
			return nil, err
		}
		for _, item := range people.Items {
			known = append(known, item.Node.Email)
		}
	}
	query, err := v.Tokens.Query(token.Filter{})
	if err != nil {
		return nil, err
	}
	tokens, err := v.Tokens.AccountTokens(ctx, v.by, query, page.Request{First: &size})
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
