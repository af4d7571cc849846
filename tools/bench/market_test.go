package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	dbtest "latchkey/internal/test/db"
)

const fewSubscriptions = 2000

// The rows of billing are measured with the whole program, and what it and the benchmark stored obeys the rules of
// billing.
func TestBillingRows(t *testing.T) {
	pgbench, err := dbtest.PostgresProgram("pgbench")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{dir: dir, binary: binary, pgbench: pgbench, accounts: accounts(), bills: bills{count: fewSubscriptions}}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []func(context.Context) error{s.prepareDatabase, s.preparePostgres, s.prepareBilling} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pairs, groups := chosen("subscriptions,Charge,charges", s.contenders())
	if len(pairs) != 6 {
		t.Errorf("rows of billing: got %v, want 6", pairs)
	}
	for _, group := range groups {
		measured, err := byTurns(t.Context(), group, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range measured {
			t.Logf("%s: %.0f a second", group[i].name, m.perSecond)
			if m.perSecond <= 0 {
				t.Errorf("%s: got %+v, want a rate above 0", group[i].name, m)
			}
		}
	}
	if f := s.bills.figures(); len(f) != 1 || f[0].value <= 0 || f[0].value > f[0].target {
		t.Errorf("memory of billing runs: got %+v, want at most the target", f)
	}
	if out, err := s.bills.server.command(t.Context(), "billing", "verify"); err != nil {
		t.Errorf("after charging: %v, %s", err, out)
	}
}

// smallMarket returns a database with a market, and its partners.
func smallMarket(t *testing.T) (dsn string, partners []account) {
	t.Helper()
	dsn = dbtest.PostgresURL(t)
	db := connect(t, dsn)
	for _, statement := range append(worldSQL(uuid.NewString), `INSERT INTO accounts (id, name, owner_id, features, created_at)
		SELECT gen_random_uuid(), 'P', owner_id, '', now() FROM accounts, generate_series(2, 5)`) {
		mustExec(t, db, statement)
	}
	rows, err := db.Query(t.Context(), "SELECT id::text FROM accounts")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	partners = mapped(ids, func(id string) account { return account{uuid: id} })
	if err := fillMarket(t.Context(), dsn, partners, fewSubscriptions); err != nil {
		t.Fatal(err)
	}
	return dsn, partners
}

func TestRawKeepsAllRowsOfACharge(t *testing.T) {
	pgbench, err := dbtest.PostgresProgram("pgbench")
	if err != nil {
		t.Fatal(err)
	}
	dsn, partners := smallMarket(t)
	db := connect(t, dsn)
	if len(partners) != partnerCount || count(t, db, "subscriptions") != fewSubscriptions ||
		count(t, db, "charges") != fewSubscriptions || count(t, db, "subscription_terms") != fewSubscriptions {
		t.Fatalf("%d partners, %d subscriptions, %d charges", len(partners), count(t, db, "subscriptions"),
			count(t, db, "charges"))
	}
	for n := 1; n <= fewSubscriptions; n += 333 {
		var partner string
		if err := db.QueryRow(t.Context(), "SELECT partner_id::text FROM subscriptions ORDER BY id OFFSET $1 LIMIT 1",
			n-1).Scan(&partner); err != nil || partner != partners[partnerOf(n)].uuid {
			t.Errorf("subscription %d: got the partner %s, %v, want %s", n, partner, err, partners[partnerOf(n)].uuid)
		}
	}
	script := pgbenchScript{program: pgbench, text: rawChargeInsert,
		numbers: map[string]int{"subscriptions": fewSubscriptions}}
	m, err := script.run(t.Context(), t.TempDir(), dsn, time.Second)
	if err != nil || m.perSecond <= 0 {
		t.Fatalf("measurement: got %+v, %v, want a rate", m, err)
	}
	charged := count(t, db, "charges") - fewSubscriptions
	if charged == 0 || charged != count(t, db, "audit_events") {
		t.Errorf("got %d charges and %d events, want the same number above 0", charged, count(t, db, "audit_events"))
	}
	var total, usage int64
	const sums = `SELECT (SELECT sum(amount) FROM usage_totals)::bigint, (SELECT sum(amount) FROM charges WHERE kind = 'USAGE')::bigint`
	if err := db.QueryRow(t.Context(), sums).Scan(&total, &usage); err != nil || total != usage {
		t.Errorf("the totals of usage: got %d, %v, want %d as the charges", total, err, usage)
	}
	var data string
	if err := db.QueryRow(t.Context(), "SELECT data FROM audit_events LIMIT 1").Scan(&data); err != nil ||
		!json.Valid([]byte(data)) {
		t.Errorf("the data of an event: got %s, %v, want JSON", data, err)
	}
}

func TestHandListsBilling(t *testing.T) {
	dsn, partners := smallMarket(t)
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	get := func(path string, result any) {
		t.Helper()
		answer := httptest.NewRecorder()
		handHandler(pool).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path+partners[0].uuid, http.NoBody))
		if err := json.Unmarshal(answer.Body.Bytes(), result); err != nil {
			t.Fatalf("%s: %v: %s", path, err, answer.Body)
		}
	}
	var subscriptions listed[handSubscription]
	get("/subscriptions/", &subscriptions)
	list := subscriptions.Data.Account["subscriptions"].Edges
	if len(list) != listedBills || list[0].Cursor <= list[1].Cursor || list[0].Node.Status != "ACTIVE" ||
		list[0].Node.PricePerInterval.Value != "29.00" || list[0].Node.Scope.ID == "bc/account/scope/" ||
		list[0].Node.Product.ProductLevel != "Gold" || list[0].Node.CurrentPeriodEnd == nil {
		t.Errorf("subscriptions: got %d, the first %+v, want %d with all fields", len(list), list[0], listedBills)
	}
	var charges listed[handCharge]
	get("/charges/", &charges)
	all := charges.Data.Account["charges"].Edges
	if len(all) != listedBills || all[0].Cursor <= all[1].Cursor || all[0].Node.Amount.Value != "29.00" ||
		all[0].Node.InvoiceID == nil || all[0].Node.Status != "INVOICED" {
		t.Errorf("charges: got %d, the first %+v, want %d with all fields", len(all), all[0], listedBills)
	}
}

// Page 10,000 of the full market is the last full one of its first partner.
func TestDeepBills(t *testing.T) {
	for count, want := range map[int]int{defaultSubscriptions: deepPage, fewSubscriptions: 24} {
		b := bills{count: count}
		if got := b.deepBills(); got != want {
			t.Errorf("%d subscriptions: got page %d, want %d", count, got, want)
		}
		after, err := b.lastBefore(want)
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for n := 1; n < after; n++ {
			if partnerOf(n) == 0 {
				left++
			}
		}
		if left < listedBills {
			t.Errorf("%d subscriptions: got %d after %d, want a full page", count, left, after)
		}
	}
}
