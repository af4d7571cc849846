package export

import (
	"context"
	"strings"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
)

// Cursors of the API end with the letter of their list (graph/object/list.go). Without it they are those of the
// service, so that a reader can change from a server to the database.
const (
	serviceCursor = 54 // characters
	listLetter    = "l"
)

// LogFromDatabase returns the log as the service reads it for the principal. Without types it has all events that the
// principal may read.
func LogFromDatabase(events *webhook.Events, by *auth.Principal, f LogFilter) Log {
	return func(ctx context.Context, after string) (LogPage, error) {
		size := paging.MaxSize
		request := paging.Request{First: &size}
		if bare, ofAPI := strings.CutSuffix(after, listLetter); ofAPI && len(bare) == serviceCursor {
			after = bare
		}
		if after != "" {
			request.After = &after
		}
		listed, err := events.Page(ctx, by, webhook.EventFilter{Types: f.Types}, request)
		if err != nil {
			return LogPage{}, err
		}
		p := LogPage{More: listed.HasNext}
		for _, item := range listed.Items {
			p.Events = append(p.Events, logEventOf(item.Node))
			p.Next = item.Cursor()
		}
		return p, nil
	}
}

func logEventOf(e audit.Event) LogEvent {
	actor := e.Actor.Data()
	l := LogEvent{
		ID: audit.IDPrefix + "event/" + e.ID.String(), Type: string(e.Action.Type()), Version: e.Version,
		Sequence: e.Sequence, At: e.At.UTC(), Actor: LogActor{Kind: string(actor.Kind), ID: actor.ID, Name: actor.Name},
		Data: e.Data,
	}
	if id := e.Target.Kind.ID(e.Target.Key); id != nil {
		l.SubjectID = *id
	}
	if len(l.Data) == 0 {
		l.Data = []byte("{}")
	}
	return l
}
