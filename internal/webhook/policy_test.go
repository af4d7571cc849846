package webhook_test

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
)

// holding is an API token with the scopes.
func holding(scopes ...string) *auth.Principal {
	return &auth.Principal{Kind: auth.APIToken, ID: uuid.New(), AccountID: uuid.New(), Name: "CI",
		Scopes: scope.NewSet(scopes...), NoCredential: "a test"}
}

func owner() *auth.Principal {
	return &auth.Principal{Kind: auth.Session, ID: uuid.New(), AccountID: uuid.New(), Name: "owner@acme.example",
		AccountOwner: true, NoCredential: "a test"}
}

// failures returns the errors of err, each as its kind, its field and its message.
func failures(err error) []string {
	var lines []string
	for _, f := range fault.Flatten(err) {
		lines = append(lines, string(f.Kind)+" "+f.Error())
	}
	return lines
}

// unstored is a service without a repository: what it is asked here is judged before anything is read or written.
func unstored() *webhook.Service {
	return webhook.NewService(webhook.Config{Random: rand.Reader, Now: clock.System,
		CheckURL: func(_ context.Context, text string) error {
			if !strings.HasPrefix(text, "https://") {
				return fault.Errorf(fault.Invalid, "No https.")
			}
			return nil
		}})
}

func TestRequestsAreChecked(t *testing.T) {
	valid := func(change func(*webhook.Request)) webhook.Request {
		r := webhook.Request{URL: "https://hooks.example/a", Types: []string{"api_token.*"}, Description: "Billing"}
		change(&r)
		return r
	}
	signing, err := secret.GenerateWebhook(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const write = scope.AccountWebhooksWrite
	for _, tc := range []struct {
		name string
		by   *auth.Principal
		req  webhook.Request
		want []string
	}{
		{"valid", owner(), valid(func(*webhook.Request) {}), nil},
		{"every type", owner(), valid(func(r *webhook.Request) { r.Types = []string{"*", "user.added"} }), nil},
		{"everything is wrong", owner(), webhook.Request{URL: "http://hooks.example",
			Description: strings.Repeat("x", 256)}, []string{
			"INVALID url: No https.", "INVALID eventTypes: Choose at least one event type.",
			"INVALID description: A description has 0 to 255 characters."}},
		{"no URL", owner(), valid(func(r *webhook.Request) { r.URL = " " }),
			[]string{"INVALID url: A URL has 1 to 2048 characters."}},
		{"a long URL", owner(), valid(func(r *webhook.Request) { r.URL += strings.Repeat("x", 2048) }),
			[]string{"INVALID url: A URL has 1 to 2048 characters."}},
		{"a secret in the URL", owner(), valid(func(r *webhook.Request) { r.URL += "?s=" + signing.Reveal() }),
			[]string{"INVALID url: A URL must not contain a credential. Rotate one that others may have seen."}},
		{"two lines", owner(), valid(func(r *webhook.Request) { r.Description = "a\nb" }),
			[]string{"INVALID description: A description is one line of plain text."}},
		{"unknown types", owner(), valid(func(r *webhook.Request) {
			r.Types = []string{"user.vanished", "thing.*", "user.added", "session.started", "api_token", ""}
		}), []string{
			`INVALID eventTypes: There is no event type "". Query.eventTypes lists all.`,
			`INVALID eventTypes: There is no event type "api_token". Query.eventTypes lists all.`,
			`INVALID eventTypes: There is no event type "session.started". Query.eventTypes lists all.`,
			`INVALID eventTypes: There is no event type "thing.*". Query.eventTypes lists all.`,
			`INVALID eventTypes: There is no event type "user.vanished". Query.eventTypes lists all.`}},
		{"too many types", owner(), valid(func(r *webhook.Request) { r.Types = make([]string, 101) }),
			[]string{"INVALID eventTypes: Choose at most 100 event types."}},
		{"what the token may read", holding(write, scope.AccountAPITokensRead), valid(func(*webhook.Request) {}), nil},
		{"what the token may not read", holding(write, scope.AccountAPITokensRead),
			valid(func(r *webhook.Request) { r.Types = []string{"user.added", "api_token.revoked"} }), []string{
				"INVALID eventTypes: This token does not hold account_users_read, so its webhooks cannot receive user.added."}},
		{"all types for a token", holding(write), valid(func(r *webhook.Request) { r.Types = []string{"*"} }), []string{
			"INVALID eventTypes: This token does not hold account_api_tokens_read, so its webhooks cannot receive api_token.created."}},
		{"the audit log does not help", holding(write, scope.AccountAuditRead),
			valid(func(*webhook.Request) {}), []string{
				"INVALID eventTypes: This token does not hold account_api_tokens_read, so its webhooks cannot receive api_token.created."}},
		{"a token without the scope", holding(scope.AccountWebhooksRead), webhook.Request{},
			[]string{"FORBIDDEN You do not have permission to do this operation."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, failures(unstored().Check(t.Context(), tc.by, tc.req)), tc.want, "the errors")
		})
	}
}

// Every type has a scope with which a token reads it, and which the catalogue has.
func TestEveryTypeHasAScope(t *testing.T) {
	for _, each := range audit.Types() {
		needed := webhook.ReadScope(each)
		if grant, known := scope.Default().Lookup(needed); !known || grant.Level != scope.LevelAccount {
			t.Errorf("%s needs the scope %q, want one of account level", each, needed)
		}
	}
}

// Who may do what, for every method that needs a right.
func TestWebhookRights(t *testing.T) {
	store := holding(scope.AccountWebhooksWrite, scope.AccountWebhooksRead)
	store.StoreID = uuid.New()
	operator := auth.OperatorPrincipal()
	session := *owner()
	session.AccountOwner, session.OwnedStores = false, []uuid.UUID{uuid.New()}
	for _, tc := range []struct {
		name         string
		by           *auth.Principal
		read, change bool
	}{
		{"the owner", owner(), true, true},
		{"the operator", &operator, true, true},
		{"a reader", holding(scope.AccountWebhooksRead), true, false},
		{"a writer", holding(scope.AccountWebhooksRead, scope.AccountWebhooksWrite), true, true},
		{"another token", holding(scope.AccountAuditRead, scope.AccountRead), false, false},
		{"a store-level token", store, false, false},
		{"a store's owner", &session, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, webhook.MayRead(tc.by) == nil, tc.read, "may read")
			check.Equal(t, webhook.MayChange(tc.by) == nil, tc.change, "may change")
		})
	}
}

func TestReplaysAreChecked(t *testing.T) {
	event, at := uuid.New(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		req  webhook.ReplayRequest
		want []string
	}{
		{"nothing", webhook.ReplayRequest{},
			[]string{"INVALID since: Name events, or give the time from which on to replay."}},
		{"no events", webhook.ReplayRequest{EventIDs: []uuid.UUID{}, Since: at},
			[]string{"INVALID eventIds: Name at least one event, or give a time instead."}},
		{"both", webhook.ReplayRequest{EventIDs: []uuid.UUID{event}, Since: at,
			States: []webhook.DeliveryState{webhook.Dead}}, []string{
			"INVALID since: Name events or give a time, not both.",
			"INVALID states: Events that are named are sent again in every state."}},
		{"too many", webhook.ReplayRequest{EventIDs: slices.Repeat([]uuid.UUID{event}, 251)},
			[]string{"INVALID eventIds: Name at most 250 events, or give a time instead."}},
		{"backwards", webhook.ReplayRequest{Since: at, Until: at},
			[]string{"INVALID until: The end must be after the start."}},
		{"only an end", webhook.ReplayRequest{Until: at},
			[]string{"INVALID since: Name events, or give the time from which on to replay."}},
		{"an unknown state", webhook.ReplayRequest{Since: at, States: []webhook.DeliveryState{"LOST"}},
			[]string{`INVALID states: There is no state "LOST" of deliveries.`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := unstored().Replay(t.Context(), owner(), tc.req)
			check.Equal(t, failures(err), tc.want, "the errors")
		})
	}
}

func TestOverlapsAreChecked(t *testing.T) {
	for _, overlap := range []time.Duration{-time.Second, webhook.MaxOverlap + 1} {
		_, err := unstored().RotateSecret(t.Context(), owner(), uuid.New(), &overlap)
		check.Equal(t, failures(err), []string{"INVALID overlapSeconds: An overlap lasts 0 to 604800 seconds."},
			"the errors of %s", overlap)
	}
}
