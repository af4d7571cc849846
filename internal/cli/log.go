package cli

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"latchkey/internal/config"
)

// A server writes a line of its log for every request. One write to the
// system for many lines costs a fraction of one for each.
const (
	// logDelay is how long a line may wait for others.
	logDelay = 200 * time.Millisecond
	logRoom  = 32 << 10
)

// lineWriter gathers lines and writes them together: when its room is full,
// logDelay after the first, and when Flush is called. It is safe for
// concurrent use.
type lineWriter struct {
	mu    sync.Mutex
	lines *bufio.Writer
	timer *time.Timer
	// waiting says that the timer runs.
	waiting bool
}

func newLineWriter(to io.Writer) *lineWriter {
	w := &lineWriter{lines: bufio.NewWriterSize(to, logRoom)}
	w.timer = time.AfterFunc(logDelay, w.Flush)
	w.timer.Stop()
	return w
}

// Write adds a line.
func (w *lineWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.lines.Write(line)
	if !w.waiting {
		w.waiting = true
		w.timer.Reset(logDelay)
	}
	return n, err
}

// Flush writes the lines that wait.
func (w *lineWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = false
	w.timer.Stop()
	// There is no other place to tell that the log cannot be written.
	_ = w.lines.Flush()
}

// promptly is a handler that writes warnings and errors at once, and with them
// what came before: a program that dies may not get to write later.
type promptly struct {
	slog.Handler
	lines *lineWriter
}

// Handle writes a record.
func (h promptly) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.lines.Flush()
	}
	return err
}

// WithAttrs keeps the promptness.
func (h promptly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptly{h.Handler.WithAttrs(attrs), h.lines}
}

// WithGroup keeps the promptness.
func (h promptly) WithGroup(name string) slog.Handler {
	return promptly{h.Handler.WithGroup(name), h.lines}
}

// newLog makes the server's log.
func newLog(c config.Log, lines *lineWriter) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	var h slog.Handler = slog.NewTextHandler(lines, options)
	if c.JSON {
		h = slog.NewJSONHandler(lines, options)
	}
	return slog.New(promptly{h, lines})
}
