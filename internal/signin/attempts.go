package signin

import (
	"net/netip"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/ratelimit"
)

// How many passwords may be tried, and how many addresses and people are
// counted at most.
const (
	triesPerAddress = 30
	triesPerPerson  = 10
	addressWindow   = time.Minute
	personWindow    = 10 * time.Minute
	mostCounted     = 100_000
)

// attempts bounds how often passwords are tried: from one address, and on one
// person. Both fill up again with time, so that nobody is locked out for good.
type attempts struct {
	addresses *ratelimit.Buckets[netip.Addr]
	people    *ratelimit.Buckets[string]
}

func newAttempts() (*attempts, error) {
	addresses, err := ratelimit.New[netip.Addr](ratelimit.Rate{Requests: triesPerAddress, Window: addressWindow}, mostCounted)
	if err != nil {
		return nil, err
	}
	people, err := ratelimit.New[string](ratelimit.Rate{Requests: triesPerPerson, Window: personWindow}, mostCounted)
	if err != nil {
		return nil, err
	}
	return &attempts{addresses, people}, nil
}

// admit counts an attempt. It returns fault.RateLimited, with how long to wait,
// for one too many.
func (a *attempts) admit(from netip.Addr, foldedEmail string, now time.Time) error {
	if state, ok := a.addresses.Take(ratelimit.Network(from), now); !ok && from.IsValid() {
		return tooMany(state.Wait)
	}
	if state, ok := a.people.Take(foldedEmail, now); !ok {
		return tooMany(state.Wait)
	}
	return nil
}

// address counts an attempt of nobody in particular from an address, as admit
// does.
func (a *attempts) address(from netip.Addr, now time.Time) error {
	if state, ok := a.addresses.Take(ratelimit.Network(from), now); !ok && from.IsValid() {
		return tooMany(state.Wait)
	}
	return nil
}

func tooMany(wait time.Duration) error {
	return fault.Errorf(fault.RateLimited, "There were too many attempts. Try again in %s.", wait.Round(time.Second)+time.Second)
}

// worked forgets the attempts on a person who signed in.
func (a *attempts) worked(foldedEmail string) { a.people.Forget(foldedEmail) }
