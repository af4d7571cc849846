package scalar

import (
	"net/netip"

	"github.com/99designs/gqlgen/graphql"

	"latchkey/internal/fault"
)

// MarshalIPAddress writes an IP address as the scalar String. The zero address
// is null.
func MarshalIPAddress(ip netip.Addr) graphql.Marshaler {
	if !ip.IsValid() {
		return graphql.Null
	}
	return written(func(b []byte) ([]byte, bool) { return AppendIPAddress(b, ip) })
}

// AppendIPAddress appends what MarshalIPAddress writes.
func AppendIPAddress(b []byte, ip netip.Addr) ([]byte, bool) {
	if !ip.IsValid() {
		return b, false
	}
	b = append(b, '"')
	b = ip.WithZone("").AppendTo(b)
	return append(b, '"'), true
}

// UnmarshalIPAddress reads an IP address. It returns fault.Invalid for any other
// value.
func UnmarshalIPAddress(v any) (netip.Addr, error) {
	text, _ := v.(string)
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fault.Errorf(fault.Invalid, "This is not an IP address.")
	}
	return ip, nil
}
