package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// What is posted is counted, and a request that is not signed is not.
func TestPostSigned(t *testing.T) {
	var wrong atomic.Int64
	receiver := receiverHandler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.ContentLength != int64(len("{}")) {
			wrong.Add(1)
		}
		receiver.ServeHTTP(w, r)
	}))
	defer server.Close()
	m, err := postSigned(t.Context(), server.URL, []byte("{}"), 4, 100*time.Millisecond)
	if err != nil || m.perSecond <= 0 || m.p50 <= 0 || m.p99 < m.p50 || wrong.Load() > 0 {
		t.Fatalf("measurement: got %+v, %d other bodies, %v, want a rate, a p99 that is at least the p50, and 0 other bodies",
			m, wrong.Load(), err)
	}
	n, err := receivedBy(t.Context(), server.URL)
	if err != nil || float64(n) < m.perSecond/10 {
		t.Errorf("received: got %d at %.0f a second, %v, want at least a tenth of a second's", n, m.perSecond, err)
	}
	response, err := http.Post(server.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	check.Equal(t, response.StatusCode, http.StatusBadRequest, "status of a request without signature")
	if again, err := receivedBy(t.Context(), server.URL); err != nil || again != n {
		t.Errorf("%d received after a request without signature, %v; want %d", again, err, n)
	}
}

func TestPostSignedReportsAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	for name, body := range map[string]string{"another status": "{}", "no body": ""} {
		if m, err := postSigned(t.Context(), server.URL, []byte(body), 1, time.Second); err == nil {
			t.Errorf("%s: got %+v, want an error", name, m)
		}
	}
}

// The key and the signature are those of the example in the specification of Standard Webhooks.
func TestSignature(t *testing.T) {
	a := arrival{at: time.Unix(1614265330, 0), header: http.Header{}, body: []byte(`{"test": 2432232314}`)}
	a.header.Set(hookID, "msg_p5jXN8AQM9LWM0D4loKWxJek")
	a.header.Set(hookTimestamp, "1614265330")
	a.header.Set(hookSignature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	if _, err := a.lag(key); err == nil || strings.Contains(err.Error(), "signature") {
		t.Errorf("error %v, want one about the event's time", err)
	}
	a.body = []byte(`{"timestamp": "2021-02-25T15:02:09.5Z"}`)
	if _, err := a.lag(key); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("error %v, want one about the signature", err)
	}
}

// A request is timed from the event to its arrival.
func TestArrivals(t *testing.T) {
	a := newArrivals()
	server, url, err := serveHere(a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	event := time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano)
	body := `{"timestamp": "` + event + `"}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(hookSignature, signature(nil, "", "", []byte(body)))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	got, err := a.next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if lag, err := got.lag("whsec_"); err != nil || lag < time.Second || lag > 20*time.Second {
		t.Errorf("lag %v, %v; want a second or little more", lag, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := a.next(ended); err == nil {
		t.Error("next after the end: got no error, want one")
	}
}
