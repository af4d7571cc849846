package gormdb_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

const insertWebhook = `INSERT INTO webhooks (account_id, id, url, description, types, state, state_reason, created_at,
		created_by_kind, created_by_name, secret, secret_key, secret_hint)
	VALUES ('@account', '@id', 'https://example.com', '', '@types', 'ENABLED', '', @at, 'OPERATOR', 'operator', @secret, '', '');`

// subscribe inserts a webhook for the types and returns its ID.
func subscribe(t testing.TB, url string, accountID uuid.UUID, types ...string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	insert := func(at, secret string) string {
		text := strings.NewReplacer("@account", accountID.String(), "@id", id.String(), "@at", at, "@secret", secret,
			"@types", strings.Join(types, " ")).Replace(insertWebhook)
		for _, each := range types {
			text += "INSERT INTO webhook_types (account_id, type, webhook_id) VALUES ('" + accountID.String() + "', '" + each +
				"', '" + id.String() + "');"
		}
		return text
	}
	dbtest.Exec(t, url, insert("1", "x''"), insert("now()", "''"))
	return id
}

type delivery struct {
	WebhookID, EventID uuid.UUID
	Subject            string
	Sequence           int64
	State              string
	Attempts           int64
}

// deliveriesOf returns a webhook's deliveries, in the order of subjects and sequences.
func deliveriesOf(t testing.TB, db *gormdb.DB, webhookID uuid.UUID) []delivery {
	t.Helper()
	var found []delivery
	q := gormdb.Gorm(db).Table("deliveries").Where("webhook_id = ?", webhookID).Order("subject, sequence")
	if err := q.Find(&found).Error; err != nil {
		t.Fatal(err)
	}
	return found
}

// Every writer of events enqueues them, once for each webhook that selects their type.
func TestEventsAreEnqueued(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		webhooks := map[string]uuid.UUID{
			"exact":    subscribe(t, url, w.Account.ID, "api_token.revoked", "user.updated"),
			"resource": subscribe(t, url, w.Account.ID, "api_token.*"),
			"all":      subscribe(t, url, w.Account.ID, "*"),
			"twice":    subscribe(t, url, w.Account.ID, "*", "api_token.*", "api_token.created", "user.updated"),
			"none":     subscribe(t, url, w.Account.ID, "store.updated", "webhook.test"),
			"foreign":  subscribe(t, url, other.Account.ID, "*"),
		}
		one, _ := issue(t, db, w, w.Stores[0].ID)
		if err := update(t.Context(), db, one, 0); err != nil {
			t.Fatal(err)
		}
		revoke(t, db, one)
		another, _ := issue(t, db, w, uuid.Nil)
		person := uuid.New()
		if err := removeUser(t.Context(), db, w, person, another, 0); err != nil {
			t.Fatal(err)
		}
		if err := db.Manifest().Record(t.Context(), userEvent(w, person, audit.UserAccepted)); err != nil {
			t.Fatal(err)
		}
		if err := gormdb.Record(t.Context(), db, byTest, []audit.Event{userEvent(w, person, audit.UserInvited),
			userEvent(w, person, "webhook.test")}); err != nil {
			t.Fatal(err)
		}
		of := func(kind audit.TargetKind, key uuid.UUID, sequences ...int) (texts []string) {
			for _, n := range sequences {
				texts = append(texts, fmt.Sprintf("%s:%s %d", kind, key, n))
			}
			return texts
		}
		ofToken := func(t token.Token, n ...int) []string { return of(audit.TargetAPIToken, t.ID, n...) }
		ofUser := func(n ...int) []string { return of(audit.TargetUser, person, n...) }
		whole := slices.Concat(ofToken(one, 1, 2, 3), ofToken(another, 1, 2), ofUser(1, 2, 3))
		for name, want := range map[string][]string{
			"exact":    slices.Concat(ofToken(one, 3), ofToken(another, 2), ofUser(1, 3)),
			"resource": slices.Concat(ofToken(one, 1, 2, 3), ofToken(another, 1, 2)),
			"all":      whole, "twice": whole, "none": nil, "foreign": nil,
		} {
			var got []string
			for _, d := range deliveriesOf(t, db, webhooks[name]) {
				got = append(got, fmt.Sprintf("%s %d", d.Subject, d.Sequence))
				if d.State != "PENDING" || d.Attempts != 0 {
					t.Errorf("webhook %s: the delivery is %+v, want it pending and without attempts", name, d)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			check.Equal(t, got, want, "the deliveries of the webhook %s", name)
		}
	})
}

// An event and its deliveries are stored together or not at all.
func TestNothingIsEnqueuedAlone(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		var stored atomic.Int64
		w := dbtest.Seed{}.Make(t, db)
		webhook := subscribe(t, url, w.Account.ID, "*")
		db.OnEvents(func() { stored.Add(1) })
		d, _ := draft(w, uuid.Nil)
		d.MaxLive = 0
		if err := db.Tokens().Insert(t.Context(), byTest, d); err == nil {
			t.Error("inserting a token over the limit: got no error, want one")
		}
		d.MaxLive = 1
		d.Event.ID = uuid.Must(uuid.NewV7())
		if err := db.Tokens().Insert(t.Context(), byTest, d); err != nil {
			t.Fatal(err)
		}
		if err := db.Tokens().Insert(t.Context(), byTest, d); err == nil {
			t.Error("inserting a token twice: got no error, want one")
		}
		check.Equal(t, stored.Load(), 1, "the calls of OnEvents")
		got := deliveriesOf(t, db, webhook)
		if len(got) != 1 || got[0].EventID != d.Event.ID {
			t.Errorf("the deliveries are %+v, want that of event %s", got, d.Event.ID)
		}
	})
}

// Each commit with events is reported once, and others are not.
func TestOnEvents(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		var stored atomic.Int64
		db.OnEvents(func() { stored.Add(1) })
		var one token.Token
		for _, tc := range []struct {
			name string
			do   func() error
			want int64
		}{
			{"issuing", func() error { one, _ = issue(t, db, w, uuid.Nil); return nil }, 1},
			{"a change", func() error { return update(t.Context(), db, one, 0) }, 1},
			{"several events", func() error { return removeUser(t.Context(), db, w, w.Owner.ID, one, 0) }, 1},
			{"a check of writing", func() error { return db.CheckWriting(t.Context()) }, 0},
			{"an event without a type", func() error {
				return db.Manifest().Record(t.Context(), userEvent(w, w.Owner.ID, audit.UserInvited))
			}, 0},
		} {
			stored.Store(0)
			if err := tc.do(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			check.Equal(t, stored.Load(), tc.want, "calls after %s", tc.name)
		}
		another, _ := issue(t, db, w, uuid.Nil)
		stored.Store(0)
		revoke(t, db, another)
		check.Equal(t, stored.Load(), 1, "calls after a revocation")
	})
}
