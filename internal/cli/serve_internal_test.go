package cli

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
)

func TestWarnOfPlainHTTP(t *testing.T) {
	for _, tc := range []struct {
		url, listening string
		warned         bool
	}{
		{"http://127.0.0.1:8080", "127.0.0.1:8080", false},
		{"http://localhost:8080", "[::1]:8080", false},
		{"https://keys.example", "0.0.0.0:8080", false},
		{"http://keys.example", "127.0.0.1:8080", true},
		{"http://localhost:8080", "0.0.0.0:8080", true},
		{"http://0.0.0.0:8080", "0.0.0.0:8080", true},
		{"http://192.0.2.1:8080", "192.0.2.1:8080", true},
	} {
		address, err := net.ResolveTCPAddr("tcp", tc.listening)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		warnOfPlainHTTP(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), tc.url, address)
		if warned := strings.Contains(log.String(), "level=WARN"); warned != tc.warned {
			t.Errorf("%s at %s: warned %v", tc.url, tc.listening, warned)
		}
	}
}
