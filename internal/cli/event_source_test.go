package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/bridge"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A server with --aws-events creates event sources in Amazon EventBridge and sends the account's events to them.
func TestEventSources(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		b := bridge.Start(t)
		s, session := demo(t, environment(t, url), "--aws-events", "eu-west-1", "--aws-events-partner",
			"aws.partner/example.com", "--aws-events-url", b.URL)
		var got struct {
			Account struct {
				Apps struct {
					Edges []struct{ Node struct{ ID string } }
				}
			}
			App struct {
				CreateEventSource struct{ EventSource struct{ ID, ARN string } }
				DeleteEventSource struct{ AffectedWebhooksIDs []string }
			}
		}
		s.must(t, session, `{ account { apps(first: 1) { edges { node { id } } } } }`, &got)
		app := got.Account.Apps.Edges[0].Node.ID
		s.must(t, session, fmt.Sprintf(`mutation { app { createEventSource(input: {appId: %q, awsAccount: "123456789012",
			eventSourceName: "orders", eventSourceRegion: EU_WEST_1}) { eventSource { id arn } } } }`, app), &got)
		source := got.App.CreateEventSource.EventSource
		name := "aws.partner/example.com/" + app[strings.LastIndexByte(app, '/')+1:] + "/orders"
		check.Equal(t, source.ARN, "arn:aws:events:eu-west-1::event-source/"+name, "ARN")
		s.must(t, session,
			`mutation { apiToken { createApiToken(input: {name: "For AWS", scopes: ["account_read"]}) { apiToken { id } } } }`, &got)
		for deadline := time.Now().Add(30 * time.Second); len(b.Events()) == 0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("events: got none within the time, want one: %s", s.logged())
			}
		}
		e := b.Events()[0]
		if e.Source != name || e.DetailType != "api_token.created" || !strings.Contains(e.Detail, `"name":"For AWS"`) {
			t.Errorf("got %+v, want api_token.created of %s with the token's name", e, name)
		}
		s.must(t, session, fmt.Sprintf(
			`mutation { app { deleteEventSource(input: {appId: %q, id: %q}) { affectedWebhooksIds } } }`, app, source.ID), &got)
		check.Equal(t, len(got.App.DeleteEventSource.AffectedWebhooksIDs), 1, "webhooks of the deleted source")
		check.Equal(t, len(b.Sources()), 0, "sources in EventBridge")
	})
}
