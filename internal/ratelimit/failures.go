package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
)

// Failures limits failed attempts to authenticate, by the client's address.
//
// Once an address is over its rate, its credentials are not judged any more,
// with one exception: a credential that worked before. Many clients share an
// address behind a proxy or NAT, and one of them that fails all the time must
// not lock the others out. For the same reason unknown addresses have no limit,
// and a failure counts only once it is one: those that are judged at the same
// moment can be more than the rate. Counted before, a hundred good credentials
// at once that this process does not know yet would be a hundred failures.
type Failures struct {
	byAddress *Buckets[netip.Addr]
	// worked holds hashes of credentials, not the credentials. The hash is
	// short and its seed is this process's; two credentials with one hash mean
	// no more than that one of them is judged that would not have been.
	worked *otter.Cache[uint64, struct{}]
	seed   maphash.Seed
}

// NewFailures returns a limit for at most most addresses, which knows at most
// most credentials. It returns an error for a rate or a number that is not
// positive.
func NewFailures(r Rate, most int) (*Failures, error) {
	byAddress, err := New[netip.Addr](r, most)
	if err != nil {
		return nil, err
	}
	worked, err := otter.New(&otter.Options[uint64, struct{}]{MaximumSize: most})
	if err != nil {
		return nil, err
	}
	return &Failures{byAddress: byAddress, worked: worked, seed: maphash.MakeSeed()}, nil
}

// Admit reports whether a credential from the address is to be judged, and how
// the address stands.
func (f *Failures) Admit(from netip.Addr, credential string, now time.Time) (State, bool) {
	state := f.byAddress.Look(Network(from), now)
	if state.Left > 0 || !from.IsValid() {
		return state, true
	}
	_, known := f.worked.GetIfPresent(f.hash(credential))
	return state, known
}

// Failed counts a credential that did not work.
func (f *Failures) Failed(from netip.Addr, credential string, now time.Time) {
	if from.IsValid() {
		f.byAddress.Take(Network(from), now)
	}
	f.worked.Invalidate(f.hash(credential))
}

// Worked remembers that a credential works, until it does not.
func (f *Failures) Worked(credential string) {
	hash := f.hash(credential)
	if _, known := f.worked.GetIfPresent(hash); !known {
		f.worked.Set(hash, struct{}{})
	}
}

// Tell reports whether a refusal of the address is worth a word: it is the
// first for a window.
func (f *Failures) Tell(from netip.Addr, now time.Time) bool {
	return f.byAddress.Tell(Network(from), now)
}

func (f *Failures) hash(credential string) uint64 { return maphash.String(f.seed, credential) }

// Network is whom an address stands for. Whoever has one address of IPv6 has
// the rest of its /64, too (RFC 6177).
func Network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	bytes := a.As16()
	clear(bytes[8:])
	return netip.AddrFrom16(bytes)
}
