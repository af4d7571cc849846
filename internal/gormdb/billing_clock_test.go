package gormdb_test

import (
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
)

// A test clock must not take over a database whose checkouts go by real time.
func TestClockTakesOverNoCheckouts(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		m.subscribe(t)
		if err := gormdb.Gorm(m.DB).Exec("DELETE FROM billing_clock").Error; err != nil {
			t.Fatal(err)
		}
		_, err := m.ledger().SetClock(t.Context(), noon)
		mustBe(t, err, fault.Conflict)
		has, err := m.ledger().HasClock(t.Context())
		check.Equal(t, has, false, "there is a clock (%v)", err)
	})
}

// What is charged after the clock stepped back over the end of an invoiced month is on the next invoice.
func TestClockStepsBackOverAnInvoice(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		s := m.subscribe(t)
		m.to(t, "2026-02-01")
		if _, err := m.run(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		issued, err := m.invoice(t.Context())
		check.Equal(t, issued, 1, "invoices of January (%v)", err)
		back := day("2026-01-31")
		var stored any = back
		if m.Dialect() == "sqlite" {
			stored = back.UnixMicro()
		}
		if err := gormdb.Gorm(m.DB).Exec("UPDATE billing_clock SET now = ?", stored).Error; err != nil {
			t.Fatal(err)
		}
		c, _, err := m.use(t.Context(), s.ID, "late", 100)
		if err != nil {
			t.Fatal(err)
		}
		if february := day("2026-02-01"); c.DueAt.Before(february) {
			t.Errorf("usage is due at %s, want %s or later", c.DueAt.Format(time.RFC3339), february.Format(time.RFC3339))
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
