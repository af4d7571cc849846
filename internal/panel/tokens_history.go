package panel

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

const (
	// historyPerPage is how many events the page of a token shows.
	historyPerPage = 20
	// historySearched is how many older pages of changes are searched for the values before a change.
	historySearched = 5
)

// historyLine is an event as the page shows it.
type historyLine struct {
	At            time.Time
	What, Who, IP string
	// Notes are sentences, and Changes the fields that the event changed.
	Notes   []string
	Changes []change
}

// change is a change of a field: from a value to another, or what was added to a list and removed from it. From is
// empty if the former value is not known.
type change struct {
	Label, From, To string
	Added, Removed  []string
}

// former are the values before a change, by the name of the field. A field that is missing is not known.
type former map[string]string

// history returns one page of a token's events, newest first, and the address of the next page.
func (h *tokenDetailHandler) history(q *request, p *tokenPlace, t token.Token) (lines []historyLine, older string,
	err error) {
	size := historyPerPage
	page := paging.Request{First: &size}
	if before := q.r.URL.Query().Get("before"); before != "" {
		page.After = &before
	}
	w, err := page.Window(paging.MaxSize)
	if err != nil {
		return nil, "", errNoPage()
	}
	found, err := h.events.Events(q.r.Context(), t.AccountID, audit.Filter{TargetKey: t.ID.String()}, w)
	if err != nil {
		return nil, "", err
	}
	before, err := h.formerValues(q, t, found)
	if err != nil {
		return nil, "", err
	}
	people, err := h.actors(q, found)
	if err != nil {
		return nil, "", err
	}
	for _, item := range found.Items {
		e := item.Node
		line := historyLine{At: e.At, What: q.text("tokens.history." + string(e.Action)), Who: actorName(q, e.Actor),
			IP: e.IP}
		if known, is := people[e.Actor.ID]; is {
			line.Who = fullName(known)
		}
		line.Notes = notesOf(q, h.catalogue, e)
		if e.Action == audit.APITokenUpdated {
			line.Changes = changesOf(q, h.catalogue, e, before[e.ID])
		}
		lines = append(lines, line)
	}
	if found.HasNext {
		older = p.Address(t) + "?before=" + found.Items[len(found.Items)-1].Cursor()
	}
	return lines, older, nil
}

// actors returns the users among the actors who are still in the account.
func (h *tokenDetailHandler) actors(q *request, found paging.Page[audit.Event]) (map[uuid.UUID]user.User, error) {
	var ids []uuid.UUID
	for _, item := range found.Items {
		if actor := item.Node.Actor; actor.Kind == audit.ActorUser && actor.ID != uuid.Nil {
			ids = append(ids, actor.ID)
		}
	}
	return h.users.MembersByID(q.r.Context(), q.by, ids)
}

// formerValues returns the values before each update of the page. An update records only the new values of the fields
// that it changed, so the former value of a field is in the nearest older event with that field.
func (h *tokenDetailHandler) formerValues(q *request, t token.Token,
	found paging.Page[audit.Event]) (map[uuid.UUID]former, error) {
	s := search{before: map[uuid.UUID]former{}, open: map[string][]uuid.UUID{}}
	for _, item := range found.Items {
		s.visit(item.Node, true)
	}
	changes := audit.Filter{TargetKey: t.ID.String(), Actions: []audit.Action{audit.APITokenCreated,
		audit.APITokenUpdated}}
	for range historySearched {
		if len(s.open) == 0 || !found.HasNext {
			break
		}
		last := found.Items[len(found.Items)-1].Key
		var err error
		found, err = h.events.Events(q.r.Context(), t.AccountID, changes,
			paging.Window{Size: paging.MaxSize, After: &last})
		if err != nil {
			return nil, err
		}
		for _, item := range found.Items {
			s.visit(item.Node, false)
		}
	}
	return s.before, nil
}

// search looks for the former values of fields in events that it visits from the newest to the oldest.
type search struct {
	before map[uuid.UUID]former
	// open are the updates whose former value was not found yet, by the name of the field.
	open map[string][]uuid.UUID
}

// visit finds values in an event. If shown, it also looks for the values before it in the events that it visits later.
func (s search) visit(e audit.Event, shown bool) {
	switch e.Action {
	case audit.APITokenUpdated:
		for _, d := range e.Details {
			s.resolve(d.Name, d.Value)
			if shown {
				s.open[d.Name] = append(s.open[d.Name], e.ID)
			}
		}
	case audit.APITokenCreated:
		for _, d := range e.Details {
			s.resolve(d.Name, d.Value)
		}
		s.resolve("name", e.Target.Name)
		for name := range s.open {
			s.resolve(name, "") // a new token's empty fields are not recorded
		}
	}
}

// resolve sets the former value of a field in the updates that look for it.
func (s search) resolve(name, value string) {
	for _, id := range s.open[name] {
		if s.before[id] == nil {
			s.before[id] = former{}
		}
		s.before[id][name] = value
	}
	delete(s.open, name)
}

// noted are the names of the details that the history shows as sentences.
var noted = []string{"reason", "hint", "previousExpiresAt"}

// notesOf returns the details of an event that are not changes of fields.
func notesOf(q *request, catalogue *scope.Catalogue, e audit.Event) []string {
	var notes []string
	for _, d := range e.Details {
		if slices.Contains(noted, d.Name) && d.Value != "" {
			notes = append(notes, q.text("tokens.detail."+d.Name, "value", detailValue(q, catalogue, d)))
		}
	}
	return notes
}

// changesOf returns the fields that an update changed.
func changesOf(q *request, catalogue *scope.Catalogue, e audit.Event, before former) []change {
	var changes []change
	for _, d := range e.Details {
		one := change{Label: q.label("tokens.change.", d.Name)}
		was, known := before[d.Name]
		switch {
		case known && d.Name == "scopes":
			old, now := scope.ParseSet(was), scope.ParseSet(d.Value)
			one.Added, one.Removed = namesIn(q, catalogue, now, old), namesIn(q, catalogue, old, now)
		case known && d.Name == "allowedIpRanges" && was != "" && d.Value != "":
			old, now := strings.Fields(was), strings.Fields(d.Value)
			one.Added, one.Removed = without(now, old), without(old, now)
		default:
			one.To = fieldValue(q, catalogue, d)
			if known {
				one.From = fieldValue(q, catalogue, audit.Detail{Name: d.Name, Value: was})
			}
		}
		changes = append(changes, one)
	}
	return changes
}

// namesIn returns the names of the scopes that are in one set and not in another.
func namesIn(q *request, catalogue *scope.Catalogue, one, other scope.Set) []string {
	var names []string
	for _, line := range scopeLines(q, catalogue, scope.NewSet(without(one.Names(), other.Names())...)) {
		names = append(names, line.Name+": "+line.Words())
	}
	return names
}

// without returns the texts that are in all and not in others.
func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(text string) bool { return slices.Contains(others, text) })
}

// fieldValue formats the value of a field. An empty one is described.
func fieldValue(q *request, catalogue *scope.Catalogue, d audit.Detail) string {
	if d.Value == "" {
		return q.text("tokens.unset." + d.Name)
	}
	return detailValue(q, catalogue, d)
}
