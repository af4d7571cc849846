package httpserver_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"latchkey/internal/config"
	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

// Connections over a limit are counted, and logged once.
func TestConnectionsOverALimit(t *testing.T) {
	server := start(t, whoami, func(c *httpserver.Config) { c.Connections = config.Connections{PerAddress: 2} })
	address := strings.TrimPrefix(server.public, "http://")
	for range 2 {
		open, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
	}
	eventually(t, "both connections are counted", func() bool {
		return strings.Contains(server.do(t, "GET", server.admin+"/metrics", "").text, "latchkey_connections_open 2\n")
	})
	for range 3 {
		over, err := net.Dial("tcp", address)
		if err != nil {
			continue // it was closed before it could be used
		}
		_ = over.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = over.Read(make([]byte, 1))
		check.Equal(t, err != nil, true, "a connection over the limit is closed")
		_ = over.Close()
	}
	metrics := server.do(t, "GET", server.admin+"/metrics", "").text
	for _, want := range []string{`latchkey_connections_closed_total{reason="address"} 3`,
		`latchkey_connections_closed_total{reason="header"} 0`, "latchkey_connections_header_bytes 32768"} {
		check.Equal(t, strings.Contains(metrics, want+"\n"), true, "the metrics have %s", want)
	}
	check.Equal(t, strings.Count(server.log.String(), "a connection was refused"), 1, "lines of the log")
}

// A trusted proxy has no limit.
func TestConnectionsOfATrustedProxy(t *testing.T) {
	server := start(t, whoami, func(c *httpserver.Config) {
		c.Connections, c.TrustedProxies = config.Connections{PerAddress: 1, Total: 1}, prefixes("127.0.0.0/8")
	})
	for range 5 {
		open, err := net.Dial("tcp", strings.TrimPrefix(server.public, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		check.Equal(t, server.api(t, "X-Auth-Token: "+goodToken).StatusCode, 200, "a request beside open connections")
	}
}
