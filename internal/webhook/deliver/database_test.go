package deliver_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// database is a fleet over a database. Its events are changes of users.
type database struct {
	url  string
	w    *world.Services
	seed dbtest.World
	raw  *sql.DB
	// past and now are times in SQL.
	past, now string
	changes   int
}

func newDatabase(t testing.TB, url string) *database {
	t.Helper()
	d := &database{url: url, w: world.New(t, url, world.Options{}), past: "'2026-01-01Z'",
		now: "clock_timestamp() - interval '%d hours'"}
	driver, source := "pgx", url
	if path, is := strings.CutPrefix(url, "sqlite:"); is {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(20000)"
		d.past, d.now = "0", "CAST((unixepoch('subsec') - %d * 3600) * 1000000 AS INTEGER)"
	}
	d.seed = dbtest.Seed{Users: subjects}.Make(t, d.w.DB)
	var err error
	if d.raw, err = sql.Open(driver, source); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.raw.Close() })
	return d
}

// exec executes a statement. On PostgreSQL it first locks all webhooks, as the repository does.
func (d *database) exec(t testing.TB, statement string) {
	t.Helper()
	tx, err := d.raw.BeginTx(t.Context(), nil)
	if err == nil && !strings.HasPrefix(d.url, "sqlite:") {
		_, err = tx.ExecContext(t.Context(), "SELECT id FROM webhooks ORDER BY id FOR NO KEY UPDATE")
	}
	if err == nil {
		_, err = tx.ExecContext(t.Context(), statement)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}

func (d *database) queue(t testing.TB) deliver.Queue {
	t.Helper()
	return dbtest.Open(t, d.url).Queue()
}

var tester = auth.NoActor("a test")

func (d *database) add(t testing.TB, w webhook.Webhook) {
	t.Helper()
	w.AccountID, w.Types = d.seed.Account.ID, []string{"user.updated"}
	e := disabledEvent(w, "")
	e.Action, e.Details = audit.WebhookCreated, nil
	if err := d.w.DB.Webhooks().Insert(t.Context(), tester, w, 100, e); err != nil {
		t.Fatalf("insert a webhook: %v", err)
	}
}

func (d *database) remove(t testing.TB, id uuid.UUID) {
	t.Helper()
	err := d.w.DB.Webhooks().Delete(t.Context(), tester, d.seed.Account.ID, id, func(w webhook.Webhook) audit.Event {
		e := disabledEvent(w, "")
		e.Action = audit.WebhookDeleted
		return e
	})
	if err != nil {
		t.Fatalf("delete a webhook: %v", err)
	}
}

func (d *database) get(t testing.TB, id uuid.UUID) webhook.Webhook {
	t.Helper()
	w, err := d.w.DB.Webhooks().Webhook(t.Context(), d.seed.Account.ID, id)
	if err != nil {
		t.Fatalf("read a webhook: %v", err)
	}
	return w
}

func (d *database) change(t testing.TB, subject int) {
	t.Helper()
	d.changes++
	name := fmt.Sprint("Name ", d.changes)
	_, err := d.w.Users.Update(t.Context(), world.Owner(d.seed),
		user.Update{UserID: d.seed.Users[1+subject].ID, FirstName: &name})
	if err != nil {
		t.Fatalf("change a user: %v", err)
	}
}

func (d *database) list(t testing.TB, webhookID uuid.UUID) []webhook.Delivery {
	t.Helper()
	pages, err := d.w.DB.Webhooks().Deliveries(t.Context(), d.seed.Account.ID, []uuid.UUID{webhookID},
		webhook.DeliveryFilter{}, paging.Window{Size: 1000}, true)
	if err != nil {
		t.Fatalf("list deliveries: %v", err)
	}
	var list []webhook.Delivery
	for _, item := range pages[webhookID].Items {
		list = append(list, item.Node)
	}
	slices.Reverse(list)
	return list
}

func (d *database) hurry(t testing.TB) {
	t.Helper()
	d.exec(t, `UPDATE deliveries SET next_at = `+d.past+` WHERE state = 'PENDING'`)
}

func (d *database) lapse(t testing.TB, tokens []uuid.UUID) {
	t.Helper()
	if len(tokens) == 0 {
		return
	}
	texts := make([]string, len(tokens))
	for i, token := range tokens {
		texts[i] = token.String()
	}
	d.exec(t, `UPDATE webhook_leases SET until_at = `+d.past+` WHERE token IN ('`+strings.Join(texts, "','")+`')`)
}

func (d *database) failingFor(t testing.TB, id uuid.UUID, hours int) {
	t.Helper()
	d.exec(t, fmt.Sprintf(`UPDATE webhooks SET failing_since = `+d.now+` WHERE id = '%s'`, hours, id))
}

func (d *database) actions(t testing.TB, id uuid.UUID) []audit.Action {
	t.Helper()
	page, err := d.w.DB.Audit().Events(t.Context(), d.seed.Account.ID, audit.Filter{TargetKey: id.String()},
		paging.Window{Size: 1000})
	if err != nil {
		t.Fatalf("read events: %v", err)
	}
	var list []audit.Action
	for _, item := range page.Items {
		list = append(list, item.Node.Action)
	}
	slices.Reverse(list)
	return list
}
