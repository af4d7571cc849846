package httpserver_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

// At most two large bodies of one account are in memory at a time. Small ones
// do not wait. One that waits longer than the request timeout is refused.
func TestLargeBodies(t *testing.T) {
	reached, letGo := make(chan int, 10), make(chan struct{})
	api := func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		reached <- int(n)
		if n > 100 {
			<-letGo
		}
	}
	server := start(t, api,
		func(c *httpserver.Config) { c.Limits.RequestTimeout, c.Limits.MaxBody = 2*time.Second, 1<<20 })
	statuses := make(chan int, 10)
	send := func(size int) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.public+apiPath,
			bytes.NewReader(make([]byte, size)))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("X-Auth-Token", goodToken)
		res, err := server.client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
		statuses <- res.StatusCode
	}
	const large = 200_000
	for range 3 {
		go send(large)
	}
	for range 2 {
		check.Equal(t, soon(t, reached), large, "the API read")
	}
	send(100)
	if n, status := soon(t, reached), soon(t, statuses); n != 100 || status != http.StatusOK {
		t.Errorf("a small body beside large ones: the API read %d bytes, status %d, want 100 bytes and status 200", n,
			status)
	}
	check.Equal(t, soon(t, statuses), http.StatusTooManyRequests, "a third large body: status")
	close(letGo)
	for range 2 {
		check.Equal(t, soon(t, statuses), http.StatusOK, "a large body: status")
	}
	send(large)
	if n, status := soon(t, reached), soon(t, statuses); n != large || status != http.StatusOK {
		t.Errorf("a large body after the others: the API read %d bytes, status %d, want %d bytes and status 200", n,
			status, large)
	}
}

// soon returns the next value of c. It fails the test after 30 s.
func soon(t *testing.T, values <-chan int) int {
	t.Helper()
	select {
	case v := <-values:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("got nothing within 30 s, want a value")
		return 0
	}
}
