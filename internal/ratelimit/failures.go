package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
)

// Failures limits failed attempts to authenticate, by the client's address.
//
// Many clients share an address behind a proxy or NAT, and one of them that fails
// all the time must not lock the others out. So for an address that is over its rate,
// two kinds of credentials are still checked: those that worked before, and new ones on
// trial. A trial costs one of a second bucket of the same rate, which is returned
// unless the credential fails; a credential that failed in the last window gets
// none. Repeating bad credentials so costs the others nothing, and guessing gets
// twice the rate at most.
//
// Invalid addresses have no limit. Up to the rate, a failure is counted after the check,
// so concurrent checks can exceed the rate. If it were counted before, a hundred valid
// credentials at once that this process has not seen yet would count as a hundred
// failures.
type Failures struct {
	byAddress, trials *Buckets[netip.Addr]
	// worked holds hashes of credentials, not the credentials. The hash is
	// short and its seed is this process's. A collision only means that a
	// credential is checked that would not have been.
	worked *otter.Cache[uint64, struct{}]
	// failed holds when credentials last failed, in Unix time in nanoseconds. It
	// is apart from worked so that guesses cannot evict what works.
	failed *otter.Cache[uint64, int64]
	window time.Duration
	seed   maphash.Seed
}

// Admission is the decision whether to check a credential.
type Admission int

const (
	// Refused credentials are not checked.
	Refused Admission = iota
	// Admitted credentials are checked.
	Admitted
	// OnTrial credentials are checked. Returned returns their trial, and Failed uses
	// it up.
	OnTrial
)

// maxFailed is the maximum number of failed credentials that are cached.
const maxFailed = 10_000

// NewFailures returns a limit for at most most addresses, which caches at most
// most credentials. It returns an error for a rate or a number that is not
// positive.
func NewFailures(r Rate, most int) (*Failures, error) {
	byAddress, err := New[netip.Addr](r, most)
	if err != nil {
		return nil, err
	}
	trials, err := New[netip.Addr](r, most)
	if err != nil {
		return nil, err
	}
	worked, err := otter.New(&otter.Options[uint64, struct{}]{MaximumSize: most})
	if err != nil {
		return nil, err
	}
	failed, err := otter.New(&otter.Options[uint64, int64]{MaximumSize: min(most, maxFailed)})
	if err != nil {
		return nil, err
	}
	return &Failures{
		byAddress: byAddress, trials: trials, worked: worked, failed: failed, window: r.Window,
		seed: maphash.MakeSeed(),
	}, nil
}

// Admit reports whether to check a credential from the address, and the state of the
// address.
func (f *Failures) Admit(from netip.Addr, credential string, now time.Time) (State, Admission) {
	network := Network(from)
	state := f.byAddress.Peek(network, now)
	if state.Left > 0 || !from.IsValid() {
		return state, Admitted
	}
	hash := f.hash(credential)
	if _, known := f.worked.GetIfPresent(hash); known {
		return state, Admitted
	}
	if at, known := f.failed.GetIfPresent(hash); known && time.Duration(now.UnixNano()-at).Abs() < f.window {
		return state, Refused
	}
	if _, taken := f.trials.Take(network, now); taken {
		return state, OnTrial
	}
	return state, Refused
}

// Failed counts a credential that does not work.
func (f *Failures) Failed(from netip.Addr, credential string, now time.Time) {
	if from.IsValid() {
		f.byAddress.Take(Network(from), now)
	}
	hash := f.hash(credential)
	f.worked.Invalidate(hash)
	f.failed.Set(hash, now.UnixNano())
}

// Returned returns the trial of a credential that did not fail.
func (f *Failures) Returned(from netip.Addr, now time.Time) { f.trials.Return(Network(from), now) }

// Worked caches that a credential works, until Failed is called for it.
func (f *Failures) Worked(credential string) {
	hash := f.hash(credential)
	if _, known := f.worked.GetIfPresent(hash); !known {
		f.worked.Set(hash, struct{}{})
		f.failed.Invalidate(hash)
	}
}

// ShouldReport reports whether a refusal of the address should be logged. It reports
// true for the first one in a window.
func (f *Failures) ShouldReport(from netip.Addr, now time.Time) bool {
	return f.byAddress.ShouldReport(Network(from), now)
}

func (f *Failures) hash(credential string) uint64 { return maphash.String(f.seed, credential) }

// Network returns the network that is limited as one client: an IPv4 address, or the
// /64 of an IPv6 address, because a site has at least a /64 (RFC 6177).
func Network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	bytes := a.As16()
	clear(bytes[8:])
	return netip.AddrFrom16(bytes)
}
