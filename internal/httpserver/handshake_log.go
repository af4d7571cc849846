package httpserver

import (
	"bytes"
	"context"
	"log/slog"
	"time"
)

// handshakeLog receives the lines that net/http logs about connections with
// TLS. Failed handshakes are logged at level info at most once a minute, and
// otherwise at debug: scanners and health checks over TCP cause them at will.
type handshakeLog struct {
	log    *slog.Logger
	logged minutely
}

var handshakeFailed = []byte("http: TLS handshake error")

// Write logs a line.
func (h *handshakeLog) Write(line []byte) (int, error) {
	level, text := slog.LevelWarn, string(bytes.TrimSpace(line))
	if bytes.HasPrefix(line, handshakeFailed) {
		level = slog.LevelDebug
		if h.logged.due(time.Now()) {
			level, text = slog.LevelInfo, text+"; this is logged once a minute at most"
		}
	}
	h.log.Log(context.Background(), level, text)
	return len(line), nil
}
