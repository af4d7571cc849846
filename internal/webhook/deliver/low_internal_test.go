package deliver

import (
	"testing"
	"time"

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
	claimed := func(hook uuid.UUID, n int) Claimed {
		return Claimed{Webhook: webhook.Webhook{ID: hook}, Jobs: jobs(hook, n)}
	}
	one, other, none := uuid.New(), uuid.New(), uuid.New()
	l := lines{of: map[uuid.UUID]*line{}}
	l.add([]Claimed{claimed(one, 100), claimed(other, 2*MaxInFlight)})
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

// A server claims as many deliveries of a webhook as it sends before they have to be checked again.
func TestRunsFollowThePace(t *testing.T) {
	for _, c := range []struct {
		took time.Duration
		want int
	}{
		{time.Microsecond, MaxRun}, {10 * time.Millisecond, 30}, {time.Second, leastRun}, {Timeout, leastRun},
	} {
		hook := webhook.Webhook{ID: uuid.New()}
		one := []Claimed{{Webhook: hook, Jobs: []Job{{Webhook: hook}}}}
		l := lines{of: map[uuid.UUID]*line{}}
		check.Equal(t, l.run(), firstRun, "deliveries to claim before the first attempt")
		for range 10 * paced {
			l.add(one)
			l.begin(hook.ID)
			l.end(hook.ID, c.took)
		}
		check.Equal(t, l.run(), c.want, "deliveries to claim when attempts take %s", c.took)
		l.add(one)
		l.begin(hook.ID)
		l.end(hook.ID, 0)
		for range 10 * paced {
			l.add(one)
			l.begin(hook.ID)
			l.end(hook.ID, 10*time.Millisecond)
		}
		if got := l.run(); got < 28 || got > 32 {
			t.Errorf("deliveries to claim when attempts take 10 ms after others of %s: got %d, want about 30", c.took, got)
		}
	}
}
