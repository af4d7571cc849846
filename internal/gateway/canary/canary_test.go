package canary_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/canary"
	"latchkey/internal/gateway/keys"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// keyStore stores keys with their secrets.
type keyStore struct {
	mu      sync.Mutex
	list    []keys.Key
	live    map[string]time.Time // time of deletion by secret; zero before
	secrets map[uuid.UUID]string
	fail    error
}

func (k *keyStore) Create(_ context.Context, by *auth.Principal, name string) (keys.Key, secret.Secret, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if by.Kind != auth.Operator || k.fail != nil {
		return keys.Key{}, secret.Secret{}, errors.Join(k.fail, errors.New("not made"))
	}
	value, err := secret.Generate(rand.Reader, secret.GatewayKey)
	made := keys.Key{ID: uuid.New(), Name: name, CreatedAt: time.Now()}
	k.list = append(k.list, made)
	k.live[value.Reveal()], k.secrets[made.ID] = time.Time{}, value.Reveal()
	return made, value, err
}

func (k *keyStore) Delete(ctx context.Context, _ *auth.Principal, id uuid.UUID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	i := slices.IndexFunc(k.list, func(l keys.Key) bool { return l.ID == id })
	if i < 0 {
		return keys.ErrNoKey()
	}
	k.list = slices.Delete(k.list, i, i+1)
	k.live[k.secrets[id]] = time.Now()
	return nil
}

func (k *keyStore) List(context.Context, *auth.Principal) ([]keys.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.list), nil
}

// works reports whether a replica with the lag accepts the key.
func (k *keyStore) works(key string, lag time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	ended, known := k.live[key]
	return known && (ended.IsZero() || time.Since(ended) < lag)
}

// world is a canary with its keys, replicas and log.
type world struct {
	*canary.Canary
	keys     *keyStore
	replicas []access.Replica
	log      bytes.Buffer
}

func newWorld(t *testing.T) *world {
	w := &world{keys: &keyStore{live: map[string]time.Time{}, secrets: map[uuid.UUID]string{}}}
	w.Canary = canary.New(w.keys, func(context.Context) ([]access.Replica, error) { return w.replicas, nil }, nil,
		time.Now, slog.New(slog.NewTextHandler(&w.log, nil)))
	t.Cleanup(func() {
		for _, key := range w.keys.secrets {
			if strings.Contains(w.log.String(), key) {
				t.Error("the log contains a key, want none")
			}
		}
	})
	return w
}

// serve adds a replica.
func (w *world) serve(t *testing.T, name string, h http.HandlerFunc) {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	w.replicas = append(w.replicas, access.Replica{Name: name, URL: s.URL})
}

// lagging returns a replica that accepts a deleted key for some time.
func (w *world) lagging(lag time.Duration) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case r.Method != http.MethodPost || r.URL.Path != "/oauth2/introspect" || r.FormValue("token") != key:
			rw.WriteHeader(http.StatusTeapot)
		case !w.keys.works(key, lag):
			rw.WriteHeader(http.StatusUnauthorized)
		}
	}
}

// breaking returns a replica that accepts a deleted key for some time, and then
// calls the handler.
func (w *world) breaking(after time.Duration, then http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if key := r.FormValue("token"); !w.keys.works(key, after) {
			then(rw, r)
		}
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func unavailable(rw http.ResponseWriter, _ *http.Request) {
	rw.WriteHeader(http.StatusServiceUnavailable)
}

// measured returns the metrics: the sum of lags by replica, and the failures. It checks whether the time of the last
// round that measured every replica is set.
func (w *world) measured(t *testing.T) (lags map[string]float64, failures float64) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(w.Collectors()...)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	succeeded := false
	lags = map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "latchkey_canary_failures_total":
				failures = m.GetCounter().GetValue()
			case "latchkey_canary_last_success_timestamp_seconds":
				succeeded = m.GetGauge().GetValue() > 0
			default:
				lags[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleSum()
			}
		}
	}
	check.Equal(t, succeeded, failures == 0 && len(lags) > 0, "whether the time of the last success is set")
	return lags, failures
}

func TestRoundMeasuresEachReplica(t *testing.T) {
	w := newWorld(t)
	w.serve(t, "quick", w.lagging(0))
	w.serve(t, "slow", w.lagging(150*time.Millisecond))
	w.Round(t.Context())
	lags, failures := w.measured(t)
	if len(lags) != 2 || lags["quick"] > .1 || lags["slow"] < .15 || lags["slow"] > 1 || failures != 0 {
		t.Errorf("lags %v, %v failures, want quick within .1 s, slow within 1 s and no failure: %s",
			lags, failures, &w.log)
	}
	if len(w.keys.list) != 0 || len(w.keys.live) != 1 {
		t.Errorf("keys: %d were created, %d remain, want 1 and none", len(w.keys.live), len(w.keys.list))
	}
}

// A lag beyond the lease is measured whether the replica rejects the key in the end
// or not.
func TestRoundMeasuresLongLags(t *testing.T) {
	for _, tc := range []struct {
		name, says  string
		replica     func(w *world) http.HandlerFunc
		least, most float64 // lag in seconds
		failures    float64
	}{
		{"rejects late", "", func(w *world) http.HandlerFunc { return w.lagging(2500 * time.Millisecond) }, 2.5, 4, 0},
		{"never rejects", "did not reject it within 5s",
			func(w *world) http.HandlerFunc { return w.lagging(time.Hour) }, 4, 5.5, 1},
		{"accepts the key for long, then fails", "503",
			func(w *world) http.HandlerFunc { return w.breaking(2500*time.Millisecond, unavailable) }, 2.1, 2.5, 1},
		{"accepts the key for long, then hangs", "did not reject it within 5s",
			func(w *world) http.HandlerFunc { return w.breaking(2500*time.Millisecond, hang) }, 2.1, 2.5, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve(t, "bad", tc.replica(w))
			w.Round(t.Context())
			lags, failures := w.measured(t)
			if got := lags["bad"]; got < tc.least || got > tc.most || failures != tc.failures ||
				!strings.Contains(w.log.String(), tc.says) {
				t.Errorf("lags %v, %v failures, want %v to %v s, %v failures and the log to say %q: %s", lags, failures,
					tc.least, tc.most, tc.failures, tc.says, &w.log)
			}
		})
	}
}

// A replica that cannot be measured is counted and logged, and does not affect the
// others.
func TestRoundCountsFailures(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		replica    func(w *world) http.HandlerFunc
	}{
		{"stops answering", "did not answer within 5s", func(w *world) http.HandlerFunc { return w.breaking(0, hang) }},
		{"accepts the key briefly, then stops answering", "did not reject it within 5s",
			func(w *world) http.HandlerFunc {
				return w.breaking(100*time.Millisecond, hang)
			}},
		{"rejects a valid key", "401 to a valid key", func(*world) http.HandlerFunc {
			return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) }
		}},
		{"redirects", "307 to a valid key", func(w *world) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, w.replicas[0].URL+r.URL.Path, http.StatusTemporaryRedirect)
			}
		}},
		{"fails", "503 to a deleted key", func(w *world) http.HandlerFunc { return w.breaking(0, unavailable) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve(t, "good", w.lagging(0))
			w.serve(t, "bad", tc.replica(w))
			w.Round(t.Context())
			lags, failures := w.measured(t)
			if _, good := lags["good"]; !good || len(lags) != 1 || failures != 1 ||
				!strings.Contains(w.log.String(), tc.says) {
				t.Errorf("lags %v, %v failures, want only that of good, 1 failure and the log to say %q: %s",
					lags, failures, tc.says, &w.log)
			}
			check.Equal(t, len(w.keys.list), 0, "the key remains")
		})
	}
	t.Run("no replica answers", func(t *testing.T) {
		w := newWorld(t)
		w.replicas = []access.Replica{{Name: "gone", URL: "http://127.0.0.1:1"}}
		w.Round(t.Context())
		if _, failures := w.measured(t); failures != 1 || len(w.keys.list) != 0 {
			t.Errorf("%v failures, %d keys, want 1 failure and no key", failures, len(w.keys.list))
		}
	})
	t.Run("two replicas with one URL", func(t *testing.T) {
		w := newWorld(t)
		w.serve(t, "a", w.lagging(0))
		w.replicas = append(w.replicas, access.Replica{Name: "b", URL: w.replicas[0].URL})
		w.serve(t, "c", w.lagging(0))
		w.Round(t.Context())
		lags, failures := w.measured(t)
		if _, good := lags["c"]; !good || len(lags) != 1 || failures != 2 ||
			!strings.Contains(w.log.String(), "--replica-url") {
			t.Errorf("lags %v, %v failures, want only that of c, 2 failures and the log to name --replica-url: %s",
				lags, failures, &w.log)
		}
	})
	t.Run("no key can be created", func(t *testing.T) {
		w := newWorld(t)
		w.keys.fail = fault.Errorf(fault.Internal, "the database is unavailable")
		w.Round(t.Context())
		if _, failures := w.measured(t); failures != 1 {
			t.Errorf("failures: got %v, want 1", failures)
		}
	})
}

// A canceled round deletes its key, and does not count as a failure.
func TestRoundCanceled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.serve(t, "slow", func(rw http.ResponseWriter, r *http.Request) {
		cancel()
		w.lagging(0)(rw, r)
	})
	w.Round(ctx)
	if _, failures := w.measured(t); failures != 0 || len(w.keys.list) != 0 || len(w.keys.live) != 1 {
		t.Errorf("%v failures, %d keys created, %d remain, want no failure, 1 key and none",
			failures, len(w.keys.live), len(w.keys.list))
	}
}

// The key of a canary that stopped during a round is deleted, and no other key.
func TestRoundSweeps(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.keys.list = []keys.Key{
		{ID: uuid.New(), Name: canary.Name, CreatedAt: now.Add(-time.Hour)},
		{ID: uuid.New(), Name: canary.Name, CreatedAt: now.Add(-time.Minute)},
		{ID: uuid.New(), Name: "edge", CreatedAt: now.Add(-time.Hour)},
	}
	want := slices.Clone(w.keys.list[1:])
	w.Round(t.Context())
	check.Equal(t, w.keys.list, want, "remaining keys")
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	w.serve(t, "a", w.lagging(0))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	w.Run(ctx, 50*time.Millisecond)
	if made := len(w.keys.live); made < 2 || made > 6 || len(w.keys.list) != 0 {
		t.Errorf("keys: %d were created, %d remain, want 2 to 6 and none", made, len(w.keys.list))
	}
}
