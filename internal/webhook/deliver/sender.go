package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/secret"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver/egress"
)

// Timeout is the time that an attempt may take, from the look-up of the host's name to the end of the answer.
const Timeout = 15 * time.Second

const (
	// drained is how much of an answer is read and dropped after its head, so that the connection can be used again.
	drained = 4 << 10
	// maxHeader is the maximum size of an answer's header in bytes.
	maxHeader = 32 << 10
	// maxIdlePerHost is how many idle connections to one host are kept. A host can have the receivers of many webhooks,
	// each with MaxInFlight requests.
	maxIdlePerHost = 32 * MaxInFlight
)

// SenderConfig configures a Sender.
type SenderConfig struct {
	// Keys open the signing secrets.
	Keys   *secret.Keyring
	Egress *egress.Policy
	// EventBridge sends the events of event sources; nil if it is not configured.
	EventBridge Publisher
	// Roots are the certificate authorities of receivers; nil for those of the machine.
	Roots *x509.CertPool
	// UserAgent is the header User-Agent.
	UserAgent string
	Now       clock.Clock
	// Random returns uniform numbers in [0, 1), for the jitter of retries. It is safe for concurrent use.
	Random func() float64
	// Timeout replaces Timeout if it is shorter; 0 for Timeout.
	Timeout time.Duration
	// Traces records attempts; nil records none. TraceContext writes the header
	// traceparent of their requests; it must not be nil then.
	Traces       trace.TracerProvider
	TraceContext propagation.TextMapPropagator
}

// Sender sends signed requests. It follows no redirects, uses no proxy, sends no cookies and connects only to addresses
// that the egress policy allows. It is safe for concurrent use.
type Sender struct {
	c          SenderConfig
	opened     *opened
	tracing    *tracing // nil if attempts are not recorded
	tls, plain *http.Transport
}

// NewSender returns a Sender. It keeps connections, which Close closes.
func NewSender(c SenderConfig) *Sender {
	if c.Timeout <= 0 || c.Timeout > Timeout {
		c.Timeout = Timeout
	}
	s := &Sender{c: c, opened: newOpened(c.Keys), tracing: newTracing(c), tls: transport(), plain: transport()}
	s.plain.DialContext = c.Egress.DialPlain
	s.tls.DialContext = c.Egress.DialTLS
	s.tls.TLSClientConfig = &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}
	s.tls.ForceAttemptHTTP2 = true
	// A connection that no longer answers is closed, so that later attempts open another.
	s.tls.HTTP2 = &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second}
	return s
}

func transport() *http.Transport {
	return &http.Transport{
		Proxy: nil, DisableCompression: true, MaxResponseHeaderBytes: maxHeader, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: 512, MaxIdleConnsPerHost: maxIdlePerHost, IdleConnTimeout: time.Minute,
	}
}

// Close closes the connections that are not in use.
func (s *Sender) Close() {
	s.tls.CloseIdleConnections()
	s.plain.CloseIdleConnections()
}

// Publisher sends events to event sources of Amazon EventBridge. failure says in one line why the event was not
// accepted, and is empty if it was. status is the HTTP status of the answer, or 0 if there was none. gone reports
// whether the event source no longer exists.
type Publisher interface {
	Publish(ctx context.Context, arn, eventType string, at time.Time, detail []byte) (status int, failure string,
		gone bool)
}

// result is what an attempt came to. failure is empty if it succeeded.
type result struct {
	status  int
	failure string
	gone    bool
	header  http.Header
	head    string
}

// Send makes one attempt and returns its outcome. It returns an error if there was none: ctx ended first, or the event
// cannot be sent because the server's keys do not open the webhook's secrets.
func (s *Sender) Send(ctx context.Context, j Job) (o Outcome, err error) {
	began := s.c.Now()
	text, err := Body(j.Event)
	if err != nil {
		return Outcome{}, fmt.Errorf("write event %s: %w", j.Event.ID, err)
	}
	timed, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	timed, end := s.tracing.begin(timed, j)
	var r result
	defer func() { end(r, err) }()
	if j.Webhook.Kind == webhook.EventBridge {
		r = s.publish(timed, j, text)
	} else if r, err = s.request(timed, j, text, began); err != nil {
		return Outcome{}, err
	}
	if r.failure != "" && ctx.Err() != nil {
		return Outcome{}, ctx.Err()
	}
	return s.outcome(j, r, began), nil
}

func (s *Sender) publish(ctx context.Context, j Job, text []byte) (r result) {
	if s.c.EventBridge == nil {
		return result{failure: "Amazon EventBridge is not configured"}
	}
	r.status, r.failure, r.gone = s.c.EventBridge.Publish(ctx, j.Webhook.URL, string(j.Event.Action.Type()), j.Event.At,
		text)
	return r
}

// request sends a signed request. It returns an error if the request cannot be signed.
func (s *Sender) request(ctx context.Context, j Job, text []byte, at time.Time) (result, error) {
	secrets, err := s.opened.secrets(j.Webhook, at)
	if err != nil {
		return result{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, j.Webhook.URL, bytes.NewReader(text))
	if err != nil {
		return result{failure: "the URL is not valid"}, nil //nolint:nilerr // an outcome of the attempt
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", s.c.UserAgent)
	sign(request.Header, secrets, EventID(j.Event), at, text)
	s.tracing.inject(ctx, request.Header)
	return s.roundTrip(request), nil
}

// roundTrip sends the request and reads the status and the head of its answer.
func (s *Sender) roundTrip(request *http.Request) result {
	t := s.tls
	if request.URL.Scheme == "http" {
		t = s.plain
	}
	response, err := t.RoundTrip(request)
	if err != nil {
		return result{failure: failure(err)}
	}
	defer response.Body.Close()
	if response.StatusCode < http.StatusOK {
		// The body of 101 (Switching Protocols) is the connection itself, which no context ends.
		return result{status: response.StatusCode, failure: unsuccessful(response.StatusCode), header: response.Header}
	}
	// The status decides. An answer whose body is cut off or does not end in time is kept as far as it was read. What
	// is read beyond the head completes a rune at its end.
	head, err := io.ReadAll(io.LimitReader(response.Body, webhook.MaxResponseHead+utf8.UTFMax-1))
	if err == nil {
		_, _ = io.CopyN(io.Discard, response.Body, drained)
	}
	return result{
		status: response.StatusCode, failure: unsuccessful(response.StatusCode),
		gone: response.StatusCode == http.StatusGone, header: response.Header, head: headOf(head),
	}
}

// outcome returns the outcome of an attempt with the result.
func (s *Sender) outcome(j Job, r result, began time.Time) Outcome {
	now := s.c.Now()
	o := Outcome{
		Attempt: webhook.Attempt{At: clock.Timestamp(began), Status: r.status, Duration: now.Sub(began),
			Error: r.failure, ResponseHead: r.head},
		State: webhook.Delivered, Health: j.Event.Action != audit.WebhookTest,
	}
	if r.failure == "" {
		return o
	}
	if r.gone {
		o.State, o.Gone = webhook.Dead, true
		return o
	}
	in, again := retryIn(j.Attempts+1, retryAfter(r.header, now), s.c.Random())
	if !again {
		o.State = webhook.Dead
		return o
	}
	o.State, o.NextAt = webhook.Pending, clock.Timestamp(now.Add(in))
	return o
}
