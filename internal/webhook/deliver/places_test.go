package deliver_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
	"latchkey/internal/webhook/deliver"
)

func TestTakePlaces(t *testing.T) {
	a, b, c := uuid.New(), uuid.New(), uuid.New()
	p := deliver.Places{Most: 5, Unproven: 2, PerAccount: 3, Held: map[uuid.UUID]int{a: 2}}
	before := p.Clone()
	for _, step := range []struct {
		name    string
		account uuid.UUID
		proven  bool
		want    bool
	}{
		{"an unproven webhook", a, false, true},
		{"more than an account may hold", a, true, false},
		{"another account", b, false, true},
		{"more unproven ones than there may be", b, false, false},
		{"a proven one", b, true, true},
		{"another", b, true, true},
		{"a third account", c, true, true},
		{"more than there are", c, true, false},
	} {
		check.Equal(t, p.Take(step.account, step.proven), step.want, "%s got a place", step.name)
	}
	check.Equal(t, before, deliver.Places{Most: 5, Unproven: 2, PerAccount: 3, Held: map[uuid.UUID]int{a: 2}},
		"the places that were cloned")
}

// New webhooks whose receivers hang hold at most half of the places of a server, however many they are, and those of
// one account a quarter, though they have been proven to work.
func TestHangingReceiversHoldAPartOfThePlaces(t *testing.T) {
	for name, c := range map[string]struct {
		accounts int
		proven   bool
		most     int
	}{
		"new webhooks of many accounts":  {20, false, 16},
		"proven webhooks of one account": {1, true, 8},
	} {
		t.Run(name, func(t *testing.T) {
			f, m := newFixture(t), newMemory()
			hanging, healthy := startReceiver(t, hang(t)), startReceiver(t, nil)
			accounts := make([]uuid.UUID, c.accounts)
			for i := range accounts {
				accounts[i] = uuid.New()
			}
			for i := range 20 {
				w := f.webhook(t, hanging.URL+"/"+fmt.Sprint(i))
				w.AccountID = accounts[i%c.accounts]
				m.add(t, w)
				m.webhooks[w.ID].proven = c.proven
			}
			d, _ := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, hanging, healthy).Send, InFlight: 32,
				Grace: time.Millisecond})
			for i := range 5 {
				m.emit(t, event(fmt.Sprint(i), 1))
			}
			d.Wake()
			hanging.wait(t, c.most)
			w := f.webhook(t, healthy.URL)
			w.AccountID = uuid.New()
			m.add(t, w)
			m.webhooks[w.ID].proven = true
			began := time.Now()
			m.emit(t, event("other", 1))
			d.Wake()
			if took := healthy.wait(t, 1)[0].at.Sub(began); took > prompt {
				t.Errorf("the event of a healthy receiver came after %s, want within %s", took, prompt)
			}
			check.Equal(t, len(hanging.received()), c.most, "attempts in flight at receivers that hang")
		})
	}
}
