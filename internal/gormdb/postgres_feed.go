package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// channel is where changes are notified. The payload is the account's UUID.
const channel = "latchkey_changes"

func (p *postgres) announce(tx *gorm.DB, accountID uuid.UUID) error {
	return tx.Exec("SELECT pg_notify(?, ?)", channel, accountID.String()).Error
}

// listen hears notifications on a connection outside the pool. Every so often
// it sends a ping over the same connection: what was notified before arrives
// before the answer, so an answer proves that all was heard up to the moment
// when the ping was sent. A process that was stopped for a while therefore
// works off what it slept through before it counts as hearing again.
func (p *postgres) listen(ctx context.Context, f *Feed) (err error) {
	conn, err := p.connectListener(ctx, f)
	if err != nil {
		return err
	}
	defer func() {
		f.proof.Store(nil) // before anything that takes time
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
		defer cancel()
		_ = conn.Close(closing) // it failed, or is not needed any more
	}()
	if err := answered(ctx, conn, "LISTEN "+channel); err != nil {
		return err
	}
	// What was committed before LISTEN took effect was not notified.
	f.ears.Forget()
	for {
		sent := time.Now()
		if err := answered(ctx, conn, "SELECT 1"); err != nil {
			return err
		}
		f.heard(sent)
		if err := wait(ctx, conn); err != nil {
			return err
		}
	}
}

func (p *postgres) connectListener(ctx context.Context, f *Feed) (*pgx.Conn, error) {
	config := p.pool.Config().ConnConfig
	config.Tracer = nil
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		accountID, err := uuid.Parse(n.Payload)
		if err != nil {
			f.ears.Forget() // whatever it says, something changed
			return
		}
		f.ears.Changed(accountID)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*lease)
	defer cancel()
	return pgx.ConnectConfig(ctx, config)
}

// answered sends a statement and waits for the answer, for a lease at most: a
// later one would prove nothing.
func answered(ctx context.Context, conn *pgx.Conn, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	return conn.PgConn().Exec(ctx, statement).Close()
}

// wait lets notifications come in until it is time for another proof.
func wait(ctx context.Context, conn *pgx.Conn) error {
	interval, cancel := context.WithTimeout(ctx, proofInterval)
	defer cancel()
	for {
		err := conn.PgConn().WaitForNotification(interval)
		switch {
		case err == nil:
			continue
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			return err
		}
	}
}
