package gormdb_test

import (
	"fmt"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A test clock must not take over a database whose checkouts go by real time.
func TestClockTakesOverNoCheckouts(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		m := newMarket(t, dbtest.Open(t, url), "2026-01-31")
		m.subscribe(t)
		dbtest.Exec(t, url, "DELETE FROM billing_clock", "DELETE FROM billing_clock")
		_, err := m.ledger().SetClock(t.Context(), noon)
		mustBe(t, err, fault.Conflict)
		has, err := m.ledger().HasClock(t.Context())
		check.Equal(t, has, false, "there is a clock (%v)", err)
	})
}

// What is charged after the clock stepped back over the end of an invoiced month is on the next invoice.
func TestClockStepsBackOverAnInvoice(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		m := newMarket(t, dbtest.Open(t, url), "2026-01-31")
		s := m.subscribe(t)
		m.to(t, "2026-02-01")
		if _, err := m.run(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		issued, err := m.invoice(t.Context())
		check.Equal(t, issued, 1, "invoices of January (%v)", err)
		dbtest.Exec(t, url, fmt.Sprintf("UPDATE billing_clock SET now = %d", day("2026-01-31").UnixMicro()),
			"UPDATE billing_clock SET now = '2026-01-31T00:00:00Z'")
		c, _, err := m.use(t.Context(), s.ID, "late", 100)
		if err != nil {
			t.Fatal(err)
		}
		if february := day("2026-02-01"); c.DueAt.Before(february) {
			t.Errorf("usage is due at %s, want %s or later", c.DueAt, february)
		}
		m.to(t, "2026-03-01")
		if _, err := m.run(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		issued, err = m.invoice(t.Context())
		check.Equal(t, issued, 1, "invoices of February (%v)", err)
		m.verify(t)
	})
}
