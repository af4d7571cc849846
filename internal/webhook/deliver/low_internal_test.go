package deliver

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
)

// A line is low if few jobs wait in it, or if what waits is sent before the outcomes are recorded and others claimed.
func TestLowLines(t *testing.T) {
	jobs := func(hook uuid.UUID, n int) []Job {
		list := make([]Job, n)
		for i := range list {
			list[i] = Job{Webhook: webhook.Webhook{ID: hook}}
		}
		return list
	}
	outcomes := func(hook uuid.UUID, n int) []Finished {
		list := make([]Finished, n)
		for i, j := range jobs(hook, n) {
			list[i] = Finished{Job: j}
		}
		return list
	}
	one, other, none := uuid.New(), uuid.New(), uuid.New()
	l := lines{of: map[uuid.UUID]*line{}}
	l.add(append(jobs(one, 100), jobs(other, 2*MaxInFlight)...))
	for _, c := range []struct {
		name     string
		outcomes []Finished
		want     bool
	}{
		{"no outcome", nil, false},
		{"an outcome, 100 waiting", outcomes(one, 1), false},
		{"49 outcomes, 100 waiting", outcomes(one, 49), false},
		{"50 outcomes, 100 waiting", outcomes(one, 50), true},
		{"an outcome, few waiting", outcomes(other, 1), true},
		{"outcomes of both", append(outcomes(one, 1), outcomes(other, 1)...), true},
		{"an outcome of a webhook without a line", outcomes(none, 1), true},
	} {
		check.Equal(t, l.low(c.outcomes), c.want, "%s", c.name)
	}
}
