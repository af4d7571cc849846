package deliver

import (
	"maps"
	"sync"

	"github.com/google/uuid"
)

const (
	// leastPerAccount is the number of places that one account may hold at least.
	leastPerAccount = MaxInFlight
	// plenty is the number of free places from which on places are not scarce.
	plenty = 8 * MaxInFlight
)

// Places are the places of a server for attempts that are free. Receivers that do not answer hold theirs for Timeout,
// so neither webhooks that have not been proven to work nor one account may hold all.
type Places struct {
	// Most is the number of free places.
	Most int
	// Unproven is how many of them webhooks may take whose last attempt did not succeed, or that have had none.
	Unproven int
	// PerAccount is how many places the webhooks of one account may hold, and Held how many they do, by account. Held
	// must not be nil.
	PerAccount int
	Held       map[uuid.UUID]int
	// Run is how many deliveries of one webhook the server may have claimed: more than MaxInFlight while places are not
	// scarce. If they are, a webhook must not keep its places for a run of deliveries.
	Run int
}

// Take takes a place for an attempt, and reports whether there was one.
func (p *Places) Take(accountID uuid.UUID, proven bool) bool {
	if p.Most <= 0 || !proven && p.Unproven <= 0 || p.Held[accountID] >= p.PerAccount {
		return false
	}
	p.Most--
	if !proven {
		p.Unproven--
	}
	p.Held[accountID]++
	return true
}

// Clone returns a copy, so that Take does not change the original.
func (p Places) Clone() Places {
	p.Held = maps.Clone(p.Held)
	return p
}

// places counts the places of a dispatcher. It is safe for concurrent use.
type places struct {
	all int

	mu              sync.Mutex
	taken, unproven int
	held            map[uuid.UUID]int
}

// free returns the places of which a claim may take at most most. run is how many deliveries of one webhook the server
// may have claimed while places are not scarce.
func (p *places) free(most, run int) Places {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all-p.taken < plenty {
		run = MaxInFlight
	}
	return Places{Most: min(most, p.all-p.taken), Unproven: max(1, p.all/2) - p.unproven,
		PerAccount: p.perAccount(), Held: maps.Clone(p.held), Run: run}
}

func (p *places) perAccount() int { return max(leastPerAccount, p.all/4) }

// scarce reports whether other webhooks may wait for the place of the job.
func (p *places) scarce(j Job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken >= p.all || p.held[j.Webhook.AccountID] >= p.perAccount()
}

// limited reports whether free places are kept from some webhooks, whose deliveries may be due.
func (p *places) limited() bool {
	free := p.free(p.all, MaxInFlight)
	if free.Unproven <= 0 {
		return true
	}
	for _, n := range free.Held {
		if n >= free.PerAccount {
			return true
		}
	}
	return false
}

func (p *places) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

func (p *places) take(j Job) { p.add(j, 1) }

func (p *places) release(j Job) { p.add(j, -1) }

func (p *places) add(j Job, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken += n
	if !j.Proven {
		p.unproven += n
	}
	if p.held[j.Webhook.AccountID] += n; p.held[j.Webhook.AccountID] == 0 {
		delete(p.held, j.Webhook.AccountID)
	}
}
