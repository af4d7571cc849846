package deliver_test

import (
	"crypto/rand"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/secret"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
	"latchkey/internal/webhook/deliver/egress"
)

// receiver is a server that keeps what it receives.
type receiver struct {
	*httptest.Server

	mu   sync.Mutex
	got  []received
	more chan struct{}
}

type received struct {
	at     time.Time
	path   string
	header http.Header
	body   string
}

// startReceiver starts a receiver with TLS that answers with answer, after the request is kept. nil answers 204.
func startReceiver(t testing.TB, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{more: make(chan struct{}, 1)}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.keep(t, req)
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, req)
	}))
	r.EnableHTTP2 = true
	r.Config.ErrorLog = quiet
	r.StartTLS()
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) keep(t testing.TB, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Errorf("the receiver could not read the body of a request: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, received{time.Now(), req.URL.Path, req.Header.Clone(), string(body)})
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// received returns what was received so far.
func (r *receiver) received() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// wait waits for n requests and returns all that were received. It fails the test if that takes too long.
func (r *receiver) wait(t testing.TB, n int) []received {
	t.Helper()
	end := time.After(waitTime)
	for {
		if got := r.received(); len(got) >= n {
			return got
		}
		select {
		case <-r.more:
		case <-end:
			t.Fatalf("the receiver got %d requests within %s, want %d", len(r.received()), waitTime, n)
		}
	}
}

// waitTime is how long tests wait for what must happen.
const waitTime = 20 * time.Second

// until waits until is returns true.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(waitTime); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %s, want it within that time", what, waitTime)
		}
	}
}

// hang answers nothing until the client or the test ends.
func hang(t testing.TB) http.HandlerFunc {
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	return func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
		case <-ended:
		}
	}
}

// status answers with a status.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// fixture are webhooks with their secrets.
type fixture struct {
	keys    *secret.Keyring
	secrets map[uuid.UUID]secret.WebhookSecret
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{keys: keys, secrets: map[uuid.UUID]secret.WebhookSecret{}}
}

// webhook returns an enabled webhook.
func (f *fixture) webhook(t testing.TB, url string) webhook.Webhook {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	value, sealed := f.secret(t, id)
	f.secrets[id] = value
	return webhook.Webhook{AccountID: accountID, ID: id, URL: url, Types: []string{"*"}, State: webhook.Enabled,
		CreatedAt: clock.Timestamp(time.Now()), CreatedBy: audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
		Secret: sealed}
}

func (f *fixture) secret(t testing.TB, of uuid.UUID) (secret.WebhookSecret, webhook.SigningSecret) {
	t.Helper()
	value, err := secret.GenerateWebhook(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := f.keys.Seal(rand.Reader, []byte(value.Reveal()), webhook.SealedFor(of))
	if err != nil {
		t.Fatal(err)
	}
	return value, webhook.SigningSecret{Sealed: sealed, Hint: value.Hint()}
}

// sender returns a sender that may reach this machine and trusts the receivers.
func (f *fixture) sender(t testing.TB, timeout time.Duration, trusted ...*receiver) *deliver.Sender {
	t.Helper()
	roots := x509.NewCertPool()
	for _, r := range trusted {
		roots.AddCert(r.Certificate())
	}
	s := deliver.NewSender(deliver.SenderConfig{
		Keys: f.keys, Egress: egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil), Roots: roots,
		UserAgent: "Latchkey/test", Now: time.Now, Random: func() float64 { return 0.5 }, Timeout: timeout,
	})
	t.Cleanup(s.Close)
	return s
}
