package dbtest

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/gormdb"
)

// AwaitLog waits until the event log has all events of the account. On PostgreSQL an event appears once every
// transaction that began before its own has ended, also those of other databases of the cluster, which tests share.
func AwaitLog(t testing.TB, db *gormdb.DB, accountID uuid.UUID) {
	t.Helper()
	var typed audit.Filter
	for _, a := range audit.Actions() {
		if a.Type() != "" {
			typed.Actions = append(typed.Actions, a)
		}
	}
	var want, got int64
	for range 600 {
		var err error
		if want, err = db.Audit().CountEvents(t.Context(), accountID, typed); err != nil {
			t.Fatal(err)
		}
		if got, err = db.Log().CountLog(t.Context(), accountID, audit.LogFilter{}); err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("dbtest: the event log has %d events, want %d", got, want)
}
