// Package egress decides which addresses the server connects to on behalf of an account. Without it, a webhook could
// reach hosts that only the server can reach: databases, other services of the operator, the metadata services of
// clouds (server-side request forgery).
//
// The decision is made for the address that is dialed, after the name was resolved, so that a name whose answer changes
// gains nothing.
package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// ErrNotAllowed is in the error chain of a connection to an address that is not allowed. It does not name the address,
// because the account may not know it.
var ErrNotAllowed = errors.New("address not allowed")

// ports are those of hosts on the Internet that may be dialed.
var ports = []uint16{443, 8443}

const (
	dialTimeout   = 10 * time.Second
	lookupTimeout = 5 * time.Second
)

// Policy decides which addresses are allowed: hosts on the Internet at the ports 443 and 8443 with TLS, and any port,
// with or without TLS, in the operator's ranges. It is safe for concurrent use.
type Policy struct {
	own      []netip.Prefix
	resolver *net.Resolver
}

// New returns a policy with the operator's own ranges, which may be empty. A nil resolver is that of the machine.
func New(own []netip.Prefix, resolver *net.Resolver) *Policy {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	p := &Policy{own: make([]netip.Prefix, len(own)), resolver: resolver}
	for i, prefix := range own {
		p.own[i] = unmapped(prefix)
	}
	return p
}

// unmapped returns a range of IPv4-mapped addresses as a range of IPv4 addresses.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Allows reports whether the policy allows a connection to the address, with TLS or without.
func (p *Policy) Allows(to netip.AddrPort, tls bool) bool {
	addr := to.Addr()
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	return p.owns(addr) || tls && slices.Contains(ports, to.Port()) && public(addr)
}

// owns reports whether the address is in the operator's ranges.
func (p *Policy) owns(addr netip.Addr) bool { return within(addr.Unmap(), p.own) }

// DialTLS opens the TCP connection of a TLS connection. Its error has ErrNotAllowed in the chain if the host has no
// address that the policy allows.
func (p *Policy) DialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	return p.dial(ctx, network, address, true)
}

// DialPlain opens a connection without TLS, as DialTLS does.
func (p *Policy) DialPlain(ctx context.Context, network, address string) (net.Conn, error) {
	return p.dial(ctx, network, address, false)
}

func (p *Policy) dial(ctx context.Context, network, address string, tls bool) (net.Conn, error) {
	d := net.Dialer{
		Timeout: dialTimeout, Resolver: p.resolver,
		// Control is called for each resolved address, before the connection.
		Control: func(_, resolved string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(resolved)
			if err != nil || !p.Allows(to, tls) {
				return ErrNotAllowed
			}
			return nil
		},
	}
	return d.DialContext(ctx, network, address)
}

// lookup returns the addresses of a name.
func (p *Policy) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	return p.resolver.LookupNetIP(ctx, "ip", name)
}
