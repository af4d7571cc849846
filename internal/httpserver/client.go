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

// peerAddress returns the address at the other end of the connection.
func peerAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(peer.Addr())
}

// plain is the form in which addresses are compared: IPv4 as such, even where
// IPv6 carried it, and without a zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func (p *public) trusts(a netip.Addr) bool { return within(p.TrustedProxies, a) }

func within(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(a) })
}

// clientBehind returns the address of the client behind a trusted proxy. Each
// proxy appends the address it saw to X-Forwarded-For, so the list is walked
// from its end, past the proxies that are trusted; whatever stands further
// left is the client's own claim. When a trusted proxy's entry is no address
// the client's is unknown, which is within no range.
func (p *public) clientBehind(peer netip.Addr, h http.Header) netip.Addr {
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

// cutLast splits a list at its last comma.
func cutLast(list string) (rest, last string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// forwardedAddress reads an entry of X-Forwarded-For: an address, or one with
// a port, as some proxies write it.
func forwardedAddress(entry string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
		return plain(addr), true
	}
	if withPort, err := netip.ParseAddrPort(entry); err == nil {
		return plain(withPort.Addr()), true
	}
	return netip.Addr{}, false
}

// ids makes the ids of requests: the server's own, which is random, and the
// request's number. They need not be secret, only unlike all others.
type ids struct {
	server string
	number atomic.Uint64
}

func newIDs() *ids { return &ids{server: rand.Text() + "-"} }

func (i *ids) next() string {
	var room [48]byte
	return string(strconv.AppendUint(append(room[:0], i.server...), i.number.Add(1), 36))
}

// requestID returns the request's id: the one that a trusted proxy gave it,
// if it is fit for a log, otherwise a new one.
func (p *public) requestID(trusted bool, h http.Header) string {
	if trusted {
		if given := h[requestIDHeader]; len(given) == 1 && saneID(given[0]) {
			return given[0]
		}
	}
	return p.ids.next()
}

// saneID says whether an id is 8 to 64 letters, digits, "-", "_" and ".", and
// no credential, nor a mistyped one: proxies pass on what clients send, and
// the id is in every line of the log.
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
