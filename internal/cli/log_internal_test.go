package cli

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/config"
)

// sink counts writes.
type sink struct {
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.text.Write(p)
}

func (s *sink) state() (lines, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), "\n"), s.writes
}

func TestLinesAreWrittenTogether(t *testing.T) {
	to := &sink{}
	lines := newLineWriter(to)
	log := newLog(config.Log{}, lines)
	for range 10 {
		log.Info("request")
	}
	lines.Flush()
	if n, writes := to.state(); n != 10 || writes != 1 {
		t.Errorf("got %d lines in %d writes, want 10 in 1", n, writes)
	}
}

func TestNoLineWaitsLong(t *testing.T) {
	to := &sink{}
	log := newLog(config.Log{JSON: true}, newLineWriter(to))
	for round := 1; round <= 2; round++ {
		log.Info("request")
		for deadline := time.Now().Add(20 * logDelay); ; time.Sleep(time.Millisecond) {
			if n, _ := to.state(); n == round {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("got no line %d after %v, want one", round, 20*logDelay)
			}
		}
	}
}

// Warnings and errors, which may be the last lines of a crashing program, are
// written immediately, together with the lines before them.
func TestWarningsAreWrittenAtOnce(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelWarn, slog.LevelError} {
		to := &sink{}
		log := newLog(config.Log{}, newLineWriter(to)).With("a", 1).WithGroup("b")
		log.Info("request")
		log.Log(t.Context(), level, "trouble", "c", 2)
		if n, _ := to.state(); n != 2 || !strings.Contains(to.text.String(), "a=1 b.c=2") {
			t.Errorf("%s: %d lines, %s, want 2 with a=1 b.c=2", level, n, to.text.String())
		}
	}
}

func TestLogLevel(t *testing.T) {
	to := &sink{}
	lines := newLineWriter(to)
	newLog(config.Log{Level: slog.LevelWarn}, lines).Info("request")
	lines.Flush()
	if n, _ := to.state(); n != 0 {
		t.Errorf("got %d lines, want 0", n)
	}
}
