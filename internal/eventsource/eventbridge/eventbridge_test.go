package eventbridge_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"latchkey/internal/eventsource/eventbridge"
	"latchkey/internal/fault"
	"latchkey/internal/test/bridge"
	"latchkey/internal/test/check"
)

const (
	name   = "aws.partner/example.com/42/orders"
	arn    = "arn:aws:events:eu-west-1::event-source/" + name
	theirs = "123456789012"
)

func open(t *testing.T) (*bridge.Bridge, *eventbridge.Client) {
	t.Helper()
	b := bridge.Start(t)
	return b, client(t, b.URL)
}

func client(t *testing.T, url string) *eventbridge.Client {
	t.Helper()
	c, err := eventbridge.New(t.Context(), "EU_WEST_1", url)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func create(t *testing.T, c *eventbridge.Client) {
	t.Helper()
	if got, err := c.Create(t.Context(), "eu-west-1", theirs, name); err != nil || got != arn {
		t.Fatalf("Create() = %q, %v, want %q", got, err, arn)
	}
}

// The double checks the signature of every request.
func TestPublish(t *testing.T) {
	b, c := open(t)
	create(t, c)
	at := time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	status, failure, gone := c.Publish(t.Context(), arn, "user.added", at, []byte(`{"id":"1"}`))
	if status != 200 || failure != "" || gone {
		t.Fatalf("Publish() = %d, %q, %v, want 200 and no failure", status, failure, gone)
	}
	check.Equal(t, b.Events(), []bridge.Event{{Source: name, DetailType: "user.added", Detail: `{"id":"1"}`, Time: at}},
		"events")
}

// A source is served in its own region, not in the client's.
func TestRegionOfTheSource(t *testing.T) {
	b, c := open(t)
	if _, err := c.Create(t.Context(), "us-east-1", theirs, name); err != nil {
		t.Fatal(err)
	}
	_, failure, _ := c.Publish(t.Context(), strings.Replace(arn, "eu-west-1", "us-east-1", 1), "user.added", time.Now(),
		[]byte("{}"))
	check.Equal(t, failure, "", "failure")
	check.Equal(t, b.Sources(), []string{"us-east-1 " + name + " " + theirs}, "sources")
}

func TestPublishFails(t *testing.T) {
	b, c := open(t)
	create(t, c)
	for _, tc := range []struct {
		name    string
		prepare func()
		arn     string
		status  int
		failure string
		gone    bool
	}{
		{"throttled", func() { b.Refuse(bridge.Put, "ThrottlingException", 1) }, arn, 400,
			"Amazon EventBridge answered ThrottlingException", false},
		{"no answer", func() { b.Refuse(bridge.Put, "", 1) }, arn, 0, "Amazon EventBridge could not be reached", false},
		{"a failed entry", func() { b.RefuseEntries("InternalFailure", 1) }, arn, 200,
			"Amazon EventBridge answered InternalFailure", false},
		{"an entry that is too long to show", func() { b.RefuseEntries(strings.Repeat("x", 101), 1) }, arn, 200,
			"Amazon EventBridge refused the event", false},
		{"no such source", func() { b.Refuse(bridge.Put, "ResourceNotFoundException", 1) }, arn, 400,
			"Amazon EventBridge answered ResourceNotFoundException", true},
		{"no such source, as an entry", func() {}, arn + "x", 200,
			"Amazon EventBridge answered ResourceNotFoundException", true},
		{"not an ARN", func() {}, "https://example.com", 0, "the URL is not the ARN of an event source", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := b.Requests(bridge.Put)
			tc.prepare()
			status, failure, gone := c.Publish(t.Context(), tc.arn, "user.added", time.Now(), []byte("{}"))
			if status != tc.status || failure != tc.failure || gone != tc.gone {
				t.Errorf("got %d %q %v, want %d %q %v", status, failure, gone, tc.status, tc.failure, tc.gone)
			}
			if n := b.Requests(bridge.Put) - before; n > 1 {
				t.Errorf("%d requests, want at most one", n)
			}
		})
	}
	check.Equal(t, len(b.Events()), 0, "events")
}

func TestPublishEndsInTime(t *testing.T) {
	bridge.Start(t) // for the credentials
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := client(t, "http://"+silent.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	status, failure, gone := c.Publish(ctx, arn, "user.added", time.Now(), []byte("{}"))
	if status != 0 || failure != "no complete answer of Amazon EventBridge in time" || gone {
		t.Errorf("Publish() = %d, %q, %v, want no status and a failure for lack of a complete answer",
			status, failure, gone)
	}
	began := time.Now()
	_, err = c.Create(t.Context(), "eu-west-1", theirs, name)
	if took := time.Since(began); fault.KindOf(err) != fault.Internal || took > 2*eventbridge.Timeout {
		t.Errorf("Create: got error %v after %s, want kind %s within %s",
			err, took, fault.Internal, 2*eventbridge.Timeout)
	}
}

// Without credentials nothing is sent, and the text says nothing about the server.
func TestWithoutCredentials(t *testing.T) {
	b := bridge.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	c := client(t, b.URL)
	if _, err := c.Create(t.Context(), "eu-west-1", theirs, name); fault.KindOf(err) != fault.Internal ||
		strings.Contains(err.Error(), "credential") {
		t.Errorf("Create: got error %v, want kind %s, and no word of credentials", err, fault.Internal)
	}
	status, failure, gone := c.Publish(t.Context(), arn, "user.added", time.Now(), []byte("{}"))
	if status != 0 || failure != "Amazon EventBridge could not be reached" || gone {
		t.Errorf("Publish() = %d, %q, %v, want no status, and that it could not be reached", status, failure, gone)
	}
}

func TestCreateAndDelete(t *testing.T) {
	b, c := open(t)
	create(t, c)
	if _, err := c.Create(t.Context(), "eu-west-1", theirs, name); fault.KindOf(err) != fault.Conflict {
		t.Errorf("created again: got error %v, want kind %s", err, fault.Conflict)
	}
	for range 2 { // what is not there is deleted
		if err := c.Delete(t.Context(), "eu-west-1", theirs, name); err != nil {
			t.Error(err)
		}
	}
	check.Equal(t, len(b.Sources()), 0, "sources")
	b.Refuse(bridge.Delete, "ThrottlingException", 1)
	if err := c.Delete(t.Context(), "eu-west-1", theirs, name); fault.KindOf(err) != fault.Internal {
		t.Errorf("throttled: got error %v, want kind %s", err, fault.Internal)
	}
	if _, err := c.Create(t.Context(), "eu-west-1", "12", name); fault.KindOf(err) != fault.Invalid {
		t.Errorf("an invalid AWS account: got error %v, want kind %s", err, fault.Invalid)
	}
}
