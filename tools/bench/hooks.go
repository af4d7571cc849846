package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// The installations for the rows of webhooks. Each has a database of its own, because what one records would otherwise
// be sent by another.
const (
	manyHooks       = 16 // webhooks with a backlog, the accounts taking turns
	firstDrainRate  = 6000
	deliveredMargin = 2
	// settling is the time from the first delivery of a backlog until its rate is measured.
	settling = 500 * time.Millisecond
	hookType = "api_token.*"
)

// hooks are the installations for the rows of webhooks, and the receiver of all of them but idle.
type hooks struct {
	receiver    *process
	receiverURL string

	idle    *latchkey // sends to a receiver in this process
	without *latchkey // has no webhook
	queued  *latchkey // has a webhook in each account and does not send
	sent    *latchkey // has a webhook in each account and sends
	sentDB  *pgx.Conn

	one, many *backlog
	body      []byte // of a request of idle
}

// all returns the installations that run during the rounds.
func (h *hooks) all() []*latchkey { return []*latchkey{h.without, h.queued, h.sent} }

// prepareWebhooks starts the receiver and the servers that run during the rounds.
func (s *suite) prepareWebhooks(ctx context.Context) error {
	h := &s.hooks
	var err error
	if h.receiver, h.receiverURL, err = startYardstick(ctx, s.dir, "receiver", ""); err != nil {
		return err
	}
	every := make([]int, len(s.accounts))
	for i := range every {
		every[i] = 1
	}
	none, first := make([]int, len(s.accounts)), make([]int, len(s.accounts))
	first[0] = 1
	for _, p := range []struct {
		to    **latchkey
		name  string
		hooks []int
		url   string
		env   []string
	}{
		{&h.idle, "hooks_idle", none, "", nil},
		{&h.without, "hooks_none", none, "", nil},
		{&h.queued, "hooks_queued", every, h.receiverURL, []string{"LATCHKEY_WEBHOOK_WORKERS=0"}},
		{&h.sent, "hooks_sent", every, h.receiverURL, nil},
	} {
		if *p.to, err = s.withWebhooks(ctx, p.name, p.hooks, p.url, p.env...); err != nil {
			return err
		}
	}
	if h.sentDB, err = pgx.Connect(ctx, s.cluster.DSN("hooks_sent")); err != nil {
		return err
	}
	if h.one, err = s.newBacklog(ctx, "backlog_one", first); err != nil {
		return err
	}
	shares := make([]int, len(s.accounts))
	for i := range manyHooks {
		shares[i%len(shares)]++
	}
	if h.many, err = s.newBacklog(ctx, "backlog_many", shares); err != nil {
		return err
	}
	return startAll(ctx, h.all())
}

// withWebhooks returns an installation on a copy of the database, with the number of webhooks for each account.
func (s *suite) withWebhooks(ctx context.Context, name string, counts []int, url string, settings ...string) (*latchkey,
	error) {
	dsn, err := s.copyDatabase(ctx, "raw", name)
	if err != nil {
		return nil, err
	}
	l := s.postgres.on(dsn, append(settings, "LATCHKEY_WEBHOOK_ALLOW=127.0.0.1")...)
	for i, n := range counts {
		for range n {
			if _, err := l.createWebhook(ctx, s.accounts[i], url); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// createWebhook creates a webhook for the events of tokens and returns its signing secret.
func (l *latchkey) createWebhook(ctx context.Context, a account, url string) (string, error) {
	return l.command(ctx, "webhook", "create", "--account", a.uuid, "--url", url+"/", "--type", hookType)
}

func startAll(ctx context.Context, all []*latchkey) error {
	for _, l := range all {
		if _, err := l.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// renew restarts the servers and the receiver, at the same address, which the webhooks have.
func (h *hooks) renew(ctx context.Context, dir string) error {
	for _, l := range h.all() {
		if err := l.stop(); err != nil {
			return err
		}
	}
	if err := h.receiver.stop(); err != nil {
		return err
	}
	var err error
	if h.receiver, err = startYardstickAt(ctx, dir, "receiver", "", h.receiverURL); err != nil {
		return err
	}
	return startAll(ctx, h.all())
}

// close ends everything that prepareWebhooks started.
func (h *hooks) close() error {
	var errs []error
	for _, l := range append(h.all(), h.idle) {
		if l != nil {
			errs = append(errs, l.stop())
		}
	}
	for _, b := range []*backlog{h.one, h.many} {
		if b != nil {
			errs = append(errs, b.stop(), b.db.Close(context.Background()))
		}
	}
	if h.sentDB != nil {
		errs = append(errs, h.sentDB.Close(context.Background()))
	}
	if h.receiver != nil {
		errs = append(errs, h.receiver.stop())
	}
	return errors.Join(errs...)
}

func (s *suite) issueWithoutWebhook(ctx context.Context, d time.Duration) (measurement, error) {
	return s.issueOn(ctx, s.hooks.without, s.sessions, s.owners, d)
}

// issueQueued issues tokens whose events become pending deliveries, which nothing sends.
func (s *suite) issueQueued(ctx context.Context, d time.Duration) (measurement, error) {
	return s.issueOn(ctx, s.hooks.queued, s.sessions, s.owners, d)
}

// issueSent issues tokens while the same server sends their events. It waits until all are sent.
func (s *suite) issueSent(ctx context.Context, d time.Duration) (measurement, error) {
	m, err := s.issueOn(ctx, s.hooks.sent, s.sessions, s.owners, d)
	if err != nil {
		return m, err
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		left, err := queueOf(ctx, s.hooks.sentDB)
		if err != nil || left.pending == 0 {
			return m, err
		}
		if time.Now().After(end) {
			return m, fmt.Errorf("%d deliveries were not sent", left.pending)
		}
	}
}

// deliverMany and deliverOne send a backlog, and postMany and postOne the same requests, as many at a time.
func (s *suite) deliverMany(ctx context.Context, d time.Duration) (measurement, error) {
	return s.hooks.many.drain(ctx, s.hooks.receiverURL, d)
}

func (s *suite) deliverOne(ctx context.Context, d time.Duration) (measurement, error) {
	return s.hooks.one.drain(ctx, s.hooks.receiverURL, d)
}

func (s *suite) postMany(ctx context.Context, d time.Duration) (measurement, error) {
	return postSigned(ctx, s.hooks.receiverURL, s.hooks.body, manyHooks*inFlightOfHook, d)
}

func (s *suite) postOne(ctx context.Context, d time.Duration) (measurement, error) {
	return postSigned(ctx, s.hooks.receiverURL, s.hooks.body, inFlightOfHook, d)
}

// issueOnce issues a token for a store of the account.
func (s *suite) issueOnce(ctx context.Context, l *latchkey, a account) error {
	i := slices.IndexFunc(s.owners, func(o owner) bool { return o.account == a.uuid })
	r, err := issueOf(s.owners[i], s.sessions[a.uuid])
	if err != nil {
		return err
	}
	return l.query(ctx, r, &struct{}{})
}

// attemptsMeasured is how many first attempts are timed.
const attemptsMeasured = 300

// firstAttempts returns the sorted times from count events to the arrival of their first attempt, on an otherwise idle
// server. An event's time is from before its commit, so the time from the commit is shorter.
func (s *suite) firstAttempts(ctx context.Context, count int) (lags []time.Duration, err error) {
	a := newArrivals()
	server, url, err := serveHere(a)
	if err != nil {
		return nil, err
	}
	defer func() { _ = server.Close() }()
	h := &s.hooks
	secret, err := h.idle.createWebhook(ctx, s.accounts[0], url)
	if err != nil {
		return nil, err
	}
	if _, err := h.idle.start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.idle.stop()) }()
	for i := range count {
		// At another time of the server's pauses and polls for each.
		time.Sleep(time.Duration(i*7919%50) * time.Millisecond)
		if err := s.issueOnce(ctx, h.idle, s.accounts[0]); err != nil {
			return nil, err
		}
		got, err := a.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		lag, err := got.lag(secret)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		lags, h.body = append(lags, lag), got.body
	}
	slices.Sort(lags)
	return lags, nil
}

// arrivals is a receiver that keeps when requests arrived.
type arrivals struct{ requests chan arrival }

// arrival is a request and the time when its header had been read.
type arrival struct {
	at     time.Time
	header http.Header
	body   []byte
}

func newArrivals() *arrivals { return &arrivals{requests: make(chan arrival, 16)} }
