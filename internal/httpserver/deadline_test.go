package httpserver_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"latchkey/internal/httpserver"
)

// The context of a request ends at its deadline, for Done, Err and derived
// contexts.
func TestDeadline(t *testing.T) {
	const limit = 50 * time.Millisecond
	for _, tc := range []struct {
		name string
		ends func(context.Context) error
	}{
		{"waiting", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		{"looking", func(ctx context.Context) error {
			for ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			return ctx.Err()
		}},
		{"waiting for a context made of it", func(ctx context.Context) error {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			<-child.Done()
			return child.Err()
		}},
		{"telling", func(ctx context.Context) error {
			if at, ok := ctx.Deadline(); !ok || time.Until(at) > limit {
				return errors.New("the deadline is another")
			}
			<-ctx.Done()
			return ctx.Err()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := make(chan error, 1)
			api := func(_ http.ResponseWriter, r *http.Request) { got <- tc.ends(r.Context()) }
			server := start(t, api, func(c *httpserver.Config) { c.Limits.RequestTimeout = limit })
			server.api(t, "X-Auth-Token: "+goodToken)
			if err := <-got; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the context ended with %v, want %v", err, context.DeadlineExceeded)
			}
		})
	}
}

// A client that disconnects ends its request's context.
func TestClientGone(t *testing.T) {
	asked, got := make(chan struct{}), make(chan error, 1)
	server := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		got <- r.Context().Err()
	}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", server.public+apiPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", goodToken)
	go func() {
		<-asked
		cancel()
	}()
	if res, err := server.client.Do(req); err == nil {
		res.Body.Close()
		t.Errorf("the client got status %d, want an error", res.StatusCode)
	}
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("the context ended with %v, want %v", err, context.Canceled)
	}
}
