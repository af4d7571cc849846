package gormdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"latchkey/internal/fault"
)

// A transaction that takes a right away keeps that in the table changes. That
// is what the feed rests on; a replica reads it every proofInterval. So that
// replicas hear within milliseconds, the process that committed sends a
// notification besides, afterwards: a transaction that notifies in itself
// keeps all others that do so from being committed together with it, which
// costs most of the speed of revoking. What a notification says is only that
// it is time to read the table.

func (p *postgres) announce(tx *gorm.DB, accountID uuid.UUID) error {
	return tx.Exec("INSERT INTO changes (account_id) VALUES (?)", accountID).Error
}

func (p *postgres) hurry() { p.notifier.add() }

// listen hears on a connection outside the pool. Each time it has read the
// table, everything committed before it asked has been told. A process that
// was stopped for a while therefore works off what it slept through before it
// counts as hearing again. It is registered before it hears, so that whoever
// looks for those that may remember something finds it.
func (p *postgres) listen(ctx context.Context, f *Feed) error {
	s, err := p.connectSession(ctx, f)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
		defer cancel()
		_ = s.conn.Close(closing) // it failed, or is not needed any more
	}()
	reader := changeReader{conn: s.conn, ears: f.ears, heart: p.pulse.id}
	for {
		sent := time.Now() // before it registers: see silence
		if err := s.register(ctx); err != nil {
			return fmt.Errorf("register: %w", err)
		}
		if err := s.beat(ctx); err != nil {
			return fmt.Errorf("commit a heartbeat: %w", err)
		}
		f.connected.Store(true)
		s.changed = false
		asked := s.takeQuestions()
		pool := p.pulse.latest.Load()
		seen, err := reader.read(ctx, sent)
		if err != nil {
			return fmt.Errorf("read changes: %w", err)
		}
		if pool != nil && seen < pool.number {
			return errApart()
		}
		f.heard(s.begun)
		if err := s.answer(ctx, asked); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
		if err := s.wait(ctx); err != nil {
			return fmt.Errorf("wait for notifications: %w", err)
		}
	}
}

// session is one connection of the feed, and what came in over it. All of it
// is used by one goroutine: notifications are taken while it reads.
type session struct {
	conn *pgx.Conn
	feed *Feed
	// probe is what must be heard before anything else counts.
	probe  string
	proved bool
	// changed is set when it was notified of changes, until they are read.
	changed bool
	// asked are questions of replicas that were not answered yet.
	asked        []uuid.UUID
	registeredAt time.Time
	// begun is when its latest heartbeat began, which it numbers by beats.
	begun time.Time
	beats int64
}

// beat commits a heartbeat when it is time to. What is read after it is proof
// of what was committed before it began: a former primary, which hears of
// nothing any more, commits none that needs its standby.
func (s *session) beat(ctx context.Context) error {
	if elapsed(s.begun) < proofInterval {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	begun := time.Now()
	s.beats++
	if _, err := s.conn.Exec(ctx, beatHeart, pgID(s.feed.id), s.beats); err != nil {
		return err
	}
	s.begun = begun
	return nil
}

// errApart is a connection to another server than those of the pool: one of
// them is no primary any more.
func errApart() error {
	return fault.Errorf(fault.Conflict, "The feed's connection and those of --database lead to different servers.")
}

// errDeaf is a connection on which nothing can be heard: a pooler that hands
// out connections by the transaction has none to listen on.
func errDeaf() error {
	return fault.Errorf(fault.Conflict, "Nothing that is notified in --database is heard at the feed's address. "+
		"Behind a pooler such as pgbouncer, give the direct address of the same database in --feed-database.")
}

// errElsewhere is a connection to another database.
func errElsewhere() error {
	return fault.Errorf(fault.Conflict, "The feed's address is that of another database. Give the direct address of the one in --database, in --feed-database.")
}

// obstacleOf is what can be shown of an error of the feed: what PostgreSQL or
// the network said, which names no password.
func obstacleOf(err error) *fault.Error {
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	reason := "the log says why"
	var pg *pgconn.PgError
	var network *net.OpError
	switch {
	case errors.As(err, &pg):
		reason = "PostgreSQL says: " + pg.Message + " (SQLSTATE " + pg.Code + ")"
	case errors.Is(err, pgconn.ErrStandbyConnection):
		reason = "the server is a standby"
	case errors.Is(err, context.DeadlineExceeded):
		reason = "nothing answers in time"
	case errors.As(err, &network):
		reason = network.Error()
	}
	return fault.Errorf(fault.Conflict, "Its connection, to --feed-database or otherwise --database, failed: %s.", reason)
}

// feedSettings are those of the feed's connection. With enable_seqscan = off, the
// estimated cost of scanning a small table is so high that PostgreSQL would
// compile the statement (jit_above_cost), which takes from half a second to many
// on a loaded machine, each time the feed connects.
const feedSettings = "SET synchronous_commit = off; SET enable_seqscan = off; SET jit = off"

// connectSession makes a connection on which notifications are heard, and
// proves that they are, with one that goes the way of all others. Nothing that
// this connection does needs to be durable. It never scans a table: what the
// planner knows of changes is often old.
func (p *postgres) connectSession(ctx context.Context, f *Feed) (*session, error) {
	s := &session{feed: f, probe: "hear " + uuid.NewString()}
	config := p.feed.Copy()
	config.RuntimeParams["application_name"] = "latchkey feed"
	config.OnNotification = s.take
	ctx, cancel := context.WithTimeout(ctx, 2*lease)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	_, err = conn.Exec(ctx, "LISTEN "+changesChannel+"; LISTEN "+replicasChannel)
	if err == nil {
		if f.interruptions.Load() > 0 {
			p.reset() // its connections may lead to the primary before a failover
		}
		err = p.meet(ctx, s)
	}
	for err == nil && !s.proved {
		err = conn.PgConn().WaitForNotification(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = errDeaf()
		}
	}
	if err == nil {
		// Only now: a connection that hears is no pooler's, where settings would
		// stay for whoever gets the connection next.
		_, err = conn.Exec(ctx, feedSettings)
	}
	if err == nil { // what was asked while nobody listened
		s.asked, err = p.ids(inBackground(ctx), openQuestions, f.id)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return s, nil
}

// meet makes sure that the connection is to the database of the pool, and lets
// the probe be notified there.
func (p *postgres) meet(ctx context.Context, s *session) error {
	if err := p.pulse.beat(ctx); err != nil {
		return err
	}
	if err := p.register(ctx, s.feed); err != nil {
		return err
	}
	var same bool
	// Sent whole: through a pooler, a statement prepared before may be on
	// another connection.
	err := s.conn.QueryRow(ctx, isRegistered, pgx.QueryExecModeSimpleProtocol, pgID(s.feed.id)).Scan(&same)
	var pg *pgconn.PgError
	if err == nil && !same || errors.As(err, &pg) && pg.Code == pgUndefinedTable {
		return errElsewhere()
	}
	if err != nil {
		return err
	}
	return p.notify(ctx, s.probe)
}

// take takes a notification in. Anybody may notify, so none is believed more
// than does no harm: the table tells what is true.
func (s *session) take(_ *pgconn.PgConn, n *pgconn.Notification) {
	if n.Channel == changesChannel {
		s.changed = true
		return
	}
	what, rest, _ := strings.Cut(n.Payload, " ")
	switch what {
	case "hear":
		s.proved = s.proved || n.Payload == s.probe
	case "ask":
		if question, err := uuid.Parse(rest); err == nil {
			s.asked = append(s.asked, question)
		}
	case "ack":
		question, replica, _ := strings.Cut(rest, " ")
		q, qErr := uuid.Parse(question)
		r, rErr := uuid.Parse(replica)
		if qErr == nil && rErr == nil {
			s.feed.questions.answered(q, r)
		}
	}
}

// wait lets notifications come in until it is time for another reading, which
// is at once when there are changes or questions.
func (s *session) wait(ctx context.Context) error {
	interval, cancel := context.WithTimeout(ctx, proofInterval-min(elapsed(s.begun), proofInterval))
	defer cancel()
	for len(s.asked) == 0 && !s.changed {
		err := s.conn.PgConn().WaitForNotification(interval)
		switch {
		case err == nil:
			continue
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			return err
		}
	}
	return nil
}
