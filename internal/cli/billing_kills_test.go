package cli_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/internal/billing"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// billingKills returns how many billing runs the test kills: LATCHKEY_CHAOS_KILLS,
// or 3, of which the last has another run beside it.
func billingKills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("LATCHKEY_CHAOS_KILLS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("LATCHKEY_CHAOS_KILLS=%s: want a number above 0", text)
	}
	return n
}

// killedSubscriptions is how many subscriptions are billed in each round. A
// billing run stores them in several transactions.
const killedSubscriptions = 1100

// Billing runs that are killed at any time, beside others or not, leave
// nothing half-done: in the end each subscription has one charge for each
// month, each month one invoice, and the verification finds nothing.
func TestBillingKilled(t *testing.T) {
	kills := billingKills(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		m := newMarket(t, url, at(2026, 1, 31))
		plan := billing.PlanRequest{Interval: billing.Month, Price: dollars("19.99")}
		for range killedSubscriptions / 50 {
			m.approve(t, 50, plan, nil)
		}
		ledger := gormdb.Ledger(m.db)
		cut := 0
		for round := range kills {
			if err := ledger.MoveClock(t.Context(), at(2026, time.Month(3+round), 1)); err != nil {
				t.Fatal(err)
			}
			before := m.charges(t)
			first := m.startRun(t)
			var second *exec.Cmd
			if round%3 == 2 { // as if the lease had expired
				m.expireLease(t)
				second = m.startRun(t)
			}
			goal := rand.Int64N(killedSubscriptions)
			if round == 0 {
				goal = 1 // so that one kill at least leaves work
			}
			m.awaitCharges(t, before+goal)
			_ = first.Process.Kill()
			_ = first.Wait()
			if m.unfinished(t) {
				cut++
			}
			if second != nil {
				if err := second.Wait(); err != nil {
					t.Errorf("a run beside one that was killed: %v", err)
				}
			}
			m.expireLease(t)
		}
		run(t, m.env, "billing", "run")
		check.Equal(t, m.unfinished(t), false, "something is due after the last run")
		check.Equal(t, m.charges(t), int64(killedSubscriptions*(kills+1)), "charges")
		want := map[string]int64{}
		for month := range kills + 1 {
			want[at(2026, time.Month(1+month), 1).Format("2006-01")] = killedSubscriptions * 1999
		}
		totals := m.invoices(t)
		for month, total := range totals {
			check.Equal(t, total, want[month], "the total of %s", month)
		}
		check.Equal(t, len(totals), min(len(want), 50), "invoices")
		check.Equal(t, run(t, m.env, "billing", "verify"), "", "findings")
		t.Logf("%d of %d kills left work for the next run", cut, kills)
		if cut == 0 {
			t.Errorf("no kill left work for the next run, want at least one")
		}
	})
}

// startRun starts a billing run as a process.
func (m *market) startRun(t *testing.T) *exec.Cmd {
	t.Helper()
	c := exec.Command(program(t), "billing", "run")
	c.Env = os.Environ()
	for name, value := range m.env {
		c.Env = append(c.Env, name+"="+value)
	}
	var errs strings.Builder
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

// awaitCharges waits until there are so many charges and a little longer, or
// until the time is over.
func (m *market) awaitCharges(t *testing.T, goal int64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); m.charges(t) < goal && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
	time.Sleep(rand.N(50 * time.Millisecond))
}

// charges returns how many charges there are.
func (m *market) charges(t *testing.T) int64 {
	t.Helper()
	n, err := m.service.CountCharges(t.Context(), m.seller, billing.ChargeFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// unfinished reports whether something is due that is not stored.
func (m *market) unfinished(t *testing.T) bool {
	t.Helper()
	now, err := m.service.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, err := gormdb.Ledger(m.db).NextDue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return !next.IsZero() && !next.After(now)
}

// expireLease lets the lease of a run expire.
func (m *market) expireLease(t *testing.T) {
	t.Helper()
	const expire = "DELETE FROM billing_lease"
	dbtest.Exec(t, m.url, expire, expire)
}
