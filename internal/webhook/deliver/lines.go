package deliver

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// line has the claimed deliveries of a webhook: attempts in flight, and those that wait for one of them to end.
type line struct {
	inFlight int
	waiting  []Job
}

// lines are the lines of a dispatcher by webhook. It is safe for concurrent use.
type lines struct {
	mu sync.Mutex
	of map[uuid.UUID]*line
	// pace is how long an attempt takes: an average in which the newest of all webhooks counts for a part of paced. It
	// is 0 before the first one.
	pace time.Duration
}

// paced is about how many attempts make up the pace.
const paced = 32

const (
	// leastRun is the smallest number of deliveries that a server claims of a webhook, if it may claim ahead.
	leastRun = 2 * MaxInFlight
	// firstRun is that number before the first attempt.
	firstRun = 8 * MaxInFlight
)

// run returns how many deliveries of a webhook to claim: as many as are sent in three quarters of Fresh at the current
// pace. Those that wait for longer have to be checked again before they are sent.
func (l *lines) run() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pace <= 0 {
		return firstRun
	}
	return min(max(int(MaxInFlight*(Fresh*3/4)/l.pace), leastRun), MaxRun)
}

// add adds jobs to the lines and returns their webhooks.
func (l *lines) add(jobs []Job) (hooks []uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[uuid.UUID]bool{}
	for _, j := range jobs {
		id := j.Webhook.ID
		if l.of[id] == nil {
			l.of[id] = &line{}
		}
		l.of[id].waiting = append(l.of[id].waiting, j)
		if !seen[id] {
			seen[id] = true
			hooks = append(hooks, id)
		}
	}
	return hooks
}

// begin takes a waiting job whose attempt may begin, and counts it as in flight until end.
func (l *lines) begin(hook uuid.UUID) (j Job, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.of[hook]
	if of == nil || of.inFlight >= MaxInFlight || len(of.waiting) == 0 {
		return Job{}, false
	}
	j, of.waiting = of.waiting[0], of.waiting[1:]
	of.inFlight++
	return j, true
}

// end is called when an attempt has ended, which took the given time.
func (l *lines) end(hook uuid.UUID, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pace <= 0 {
		l.pace = took
	}
	l.pace = max(l.pace+(took-l.pace)/paced, 1)
	of := l.of[hook]
	if of.inFlight--; of.inFlight == 0 && len(of.waiting) == 0 {
		delete(l.of, hook)
	}
}

// low reports whether a line may soon have nothing to send, given outcomes that are to be recorded or just were: few
// jobs wait in it, or less than twice as many as it has outcomes, so that they are sent before it gets others.
func (l *lines) low(outcomes []Finished) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[uuid.UUID]int{}
	for _, f := range outcomes {
		count[f.Job.Webhook.ID]++
	}
	for hook, n := range count {
		if of := l.of[hook]; of == nil || len(of.waiting) <= max(2*MaxInFlight, 2*n) {
			return true
		}
	}
	return false
}

// take removes the waiting jobs of a webhook and returns them.
func (l *lines) take(hook uuid.UUID) (jobs []Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of := l.of[hook]; of != nil {
		jobs, of.waiting = of.waiting, nil
	}
	return jobs
}

// takeAll removes all waiting jobs and returns them.
func (l *lines) takeAll() (jobs []Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.of {
		jobs = append(jobs, of.waiting...)
		of.waiting = nil
	}
	return jobs
}
