package panel

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
)

// The former value of a field is the one of the nearest older event that has it, also if the page does not show that
// event. A field that was never recorded was empty, and the name of a new token is its target's.
func TestFormerValues(t *testing.T) {
	updated := func(details ...audit.Detail) audit.Event {
		return audit.Event{ID: uuid.New(), Action: audit.APITokenUpdated, Details: details}
	}
	newest := updated(audit.Detail{Name: "name", Value: "C"}, audit.Detail{Name: "expiresAt", Value: "2026-01-01"})
	second := updated(audit.Detail{Name: "scopes", Value: "a"})
	older := updated(audit.Detail{Name: "name", Value: "B"})
	rotated := audit.Event{Action: audit.APITokenRotated, Details: []audit.Detail{{Name: "name", Value: "no"}}}
	created := audit.Event{Action: audit.APITokenCreated, Target: audit.Target{Name: "A"},
		Details: []audit.Detail{{Name: "scopes", Value: "a b"}}}
	s := search{before: map[uuid.UUID]former{}, open: map[string][]uuid.UUID{}}
	for _, e := range []audit.Event{newest, rotated, second} {
		s.visit(e, true)
	}
	check.Equal(t, len(s.open), 3, "fields without a former value")
	s.visit(older, false)
	check.Equal(t, s.before[newest.ID]["name"], "B", "the name before")
	if _, known := s.before[newest.ID]["expiresAt"]; known {
		t.Error("the expiration before: got it known, want it unknown until an event has it")
	}
	s.visit(created, false)
	check.Equal(t, s.before[second.ID]["scopes"], "a b", "the scopes before")
	if was, known := s.before[newest.ID]["expiresAt"]; !known || was != "" {
		t.Errorf("the expiration before: got %q, %t, want it known and empty", was, known)
	}
	check.Equal(t, len(s.open), 0, "fields without a former value at the end")
	s.visit(older, true)
	s.visit(created, true)
	check.Equal(t, s.before[older.ID]["name"], "A", "the name before the first change")
}
