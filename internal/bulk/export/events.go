package export

import (
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/bulk/file"
)

// EventWriter writes audit events as CSV with a header.
type EventWriter struct{ lines *file.Writer }

// NewEventWriter returns a writer of events. The header is written with the first events.
func NewEventWriter(to io.Writer) *EventWriter {
	lines := file.NewWriter(to)
	lines.Write([]string{
		"time", "actor_kind", "actor_id", "actor", "action", "target_kind", "target_id", "target", "ip", "request_id",
		"details",
	})
	return &EventWriter{lines}
}

// Write writes events and flushes them.
func (w *EventWriter) Write(events []audit.Event) error {
	for _, e := range events {
		details := make([]string, len(e.Details))
		for i, d := range e.Details {
			details[i] = d.Name + "=" + d.Value
		}
		actor, of := "", e.Target.Object()
		if e.Actor.ID != uuid.Nil {
			actor = e.Actor.ID.String()
		}
		w.lines.Write([]string{
			e.At.UTC().Format(time.RFC3339Nano), string(e.Actor.Kind), actor, e.Actor.Name, string(e.Action),
			string(of.Kind), of.Key, of.Name, e.IP, e.RequestID, strings.Join(details, "; "),
		})
	}
	return w.lines.Flush()
}
