package httpserver

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// peerAddress returns the address of the peer of the connection.
func peerAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(peer.Addr())
}

// plain returns a in the form in which addresses are compared: without a zone,
// and IPv4-mapped IPv6 addresses as IPv4.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// proxies are the ranges of the proxies whose forwarding headers are trusted.
type proxies []netip.Prefix

func (p proxies) trusts(a netip.Addr) bool { return within(p, a) }

func within(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(a) })
}

// clientBehind returns the address of the client behind a trusted proxy. Each
// proxy appends the address of its peer to X-Forwarded-For, so the list is read
// from the end, skipping trusted proxies. Entries further left are set by the
// client and are ignored. If an entry is not an address, clientBehind returns
// the zero Addr, which is in no range.
func (p proxies) clientBehind(peer netip.Addr, h http.Header) netip.Addr {
	client := peer
	lines := h["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var entry string
			rest, entry, more = cutLast(rest)
			addr, ok := forwardedAddress(strings.TrimSpace(entry))
			if !ok {
				return netip.Addr{}
			}
			client = addr
			if !p.trusts(addr) {
				return client
			}
		}
	}
	return client
}

// cutLast slices list around its last comma.
func cutLast(list string) (rest, last string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// forwardedAddress parses an entry of X-Forwarded-For: an address, with or
// without a port.
func forwardedAddress(entry string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
		return plain(addr), true
	}
	if withPort, err := netip.ParseAddrPort(entry); err == nil {
		return plain(withPort.Addr()), true
	}
	return netip.Addr{}, false
}

// ids generates request ids: a random id of the server followed by a counter.
// Request ids must be unique but need not be secret.
type ids struct {
	server string
	number atomic.Uint64
}

func newIDs() *ids { return &ids{server: rand.Text() + "-"} }

func (i *ids) next() string {
	var room [48]byte
	return string(strconv.AppendUint(append(room[:0], i.server...), i.number.Add(1), 36))
}

// requestID returns the id that a trusted proxy sent, if it is safe to log, or
// else a new one.
func (p *public) requestID(trusted bool, h http.Header) string {
	if trusted {
		if sent := h[requestIDHeader]; len(sent) == 1 && saneID(sent[0]) {
			return sent[0]
		}
	}
	return p.ids.next()
}

// saneID reports whether an id has 8 to 64 letters, digits, "-", "_" and ".",
// and does not look like a credential, even a mistyped one. Proxies forward ids
// that clients send, and every log line has the id.
func saneID(id string) bool {
	if len(id) > 4 && id[:2] == "lk" && id[3] == '_' {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if c-'0' >= 10 && c-'A' >= 26 && c-'a' >= 26 && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return len(id) >= 8 && len(id) <= 64
}
