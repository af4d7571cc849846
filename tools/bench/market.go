package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// The market of the rows of billing: subscriptions that partners charge, all with a charge for January, which is
// invoiced, and one for February, which falls due on one of the days from the 2nd to the 28th.
const (
	// defaultSubscriptions is the number of subscriptions unless the command's flag says otherwise.
	defaultSubscriptions = 1_000_000
	subscriptionsOfOne   = 100 // of one merchant
	partnerCount         = 5
	firstApp             = 7_000_001
)

// The test clock before and after the day on which the charges for February fall due.
const (
	clockBefore = "2026-02-01T12:00:00Z"
	clockAfter  = "2026-02-28T12:00:00Z"
)

// partnerOf returns the number of the partner of subscription n. The first partner has six of ten.
func partnerOf(n int) int {
	if rest := n % 10; rest > partnerCount {
		return rest - partnerCount
	}
	return 0
}

// marketSQL are statements that create a market of COUNT subscriptions. Rows are numbered, and KEY(n) is the ID of row
// n. The number of a subscription's partner is that of partnerOf.
var marketSQL = []string{
	`SET session_replication_role = replica`,
	`CREATE TEMPORARY TABLE partners AS SELECT p.id, p.n - 1 AS place, FIRSTAPP + p.n - 1 AS app
		FROM unnest(CAST($1 AS uuid[])) WITH ORDINALITY AS p (id, n)`,
	`UPDATE accounts SET features = 'AUTOMATED_BILLING' WHERE id IN (SELECT id FROM partners)`,
	`INSERT INTO apps (account_id, key, id, name, status, created_at)
		SELECT id, gen_random_uuid(), app, 'App ' || place, 'published', now() FROM partners`,
	`INSERT INTO accounts (id, name, owner_id, features, created_at)
		SELECT KEY(n), 'Merchant ' || n, (SELECT min(id::text)::uuid FROM users), '', now() FROM MERCHANTS AS n`,
	`INSERT INTO stores (account_id, id, hash, name, owner_id, created_at)
		SELECT id, id, 'shop' || row_number() OVER (), 'Shop', owner_id, created_at FROM accounts WHERE name LIKE 'Merchant %'`,
	`INSERT INTO billing_merchants (account_id) SELECT KEY(n) FROM MERCHANTS AS n`,
	`INSERT INTO checkouts (account_id, id, partner_id, state, created_at, created_by_kind, created_by_name, expires_at, approved_at,
			approved_by)
		SELECT m.id, m.id, p.id, 'APPROVED', '2026-01-02Z', 'API_TOKEN', 'bench', '2026-01-03Z', '2026-01-02Z', m.owner_id
		FROM accounts AS m JOIN partners AS p ON p.place = 0 WHERE m.name LIKE 'Merchant %'`,
	`INSERT INTO checkout_items (account_id, checkout_id, ordinal, app_id, store_id, level, description, redirect_url,
			billing_interval, price, currency, cap, trial_days, subscription_id, changes)
		SELECT account_id, id, 0, FIRSTAPP, account_id, 'Gold', 'Order sync', 'https://bench.example/', 'MONTH', 2900, 'USD', 99999999, 0,
			NULL, false
		FROM checkouts`,
	`INSERT INTO subscriptions (account_id, id, partner_id, store_id, app_id, created_at, updated_at, activated_at, version,
			billed_until, next_due_at)
		SELECT KEY(m), KEY(n), p.id, KEY(m), p.app, day, day, day, 1, day, day + interval '1 month'
		FROM SUBSCRIPTIONS AS n CROSS JOIN LATERAL (SELECT 1 + n % HOWMANY AS m, timestamptz '2026-01-02Z' + n % 27 * interval '1 day' AS day) AS x
			JOIN partners AS p ON p.place = CASE WHEN n % 10 > PARTNERS THEN n % 10 - PARTNERS ELSE 0 END
		ORDER BY n`,
	`INSERT INTO subscription_terms (account_id, subscription_id, seq, from_at, level, billing_interval, price, currency, cap,
			checkout_id, item, approved_by)
		SELECT s.account_id, s.id, 0, s.activated_at, 'Gold', 'MONTH', 2900, 'USD', 99999999, s.account_id, 0, m.owner_id
		FROM subscriptions AS s JOIN accounts AS m ON m.id = s.account_id ORDER BY s.id`,
	`INSERT INTO invoices (account_id, id, month, number, currency, total, issued_at)
		SELECT account_id, account_id, '2026-01', 1, 'USD', 2900 * count(*), '2026-02-01Z' FROM subscriptions GROUP BY account_id`,
	`INSERT INTO charges (account_id, id, partner_id, subscription_id, term, kind, amount, currency, period_start, period_end,
			due_at, created_at, source_key, status, invoice_id, description)
		SELECT account_id, id, partner_id, id, 0, 'RECURRING', 2900, 'USD', activated_at, next_due_at, activated_at, activated_at,
			'r/' || id || '/0/0', 'INVOICED', account_id, 'Subscription: Gold'
		FROM subscriptions ORDER BY id`,
	`DROP TABLE partners`,
	`VACUUM (ANALYZE) accounts, stores, apps, checkouts, checkout_items, subscriptions, subscription_terms, invoices, charges`,
}

// marketKey is the ID of a row of the market. IDs sort by number.
const marketKey = `('01900000-0000-7000-8000-' || lpad(to_hex(%s), 12, '0'))::uuid`

// fillMarket creates a market of count subscriptions.
func fillMarket(ctx context.Context, dsn string, partners []account, count int) error {
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	merchants := max(count/subscriptionsOfOne, 1)
	terms := strings.NewReplacer("KEY(n)", fmt.Sprintf(marketKey, "n"), "KEY(m)", fmt.Sprintf(marketKey, "m"),
		"MERCHANTS", fmt.Sprintf("generate_series(1, %d)", merchants),
		"SUBSCRIPTIONS", fmt.Sprintf("generate_series(1, %d)", count),
		"PARTNERS", fmt.Sprint(partnerCount), "HOWMANY", fmt.Sprint(merchants), "FIRSTAPP", fmt.Sprint(firstApp))
	ids := mapped(partners, func(a account) string { return a.uuid })
	for _, statement := range marketSQL {
		var args []any
		if strings.Contains(statement, "$1") {
			args = []any{ids}
		}
		if _, err := db.Exec(ctx, terms.Replace(statement), args...); err != nil {
			return errors.Join(fmt.Errorf("make a market: %w: %s", err, statement), db.Close(ctx))
		}
	}
	return db.Close(ctx)
}

// setClock sets the test clock of a database.
func setClock(ctx context.Context, dsn, at string) error {
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, "INSERT INTO billing_clock (id, now) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET now = $1", at)
	return errors.Join(err, db.Close(ctx))
}

// bills are the installations for the rows of billing. Those of a billing run are copied from the market for each run.
type bills struct {
	count  int // subscriptions
	server *latchkey
	rawDSN string // a copy of the server's database for raw

	hand    *process
	handURL string

	writers []string // access tokens that charge, the partners taking turns
	reader  string   // an access token of the first partner
	// rate is the number of charges a second in the last round, and charged the number of requests so far.
	rate    float64
	charged int

	mostResident int64 // of all billing runs
}

// marketDatabase is the database that the others of billing are copied from.
const marketDatabase = "market"

// prepareBilling creates the market, and a server and the yardsticks on copies of it.
func (s *suite) prepareBilling(ctx context.Context) error {
	b := &s.bills
	dsn, err := s.copyDatabase(ctx, "raw", marketDatabase)
	if err != nil {
		return err
	}
	// A server refuses to start a test clock in a database that has checkouts, so the clock comes before them.
	if err := errors.Join(setClock(ctx, dsn, clockBefore), fillMarket(ctx, dsn, s.partners(), b.count)); err != nil {
		return err
	}
	if b.rawDSN, err = s.copyFiles(ctx, marketDatabase, "bills_raw"); err != nil {
		return err
	}
	if dsn, err = s.copyFiles(ctx, marketDatabase, "bills"); err != nil {
		return err
	}
	b.server = s.postgres.on(dsn, "LATCHKEY_TEST_CLOCK="+clockBefore)
	if _, err := b.server.start(ctx); err != nil {
		return err
	}
	if err := s.issueBillingTokens(ctx); err != nil {
		return err
	}
	b.hand, b.handURL, err = startYardstick(ctx, s.dir, "hand", dsn)
	return err
}

// copyFiles copies a large database faster than copyDatabase, which writes all of it to the log.
func (s *suite) copyFiles(ctx context.Context, from, to string) (string, error) {
	_, err := s.copyDatabase(ctx, from, to+" STRATEGY file_copy")
	return s.cluster.DSN(to), err
}

// partners are the accounts that charge.
func (s *suite) partners() []account { return s.accounts[:partnerCount] }

// tokensOfPartner is the number of tokens with which each partner charges.
const tokensOfPartner = 20

func (s *suite) issueBillingTokens(ctx context.Context) error {
	b := &s.bills
	for range tokensOfPartner {
		for _, a := range s.partners() {
			value, err := s.issueBillingToken(ctx, a, "account_charges_write")
			if err != nil {
				return err
			}
			b.writers = append(b.writers, value)
		}
	}
	var err error
	b.reader, err = s.issueBillingToken(ctx, s.accounts[0], "account_subscriptions_read", "account_charges_read")
	return err
}

func (s *suite) issueBillingToken(ctx context.Context, a account, scopes ...string) (string, error) {
	r, err := graphql(a, s.sessions[a.uuid], issueDocument, input("name", "Billing", "scopes", scopes))
	if err != nil {
		return "", err
	}
	var data struct {
		APIToken struct {
			CreateAPIToken struct{ Credentials struct{ AccessToken string } }
		}
	}
	err = s.bills.server.query(ctx, r, &data)
	return data.APIToken.CreateAPIToken.Credentials.AccessToken, err
}

// renew restarts the server and the yardstick.
func (b *bills) renew(ctx context.Context, dir string, dsn string) error {
	if err := errors.Join(b.server.stop(), b.hand.stop()); err != nil {
		return err
	}
	if _, err := b.server.start(ctx); err != nil {
		return err
	}
	var err error
	b.hand, b.handURL, err = startYardstick(ctx, dir, "hand", dsn)
	return err
}

// close ends everything that prepareBilling started.
func (b *bills) close() error {
	var errs []error
	if b.server != nil {
		errs = append(errs, b.server.stop())
	}
	if b.hand != nil {
		errs = append(errs, b.hand.stop())
	}
	return errors.Join(errs...)
}

// The rate for which charges are first prepared.
const firstChargeRate = 2000

const chargeDocument = `mutation($input: CreateChargeInput!) { charge { createCharge(input: $input) {
	charge { id status createdAt } replayed } } }`

// charge charges usage, each time for another subscription, with all tokens of its partner in turn.
func (s *suite) charge(ctx context.Context, d time.Duration) (measurement, error) {
	b := &s.bills
	if b.rate == 0 {
		b.rate = firstChargeRate
	}
	for {
		requests, err := s.usage(int(b.rate * revokeMargin * (d + time.Second).Seconds()))
		if err != nil {
			return measurement{}, err
		}
		m, err := wrk{url: b.server.url, expected: `"replayed":false`, once: true}.run(ctx, s.dir, requests, d)
		if errors.Is(err, errExhausted) {
			b.rate *= revokeMargin
			continue
		}
		b.rate = m.perSecond
		return m, err
	}
}

// usage returns requests that charge for usage. None was returned before.
func (s *suite) usage(count int) ([]request, error) {
	const step = 7919 // a prime, so that all subscriptions take turns
	b := &s.bills
	requests := make([]request, count)
	for i := range requests {
		b.charged++
		n := 1 + b.charged*step%b.count
		p := partnerOf(n)
		writer := b.writers[b.charged%tokensOfPartner*partnerCount+p]
		var err error
		requests[i], err = graphql(s.accounts[p], writer, chargeDocument, input(
			"subscriptionId", fmt.Sprintf("bc/account/subscription/01900000-0000-7000-8000-%012x", n),
			"description", "1,000 messages", "amount", map[string]any{"currencyCode": "USD", "value": 1.25},
			"idempotencyKey", fmt.Sprintf("bench-%d", b.charged)))
		if err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// rawCharge inserts the same rows as charge.
func (s *suite) rawCharge(ctx context.Context, d time.Duration) (measurement, error) {
	script := pgbenchScript{program: s.pgbench, text: rawChargeInsert,
		numbers: map[string]int{"subscriptions": s.bills.count}}
	return script.run(ctx, s.dir, s.bills.rawDSN, d)
}
