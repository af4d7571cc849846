package egress

import "net/netip"

// global is the range of IPv6 addresses that are assigned for use on the Internet (RFC 4291, section 2.4). Everything
// outside of it is refused: loopback, link-local, unique local (RFC 4193), multicast, IPv4-compatible addresses, the
// local NAT64 prefix 64:ff9b:1::/48 (RFC 8215), discard-only and what is not assigned.
var global = netip.MustParsePrefix("2000::/3")

// nat64 embeds an IPv4 address in its last four bytes (RFC 6052). A host that has only IPv6 reaches IPv4 this way.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// refused lists the ranges that do not belong to one host on the Internet (the special-purpose address registries of
// IANA, RFC 6890).
var refused = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // shared by carriers (CGNAT)
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // Azure's platform, reachable from its virtual machines only
	"169.254.0.0/16",   // link-local, with the metadata services of clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // IETF protocol assignments
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // relays of 6to4
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, and broadcast

	"2001::/23",     // IETF protocol assignments: Teredo, benchmarks, ORCHID
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4, which embeds an IPv4 address
	"3fff::/20",     // documentation
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

func within(addr netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// public reports whether addr belongs to a host on the Internet. An address that embeds an IPv4 address is judged by
// it.
func public(addr netip.Addr) bool {
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if addr.Is6() && (!global.Contains(addr) || isatap(addr)) {
		return false
	}
	return !within(addr, refused)
}

// isatap reports whether addr is the address of an IPv4 tunnel within a site (RFC 5214, section 6.1).
func isatap(addr netip.Addr) bool {
	b := addr.As16()
	return (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
