package eventsource_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/eventsource/eventbridge"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/bridge"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
	"latchkey/internal/webhook/deliver/egress"
)

// delivering is a fixture with API tokens, whose events are sent.
type delivering struct {
	*fixture
	tokens *token.Service
	url    string
	sender deliver.SenderConfig
}

func eachDelivering(t *testing.T, test func(*testing.T, *delivering)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		keys, err := secret.NewKeyring(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		d := &delivering{fixture: open(t, db), url: url,
			tokens: token.NewService(db.Tokens(), world.Policy(), keys, rand.Reader, clock.System)}
		d.sender = deliver.SenderConfig{Keys: keys, Egress: &egress.Policy{}, Now: time.Now,
			Random: func() float64 { return 0.5 }, EventBridge: d.config.Partner.(*eventbridge.Client)}
		test(t, d)
	})
}

// issue issues an API token.
func (d *delivering) issue(t *testing.T, name string) token.Token {
	t.Helper()
	issued, err := d.tokens.Create(t.Context(), d.owner(),
		token.Request{Owner: token.AccountOwner(d.in.Account), Name: name, Scopes: []string{"account_read"}})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

func (d *delivering) owner() *auth.Principal {
	by := *d.by
	by.Scopes = scope.NewSet("account_read", "account_api_tokens_write")
	return &by
}

func (d *delivering) revoke(t *testing.T, of token.Token) {
	t.Helper()
	if _, err := d.tokens.Revoke(t.Context(), d.owner(), token.RevokeRequest{IDs: []uuid.UUID{of.ID}}); err != nil {
		t.Fatal(err)
	}
}

// run sends events with a dispatcher until until reports true. Retries are due at once.
func (d *delivering) run(t *testing.T, until func() bool) {
	t.Helper()
	dispatcher := deliver.NewDispatcher(deliver.DispatcherConfig{
		Queue: d.db.Queue(), Send: deliver.NewSender(d.sender).Send, InFlight: 16, Grace: 10 * time.Second,
		Disabled: disabled, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); dispatcher.Run(ctx) }()
	defer func() { cancel(); <-done }()
	for deadline := time.Now().Add(20 * time.Second); !until(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not reached after 20 seconds, want it within that time; sent are %q", d.sent())
		}
		dbtest.Exec(t, d.url, "UPDATE deliveries SET next_at = 1 WHERE attempts > 0",
			"UPDATE deliveries SET next_at = to_timestamp(1) WHERE attempts > 0")
		dispatcher.Wake()
	}
}

func disabled(w webhook.Webhook, reason string) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.AccountID, At: clock.Timestamp(time.Now()),
		Actor: audit.Actor{Kind: audit.ActorOperator, Name: "operator"}, Action: audit.WebhookDisabled,
		Target:  audit.Target{Kind: audit.TargetWebhook, Key: w.ID.String(), Name: w.URL},
		Details: []audit.Detail{{Name: "reason", Value: reason}}, Version: 1,
	}
}

// sent returns the events that Amazon EventBridge has, each as its type and its sequence.
func (d *delivering) sent() []string {
	var all []string
	for _, e := range d.bridge.Events() {
		var body struct{ Sequence int }
		if err := json.Unmarshal([]byte(e.Detail), &body); err != nil {
			all = append(all, err.Error())
		}
		all = append(all, fmt.Sprint(e.DetailType, " ", body.Sequence))
	}
	return all
}

func (d *delivering) has(n int) func() bool {
	return func() bool { return len(d.bridge.Events()) >= n }
}

func TestDelivery(t *testing.T) {
	eachDelivering(t, func(t *testing.T, d *delivering) {
		d.issue(t, "before") // no source yet
		d.create(t, 0, "orders")
		issued := d.issue(t, "first")
		d.revoke(t, issued)
		d.run(t, d.has(2))
		events := d.bridge.Events()
		check.Equal(t, d.sent(), []string{"api_token.created 1", "api_token.revoked 2"}, "events")
		page, err := d.db.Audit().Events(t.Context(), d.by.AccountID, audit.Filter{TargetKey: issued.ID.String()},
			paging.Window{Size: 10})
		if err != nil || len(page.Items) != 2 {
			t.Fatalf("Events() = %+v, %v, want 2", page, err)
		}
		for i, e := range events {
			logged := page.Items[1-i].Node
			body, err := deliver.Body(logged)
			if err != nil {
				t.Fatal(err)
			}
			want := bridge.Event{Source: d.partnerName(0, "orders"), DetailType: string(logged.Action),
				Detail: string(body), Time: logged.At.Truncate(time.Millisecond)}
			e.Time = e.Time.Truncate(time.Millisecond)
			check.Equal(t, e, want, "event %d", i)
		}
	})
}

// Throttling, failed entries and lost connections are retried, in order, and nothing is lost.
func TestRetries(t *testing.T) {
	eachDelivering(t, func(t *testing.T, d *delivering) {
		d.create(t, 0, "orders")
		d.bridge.Refuse(bridge.Put, "ThrottlingException", 2)
		d.bridge.Refuse(bridge.Put, "", 1)
		d.bridge.RefuseEntries("InternalFailure", 2)
		issued := d.issue(t, "first")
		d.revoke(t, issued)
		d.run(t, d.has(2))
		check.Equal(t, d.sent(), []string{"api_token.created 1", "api_token.revoked 2"}, "events")
		check.Equal(t, d.bridge.Requests(bridge.Put), 7, "requests")
		check.Equal(t, d.listed(t, d.by, 0), "orders", "sources")
	})
}

// A source that Amazon EventBridge does not have is disabled, and other sources are not.
func TestUnknownSourceIsDisabled(t *testing.T) {
	eachDelivering(t, func(t *testing.T, d *delivering) {
		d.create(t, 0, "orders")
		d.create(t, 1, "other")
		d.bridge.Forget("eu-west-1", d.partnerName(0, "orders"))
		d.issue(t, "first")
		d.run(t, func() bool { return d.listed(t, d.by, 0) == "-orders" && len(d.bridge.Events()) > 0 })
		check.Equal(t, d.listed(t, d.by, 1), "other", "sources of the other app")
		if got := d.events(t)[0]; !strings.Contains(got, "webhook.disabled") ||
			!strings.Contains(got, deliver.ReasonNoSource) {
			t.Errorf("the last event: got %s, want webhook.disabled with %q", got, deliver.ReasonNoSource)
		}
		requests := d.bridge.Requests(bridge.Put)
		d.issue(t, "second")
		d.run(t, d.has(3)) // with the event about the disabled webhook
		if n := d.bridge.Requests(bridge.Put) - requests; n > 2 {
			t.Errorf("%d requests after the source was disabled, want at most 2", n)
		}
	})
}

// A deleted source receives nothing, not even what was recorded before.
func TestNothingIsSentAfterDeletion(t *testing.T) {
	eachDelivering(t, func(t *testing.T, d *delivering) {
		s := d.create(t, 0, "orders")
		d.create(t, 1, "other")
		d.issue(t, "first")
		if _, err := d.Delete(t.Context(), d.by, s.AppID, s.ID); err != nil {
			t.Fatal(err)
		}
		d.issue(t, "second")
		d.run(t, d.has(2))
		for _, e := range d.bridge.Events() {
			check.Equal(t, e.Source, d.partnerName(1, "other"), "source")
		}
		check.Equal(t, d.bridge.Requests(bridge.Put), 2, "requests")
	})
}

// A source receives the types that its creator may read.
func TestTypesOfTheCreator(t *testing.T) {
	eachDelivering(t, func(t *testing.T, d *delivering) {
		if _, err := d.Create(t.Context(), d.token(scope.AccountAppsRead, scope.AccountUsersRead),
			d.request(0, "users")); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Create(t.Context(), d.token(scope.AccountAppsRead, scope.AccountAPITokensRead),
			d.request(1, "tokens")); err != nil {
			t.Fatal(err)
		}
		d.issue(t, "first")
		d.run(t, d.has(1))
		check.Equal(t, d.bridge.Requests(bridge.Put), 1, "requests")
		check.Equal(t, d.bridge.Events()[0].Source, d.partnerName(1, "tokens"), "source")
	})
}

// Event sources are neither listed nor counted as webhooks, nor can they be changed as such.
func TestSourcesAreNoWebhooks(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.create(t, 0, "orders")
		hooks := f.db.Webhooks()
		n, err := hooks.CountWebhooks(t.Context(), f.by.AccountID)
		if err != nil || n != 0 {
			t.Errorf("CountWebhooks() = %d, %v, want 0", n, err)
		}
		page, err := hooks.Webhooks(t.Context(), f.by.AccountID, paging.Window{Size: 10})
		if err != nil || len(page.Items) != 0 {
			t.Errorf("Webhooks() = %+v, %v, want none", page.Items, err)
		}
		err = hooks.Delete(t.Context(), f.by.Actor(), f.by.AccountID, s.ID,
			func(webhook.Webhook) audit.Event { return audit.Event{} })
		wantFault(t, "delete the webhook", err, "NOT_FOUND", "id")
		check.Equal(t, f.listed(t, f.by, 0), "orders", "sources")
	})
}

// Without a publisher, as on a server where Amazon EventBridge is not configured, an attempt fails and is repeated.
func TestDeliveryWhereItIsNotConfigured(t *testing.T) {
	eachDelivering(t, func(t *testing.T, d *delivering) {
		d.create(t, 0, "orders")
		d.issue(t, "first")
		claimed, err := d.db.Queue().Claim(t.Context(), deliver.Places{Most: 10, Unproven: 10, PerAccount: 10,
			Held: map[uuid.UUID]int{}}, nil)
		if err != nil || len(claimed) != 1 || len(claimed[0].Jobs) != 1 {
			t.Fatalf("Claim() = %+v, %v, want a webhook with a job", claimed, err)
		}
		c := d.sender
		c.EventBridge = nil
		o, err := deliver.NewSender(c).Send(t.Context(), claimed[0].Jobs[0])
		if err != nil || o.State != webhook.Pending || o.Attempt.Error == "" || o.Gone {
			t.Errorf("Send() = %+v, %v, want it pending with an error", o, err)
		}
	})
}
