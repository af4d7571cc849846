package gormdb_test

import (
	"testing"

	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A usage charge on PostgreSQL takes one statement that reads, and two in one batch that lock and insert. What is
// refused is decided again by the transaction that locks first.
func TestUsageTakesTwoRoundTrips(t *testing.T) {
	statements := 0
	db := dbtest.OpenWith(t, gormdb.Config{URL: dbtest.PostgresURL(t), OnStatement: func(string) { statements++ }})
	m := newMarket(t, db, "2026-01-31")
	s := m.subscribe(t) // with a cap of 1000
	for _, key := range []string{"first", "second"} {
		statements = 0
		if _, replayed, err := m.use(t.Context(), s.ID, key, 400); err != nil || replayed {
			t.Fatalf("the %s charge: replayed %t, %v", key, replayed, err)
		}
		check.Equal(t, statements, 3, "statements of the %s charge", key)
	}
	_, _, err := m.use(t.Context(), s.ID, "third", 201)
	mustBe(t, err, fault.LimitReached)
	check.Equal(t, sum(m.charges(t, billing.ChargeFilter{}), billing.Usage), int64(800), "the sum")
}
