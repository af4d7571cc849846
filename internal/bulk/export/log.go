package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// LogEvent is an event of the account's log. The fields are named as in the API.
type LogEvent struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Version   int       `json:"version"`
	SubjectID string    `json:"subjectId"`
	Sequence  int64     `json:"sequence"`
	At        time.Time `json:"at"`
	Actor     LogActor  `json:"actor"`
	// Data is a JSON object.
	Data json.RawMessage `json:"data"`
}

// LogActor is the author of a change.
type LogActor struct {
	Kind string `json:"kind"`
	// ID is nil for the operator.
	ID   *string `json:"id"`
	Name string  `json:"name"`
}

// LogPage is a page of the log, oldest first.
type LogPage struct {
	Events []LogEvent
	// Next is the cursor to continue after. Empty means that of the request.
	Next string
	// More reports whether further events are in the log already.
	More bool
}

// Log returns the page of events after a cursor. The first cursor is empty.
type Log func(ctx context.Context, after string) (LogPage, error)

// LogFilter selects events.
type LogFilter struct {
	// Types are types of events, or all for nil.
	Types []string `json:"types,omitempty"`
}

const logQuery = `query($filter: EventFilterInput, $after: String) { account { events(first: 250, filter: $filter, after: $after) {
	pageInfo { hasNextPage endCursor }
	edges { node { id type version subjectId sequence at actor { kind id name } data } } } } }`

// LogFromServer returns the log as the API of a running server returns it. The token needs the scope
// account_audit_read, or account_webhooks_read for the types of a webhook that it could create.
func LogFromServer(api API, f LogFilter) Log {
	return func(ctx context.Context, after string) (LogPage, error) {
		var answer struct {
			Account struct {
				Events struct {
					PageInfo pageInfo
					Edges    []struct {
						Node struct {
							LogEvent

							Data string `json:"data"`
						}
					}
				}
			}
		}
		variables := map[string]any{"filter": f}
		if after != "" {
			variables["after"] = after
		}
		if err := api.Do(ctx, logQuery, variables, &answer); err != nil {
			return LogPage{}, err
		}
		listed := answer.Account.Events
		p := LogPage{Events: make([]LogEvent, len(listed.Edges)), Next: listed.PageInfo.EndCursor,
			More: listed.PageInfo.HasNextPage}
		for i, e := range listed.Edges {
			p.Events[i] = e.Node.LogEvent
			p.Events[i].Data = json.RawMessage(e.Node.Data)
		}
		return p, nil
	}
}

// Follow describes a run of CopyLog.
type Follow struct {
	// After is the cursor to begin after. Empty means the beginning of the log.
	After string
	// Wait waits for further events at the end of the log, until ctx ends. Nil ends the run there.
	Wait func(ctx context.Context) error
}

// CopyLog writes the events one JSON object a line, a page at a time. It returns the cursor after the last event that
// was written completely, also with an error.
func CopyLog(ctx context.Context, from Log, to io.Writer, f Follow) (after string, err error) {
	after = f.After
	for {
		p, err := from(ctx, after)
		if err != nil {
			return after, err
		}
		if err := writeLog(to, p.Events); err != nil {
			return after, err
		}
		if p.Next != "" {
			after = p.Next
		}
		if p.More {
			continue
		}
		if f.Wait == nil {
			return after, nil
		}
		if err := f.Wait(ctx); err != nil {
			return after, err
		}
	}
}

func writeLog(to io.Writer, events []LogEvent) error {
	if len(events) == 0 {
		return nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for _, e := range events {
		if err := encoder.Encode(e); err != nil {
			return fmt.Errorf("write event %s: %w", e.ID, err)
		}
	}
	_, err := to.Write(text.Bytes())
	return err
}
