package webhook_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
	"latchkey/internal/webhook"
)

// fixture is an account with an owner and a webhook.
type fixture struct {
	*world.Services

	t     *testing.T
	home  dbtest.World
	owner *auth.Principal
	hook  webhook.Webhook
}

// each runs test on each database.
func each(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	world.Each(t, world.Options{}, func(t *testing.T, s *world.Services) {
		f := &fixture{Services: s, t: t, home: dbtest.Seed{Users: 1}.Make(t, s.DB)}
		f.owner = world.Owner(f.home)
		f.hook = f.create("api_token.*", "webhook.*", "user.added").Webhook
		test(t, f)
	})
}

func (f *fixture) create(types ...string) webhook.Created {
	f.t.Helper()
	created, err := f.Webhooks.Create(f.t.Context(), f.owner,
		webhook.Request{URL: "https://hooks.example/a", Types: types})
	if err != nil {
		f.t.Fatal(err)
	}
	return created
}

func (f *fixture) update(u webhook.Update) webhook.Webhook {
	f.t.Helper()
	u.ID = f.hook.ID
	w, err := f.Webhooks.Update(f.t.Context(), f.owner, u)
	if err != nil {
		f.t.Fatal(err)
	}
	return w
}

// token is an API token of the account with the scopes.
func (f *fixture) token(scopes ...string) *auth.Principal {
	f.t.Helper()
	issued, err := f.Tokens.Create(f.t.Context(), f.owner, token.Request{Owner: token.AccountOwner(f.home.Account),
		Name: "Robot", Scopes: scopes})
	if err != nil {
		f.t.Fatal(err)
	}
	by, err := f.Verifier.Principal(f.t.Context(), issued.AccessToken.Reveal(), world.Origin)
	if err != nil {
		f.t.Fatal(err)
	}
	return by
}

// events returns the actions of the account's log after the first skip events, oldest first, with their details.
func (f *fixture) events(skip int) []string {
	f.t.Helper()
	found, err := f.DB.Audit().Events(f.t.Context(), f.home.Account.ID,
		audit.Filter{TargetKey: f.hook.ID.String()}, paging.Window{Size: paging.MaxSize})
	if err != nil {
		f.t.Fatal(err)
	}
	var lines []string
	for _, item := range slices.Backward(found.Items) {
		line := string(item.Node.Action)
		for _, d := range item.Node.Details {
			line += " " + d.Name + "=" + d.Value
		}
		lines = append(lines, line)
	}
	return lines[skip:]
}

func TestCreate(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		created, err := f.Webhooks.Create(t.Context(), f.owner, webhook.Request{URL: " https://hooks.example/b ",
			Types: []string{"user.*", "api_token.revoked", "user.*"}, Description: " Billing "})
		if err != nil {
			t.Fatal(err)
		}
		w, err := f.Webhooks.Webhook(t.Context(), f.owner, created.Webhook.ID)
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, w.URL, "https://hooks.example/b", "the URL")
		check.Equal(t, w.Description, "Billing", "the description")
		check.Equal(t, w.Types, []string{"api_token.revoked", "user.*"}, "the types")
		check.Equal(t, w.State, webhook.Enabled, "the state")
		check.Equal(t, w.CreatedBy, audit.ActorOf(f.owner.Subject()), "the creator")
		check.Equal(t, w.SecretHints(f.Clock.Now()), []string{created.Secret.Hint()}, "the hints")
		secrets, err := w.SigningSecrets(f.Keys, f.Clock.Now())
		if err != nil || len(secrets) != 1 || secrets[0].Reveal() != created.Secret.Reveal() {
			t.Errorf("%d secrets sign, %v, want the one that was returned", len(secrets), err)
		}
		f.hook = w
		check.Equal(t, f.events(0), []string{"webhook.created url=https://hooks.example/b description=Billing " +
			"eventTypes=api_token.revoked user.* state=ENABLED"}, "the events")
		// The test's database is searched for secrets when the test ends.
	})
}

func TestLimitOfWebhooks(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for range webhook.DefaultMax - 1 {
			f.create("*")
		}
		_, err := f.Webhooks.Create(t.Context(), f.owner,
			webhook.Request{URL: "https://hooks.example/a", Types: []string{"*"}})
		check.Equal(t, fault.KindOf(err), fault.LimitReached, "the error of one more")
		n, err := f.Webhooks.CountWebhooks(t.Context(), f.owner)
		if err != nil || n != webhook.DefaultMax {
			t.Errorf("%d webhooks, %v, want %d", n, err, webhook.DefaultMax)
		}
	})
}

func TestUpdate(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		paused, disabled, enabled := webhook.Paused, webhook.Disabled, webhook.Enabled
		w := f.update(webhook.Update{URL: new("https://hooks.example/c"), Types: []string{"user.*"}, State: &paused})
		check.Equal(t, []any{w.URL, w.Types, w.State}, []any{"https://hooks.example/c", []string{"user.*"}, paused},
			"the webhook")
		w = f.update(webhook.Update{State: &disabled, Description: new("Old")})
		check.Equal(t, w.StateReason, "Disabled by "+f.owner.Name+".", "the reason")
		f.update(webhook.Update{State: &disabled})
		w = f.update(webhook.Update{State: &enabled})
		check.Equal(t, []any{w.State, w.StateReason}, []any{enabled, ""}, "the enabled webhook")
		f.update(webhook.Update{URL: new("https://hooks.example/c")})
		stored, err := f.Webhooks.Webhook(t.Context(), f.owner, w.ID)
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, []any{stored.URL, stored.Description, stored.State}, []any{w.URL, "Old", enabled},
			"what is stored")
		check.Equal(t, f.events(1), []string{
			"webhook.updated url=https://hooks.example/c eventTypes=user.* state=PAUSED",
			"webhook.updated description=Old",
			"webhook.disabled reason=Disabled by " + f.owner.Name + ".",
			"webhook.updated state=ENABLED",
		}, "the events")
	})
}

// A token with account_webhooks_write cannot turn to itself what it may not read.
func TestTokensCannotDivertEvents(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		by := f.token(scope.AccountWebhooksWrite, scope.AccountAPITokensRead)
		const missing = "This webhook receives user.added, and this token does not hold account_users_read."
		_, err := f.Webhooks.Update(t.Context(), by,
			webhook.Update{ID: f.hook.ID, URL: new("https://elsewhere.example/")})
		check.Equal(t, failures(err), []string{"INVALID url: " + missing}, "the error of another URL")
		_, err = f.Webhooks.RotateSecret(t.Context(), by, f.hook.ID, nil)
		check.Equal(t, failures(err), []string{"INVALID id: " + missing}, "the error of a rotation")
		_, err = f.Webhooks.Update(t.Context(), by, webhook.Update{ID: f.hook.ID,
			URL: new("https://elsewhere.example/"), Types: []string{"user.added"}})
		check.Equal(t, failures(err), []string{"INVALID eventTypes: This token does not hold account_users_read, " +
			"so its webhooks cannot receive user.added."}, "the error of another URL and the same types")
		_, err = f.Webhooks.Update(t.Context(), by, webhook.Update{ID: f.hook.ID,
			URL: new("https://elsewhere.example/"), Types: []string{"api_token.*"}})
		check.Equal(t, failures(err), []string{"INVALID url: " + missing}, "the error of another URL and other types")
		if _, err := f.Webhooks.Update(t.Context(), by, webhook.Update{ID: f.hook.ID,
			Types: []string{"api_token.*"}}); err != nil {
			t.Errorf("types that the token may read: %v", err)
		}
	})
}

// A token that may not read all events of a webhook cannot make them flow again, and not replay them.
func TestTokensCannotResumeWhatTheyCannotRead(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		by := f.token(scope.AccountWebhooksWrite, scope.AccountAPITokensRead)
		reads := f.token(scope.AccountWebhooksWrite, scope.AccountWebhooksRead, scope.AccountAPITokensRead,
			scope.AccountUsersRead)
		const missing = "This webhook receives user.added, and this token does not hold account_users_read."
		to := func(by *auth.Principal, s webhook.State) []string {
			_, err := f.Webhooks.Update(t.Context(), by, webhook.Update{ID: f.hook.ID, State: &s})
			return failures(err)
		}
		for _, step := range []struct {
			from, to webhook.State
			want     []string
		}{
			{webhook.Enabled, webhook.Enabled, nil},
			{webhook.Enabled, webhook.Paused, nil},
			{webhook.Paused, webhook.Enabled, []string{"INVALID state: " + missing}},
			{webhook.Paused, webhook.Disabled, nil},
			{webhook.Disabled, webhook.Enabled, []string{"INVALID state: " + missing}},
			{webhook.Disabled, webhook.Paused, []string{"INVALID state: " + missing}},
			{webhook.Disabled, webhook.Disabled, nil},
		} {
			f.update(webhook.Update{State: &step.from})
			check.Equal(t, to(by, step.to), step.want, "the error of %s after %s", step.to, step.from)
		}
		check.Equal(t, to(reads, webhook.Enabled), nil, "the error of a token that may read all")
		replay := func(by *auth.Principal) []string {
			_, err := f.Webhooks.Replay(t.Context(), by,
				webhook.ReplayRequest{WebhookID: f.hook.ID, Since: f.Clock.Now().Add(-time.Hour)})
			return failures(err)
		}
		check.Equal(t, replay(by), []string{"INVALID webhookId: " + missing}, "the error of a replay")
		check.Equal(t, replay(reads), nil, "the error of a replay by a token that may read all")
	})
}

func TestRotateSecret(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		signing := func(at time.Time, want ...string) {
			t.Helper()
			w, err := f.Webhooks.Webhook(t.Context(), f.owner, f.hook.ID)
			if err != nil {
				t.Fatal(err)
			}
			secrets, err := w.SigningSecrets(f.Keys, at)
			if err != nil {
				t.Fatal(err)
			}
			var hints []string
			for _, s := range secrets {
				hints = append(hints, s.Hint())
			}
			check.Equal(t, hints, want, "the secrets that sign at %s", at)
			check.Equal(t, w.SecretHints(at), want, "the hints at %s", at)
		}
		rotate := func(overlap *time.Duration) webhook.Rotation {
			t.Helper()
			r, err := f.Webhooks.RotateSecret(t.Context(), f.owner, f.hook.ID, overlap)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		now, first := f.Clock.Now(), f.hook.Secret.Hint
		second := rotate(nil)
		check.Equal(t, second.PreviousExpiresAt, now.Add(24*time.Hour), "when the first secret ends")
		signing(now, second.Secret.Hint(), first)
		signing(now.Add(24*time.Hour), second.Secret.Hint())
		third := rotate(new(time.Minute))
		signing(now, third.Secret.Hint(), second.Secret.Hint())
		fourth := rotate(new(time.Duration(0)))
		check.Equal(t, fourth.PreviousExpiresAt, now, "when the third secret ends")
		signing(now, fourth.Secret.Hint())
		check.Equal(t, f.events(1)[0], "webhook.updated hint="+second.Secret.Hint()+
			" previousExpiresAt="+now.Add(24*time.Hour).Format(time.RFC3339), "the first event")
	})
}

func TestDelete(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		if err := f.Webhooks.Delete(t.Context(), f.owner, f.hook.ID); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, f.events(1), []string{"webhook.deleted"}, "the events")
		errs := map[string]error{}
		_, errs["read"] = f.Webhooks.Webhook(t.Context(), f.owner, f.hook.ID)
		_, errs["update"] = f.Webhooks.Update(t.Context(), f.owner, webhook.Update{ID: f.hook.ID})
		_, errs["rotate"] = f.Webhooks.RotateSecret(t.Context(), f.owner, f.hook.ID, nil)
		_, errs["test"] = f.Webhooks.SendTest(t.Context(), f.owner, f.hook.ID)
		errs["delete"] = f.Webhooks.Delete(t.Context(), f.owner, f.hook.ID)
		_, errs["deliveries"] = f.Webhooks.Deliveries(t.Context(), f.owner, f.hook.ID, webhook.DeliveryFilter{},
			paging.Request{})
		_, errs["history"] = f.Webhooks.History(t.Context(), f.owner, f.hook.ID, world.Noon.Add(-time.Hour), world.Noon)
		for name, err := range errs {
			check.Equal(t, len(failures(err)) == 1 && strings.HasPrefix(failures(err)[0], "NOT_FOUND id: "), true,
				"NOT_FOUND on id for %s of a deleted webhook, got %v", name, err)
		}
		_, err := f.Webhooks.Replay(t.Context(), f.owner,
			webhook.ReplayRequest{WebhookID: f.hook.ID, Since: world.Noon})
		check.Equal(t, strings.HasPrefix(failures(err)[0], "NOT_FOUND webhookId: "), true, "NOT_FOUND, got %v", err)
	})
}

func TestSendTestAndReplay(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		sent, err := f.Webhooks.SendTest(t.Context(), f.owner, f.hook.ID)
		if err != nil {
			t.Fatal(err)
		}
		page, err := f.Webhooks.Deliveries(t.Context(), f.owner, f.hook.ID,
			webhook.DeliveryFilter{Types: []string{"webhook.test"}}, paging.Request{})
		if err != nil || len(page.Items) != 1 || page.Items[0].Node.Event.ID != sent.ID {
			t.Fatalf("the deliveries of the test are %v, %v, want one", page.Items, err)
		}
		n, err := f.Webhooks.Replay(t.Context(), f.owner, webhook.ReplayRequest{WebhookID: f.hook.ID,
			EventIDs: []uuid.UUID{sent.ID, sent.ID}})
		if err != nil || n != 1 {
			t.Errorf("%d deliveries replayed, %v, want 1", n, err)
		}
		_, err = f.Webhooks.Replay(t.Context(), f.owner, webhook.ReplayRequest{WebhookID: f.hook.ID,
			EventIDs: []uuid.UUID{uuid.New()}})
		check.Equal(t, strings.HasPrefix(failures(err)[0], "NOT_FOUND eventIds: "), true, "NOT_FOUND, got %v", err)
		check.Equal(t, f.events(1), []string{"webhook.test", "webhook.replayed scheduled=1"}, "the events")
		disabled := webhook.Disabled
		f.update(webhook.Update{State: &disabled})
		_, err = f.Webhooks.SendTest(t.Context(), f.owner, f.hook.ID)
		check.Equal(t, fault.KindOf(err), fault.Conflict, "a test of a disabled webhook")
		_, err = f.Webhooks.Replay(t.Context(), f.owner,
			webhook.ReplayRequest{WebhookID: f.hook.ID, Since: world.Noon})
		check.Equal(t, fault.KindOf(err), fault.Conflict, "a replay of a disabled webhook")
	})
}

// A token sees the events and the deliveries of the types that it may read, and no others.
func TestTokensSeeTheirTypes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.create("*")
		reader := f.token(scope.AccountWebhooksRead) // recorded as api_token.created
		auditor := f.token(scope.AccountAuditRead, scope.AccountWebhooksRead)
		types := func(by *auth.Principal, patterns ...string) string {
			page, err := f.Events.Page(t.Context(), by, webhook.EventFilter{Types: patterns}, paging.Request{})
			if err != nil {
				return strings.Join(failures(err), "; ")
			}
			var names []string
			for _, item := range page.Items {
				names = append(names, string(item.Node.Action.Type()))
			}
			return strings.Join(slices.Compact(names), " ")
		}
		const denied = "You do not have permission to do this operation."
		check.Equal(t, types(reader, "webhook.*"), "webhook.created", "what a reader of webhooks sees")
		check.Equal(t, types(reader), "webhook.created", "all that a reader of webhooks sees")
		check.Equal(t, types(reader, "*"), "webhook.created", "what a reader of webhooks sees of all types")
		check.Equal(t, types(reader, "api_token.created"), "FORBIDDEN filter.types: "+denied, "types of tokens")
		check.Equal(t, types(auditor, "api_token.*", "webhook.*"), "webhook.created api_token.created",
			"what an auditor sees")
		check.Equal(t, types(f.owner, "api_token.*", "webhook.*"), "webhook.created api_token.created",
			"what the owner sees")
		check.Equal(t, types(f.token(scope.AccountRead)), "FORBIDDEN "+denied, "what other tokens see")
		deliveries := func(by *auth.Principal) (names []string) {
			page, err := f.Webhooks.Deliveries(t.Context(), by, f.hook.ID, webhook.DeliveryFilter{}, paging.Request{})
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				names = append(names, string(item.Node.Event.Action.Type()))
			}
			return slices.Compact(names)
		}
		check.Equal(t, deliveries(reader), []string{"webhook.created"}, "deliveries that a reader sees")
		check.Equal(t, deliveries(auditor), []string{"api_token.created", "webhook.created"},
			"deliveries that an auditor sees")
	})
}
