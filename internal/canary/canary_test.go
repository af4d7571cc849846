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
	"latchkey/internal/canary"
	"latchkey/internal/fault"
	"latchkey/internal/gateway"
	"latchkey/internal/secret"
)

// keys are those that there are, each with its secret.
type keys struct {
	mu      sync.Mutex
	list    []gateway.Key
	live    map[string]time.Time // when it ended, by secret; zero while it lives
	secrets map[uuid.UUID]string
	fail    error
}

func (k *keys) Create(_ context.Context, by *auth.Principal, name string) (gateway.Key, secret.Secret, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if by.Kind != auth.Operator || k.fail != nil {
		return gateway.Key{}, secret.Secret{}, errors.Join(k.fail, errors.New("not made"))
	}
	value, err := secret.Generate(rand.Reader, secret.GatewayKey)
	made := gateway.Key{ID: uuid.New(), Name: name, CreatedAt: time.Now()}
	k.list = append(k.list, made)
	k.live[value.Reveal()], k.secrets[made.ID] = time.Time{}, value.Reveal()
	return made, value, err
}

func (k *keys) Delete(ctx context.Context, _ *auth.Principal, id uuid.UUID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	i := slices.IndexFunc(k.list, func(l gateway.Key) bool { return l.ID == id })
	if i < 0 {
		return gateway.ErrNoKey()
	}
	k.list = slices.Delete(k.list, i, i+1)
	k.live[k.secrets[id]] = time.Now()
	return nil
}

func (k *keys) List(context.Context, *auth.Principal) ([]gateway.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.list), nil
}

// works says whether a replica that lags so much honours the key.
func (k *keys) works(key string, lag time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	ended, known := k.live[key]
	return known && (ended.IsZero() || time.Since(ended) < lag)
}

// world is a canary with what it measures.
type world struct {
	*canary.Canary
	keys     *keys
	replicas []access.Replica
	log      bytes.Buffer
}

func newWorld(t *testing.T) *world {
	w := &world{keys: &keys{live: map[string]time.Time{}, secrets: map[uuid.UUID]string{}}}
	w.Canary = canary.New(w.keys, func(context.Context) ([]access.Replica, error) { return w.replicas, nil }, time.Now, slog.New(slog.NewTextHandler(&w.log, nil)))
	t.Cleanup(func() {
		for _, key := range w.keys.secrets {
			if strings.Contains(w.log.String(), key) {
				t.Error("the log holds a key")
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

// lagging is a replica that honours a deleted key for some time.
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

// breaking is a replica that honours a deleted key for some time, and from then on answers as it is told.
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

// measured returns the metrics: the sum of lags by replica, and the failures.
func (w *world) measured(t *testing.T) (lags map[string]float64, failures float64) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(w.Collectors()...)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	lags = map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "latchkey_canary_failures_total" {
				failures = m.GetCounter().GetValue()
			} else {
				lags[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleSum()
			}
		}
	}
	return lags, failures
}

func TestRoundMeasuresEachReplica(t *testing.T) {
	w := newWorld(t)
	w.serve(t, "quick", w.lagging(0))
	w.serve(t, "slow", w.lagging(150*time.Millisecond))
	w.Round(t.Context())
	lags, failures := w.measured(t)
	if len(lags) != 2 || lags["quick"] > .1 || lags["slow"] < .15 || lags["slow"] > 1 || failures != 0 {
		t.Errorf("lags %v, %v failures: %s", lags, failures, &w.log)
	}
	if len(w.keys.list) != 0 || len(w.keys.live) != 1 {
		t.Errorf("%d keys were made, and %d are left", len(w.keys.live), len(w.keys.list))
	}
}

// A replica that breaks the bound is measured as one that does, whether it is seen to refuse in the end or not.
func TestRoundMeasuresWhatBreaksTheBound(t *testing.T) {
	for _, tc := range []struct {
		name, says  string
		replica     func(w *world) http.HandlerFunc
		least, most float64 // of the lag, in seconds
		failures    float64
	}{
		{"it refuses late", "", func(w *world) http.HandlerFunc { return w.lagging(2500 * time.Millisecond) }, 2.5, 4, 0},
		{"it never refuses", "has not refused it within 5s", func(w *world) http.HandlerFunc { return w.lagging(time.Hour) }, 4, 5.5, 1},
		{"it honours the key for long, and breaks", "503", func(w *world) http.HandlerFunc { return w.breaking(2500*time.Millisecond, unavailable) }, 2.1, 2.5, 1},
		{"it honours the key for long, and hangs", "has not refused it within 5s", func(w *world) http.HandlerFunc { return w.breaking(2500*time.Millisecond, hang) }, 2.1, 2.5, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve(t, "bad", tc.replica(w))
			w.Round(t.Context())
			lags, failures := w.measured(t)
			if got := lags["bad"]; got < tc.least || got > tc.most || failures != tc.failures || !strings.Contains(w.log.String(), tc.says) {
				t.Errorf("lags %v, %v failures: %s", lags, failures, &w.log)
			}
		})
	}
}

// What cannot be measured is counted and said, and spoils nothing of the rest.
func TestRoundCountsFailures(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		replica    func(w *world) http.HandlerFunc
	}{
		{"it answers nothing any more", "has not answered within 5s", func(w *world) http.HandlerFunc { return w.breaking(0, hang) }},
		{"it honours the key for a moment, and answers nothing any more", "has not refused it within 5s", func(w *world) http.HandlerFunc {
			return w.breaking(100*time.Millisecond, hang)
		}},
		{"it refuses a key that works", "401 to a key that works", func(*world) http.HandlerFunc {
			return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) }
		}},
		{"it sends elsewhere", "307 to a key that works", func(w *world) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, w.replicas[0].URL+r.URL.Path, http.StatusTemporaryRedirect)
			}
		}},
		{"it breaks", "503 to a key that was deleted", func(w *world) http.HandlerFunc { return w.breaking(0, unavailable) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve(t, "good", w.lagging(0))
			w.serve(t, "bad", tc.replica(w))
			w.Round(t.Context())
			lags, failures := w.measured(t)
			if _, good := lags["good"]; !good || len(lags) != 1 || failures != 1 || !strings.Contains(w.log.String(), tc.says) {
				t.Errorf("lags %v, %v failures: %s", lags, failures, &w.log)
			}
			if len(w.keys.list) != 0 {
				t.Error("the key is left")
			}
		})
	}
	t.Run("nobody is there", func(t *testing.T) {
		w := newWorld(t)
		w.replicas = []access.Replica{{Name: "gone", URL: "http://127.0.0.1:1"}}
		w.Round(t.Context())
		if _, failures := w.measured(t); failures != 1 || len(w.keys.list) != 0 {
			t.Errorf("%v failures, %d keys", failures, len(w.keys.list))
		}
	})
	t.Run("several have one URL", func(t *testing.T) {
		w := newWorld(t)
		w.serve(t, "a", w.lagging(0))
		w.replicas = append(w.replicas, access.Replica{Name: "b", URL: w.replicas[0].URL})
		w.serve(t, "c", w.lagging(0))
		w.Round(t.Context())
		lags, failures := w.measured(t)
		if _, good := lags["c"]; !good || len(lags) != 1 || failures != 2 || !strings.Contains(w.log.String(), "--replica-url") {
			t.Errorf("lags %v, %v failures: %s", lags, failures, &w.log)
		}
	})
	t.Run("no key can be made", func(t *testing.T) {
		w := newWorld(t)
		w.keys.fail = fault.Errorf(fault.Internal, "the database is away")
		w.Round(t.Context())
		if _, failures := w.measured(t); failures != 1 {
			t.Errorf("%v failures", failures)
		}
	})
}

// A round that is cut off leaves no key, and is no failure.
func TestRoundCutOff(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.serve(t, "slow", func(rw http.ResponseWriter, r *http.Request) {
		cancel()
		w.lagging(0)(rw, r)
	})
	w.Round(ctx)
	if _, failures := w.measured(t); failures != 0 || len(w.keys.list) != 0 || len(w.keys.live) != 1 {
		t.Errorf("%v failures, %d keys made, %d left", failures, len(w.keys.live), len(w.keys.list))
	}
}

// The key of a canary that died is deleted, and nobody else's.
func TestRoundSweeps(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.keys.list = []gateway.Key{
		{ID: uuid.New(), Name: canary.Name, CreatedAt: now.Add(-time.Hour)},
		{ID: uuid.New(), Name: canary.Name, CreatedAt: now.Add(-time.Minute)},
		{ID: uuid.New(), Name: "edge", CreatedAt: now.Add(-time.Hour)},
	}
	want := slices.Clone(w.keys.list[1:])
	w.Round(t.Context())
	if !slices.Equal(w.keys.list, want) {
		t.Errorf("left are %v", w.keys.list)
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	w.serve(t, "a", w.lagging(0))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	w.Run(ctx, 50*time.Millisecond)
	if made := len(w.keys.live); made < 2 || made > 6 || len(w.keys.list) != 0 {
		t.Errorf("%d keys were made, %d are left", made, len(w.keys.list))
	}
}
