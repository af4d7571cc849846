package audit

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/paging"
)

// LogFilter selects events of the log. Zero fields select all.
type LogFilter struct {
	Types []Type
	// SubjectKind and SubjectKey select the events of one target. A key requires a kind.
	SubjectKind TargetKind
	SubjectKey  string
	// After and Before are exclusive bounds on the time of the event.
	After, Before time.Time
}

// LogWindow is a page of the log (paging.Request.LogWindow).
type LogWindow = paging.WindowOf[paging.Position]

// Log reads the events that have a type (Action.Type), in the order in which they were committed. A reader that passes
// the position of the last item that it got as After receives every event exactly once, and those of one subject in
// the order of their sequence, however many transactions are under way. On PostgreSQL an event is therefore read only
// once all transactions that began before its own have ended.
type Log interface {
	// Log returns a page of the account's events, oldest first.
	Log(ctx context.Context, accountID uuid.UUID, f LogFilter, w LogWindow) (paging.Page[Event], error)
	// CountLog returns the number of events that the filter selects.
	CountLog(ctx context.Context, accountID uuid.UUID, f LogFilter) (int64, error)
	// EventsByID returns the account's events with a type among the IDs.
	EventsByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Event, error)
}
