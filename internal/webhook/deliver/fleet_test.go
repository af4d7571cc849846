package deliver_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// fleet is a log with its queue, which several servers share.
type fleet interface {
	// queue returns the queue of another server.
	queue(t testing.TB) deliver.Queue
	add(t testing.TB, w webhook.Webhook)
	// remove deletes a webhook. After it returns, no attempt may begin.
	remove(t testing.TB, id uuid.UUID)
	get(t testing.TB, id uuid.UUID) webhook.Webhook
	// change records an event of a subject, one of subjects.
	change(t testing.TB, subject int)
	list(t testing.TB, webhookID uuid.UUID) []webhook.Delivery
	// hurry makes retries due.
	hurry(t testing.TB)
	// lapse ends leases.
	lapse(t testing.TB, tokens []uuid.UUID)
	// failingFor makes a webhook that fails fail for so many hours.
	failingFor(t testing.TB, id uuid.UUID, hours int)
	// actions returns the actions of the events about a webhook, oldest first.
	actions(t testing.TB, id uuid.UUID) []audit.Action
}

// subjects is the number of subjects of a fleet.
const subjects = 6

// eachFleet runs a test on the queue of both databases, and on the one in memory, which shows what the tests of the
// dispatcher rely on.
func eachFleet(t *testing.T, test func(*testing.T, fleet)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { test(t, newMemory()) })
	dbtest.EachURL(t, func(t *testing.T, url string) { test(t, newDatabase(t, url)) })
}
