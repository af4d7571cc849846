package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// pollInterval is how often SQLite is asked whether the file has changed.
const pollInterval = 100 * time.Millisecond

// announce has nothing to do: other processes notice every commit.
func (s *sqlite) announce(*gorm.DB, uuid.UUID) error { return nil }

func (s *sqlite) hurry() {}

// replicas has none to list: an SQLite file has one server, which knows itself.
func (s *sqlite) replicas(context.Context) ([]registered, registryState, error) {
	return nil, registryState{age: lease}, nil
}

func (s *sqlite) join(context.Context, *Feed) error                       { return nil }
func (s *sqlite) attend(ctx context.Context, _ *Feed)                     { s.file.watch(ctx) }
func (s *sqlite) leave(context.Context, *Feed)                            {}
func (s *sqlite) ask(context.Context, uuid.UUID, []uuid.UUID) error       { return nil }
func (s *sqlite) settle(context.Context, uuid.UUID) error                 { return nil }
func (s *sqlite) answers(context.Context, uuid.UUID) ([]uuid.UUID, error) { return []uuid.UUID{}, nil }

// listen asks for PRAGMA data_version, which differs when a connection other
// than the one that asks has committed. It does not tell what, so everything
// is forgotten. The one that asks is the one that writes for this process:
// what this process commits is told by OnChange and spoils no memory here.
func (s *sqlite) listen(ctx context.Context, f *Feed) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var known dataVersion
	for {
		asked := time.Now()
		found, err := s.dataVersion(ctx)
		if err != nil {
			return err
		}
		if found != known {
			f.ears.Forget()
			known = found
		}
		f.heard(asked)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// dataVersion is a version of the file as one connection numbers it.
type dataVersion struct {
	number int64
	conn   any
}

func (s *sqlite) dataVersion(ctx context.Context) (v dataVersion, err error) {
	leave, err := s.queue.enter(ctx, turn{urgent: true})
	if err != nil {
		return v, err
	}
	defer leave()
	conn, err := s.writeSQL.Conn(ctx)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.Raw(func(c any) error { v.conn = c; return nil }); err != nil {
		return v, err
	}
	return v, conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v.number)
}
