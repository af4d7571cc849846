package connlimit

import (
	"bytes"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// The states of a connection, as http.ConnState names them.
const (
	fresh int32 = iota // new: no header was complete yet
	active
	idle
)

// conn is a connection that is limited. Its fields are atomic because HTTP/2 reads in a goroutine of its own.
type conn struct {
	net.Conn

	limiter *Limiter
	network *network
	state   atomic.Int32
	// since is how many connections the limiter had accepted when the connection became idle, or was accepted itself.
	since atomic.Uint64
	// http2 reports that the connection has several requests at once, and known that this was found out.
	http2, known atomic.Bool
	// hello reports that the client's first message of a TLS handshake was read, after which the TLS state is made.
	hello atomic.Bool
	// deadlines counts the deadlines that were set since the connection became idle: the first is that of the wait for
	// the next request, and the second, which net/http sets when the first bytes are there, that of its header.
	deadlines atomic.Int32
	// received and lines are the bytes and the ends of lines that arrived of the header, and last those of the last
	// read.
	received, lines, last atomic.Int64
	// queued is the cost with which the connection is in its queue; 0 if it is in none. It changes under the limiter's
	// mu.
	queued atomic.Int64

	// counted is the cost in the queue of the network; 0 outside of it. The limiter's mu guards it and the place there.
	counted        int
	next, previous *conn
}

// Read reads. A request that arrives as a whole, on a connection that is kept open, takes no lock: only a second read
// for one header is counted.
func (c *conn) Read(p []byte) (int, error) {
	if c.waits() && c.queued.Load() != int64(c.cost(c.limiter.c.TLS)) && !c.limiter.wait(c) {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p)
	if n <= 0 {
		return n, err
	}
	c.last.Store(int64(n))
	if c.state.Load() == active {
		return n, err
	}
	c.received.Add(int64(n))
	if !c.limiter.c.TLS {
		c.lines.Add(int64(bytes.Count(p[:n], newline)))
	}
	// Whatever takes much is counted before it is parsed.
	if c.takesMuch() && !c.limiter.wait(c) {
		return 0, net.ErrClosed
	}
	return n, err
}

// takesMuch reports whether the part of a header that has arrived takes more memory than most whole ones.
func (c *conn) takesMuch() bool {
	const usual = 16 << 10
	return c.cost(c.limiter.c.TLS)-c.baseCost(c.limiter.c.TLS) > usual
}

var newline = []byte("\n")

// waits reports whether the connection is in the middle of a header, or may be.
func (c *conn) waits() bool {
	switch c.state.Load() {
	case fresh:
		return true
	case idle:
		return c.deadlines.Load() > 1 || c.http2.Load() || c.takesMuch()
	}
	return false
}

// begins sets what arrived of the next header.
func (c *conn) begins(received, lines int64) {
	c.deadlines.Store(0)
	c.received.Store(received)
	c.lines.Store(lines)
}

// SetReadDeadline sets the deadline. The first bytes of a header can have arrived together with the request before it:
// then any part of the last read may be theirs.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.state.Load() == idle && !c.http2.Load() && c.deadlines.Add(1) == 2 {
		if last := c.last.Load(); c.received.Load() < last {
			c.received.Store(last)
			c.lines.Store(last / shortLine)
		}
	}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite ends the sending side, so that the client can read a response before the connection is closed.
func (c *conn) CloseWrite() error {
	if closer, is := c.Conn.(interface{ CloseWrite() error }); is {
		return closer.CloseWrite()
	}
	return nil
}

// Close closes the connection and removes it from all counts.
func (c *conn) Close() error {
	c.limiter.mu.Lock()
	c.limiter.forget(c)
	c.limiter.mu.Unlock()
	return c.Conn.Close()
}

// learnProtocol finds out whether the connection has HTTP/2.
func (c *conn) learnProtocol(nc net.Conn) {
	if c.known.Load() {
		return
	}
	c.known.Store(true)
	if over, is := nc.(*tls.Conn); is {
		c.http2.Store(over.ConnectionState().NegotiatedProtocol == "h2")
	}
}

// What an unfinished header takes in the worst case, measured with Go 1.26: per connection the goroutine, two buffers
// and the TLS state; per byte the line that is being read; per line the entry of a map, its key and its value. Under
// TLS lines cannot be counted, so after the first bytes, which are the rest of the handshake, each byte costs as much
// as in the shortest lines.
const (
	connCost, tlsConnCost, http2ConnCost = 16 << 10, 32 << 10, 40 << 10
	byteCost, lineCost                   = 2, 128
	tlsByteCost, tlsLaterByteCost        = 4, 30
	tlsFirstBytes                        = 2 << 10
	shortLine                            = 3
)

// cost returns what the connection takes while it waits for its header, in bytes, as an upper estimate.
func (c *conn) cost(overTLS bool) int {
	base, received := c.baseCost(overTLS), int(c.received.Load())
	switch {
	case c.http2.Load(), overTLS && !c.hello.Load():
		return base + tlsByteCost*received
	case overTLS:
		first := min(received, tlsFirstBytes)
		return base + tlsByteCost*first + tlsLaterByteCost*(received-first)
	}
	return base + byteCost*received + lineCost*int(c.lines.Load())
}

// baseCost returns what the connection takes without a part of a header.
func (c *conn) baseCost(overTLS bool) int {
	switch {
	case c.http2.Load():
		return http2ConnCost
	case overTLS && c.hello.Load():
		return tlsConnCost
	}
	return connCost
}

// queue is a list of connections, the oldest at its front.
type queue struct {
	front, back *conn
	cost        int
}

// push adds a connection at the back, or changes the cost of one that is in the queue.
func (q *queue) push(c *conn, cost int) {
	q.cost += cost - c.counted
	added := c.counted == 0
	c.counted = cost
	if !added {
		return
	}
	if c.previous = q.back; q.back == nil {
		q.front = c
	} else {
		q.back.next = c
	}
	q.back = c
}

func (q *queue) remove(c *conn) {
	q.cost -= c.counted
	if c.previous == nil {
		q.front = c.next
	} else {
		c.previous.next = c.next
	}
	if c.next == nil {
		q.back = c.previous
	} else {
		c.next.previous = c.previous
	}
	c.counted, c.next, c.previous = 0, nil, nil
}
