package gormdb_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
)

// aTest is the actor of tests.
var aTest = auth.NoActor("a test")

// hookDraft returns an enabled webhook, for types of which tests of webhooks record no events.
func hookDraft(w dbtest.World, edits ...func(*webhook.Webhook)) webhook.Webhook {
	hook := webhook.Webhook{
		AccountID: w.Account.ID, ID: uuid.Must(uuid.NewV7()), Kind: webhook.HTTP, URL: "https://receiver.example/hook",
		Description: "Provisioning", Types: []string{"store.*"}, State: webhook.Enabled, CreatedAt: noon,
		CreatedBy: audit.Actor{Kind: audit.ActorUser, ID: w.Owner.ID, Name: w.Owner.Email},
		Secret:    webhook.SigningSecret{Sealed: secret.Sealed{Key: "k1", Text: []byte("sealed")}, Hint: "whsec_…abcd"},
	}
	for _, edit := range edits {
		edit(&hook)
	}
	return hook
}

func hookEvent(hook webhook.Webhook, action audit.Action) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: hook.AccountID, At: noon, Actor: hook.CreatedBy, Action: action,
		Target: audit.Target{Kind: "webhook", Key: hook.ID.String(), Name: hook.URL},
	}
}

// addHook inserts a webhook.
func addHook(t testing.TB, db *gormdb.DB, w dbtest.World, edits ...func(*webhook.Webhook)) webhook.Webhook {
	t.Helper()
	hook := hookDraft(w, edits...)
	if err := db.Webhooks().Insert(t.Context(), aTest, hook, 1000, hookEvent(hook, "webhook.created")); err != nil {
		t.Fatal(err)
	}
	return hook
}

func types(list ...string) func(*webhook.Webhook) { return func(h *webhook.Webhook) { h.Types = list } }

// changeHook changes a webhook without an event.
func changeHook(t testing.TB, db *gormdb.DB, hook webhook.Webhook, edit func(*webhook.Webhook)) {
	t.Helper()
	err := db.Webhooks().Change(t.Context(), aTest, hook.AccountID, hook.ID,
		func(h webhook.Webhook) (webhook.Webhook, []audit.Event, error) { edit(&h); return h, nil, nil })
	if err != nil {
		t.Fatal(err)
	}
}

func state(s webhook.State) func(*webhook.Webhook) { return func(h *webhook.Webhook) { h.State = s } }

func TestWebhooksAreStored(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		first := addHook(t, db, w, types("api_token.*", "user.added"))
		second := addHook(t, db, w)
		addHook(t, db, other)
		addHook(t, db, w, func(h *webhook.Webhook) { h.Kind, h.Secret = webhook.EventBridge, webhook.SigningSecret{} })
		repo := db.Webhooks()

		got, err := repo.Webhook(t.Context(), w.Account.ID, first.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the webhook", got, first)
		_, err = repo.Webhook(t.Context(), other.Account.ID, first.ID)
		mustBe(t, err, fault.NotFound)
		page, err := repo.Webhooks(t.Context(), w.Account.ID, paging.Window{Size: 5})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the list", nodes(page), []webhook.Webhook{second, first})
		n, err := repo.CountWebhooks(t.Context(), w.Account.ID)
		if check.Equal(t, n, 2, "the number of webhooks"); err != nil {
			t.Fatal(err)
		}
		found, err := repo.WebhooksByID(t.Context(), w.Account.ID, []uuid.UUID{first.ID, uuid.New()})
		if check.Equal(t, len(found), 1, "webhooks by ID"); err != nil {
			t.Fatal(err)
		}

		changed := first
		changed.URL, changed.Description, changed.Types = "https://other.example", "", []string{"store.*"}
		changed.State, changed.StateReason = webhook.Paused, "at night"
		changed.Previous, changed.PreviousExpiresAt = first.Secret, later(time.Hour)
		changed.Secret = webhook.SigningSecret{Sealed: secret.Sealed{Key: "k2", Text: []byte("other")}, Hint: "h"}
		changeHook(t, db, first, func(h *webhook.Webhook) { *h = changed })
		got, err = repo.Webhook(t.Context(), w.Account.ID, first.ID)
		if same(t, "the changed webhook", got, changed); err != nil {
			t.Fatal(err)
		}
		events, err := db.Audit().CountEvents(t.Context(), w.Account.ID,
			audit.Filter{Actions: []audit.Action{"webhook.created"}})
		if check.Equal(t, events, 3, "events of creation"); err != nil {
			t.Fatal(err)
		}
	})
}

// A refused change stores nothing, and unknown webhooks are not found.
func TestWebhookChangesAreRefused(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		repo, refusal := db.Webhooks(), fault.Errorf(fault.Conflict, "no")
		refuse := func(h webhook.Webhook) (webhook.Webhook, []audit.Event, error) {
			h.URL = "https://changed.example"
			return h, nil, refusal
		}
		mustBe(t, repo.Change(t.Context(), aTest, w.Account.ID, hook.ID, refuse), fault.Conflict)
		got, err := repo.Webhook(t.Context(), w.Account.ID, hook.ID)
		if same(t, "the webhook after a refused change", got, hook); err != nil {
			t.Fatal(err)
		}
		for name, id := range map[string][2]uuid.UUID{
			"another account": {other.Account.ID, hook.ID}, "unknown": {w.Account.ID, uuid.New()},
		} {
			event := func(h webhook.Webhook) audit.Event { return hookEvent(h, "webhook.deleted") }
			for what, err := range map[string]error{
				"change": repo.Change(t.Context(), aTest, id[0], id[1], refuse),
				"delete": repo.Delete(t.Context(), aTest, id[0], id[1], event),
				"test":   repo.Test(t.Context(), aTest, id[0], id[1], hookEvent(hook, "webhook.test")),
			} {
				if fault.KindOf(err) != fault.NotFound {
					t.Errorf("%s, %s: %v, want not found", what, name, err)
				}
			}
		}
	})
}

// Only webhooks that are not disabled have types, so that no deliveries are recorded for the others.
func TestTypesOfWebhooks(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w, types("api_token.*", "user.added"))
		rows := func(want ...string) {
			t.Helper()
			check.Equal(t, strings.Join(texts(t, url, "SELECT type FROM webhook_types ORDER BY type"), " "),
				strings.Join(want, " "), "types")
		}
		rows("api_token.*", "user.added")
		changeHook(t, db, hook, types("store.added"))
		rows("store.added")
		changeHook(t, db, hook, state(webhook.Paused))
		rows("store.added")
		changeHook(t, db, hook, state(webhook.Disabled))
		rows()
		changeHook(t, db, hook, state(webhook.Enabled))
		rows("store.added")
		deleteHook(t, db, hook)
		rows()
	})
}

func deleteHook(t testing.TB, db *gormdb.DB, hook webhook.Webhook) {
	t.Helper()
	err := db.Webhooks().Delete(t.Context(), aTest, hook.AccountID, hook.ID,
		func(h webhook.Webhook) audit.Event { return hookEvent(h, "webhook.deleted") })
	if err != nil {
		t.Fatal(err)
	}
}

// texts returns the first column of a query.
func texts(t testing.TB, url, query string) (list []string) {
	t.Helper()
	rows, err := raw(t, url).QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text any
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(text))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// Three servers that insert at once do not exceed the limit.
func TestLimitOfWebhooksHoldsInRaces(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		const most = 20
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{}.Make(t, handles[0])
		addHook(t, handles[0], w, func(h *webhook.Webhook) { h.Kind = webhook.EventBridge }) // does not count
		var kept, refused atomic.Int32
		var group errgroup.Group
		for i := range 3 * most {
			hook := hookDraft(w)
			group.Go(func() error {
				created := hookEvent(hook, "webhook.created")
				err := handles[i%3].Webhooks().Insert(t.Context(), aTest, hook, most, created)
				switch {
				case err == nil:
					kept.Add(1)
				case fault.KindOf(err) == fault.LimitReached:
					refused.Add(1)
				default:
					return err
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, kept.Load(), most, "inserted webhooks")
		check.Equal(t, refused.Load(), 2*most, "refused webhooks")
	})
}

// An actor whose credential was revoked cannot write.
func TestWebhookWritesJudgeTheirActor(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		made, value := issue(t, db, w, uuid.Nil)
		by := actorOf(t, db, value)
		hook := addHook(t, db, w)
		revoke(t, db, made)
		repo, another := db.Webhooks(), hookDraft(w)
		event := func(h webhook.Webhook) audit.Event { return hookEvent(h, "webhook.deleted") }
		_, replaying := repo.Replay(t.Context(), by,
			webhook.Replay{AccountID: w.Account.ID, WebhookID: hook.ID, Limit: 1}, noReplayEvent(hook))
		for name, err := range map[string]error{
			"insert": repo.Insert(t.Context(), by, another, 20, hookEvent(another, "webhook.created")),
			"change": repo.Change(t.Context(), by, w.Account.ID, hook.ID,
				func(h webhook.Webhook) (webhook.Webhook, []audit.Event, error) { return h, nil, nil }),
			"delete": repo.Delete(t.Context(), by, w.Account.ID, hook.ID, event),
			"test":   repo.Test(t.Context(), by, w.Account.ID, hook.ID, hookEvent(hook, "webhook.test")),
			"replay": replaying,
		} {
			if fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("%s: %v, want a refusal", name, err)
			}
		}
	})
}

func noReplayEvent(hook webhook.Webhook) func(int) audit.Event {
	return func(int) audit.Event { return hookEvent(hook, "webhook.updated") }
}
