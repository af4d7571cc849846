package cli

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"latchkey/internal/config"
	"latchkey/internal/tracing"
)

// The server logs a line for every request. Writing many lines with one system
// call costs a fraction of a system call per line.
const (
	// logDelay is the maximum time that a line is buffered.
	logDelay  = 200 * time.Millisecond
	logBuffer = 32 << 10
)

// lineWriter buffers lines and writes them together: when the buffer is full,
// logDelay after the first line, and on Flush. It is safe for concurrent use.
type lineWriter struct {
	mu    sync.Mutex
	lines *bufio.Writer
	timer *time.Timer
	// waiting reports whether the timer is running.
	waiting bool
}

func newLineWriter(to io.Writer) *lineWriter {
	w := &lineWriter{lines: bufio.NewWriterSize(to, logBuffer)}
	w.timer = time.AfterFunc(logDelay, w.Flush)
	w.timer.Stop()
	return w
}

// Write buffers a line.
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

// Flush writes the buffered lines.
func (w *lineWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = false
	w.timer.Stop()
	// There is nowhere to report an error of the log.
	_ = w.lines.Flush()
}

// flushingHandler is a handler that flushes after warnings and errors, because a
// program that crashes may not get to write later.
type flushingHandler struct {
	slog.Handler
	lines *lineWriter
}

// Handle writes a record and flushes if it is a warning or an error.
func (h flushingHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.lines.Flush()
	}
	return err
}

// WithAttrs returns a promptly handler with the attributes.
func (h flushingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flushingHandler{h.Handler.WithAttrs(attrs), h.lines}
}

// WithGroup returns a promptly handler with the group.
func (h flushingHandler) WithGroup(name string) slog.Handler {
	return flushingHandler{h.Handler.WithGroup(name), h.lines}
}

// newLog returns the server's logger.
func newLog(c config.Log, lines *lineWriter) *slog.Logger { return newLeveledLog(c, c.Level, lines) }

// newLeveledLog is newLog with a level that can change.
func newLeveledLog(c config.Log, level slog.Leveler, lines *lineWriter) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(lines, options)
	if c.JSON {
		h = slog.NewJSONHandler(lines, options)
	}
	return slog.New(flushingHandler{tracing.NewLogHandler(h), lines})
}
