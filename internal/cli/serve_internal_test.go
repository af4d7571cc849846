package cli

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
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
			t.Errorf("%s at %s: got a warning %t, want %t", tc.url, tc.listening, warned, tc.warned)
		}
	}
}

// A server whose database does not answer stops in time, with an error only if
// a request got no response.
func TestInTime(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, answers := range []bool{true, false} {
		never := make(chan struct{})
		err := inTime(stopped, time.Millisecond, slog.New(slog.DiscardHandler), func(answered func()) error {
			if answers {
				answered()
			}
			<-never
			return nil
		})
		close(never)
		if (err == nil) != answers {
			t.Errorf("answers %t: got the error %v, want one only without an answer", answers, err)
		}
	}
}
