package panel_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// From an empty list to a delivery that is replayed, and to no webhook again.
func TestWebhookFromFirstToLast(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at, to := s.page("/webhooks"), s.receiver(t)
		b.open(at)
		b.see("No webhooks yet")
		b.inspect("webhooks-empty")
		b.follow("Add webhook")
		b.fill("URL", to.URL)
		b.fill("Description (optional)", "Billing service")
		b.check("All of Users")
		const states = `[...document.querySelectorAll("[value^='user.']")].map((b) => [b.checked, b.disabled].join()).join(" ")`
		b.await("the types of the group to be covered", states+`=== "true,false" + " true,true".repeat(5)`)
		b.check("All of Users")
		b.await("the types of the group to be free", states+`=== "false,false" + " false,false".repeat(5)`)
		b.check("All of Users")
		b.click("API tokens 0 of 7")
		b.check("api_token.revoked")
		b.see("6 event types selected: api_token.revoked, user.*")
		b.fill("Find event types", "checkout declines")
		const found = `[...document.querySelectorAll(".kind")].filter((k) => k.checkVisibility()).map((k) => k.querySelector("code").textContent).join()`
		b.await("the type that is found", found+` === "checkout.declined"`)
		b.fill("Find event types", "")
		b.await("the groups to close again", `document.querySelectorAll(".topic details[open]").length === 1`)
		b.click("Clear")
		b.see("No event types selected")
		b.check("All of Users")
		b.check("api_token.revoked")
		b.inspect("webhook-new")
		b.follow("Add webhook")
		b.see("shown only once")
		b.inspect("webhook-secret")
		secret := b.text("#signing_secret")
		receiver, err := url.Parse(to.URL)
		if err != nil {
			t.Fatal(err)
		}
		name, content := b.downloaded()
		check.Equal(t, name, "latchkey-webhook-"+receiver.Hostname()+".txt", "file")
		if credential(t, content, "SIGNING SECRET") != secret {
			t.Error("downloaded file: got another secret, want that of the page")
		}
		b.click("Copy the signing secret")
		b.see("Copied.")
		if b.clipboard() != secret {
			t.Error("clipboard: got another text, want the signing secret")
		}
		b.follow("Done")
		b.see("was created.")
		b.miss(secret)
		hook, _, _ := strings.Cut(b.at(), "?")
		b.follow("Send test event")
		b.see("A test event is on its way to ")
		first := to.wait(t, 1)[0]
		s.signedIn(s.OwnerEmail).until(hook, "Attempt 1: 200 OK")
		b.open(hook)
		b.see("webhook.test")
		b.see("Attempt 1: 200 OK")
		b.inspect("webhook")
		b.check("Select all on this page")
		b.follow("Replay selected")
		b.see("1 delivery was scheduled.")
		if again := to.wait(t, 2)[1]; again.ID != first.ID {
			t.Errorf("replayed %s, want %s", again.ID, first.ID)
		}
	})
}

// A webhook is rotated, paused, edited and deleted.
func TestChangeWebhookInBrowser(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		at := s.page("/webhooks")
		const to = "https://hooks.example/changed"
		hook, before := s.signedIn(s.OwnerEmail).addWebhook(at, to, "webhook.failing")
		b.open(hook)
		b.click("Rotate")
		b.choose("Previous secret", "Keep for 1 hour")
		b.follow("Rotate signing secret")
		b.see("New signing secret")
		b.inspect("webhook-rotated")
		b.downloaded()
		b.click("Copy the signing secret")
		b.see("Copied.")
		b.follow("Done")
		b.see("was rotated.")
		b.see(before[len(before)-4:])
		b.follow("Pause")
		b.see("was paused.")
		b.inspect("webhook-paused")
		b.open(at)
		b.see("Paused")
		b.inspect("webhooks")
		b.resize(390)
		if right := evaluate[float64](b, `document.querySelector(".hooks .badge").getBoundingClientRect().right`); right > 390 {
			t.Errorf("the state ends at %.0f px of 390", right)
		}
		b.resize(wide)
		b.click("Actions for " + to)
		b.follow("Edit " + to)
		b.see("1 event type selected: webhook.failing")
		b.see("1 of 6")
		b.inspect("webhook-edit")
		b.open(hook)
		b.follow("Delete")
		b.see("Delete the webhook " + to + "?")
		b.inspect("webhook-delete")
		b.follow("Delete webhook")
		b.see("was deleted.")
		b.see("No webhooks yet")
	})
}

// The secret of a webhook is not shown again after any navigation.
func TestWebhookSecretIsShownOnce(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		for name, after := range map[string]func(){
			"reloaded": func() { b.reload() },
			"left and back": func() {
				b.open(s.page("/stores"))
				b.back()
			},
		} {
			b.open(s.page("/webhooks/new"))
			b.fill("URL", "https://hooks.example/")
			b.check("All event types")
			b.follow("Add webhook")
			b.see("shown only once")
			secret := b.text("#signing_secret")
			b.click("Copy the signing secret")
			b.see("Copied.")
			after()
			b.see("https://hooks.example/")
			if strings.Contains(evaluate[string](b, "document.documentElement.outerHTML"), secret) {
				t.Errorf("%s: got a page with the secret, want it absent", name)
			}
		}
	})
}

// Everything but copying works without JavaScript.
func TestWebhooksWithoutScripts(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.scripts(false)
		to := s.receiver(t)
		b.open(s.page("/webhooks/new"))
		b.fill("URL", to.URL)
		b.check("All of Users")
		b.click("Users 0 of 5")
		b.check("user.added")
		b.follow("Add webhook")
		b.see("shown only once")
		b.click("Download as text")
		b.downloaded()
		if status := b.reload(); status != http.StatusConflict {
			t.Errorf("form sent again: got %d, want 409", status)
		}
		b.see("This form was already submitted")
		b.follow("Continue")
		b.follow(to.URL)
		b.see("user.*")
		b.miss("user.added")
		b.follow("Send test event")
		b.see("A test event is on its way to ")
		to.wait(t, 1)
		b.follow("Pause")
		b.follow("Enable")
		b.see("was enabled.")
	})
}

// The pages of a webhook with deliveries in every state and a full chart fit, and are accessible.
func TestBusyWebhookIsFitToBeSeen(t *testing.T) {
	s := serve(t, dbtest.SQLiteURL(t))
	owner, b := s.signedIn(s.OwnerEmail), s.browser(t)
	b.signIn(s.OwnerEmail)
	s.fillWebhooks(t, owner)
	b.open(s.page("/webhooks"))
	b.inspect("webhooks-busy")
	b.follow("https://hooks.example/busy")
	b.inspect("webhook-busy")
	const open = "document.querySelectorAll('details').forEach((d) => { d.open = true; }); 0"
	evaluate[int](b, open)
	b.inspect("webhook-busy-open")
	b.open(s.page("/webhooks/types"))
	evaluate[int](b, open)
	b.inspect("webhook-types")
}

// busyEvents makes deliveries of the account's events with the actions to the webhook with "busy" in its URL, in every
// state and with attempts of the last 48 hours. None has succeeded for two and a half hours, and nothing is due.
const busyEvents = `
INSERT OR IGNORE INTO deliveries
	(account_id, webhook_id, event_id, subject, sequence, state, attempts, next_at, created_at)
	SELECT e.account_id, w.id, e.id, e.target_kind || ':' || e.target_key, e.sequence, 'PENDING', 1, 0,
		unixepoch() * 1000000
	FROM audit_events e JOIN webhooks w ON w.account_id = e.account_id AND w.url LIKE '%busy%'
	WHERE e.action IN ($actions);
UPDATE deliveries SET next_at = (unixepoch() + 3600) * 1000000, state = states.state FROM (
	SELECT webhook_id, event_id, CASE WHEN row_number() OVER newest > 9 THEN 'DELIVERED'
		WHEN row_number() OVER newest % 3 = 0 THEN 'DEAD' ELSE 'PENDING' END AS state FROM deliveries
		WINDOW newest AS (PARTITION BY webhook_id ORDER BY event_id DESC)) AS states
	WHERE deliveries.webhook_id = states.webhook_id AND deliveries.event_id = states.event_id;
INSERT OR REPLACE INTO attempts
	(account_id, webhook_id, event_id, number, at, status, duration_ms, error, response_head)
	WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 160)
	SELECT d.account_id, d.webhook_id, d.event_id, n.n,
		(unixepoch() - CASE WHEN d.state = 'DELIVERED' THEN 9600 ELSE 0 END
			- (d.times - n.n) * 1010 - d.place * 61) * 1000000,
		CASE WHEN d.state = 'DELIVERED' THEN 200 WHEN n.n % 3 = 0 THEN 0 ELSE 500 END, 40 + n.n * 137 % 2000,
		CASE WHEN d.state = 'DELIVERED' THEN '' WHEN n.n % 3 = 0 THEN 'The receiver did not answer within 15 seconds.'
			ELSE 'The receiver answered 500.' END,
		CASE WHEN n.n % 3 = 0 THEN '' WHEN d.state = 'DELIVERED' THEN '{"ok": true}'
			ELSE '<!doctype html><title>Internal Server Error</title>' END
	FROM n, (SELECT *, CASE WHEN age <= 3 THEN 160 WHEN state = 'DEAD' THEN 9 WHEN state = 'PENDING' THEN 3 ELSE 1 END
		AS times FROM (SELECT deliveries.*, row_number() OVER (ORDER BY event_id DESC) AS place,
			row_number() OVER (ORDER BY event_id) AS age
			FROM deliveries JOIN webhooks w ON w.id = webhook_id AND w.url LIKE '%busy%')) d
	WHERE n.n <= d.times;
UPDATE webhooks SET failing_since = (unixepoch() - 9000) * 1000000 WHERE url LIKE '%busy%';
UPDATE webhooks SET state = 'DISABLED', state_reason = 'Every attempt failed for 5 days.',
	failing_since = (unixepoch() - 500000) * 1000000
	WHERE url LIKE '%disabled%';
`

// fillWebhooks adds webhooks in every state to an SQLite database.
func (s *server) fillWebhooks(t *testing.T, owner *visitor) {
	t.Helper()
	at := s.page("/webhooks")
	for i, name := range []string{"First", "Second", "Third", "Fourth"} {
		page := owner.create(s.page("/tokens"), name+" token of the billing service")
		page.wants(http.StatusOK, "")
		if i > 0 {
			continue
		}
		owner.addWebhook(at, "https://hooks.example/idle", "*")
		owner.addWebhook(at, "https://billing.example:8443/latchkey/disabled", "api_token.*", "user.*", "store_user.*",
			"store.added", "account.updated")
		paused, _ := owner.addWebhook(at, "https://provisioning.example/"+strings.Repeat("long", 30), "user.removed")
		owner.submit(owner.open(paused), "Pause")
		owner.addWebhook(at, "https://hooks.example/busy", "webhook.disabled")
	}
	var actions []string
	for _, each := range audit.Types() {
		for _, action := range audit.ActionsOf(each) {
			actions = append(actions, "'"+string(action)+"'")
		}
	}
	dbtest.Exec(t, s.database, strings.Replace(busyEvents, "$actions", strings.Join(actions, ", "), 1), "SELECT 1")
}
