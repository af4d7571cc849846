package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// flakyReceiver is the receiver of all webhooks of a test. Until heal is called, it
// fails at random: it answers 500, answers late or not at all, or closes the
// connection.
type flakyReceiver struct {
	server *httptest.Server

	mu            sync.Mutex
	subscriptions map[string]*subscription // by path
	healed        bool
	requests      int
	faults        []string
}

// subscription is a webhook with what arrived for it.
type subscription struct {
	id, types, secret string
	// created is a time after the creation, from which on it gets every event.
	created time.Time
	// known is closed once the secret is.
	known    chan struct{}
	deleted  bool
	arrivals []*arrival // in the order in which they began
}

// arrival is an attempt.
type arrival struct {
	event, kind string
	sequence    int64
	// begun and accepted are positions among all beginnings and answers of the
	// webhook. accepted is 0 unless the answer was 204.
	begun, accepted int
}

func newFlakyReceiver(t *testing.T) *flakyReceiver {
	t.Helper()
	b := &flakyReceiver{subscriptions: map[string]*subscription{}}
	b.server = httptest.NewServer(b)
	t.Cleanup(func() {
		b.server.CloseClientConnections()
		b.server.Close()
	})
	return b
}

// subscribe creates a webhook.
func (b *flakyReceiver) subscribe(t *testing.T, env map[string]string, types string) *subscription {
	t.Helper()
	s := &subscription{types: types, known: make(chan struct{})}
	b.mu.Lock()
	address := fmt.Sprintf("/%d", len(b.subscriptions))
	b.subscriptions[address] = s
	b.mu.Unlock()
	id, secret := newWebhook(t, env, b.server.URL+address, types)
	b.mu.Lock()
	s.id, s.secret, s.created = id, secret, time.Now()
	b.mu.Unlock()
	close(s.known)
	return s
}

// ServeHTTP receives an event.
func (b *flakyReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == awaitPath {
		return
	}
	b.mu.Lock()
	b.requests++
	s := b.subscriptions[req.URL.Path]
	switch {
	case s == nil:
		b.faults = append(b.faults, "a request for the unknown webhook "+req.URL.Path)
	case s.deleted:
		b.faults = append(b.faults, "a request after webhook "+s.id+" was deleted")
	}
	b.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if s == nil || err != nil {
		return // the sender was killed
	}
	<-s.known
	a := b.arrived(s, req.Header, body)
	switch b.fate() {
	case refuses:
		w.WriteHeader(http.StatusInternalServerError)
	case closes:
		panic(http.ErrAbortHandler)
	case hangs:
		select {
		case <-req.Context().Done():
		case <-time.After(time.Second):
		}
		panic(http.ErrAbortHandler)
	case delays:
		time.Sleep(100 * time.Millisecond)
		fallthrough
	case accepts:
		b.mu.Lock()
		a.accepted = len(s.arrivals) // after those that have begun
		b.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

// fate is what the receiver does with a request.
type fate int

const (
	accepts fate = iota
	refuses
	closes
	hangs
	delays
)

func (b *flakyReceiver) fate() fate {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := rand.IntN(40); !b.healed && n < 8 {
		return []fate{refuses, refuses, refuses, closes, closes, hangs, delays, delays}[n]
	}
	return accepts
}

// arrived records an attempt, whose signature it verifies.
func (b *flakyReceiver) arrived(s *subscription, header http.Header, body []byte) *arrival {
	var event struct {
		ID, Type  string
		Sequence  int64
		AccountID string
	}
	hook, err := standardwebhooks.NewWebhook(s.secret)
	if err == nil {
		err = hook.Verify(body, header)
	}
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err == nil && (event.ID != header.Get("webhook-id") || !strings.HasSuffix(event.AccountID, acmeID)) {
		err = fmt.Errorf("the body is of event %s, account %s", event.ID, event.AccountID)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.faults = append(b.faults, "a request is not valid: "+err.Error())
	}
	a := &arrival{event: event.ID, kind: event.Type, sequence: event.Sequence, begun: len(s.arrivals) + 1}
	s.arrivals = append(s.arrivals, a)
	return a
}

// deleted notes that a webhook was deleted.
func (b *flakyReceiver) deleted(s *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.deleted = true
}

// heal makes the receiver accept everything.
func (b *flakyReceiver) heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.healed = true
}

const awaitPath = "/await"

// awaitSent waits until the receiver has got what killed senders sent: connections
// are accepted in their order.
func (b *flakyReceiver) awaitSent() {
	time.Sleep(50 * time.Millisecond)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if res, err := client.Head(b.server.URL + awaitPath); err == nil {
		_ = res.Body.Close()
	}
	time.Sleep(50 * time.Millisecond)
}

func (b *flakyReceiver) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

// selects reports whether the webhook must get the event.
func (s *subscription) selects(e logged) bool {
	noun, _, _ := strings.Cut(e.Type, ".")
	return e.At.After(s.created) && (s.types == "*" || s.types == noun+".*")
}

// missing returns descriptions of the events that were not delivered to a
// webhook that was not deleted.
func (b *flakyReceiver) missing(log []logged) (missing []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for address, s := range b.subscriptions {
		accepted := map[string]bool{}
		for _, a := range s.arrivals {
			accepted[a.event] = accepted[a.event] || a.accepted > 0
		}
		for _, e := range log {
			if !s.deleted && s.selects(e) && !accepted[e.ID] {
				missing = append(missing, fmt.Sprintf("%s %s of %s to webhook %s", e.Type, e.ID, e.SubjectID, address))
			}
		}
	}
	return missing
}

// check compares what arrived with the log.
func (b *flakyReceiver) check(t *testing.T, log []logged) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	events := map[string]logged{}
	for _, e := range log {
		events[e.ID] = e
	}
	for _, address := range slices.Sorted(maps.Keys(b.subscriptions)) {
		s := b.subscriptions[address]
		bySubject := map[string][]*arrival{}
		wanted := map[string][]int64{}
		for _, e := range log {
			if s.selects(e) {
				wanted[e.SubjectID] = append(wanted[e.SubjectID], e.Sequence)
			}
		}
		for _, a := range s.arrivals {
			e, is := events[a.event]
			if !is || a.kind != e.Type || a.sequence != e.Sequence {
				b.faults = append(b.faults, fmt.Sprintf("%s %s, sequence %d, is not in the log, but %+v",
					a.kind, a.event, a.sequence, e))
				continue
			}
			bySubject[e.SubjectID] = append(bySubject[e.SubjectID], a)
		}
		for subject, arrivals := range bySubject {
			if fault := disorder(arrivals, wanted[subject]); fault != "" {
				b.faults = append(b.faults, fmt.Sprintf("webhook %s, %s: %s", path.Base(address), subject, fault))
			}
		}
	}
	for i, fault := range b.faults {
		if i < 10 {
			t.Errorf("the receiver: got %s, want no fault", fault)
		}
	}
	if len(b.faults) > 10 {
		t.Errorf("the receiver: got %d faults, want 0", len(b.faults))
	}
}

// disorder returns what is wrong with the order of a subject's attempts at one
// webhook, or "". wanted are the sequences of the events that it must get.
func disorder(arrivals []*arrival, wanted []int64) string {
	slices.Sort(wanted)
	var last int64
	accepted := map[int64]int{} // the first position at which it was
	for _, a := range arrivals {
		if a.sequence < last {
			return fmt.Sprintf("sequence %d came after %d", a.sequence, last)
		}
		last = a.sequence
		for len(wanted) > 0 && wanted[0] < a.sequence {
			if at := accepted[wanted[0]]; at == 0 || at >= a.begun {
				return fmt.Sprintf("sequence %d came before %d was accepted", a.sequence, wanted[0])
			}
			wanted = wanted[1:]
		}
		if a.accepted > 0 && accepted[a.sequence] == 0 {
			accepted[a.sequence] = a.accepted
		}
	}
	return ""
}
