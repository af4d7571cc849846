package httpserver

import (
	"crypto/tls"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/httpserver/connlimit"
)

// smallestFrames is the size of frames of HTTP/2 that every server must accept (RFC 9113, section 4.2), in bytes.
const smallestFrames = 16 << 10

// newConnections returns the limits of the public listener's connections, and registers their metrics.
func newConnections(c Config, m *metrics) *connlimit.Limiter {
	closed := map[connlimit.Reason]prometheus.Counter{}
	for _, reason := range connlimit.Reasons() {
		closed[reason] = m.closed.WithLabelValues(string(reason))
	}
	l := connlimit.New(connlimit.Config{
		PerAddress: c.Connections.PerAddress, Total: c.Connections.Total, TLS: c.TLS != nil, Exempt: c.TrustedProxies,
		Closed: func(r connlimit.Reason) { closed[r].Inc() }, Log: c.Log,
	})
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "latchkey_connections_open", Help: "Open connections of the public listener, trusted proxies apart.",
	}, func() float64 { return float64(l.Open()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "latchkey_connections_header_bytes",
		Help: "Estimated memory of connections whose request header or TLS handshake is not complete, in bytes.",
	}, func() float64 { return float64(l.Waiting()) }))
	return l
}

// reportHello returns a copy of the settings that reports to l when a client's first message was read.
func reportHello(c *tls.Config, l *connlimit.Limiter) *tls.Config {
	c = c.Clone()
	configFor := c.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		l.ReadHello(hello.Conn)
		if configFor == nil {
			return nil, nil //nolint:nilnil // the settings in use stay
		}
		return configFor(hello)
	}
	return c
}
