package feed

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
	"github.com/jackc/pgx/v5/pgtype"

	"latchkey/internal/fault"
)

// A transaction that removes a permission inserts a row into the table changes. The feed relies on this table; a
// replica reads it every proofInterval. To reach replicas within milliseconds, the process also sends a notification
// after the commit (Notifier). A transaction that sends a notification itself cannot be committed in a group with
// others that do, which costs most of the throughput of revoking. A notification only means that it is time to read
// the table.

// Postgres is the source of changes for a PostgreSQL database. All of its connections must lead to a primary.
type Postgres struct {
	// Primary sends statements that never wait for a lock.
	Primary *Primary
	// Transaction runs work in a transaction that ends soon if the process stops in it.
	Transaction func(ctx context.Context, work func(pgx.Tx) error) error
	// Connect opens a connection that only the feed uses and that does not go through a pooler. It passes
	// notifications to receive.
	Connect func(ctx context.Context, receive pgconn.NotificationHandler) (*pgx.Conn, error)
	// Classify classifies an error of the operation what. It keeps a nil error and a fault.
	Classify func(ctx context.Context, what string, err error) error

	// kept is how long rows of changes are kept; zero is changesKept.
	kept time.Duration
}

var _ Source = (*Postgres)(nil)

// receive receives changes on a connection outside the pool. Each time it has read the table, everything committed
// before the read has been passed on. A process that was stopped for a while therefore processes the changes of that
// time before it counts as current again. The replica is registered before it receives changes, so that a process
// that lists the replicas with a valid cache finds it.
func (p *Postgres) receive(ctx context.Context, f *Feed) error {
	s, err := p.connect(ctx, f)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
		defer cancel()
		_ = s.conn.Close(closing) // it failed, or is not needed any more
	}()
	reader := changeReader{conn: s.conn, subscriber: f.subscriber, heartbeat: p.Primary.id}
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
		questions := s.takeQuestions()
		pool := p.Primary.latest.Load()
		seen, err := reader.read(ctx, sent)
		if err != nil {
			return fmt.Errorf("read changes: %w", err)
		}
		if pool != nil && seen < pool.number {
			return errDifferentServers()
		}
		f.prove(s.begun)
		if err := s.answer(ctx, questions); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
		if err := s.wait(ctx); err != nil {
			return fmt.Errorf("wait for notifications: %w", err)
		}
	}
}

// session is one connection of the feed and what was received over it. Only one goroutine uses it: pgx calls notified
// while that goroutine reads.
type session struct {
	conn *pgx.Conn
	feed *Feed
	// probe is the notification that must be received before the connection is used.
	probe  string
	proved bool
	// changed is set by a notification of changes and cleared when they are read.
	changed bool
	// questions are those of other replicas that were not answered yet.
	questions    []uuid.UUID
	registeredAt time.Time
	// begun is when its latest heartbeat began; beats is the number of that heartbeat.
	begun time.Time
	beats int64
}

// beat commits a heartbeat when one is due. What is read after it includes everything committed before it began. A
// former primary, which receives no changes any more, cannot commit a heartbeat that needs its standby.
func (s *session) beat(ctx context.Context) error {
	if elapsed(s.begun) < proofInterval {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	begun := time.Now()
	s.beats++
	if _, err := s.conn.Exec(ctx, commitHeartbeat, pgID(s.feed.id), s.beats); err != nil {
		return err
	}
	s.begun = begun
	return nil
}

// errDifferentServers reports that the feed and the pool are connected to different servers, one of which is not the
// primary any more.
func errDifferentServers() error {
	return fault.Errorf(fault.Conflict, "The feed's connection and those of --database lead to different servers.")
}

// errNoNotifications reports that the connection receives no notifications. That is so behind a pooler that assigns
// connections per transaction.
func errNoNotifications() error {
	return fault.Errorf(fault.Conflict, "Notifications sent through --database do not arrive at the feed's address. "+
		"Behind a pooler such as pgbouncer, give the direct address of the same database in --feed-database.")
}

// errOtherDatabase reports a connection to another database.
func errOtherDatabase() error {
	return fault.Errorf(fault.Conflict, "The feed's address belongs to another database. "+
		"Set --feed-database to the direct address of the database in --database.")
}

// obstacleOf returns the part of a feed error that may be shown to users: the message of PostgreSQL or of the
// network. It contains no password.
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
		reason = "no answer in time"
	case errors.As(err, &network):
		reason = network.Error()
	}
	return fault.Errorf(fault.Conflict, "Its connection, to --feed-database or otherwise --database, failed: %s.",
		reason)
}

// undefinedTable is the SQLSTATE of a table that does not exist.
const undefinedTable = "42P01"

// feedSettings are the settings of the feed's connection. With enable_seqscan = off, the estimated cost of scanning a
// small table is so high that PostgreSQL would compile the statement (jit_above_cost). On a loaded machine that takes
// half a second or much longer, each time the feed connects.
const feedSettings = "SET synchronous_commit = off; SET enable_seqscan = off; SET jit = off"

// connect opens a connection that receives notifications, and proves that it does by sending a notification through
// the pool. Nothing that this connection writes needs to be durable. It never scans a table, because the
// planner's statistics of changes are often out of date.
func (p *Postgres) connect(ctx context.Context, f *Feed) (*session, error) {
	s := &session{feed: f, probe: "hear " + uuid.NewString()}
	ctx, cancel := context.WithTimeout(ctx, 2*lease)
	defer cancel()
	conn, err := p.Connect(ctx, s.notified)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	_, err = conn.Exec(ctx, "LISTEN "+changesChannel+"; LISTEN "+replicasChannel)
	if err == nil {
		if f.interruptions.Load() > 0 {
			p.Primary.reset() // its connections may lead to the primary before a failover
		}
		err = p.checkDatabase(ctx, s)
	}
	for err == nil && !s.proved {
		err = conn.PgConn().WaitForNotification(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = errNoNotifications()
		}
	}
	if err == nil {
		// Only now: a connection that receives notifications is not behind a transaction pooler, where the settings
		// would remain for the next client of the connection.
		_, err = conn.Exec(ctx, feedSettings)
	}
	if err == nil { // the questions from before this connection listened
		s.questions, err = p.ids(inBackground(ctx), openQuestions, f.id)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return s, nil
}

// checkDatabase checks that the connection leads to the database of the pool, and sends the probe through the pool.
func (p *Postgres) checkDatabase(ctx context.Context, s *session) error {
	if err := p.Primary.beat(ctx); err != nil {
		return err
	}
	if err := p.register(ctx, s.feed); err != nil {
		return err
	}
	var same bool
	// The statement is not prepared: behind a pooler, a prepared statement may be on another connection.
	err := s.conn.QueryRow(ctx, isRegistered, pgx.QueryExecModeSimpleProtocol, pgID(s.feed.id)).Scan(&same)
	var pg *pgconn.PgError
	if err == nil && !same || errors.As(err, &pg) && pg.Code == undefinedTable {
		return errOtherDatabase()
	}
	if err != nil {
		return err
	}
	return p.notify(ctx, s.probe)
}

// notified handles a notification. Any client of the database can send one, so a notification only triggers work that
// is safe: the tables decide.
func (s *session) notified(_ *pgconn.PgConn, n *pgconn.Notification) {
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
			s.questions = append(s.questions, question)
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

// wait receives notifications until the next read is due. That is immediately if there are changes or questions.
func (s *session) wait(ctx context.Context) error {
	interval, cancel := context.WithTimeout(ctx, proofInterval-min(elapsed(s.begun), proofInterval))
	defer cancel()
	for len(s.questions) == 0 && !s.changed {
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

// pgID and pgIDs convert UUIDs to arguments that pgx sends in binary.
func pgID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

func pgIDs(ids []uuid.UUID) []pgtype.UUID {
	list := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		list[i] = pgID(id)
	}
	return list
}
