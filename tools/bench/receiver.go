package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// inFlightOfHook is how many requests Latchkey has in flight for one webhook.
const inFlightOfHook = 4

const countPath = "/count"

// The headers of a signed request (Standard Webhooks).
const (
	hookID        = "Webhook-Id"
	hookTimestamp = "Webhook-Timestamp"
	hookSignature = "Webhook-Signature"
)

// receiverHandler answers webhooks at once and counts them. It answers requests without a body or the headers of a
// signed request with an error.
func receiverHandler() http.Handler {
	var received atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET "+countPath, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, received.Load())
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n == 0 || r.Header.Get(hookID) == "" || r.Header.Get(hookTimestamp) == "" ||
			!strings.HasPrefix(r.Header.Get(hookSignature), "v1,") {
			http.Error(w, "not a webhook", http.StatusBadRequest)
			return
		}
		received.Add(1)
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// receivedBy returns how many webhooks a receiver has answered.
func receivedBy(ctx context.Context, url string) (int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+countPath, http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// postSigned posts the body for d, signed anew for each request, with the given number of requests in flight and
// connections. It is the yardstick for delivered webhooks.
func postSigned(ctx context.Context, url string, body []byte, inFlight int, d time.Duration) (measurement, error) {
	if len(body) == 0 {
		return measurement{}, errors.New("there is no body to post")
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return measurement{}, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: inFlight, DisableCompression: true}
	defer transport.CloseIdleConnections()
	return working(func() (measurement, error) {
		began := time.Now()
		var latencies []time.Duration
		var mutex sync.Mutex
		posts, ctx := errgroup.WithContext(ctx)
		for range inFlight {
			posts.Go(func() error {
				var own []time.Duration
				for time.Since(began) < d {
					sent := time.Now()
					if err := postOnce(ctx, transport, url, key[:], body); err != nil {
						return err
					}
					own = append(own, time.Since(sent))
				}
				mutex.Lock()
				defer mutex.Unlock()
				latencies = append(latencies, own...)
				return nil
			})
		}
		if err := posts.Wait(); err != nil {
			return measurement{}, err
		}
		m := measurement{perSecond: float64(len(latencies)) / time.Since(began).Seconds()}
		slices.Sort(latencies)
		m.p50, m.p99 = percentile(latencies, 50), percentile(latencies, 99)
		return m, nil
	})
}

func postOnce(ctx context.Context, transport *http.Transport, url string, key, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	id, at := "bc/account/event/"+uuid.NewString(), strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Latchkey/bench")
	r.Header.Set(hookID, id)
	r.Header.Set(hookTimestamp, at)
	r.Header.Set(hookSignature, signature(key, id, at, body))
	response, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusNoContent {
		err = errors.Join(err, fmt.Errorf("the receiver answered %s", response.Status))
	}
	return errors.Join(err, response.Body.Close())
}

// signature signs a request as Standard Webhooks says.
func signature(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// ServeHTTP keeps a request and answers it at once.
func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.requests <- arrival{at, r.Header, body}
	w.WriteHeader(http.StatusNoContent)
}

// next returns the next request. It waits for at most 10 seconds.
func (a *arrivals) next(ctx context.Context) (arrival, error) {
	select {
	case got := <-a.requests:
		return got, nil
	case <-ctx.Done():
		return arrival{}, ctx.Err()
	case <-time.After(10 * time.Second):
		return arrival{}, errors.New("no request arrived within 10 s")
	}
}

// lag returns the time from the event to the arrival of its request, which must have a valid signature.
func (a arrival) lag(secret string) (time.Duration, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return 0, fmt.Errorf("read the signing secret: %w", err)
	}
	if a.header.Get(hookSignature) != signature(key, a.header.Get(hookID), a.header.Get(hookTimestamp), a.body) {
		return 0, errors.New("the signature of a request is not valid")
	}
	var event struct{ Timestamp time.Time }
	if err := json.Unmarshal(a.body, &event); err != nil {
		return 0, err
	}
	lag := a.at.Sub(event.Timestamp)
	if lag <= 0 || lag > time.Minute {
		return 0, fmt.Errorf("the request for an event of %s arrived at %s", event.Timestamp, a.at)
	}
	return lag, nil
}

// serveHere serves a handler in this process and returns its URL.
func serveHere(h http.Handler) (*http.Server, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	return server, "http://" + l.Addr().String(), nil
}
