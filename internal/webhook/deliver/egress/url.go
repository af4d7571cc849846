package egress

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"latchkey/internal/fault"
)

// MaxURL is the maximum length of a URL in characters.
const MaxURL = 2048

// Check reports whether requests may be sent to the URL, as an absolute URL that an account entered. It returns
// fault.Invalid on "url" with what is wrong. A name is looked up only if the operator allows own ranges and the URL
// needs them; what other names resolve to is decided when a connection is opened.
func (p *Policy) Check(ctx context.Context, text string) error {
	if len(text) > MaxURL {
		return invalid("The URL is longer than %d characters.", MaxURL)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return invalid("The URL contains a space or a character that URLs do not have. " +
			"Encode it as %%XX, and write the host's name in ASCII (xn--…).")
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return invalid("This is not the URL of a receiver. It has the form https://example.com/path.")
	}
	if u.User != nil {
		return invalid("The URL contains a user name or a password. Verify the signature of requests instead.")
	}
	if u.Fragment != "" || strings.Contains(text, "#") {
		return invalid("The URL has a fragment (#…), which is never sent. Remove it.")
	}
	port, ok := portOf(u)
	if !ok {
		return invalid("The URL has an invalid port.")
	}
	return p.checkHost(ctx, u, port)
}

func (p *Policy) checkHost(ctx context.Context, u *url.URL, port uint16) error {
	host := u.Hostname()
	tls := u.Scheme == "https"
	if strings.HasPrefix(u.Host, "[") || numeric(host) {
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" || addr.Is4() == strings.HasPrefix(u.Host, "[") {
			return invalid("The URL's host is not an IP address in its usual form. " +
				"Write it as 203.0.113.7 or [2001:db8::7].")
		}
		if p.Allows(netip.AddrPortFrom(addr, port), tls) {
			return nil
		}
		if !public(addr.Unmap()) {
			return invalid("The URL's address is not on the Internet. " +
				"The server's operator can allow addresses of private networks (--webhook-allow).")
		}
		return invalidPort(tls)
	}
	if !validName(host) {
		return invalid("The URL's host is not the name of a host.")
	}
	if tls && slices.Contains(ports, port) && !local(host) {
		return nil
	}
	if p.resolvesToOwn(ctx, host) {
		return nil
	}
	if local(host) {
		return invalid("The URL's host is not on the Internet. " +
			"The server's operator can allow addresses of private networks (--webhook-allow).")
	}
	return invalidPort(tls)
}

func invalidPort(tls bool) error {
	if !tls {
		return invalid("The URL must begin with https://.")
	}
	return invalid("The URL's port must be 443 or 8443.")
}

// resolvesToOwn reports whether a name has an address in the operator's ranges.
func (p *Policy) resolvesToOwn(ctx context.Context, name string) bool {
	if len(p.own) == 0 {
		return false
	}
	addrs, err := p.lookup(ctx, name)
	return err == nil && slices.ContainsFunc(addrs, p.owns)
}

// portOf returns the port of a URL, or false if it is not a port.
func portOf(u *url.URL) (uint16, bool) {
	_, text, err := net.SplitHostPort(u.Host)
	if err != nil { // without a port
		if u.Scheme == "http" {
			return 80, true
		}
		return 443, true
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err == nil && port > 0
}

// numeric reports whether resolvers may read a host as an IPv4 address: its last label is a number (URL Standard, "ends
// in a number checker"). 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1.
func numeric(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last != "" && strings.Trim(last, "0123456789") == "" {
		return true
	}
	hex, is := strings.CutPrefix(strings.ToLower(last), "0x")
	return is && strings.Trim(hex, "0123456789abcdef") == ""
}

// validName reports whether a host has the form of a name: labels of letters, digits, hyphens and underscores.
func validName(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

// localZones are domains that never name a host on the Internet (RFC 6761, RFC 6762, RFC 8375, and ICANN's reservation
// of internal).
var localZones = []string{".localhost", ".local", ".internal", ".home.arpa", ".localdomain"}

// local reports whether a name is one of a local network: it has no dot or is in a local zone.
func local(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return !strings.Contains(name, ".") ||
		slices.ContainsFunc(localZones, func(zone string) bool { return strings.HasSuffix(name, zone) })
}

func invalid(format string, args ...any) error {
	return fault.Errorf(fault.Invalid, format, args...).On("url")
}
