package gormdb_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// BenchmarkQueue claims and finishes deliveries as a dispatcher with 256 places does: each claim takes what is due and
// its outcomes are recorded with one call. An operation is one delivery.
func BenchmarkQueue(b *testing.B) {
	for _, hooks := range []int{1, 64} {
		b.Run(fmt.Sprintf("webhooks=%d", hooks), func(b *testing.B) {
			eachDurable(b, func(b *testing.B, url string) {
				db := dbtest.Open(b, url)
				w := dbtest.Seed{}.Make(b, db)
				for range hooks {
					fillQueue(b, url, addHook(b, db, w), 200_000/hooks, 200_000/hooks)
				}
				b.ResetTimer()
				begun := time.Now()
				for left := b.N; left > 0; {
					n := cycle(b, db, min(left, 256))
					if n == 0 {
						b.Fatalf("no delivery is due, want %d more", left)
					}
					left -= n
				}
				b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "deliveries/s")
			})
		})
	}
}

// cycle claims and delivers at most most deliveries, and returns how many.
func cycle(b *testing.B, db *gormdb.DB, most int) int {
	b.Helper()
	free := places(most)
	free.Run = deliver.MaxRun
	jobs, err := serverOf(db).claim(b.Context(), free)
	if err != nil {
		b.Fatal(err)
	}
	done := make([]deliver.Finished, len(jobs))
	for i, j := range jobs {
		done[i] = deliver.Finished{Job: j, Outcome: outcome(webhook.Delivered)}
	}
	if _, err := serverOf(db).finish(b.Context(), done); err != nil {
		b.Fatal(err)
	}
	return len(jobs)
}
