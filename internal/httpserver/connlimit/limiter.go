// Package connlimit bounds the connections of a listener and the memory that unfinished request headers take.
//
// A Limiter has three limits. The number of open connections of one client address keeps one client from taking all.
// The number of open connections of all addresses bounds connections that wait for their next request. The memory of
// connections whose request header, or TLS handshake, is not complete bounds those that many addresses hold on purpose:
// net/http parses a header as it arrives, so that 19 kB in thousands of short lines take 600 kB. If that memory is
// exceeded, connections of the address that takes most of it are closed, the oldest first, because the header of a
// client with a request to make arrives at once.
package connlimit

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/internal/ratelimit"
)

// Reason is why a connection was closed.
type Reason string

// The reasons. The first two are those of new connections that were refused.
const (
	// Address: its address had as many open connections as allowed.
	Address Reason = "address"
	// Total: as many connections were open as allowed, and none of those that were looked at was idle.
	Total Reason = "total"
	// Header: it was closed while its header or its TLS handshake was not complete, to make room for others.
	Header Reason = "header"
	// Idle: it was closed between two requests, to make room for others.
	Idle Reason = "idle"
)

// Reasons returns all reasons.
func Reasons() []Reason { return []Reason{Address, Total, Header, Idle} }

// headerMemory is the maximum memory of unfinished headers, in bytes.
const headerMemory = 16 << 20

// Config configures a Limiter.
type Config struct {
	// PerAddress is the maximum number of open connections of one address (of IPv6, its /64), and Total that of all. 0
	// means no limit.
	PerAddress, Total int
	// HeaderMemory is the maximum memory of unfinished headers in bytes. 0 means the default.
	HeaderMemory int
	// TLS reports whether the connections carry TLS.
	TLS bool
	// Exempt are the addresses whose connections are not limited.
	Exempt []netip.Prefix
	// Closed is called for each connection that was refused or closed. It must return at once.
	Closed func(Reason)
	Log    *slog.Logger
}

// Limiter limits the connections of a listener. It is safe for concurrent use.
type Limiter struct {
	c Config
	// accepted counts connections. Idle connections are compared by it, which costs less than a clock.
	accepted atomic.Uint64

	mu       sync.Mutex
	open     map[*conn]struct{}
	networks map[netip.Addr]*network
	// waiting is the memory of the connections that wait for their header, in bytes.
	waiting int
	logged  map[Reason]time.Time
}

// network is an address with open connections.
type network struct {
	address netip.Addr
	open    int
	// waiting are the connections that wait for their header.
	waiting queue
}

// New returns a limiter for one listener.
func New(c Config) *Limiter {
	if c.HeaderMemory == 0 {
		c.HeaderMemory = headerMemory
	}
	return &Limiter{c: c, open: map[*conn]struct{}{}, networks: map[netip.Addr]*network{},
		logged: map[Reason]time.Time{}}
}

// Listener returns a listener that accepts the connections of inner and closes those that are over a limit.
func (l *Limiter) Listener(inner net.Listener) net.Listener { return &listener{inner, l} }

// Open returns the number of open connections that are limited.
func (l *Limiter) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Waiting returns the memory of unfinished headers, in bytes, as it is estimated.
func (l *Limiter) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

type listener struct {
	net.Listener

	limiter *Limiter
}

// Accept returns the next connection that is within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.limiter.admit(c); admitted != nil {
			return admitted, nil
		}
		if tcp, is := c.(*net.TCPConn); is {
			_ = tcp.SetLinger(0) // a reset leaves nothing behind in the kernel
		}
		_ = c.Close()
	}
}

// admit returns the connection to serve, or nil if it is over a limit.
func (l *Limiter) admit(inner net.Conn) net.Conn {
	peer, _ := netip.ParseAddrPort(inner.RemoteAddr().String())
	address := peer.Addr().Unmap().WithZone("")
	if slices.ContainsFunc(l.c.Exempt, func(p netip.Prefix) bool { return p.Contains(address) }) {
		return inner
	}
	c := &conn{Conn: inner, limiter: l}
	c.since.Store(l.accepted.Add(1))
	key := ratelimit.Network(address)
	l.mu.Lock()
	if of := l.networks[key]; of != nil && l.c.PerAddress > 0 && of.open >= l.c.PerAddress {
		l.mu.Unlock()
		l.report(Address, address)
		return nil
	}
	var closing []*conn
	if l.c.Total > 0 && len(l.open) >= l.c.Total {
		idle := l.longestIdle()
		if idle == nil {
			l.mu.Unlock()
			l.report(Total, address)
			return nil
		}
		l.forget(idle)
		closing = append(closing, idle)
	}
	if c.network = l.networks[key]; c.network == nil {
		c.network = &network{address: key}
		l.networks[key] = c.network
	}
	l.open[c] = struct{}{}
	c.network.open++
	l.enqueue(c)
	closing = append(closing, l.excess()...)
	l.mu.Unlock()
	l.closeAll(closing)
	return c
}

// closeAll closes connections to make room.
func (l *Limiter) closeAll(all []*conn) {
	for _, c := range all {
		reason := Header
		if c.state.Load() == idle && !c.waits() {
			reason = Idle
		}
		_ = c.Conn.Close()
		l.report(reason, c.network.address)
	}
}

// sampled is the number of connections of which the one is closed that has been idle for the longest time.
const sampled = 64

// longestIdle returns the connection without a request that has been so for the longest time, of some connections; nil
// if all of these have one. To find the very one among all connections, each request would have to move its connection
// to the end of a list.
func (l *Limiter) longestIdle() *conn {
	var longest *conn
	seen := 0
	for c := range l.open { // in random order
		if seen++; seen > sampled {
			break
		}
		if c.state.Load() != active && (longest == nil || c.since.Load() < longest.since.Load()) {
			longest = c
		}
	}
	return longest
}

// forget removes a connection from all counts. The caller holds mu.
func (l *Limiter) forget(c *conn) {
	if _, counted := l.open[c]; !counted {
		return
	}
	delete(l.open, c)
	if c.network.open--; c.network.open == 0 {
		delete(l.networks, c.network.address)
	}
	l.dequeue(c)
}

// enqueue adds a connection to those that wait for their header, or changes what it counts. The caller holds mu.
func (l *Limiter) enqueue(c *conn) {
	cost := c.cost(l.c.TLS)
	l.waiting += cost - c.counted
	c.network.waiting.push(c, cost)
	c.queued.Store(int64(cost))
}

func (l *Limiter) dequeue(c *conn) {
	if c.counted > 0 {
		l.waiting -= c.counted
		c.network.waiting.remove(c)
		c.queued.Store(0)
	}
}

// fair is the memory of unfinished headers below which networks count as equal, in bytes: a few handshakes, or a
// header.
const fair = 128 << 10

// excess removes connections that wait for their header until the others are within the memory: the oldest one of the
// network that takes most, again and again. The caller holds mu, and closes them.
func (l *Limiter) excess() []*conn {
	var all []*conn
	for l.waiting > l.c.HeaderMemory {
		var most *queue
		for _, n := range l.networks {
			q := &n.waiting
			if q.front == nil {
				continue
			}
			if most == nil || q.cost/fair > most.cost/fair ||
				q.cost/fair == most.cost/fair && q.front.since.Load() < most.front.since.Load() {
				most = q
			}
		}
		all = append(all, most.front)
		l.forget(most.front)
	}
	return all
}

// wait counts what the header of the connection takes by now. It reports whether the connection stays open.
func (l *Limiter) wait(c *conn) bool {
	l.mu.Lock()
	var closing []*conn
	if _, counted := l.open[c]; counted && c.waits() {
		l.enqueue(c)
		closing = l.excess()
	}
	_, stays := l.open[c]
	l.mu.Unlock()
	l.closeAll(closing)
	return stays
}

// complete ends the wait for a header.
func (l *Limiter) complete(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dequeue(c)
}

// ConnState follows the state of a connection. It is the hook of http.Server.
func (l *Limiter) ConnState(nc net.Conn, s http.ConnState) {
	c := limited(nc)
	if c == nil {
		return
	}
	switch s {
	case http.StateActive:
		// Of HTTP/1 the header is complete; of HTTP/2 there is a stream.
		c.state.Store(active)
		c.learnProtocol(nc)
		if c.queued.Load() != 0 {
			l.complete(c)
		}
	case http.StateIdle:
		c.since.Store(l.accepted.Load())
		c.begins(0, 0)
		c.state.Store(idle)
		if c.http2.Load() {
			l.wait(c) // net/http does not say when a header begins
		}
	case http.StateNew, http.StateHijacked, http.StateClosed:
	}
}

// ReadHello is called when the first message of a TLS handshake was read. The bytes so far are no part of a header.
func (l *Limiter) ReadHello(nc net.Conn) {
	if c := limited(nc); c != nil {
		c.begins(0, 0)
		c.hello.Store(true)
	}
}

// limited returns the limiter's connection below nc; nil if it is exempt.
func limited(nc net.Conn) *conn {
	if over, is := nc.(*tls.Conn); is {
		nc = over.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}

// report counts a connection that was refused or closed, and logs it at most once a minute.
func (l *Limiter) report(r Reason, address netip.Addr) {
	if l.c.Closed != nil {
		l.c.Closed(r)
	}
	now := time.Now()
	l.mu.Lock()
	due := now.Sub(l.logged[r]).Abs() >= time.Minute
	if due {
		l.logged[r] = now
	}
	l.mu.Unlock()
	if due && l.c.Log != nil {
		l.c.Log.LogAttrs(context.Background(), slog.LevelWarn, messages[r]+"; this is logged once a minute at most",
			slog.String("client", address.String()))
	}
}

// messages are the texts of the log.
var messages = map[Reason]string{
	Address: "a connection was refused because its address has as many open as --connections-per-address allows; " +
		"if it is a proxy of yours, add it to --trusted-proxies, which are not limited",
	Total: "a connection was refused because as many are open as --open-connections allows, and all have requests",
	Header: "a connection was closed before its request was complete, because too many clients " +
		"had sent only a part of a request",
	Idle: "an idle connection was closed because as many are open as --open-connections allows",
}
