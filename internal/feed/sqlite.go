package feed

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// versionInterval is the time between two checks whether the file has changed.
const versionInterval = 100 * time.Millisecond

// SQLite is the source of changes for an SQLite file, which has only one server.
type SQLite struct {
	// Version returns the version of the file as the connection on which this process writes sees it.
	Version func(ctx context.Context) (DataVersion, error)
	// Watch checks the file until ctx ends.
	Watch func(ctx context.Context)
}

// DataVersion is a version of a file (PRAGMA data_version), which changes when another connection has committed. Each
// connection counts its own numbers.
type DataVersion struct {
	Number int64
	Conn   any
}

var _ Source = SQLite{}

// replicas returns no replicas; the feed adds its own.
func (s SQLite) replicas(context.Context) ([]registered, registryState, error) {
	return nil, registryState{age: lease}, nil
}

func (s SQLite) join(context.Context, *Feed) error                       { return nil }
func (s SQLite) maintain(ctx context.Context, _ *Feed)                   { s.Watch(ctx) }
func (s SQLite) leave(context.Context, *Feed)                            {}
func (s SQLite) ask(context.Context, uuid.UUID, []uuid.UUID) error       { return nil }
func (s SQLite) deleteQuestion(context.Context, uuid.UUID) error         { return nil }
func (s SQLite) answers(context.Context, uuid.UUID) ([]uuid.UUID, error) { return []uuid.UUID{}, nil }

// receive polls the version of the file. That does not show what changed, so the whole cache is cleared. Commits of
// this process do not change the version on the connection that wrote them; the repositories report them.
func (s SQLite) receive(ctx context.Context, f *Feed) error {
	ticker := time.NewTicker(versionInterval)
	defer ticker.Stop()
	var known DataVersion
	for {
		started := time.Now()
		found, err := s.Version(ctx)
		if err != nil {
			return err
		}
		if found != known {
			f.subscriber.Forget()
			known = found
		}
		f.prove(started)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
