package deliver

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/webhook"
)

// line has the claimed deliveries of a webhook: attempts in flight, and those that wait for one of them to end.
type line struct {
	// hook and lease are as they were last read. The lease has no token if it was abandoned.
	hook  webhook.Webhook
	lease Lease
	// checking is held while they are read again.
	checking sync.Mutex

	inFlight int
	waiting  []Job
	// held are the events of the jobs whose outcome is not recorded.
	held map[uuid.UUID]bool
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

// holdings returns the leases that the server has.
func (l *lines) holdings() map[uuid.UUID]Holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	holds := make(map[uuid.UUID]Holding, len(l.of))
	for id, of := range l.of {
		if of.lease.Token == uuid.Nil {
			continue
		}
		h := Holding{Token: of.lease.Token, Events: make([]uuid.UUID, 0, len(of.held))}
		for event := range of.held {
			h.Events = append(h.Events, event)
		}
		holds[id] = h
	}
	return holds
}

// add adds what a claim found to the lines. It returns the leases of lines that hold nothing.
func (l *lines) add(claimed []Claimed) (idle []Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range claimed {
		of := l.of[c.Webhook.ID]
		if of == nil {
			of = &line{held: map[uuid.UUID]bool{}}
			l.of[c.Webhook.ID] = of
		}
		if of.lease.Token != c.Lease.Token {
			of.lease = Lease{}
		}
		claims := max(of.lease.Claims, c.Lease.Claims)
		of.read(c.Webhook, c.Lease)
		of.lease.Claims = claims
		of.waiting = append(of.waiting, c.Jobs...)
		for _, j := range c.Jobs {
			of.held[j.Event.ID] = true
		}
	}
	for _, c := range claimed {
		idle = append(idle, l.ifIdle(c.Webhook.ID)...)
	}
	return idle
}

// read notes what was read of the webhook and its lease, unless that is older than what is known.
func (l *line) read(hook webhook.Webhook, lease Lease) {
	if lease.Checked.After(l.lease.Checked) {
		l.hook, l.lease = hook, lease
	}
}

// ifIdle returns the lease of a line that holds nothing, and forgets the line.
func (l *lines) ifIdle(hook uuid.UUID) []Lease {
	of := l.of[hook]
	if of == nil || len(of.held) > 0 {
		return nil
	}
	lease := of.lease
	of.lease = Lease{}
	if of.inFlight == 0 {
		delete(l.of, hook)
	}
	if lease.Token == uuid.Nil {
		return nil
	}
	return []Lease{lease}
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

// current returns the job with what was last read of its webhook and lease. It returns false if the job was claimed
// under another lease, before pending deliveries were ended, or for other types.
func (l *lines) current(j Job) (Job, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.of[j.Webhook.ID]
	if of == nil || of.lease.Token != j.Lease.Token || of.lease.Edition != j.Lease.Edition {
		return j, false
	}
	j.Webhook, j.Lease = of.hook, of.lease
	return j, j.Webhook.Selects(j.Event.Action)
}

// check waits until no other check of the webhook is in progress, and returns what lets the next one begin.
func (l *lines) check(hook uuid.UUID) (end func()) {
	l.mu.Lock()
	of := l.of[hook]
	l.mu.Unlock()
	if of == nil {
		return func() {}
	}
	of.checking.Lock()
	return of.checking.Unlock
}

// rechecked notes what a check of a job read.
func (l *lines) rechecked(j Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of := l.of[j.Webhook.ID]; of != nil && of.lease.Token == j.Lease.Token {
		j.Lease.Claims = of.lease.Claims
		of.read(j.Webhook, j.Lease)
	}
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
	if of.inFlight--; of.inFlight == 0 && len(of.held) == 0 {
		delete(l.of, hook)
	}
}

// drop forgets jobs that are recorded or given back. It returns the leases of lines that hold nothing any more.
func (l *lines) drop(jobs []Job) (idle []Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range jobs {
		if of := l.of[j.Webhook.ID]; of != nil {
			delete(of.held, j.Event.ID)
			idle = append(idle, l.ifIdle(j.Webhook.ID)...)
		}
	}
	return idle
}

// abandon forgets the lease of a webhook and what waits for it. Nothing is sent before the lease ends.
func (l *lines) abandon(hook uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of := l.of[hook]; of != nil {
		of.lease, of.waiting, of.held = Lease{}, nil, map[uuid.UUID]bool{}
	}
}

// ending returns the leases of lines that hold only the outcomes.
func (l *lines) ending(outcomes []Finished) (leases []Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := map[uuid.UUID]int{}
	for _, f := range outcomes {
		id := f.Job.Webhook.ID
		of := l.of[id]
		if of == nil || !of.held[f.Job.Event.ID] {
			continue
		}
		if left[id]++; left[id] == len(of.held) && of.lease.Token != uuid.Nil {
			leases = append(leases, of.lease)
		}
	}
	return leases
}

// low reports whether a line may soon have nothing to send, given outcomes that will be recorded or just were: few
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
