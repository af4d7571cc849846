package httpserver_test

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/httpserver"
)

// revocable is a verifier whose token can be revoked. It reports each call.
type revocable struct {
	verifier
	asked   chan struct{}
	revoked *atomic.Bool
}

func (v revocable) Verify(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error) {
	if v.revoked.Load() {
		return nil, access.ErrRefused()
	}
	record, err := v.verifier.Verify(ctx, presented, origin)
	v.asked <- struct{}{}
	return record, err
}

// A request whose credential is revoked while its body arrives is refused.
func TestSlowBody(t *testing.T) {
	for name, revoke := range map[string]bool{"revoked": true, "live": false} {
		t.Run(name, func(t *testing.T) {
			var served atomic.Int64
			api := func(w http.ResponseWriter, r *http.Request) {
				served.Add(1)
				_, _ = io.Copy(w, r.Body)
			}
			v := revocable{asked: make(chan struct{}, 2), revoked: &atomic.Bool{}}
			server := start(t, api, func(c *httpserver.Config) { c.Verifier = v })
			body, trickle := io.Pipe()
			go func() {
				<-v.asked // the header was accepted
				v.revoked.Store(revoke)
				_, err := io.WriteString(trickle, "the body")
				_ = trickle.CloseWithError(err)
			}()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.public+apiPath, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Auth-Token", goodToken)
			res, err := server.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			if err := res.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if err != nil || revoke && (res.StatusCode != http.StatusUnauthorized || served.Load() != 0) ||
				!revoke && (res.StatusCode != http.StatusOK || string(text) != "the body") {
				t.Errorf("got %d %q, %v, served %d times, want it refused and not served: %t", res.StatusCode, text,
					err, served.Load(), revoke)
			}
		})
	}
}
