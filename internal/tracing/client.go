package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"latchkey/internal/secret"
)

// client sends spans with OTLP over HTTP, in protobuf. OpenTelemetry's own client is not used, because it links gRPC,
// which would make the program 2 MB larger.
type client struct {
	exporter Exporter
	http     *http.Client
	// stopping ends by abort, which ends all requests.
	stopping context.Context
	abort    func()
}

var _ otlptrace.Client = (*client)(nil)

const (
	// firstRetry is the pause before a request is repeated the first time; each pause is twice as long as the one
	// before it, up to lastRetry. The exporter's time for a batch ends the repetitions.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 5 * time.Second
	// maxAnswer is how much of an answer is read, so that the connection can be used again.
	maxAnswer = 64 << 10
)

func newClient(e Exporter) (*client, error) {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("export traces: the default transport is another one")
	}
	transport = transport.Clone()
	transport.TLSClientConfig = e.TLS
	stopping, abort := context.WithCancel(context.Background())
	return &client{exporter: e, http: &http.Client{Transport: transport, Timeout: e.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		stopping: stopping, abort: abort}, nil
}

// Start implements otlptrace.Client.
func (c *client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces sends spans, and repeats that until they are accepted or refused, or ctx ends.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := c.encode(spans)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.stopping, cancel)() //nolint:contextcheck // either of the two ends the upload
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		after, err := c.send(ctx, body)
		if err == nil || after < 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(pause, after)):
		}
	}
}

// encode returns the body of the request that exports spans. Secrets in it are replaced by their hints. No span should
// have one, but the name of an operation, for example, is a client's.
func (c *client) encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	// The request of the collector's service has the same fields as TracesData, and its package would link gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err == nil && len(secret.Find(body)) > 0 {
		redact(spans)
		body, err = proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	}
	if err != nil || !c.exporter.Gzip {
		return body, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err = w.Write(body)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// send sends a request once. If it failed and may be repeated, retry is how long the receiver asks to wait, and 0 if
// it does not say. Otherwise retry is negative.
func (c *client) send(ctx context.Context, body []byte) (retry time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.exporter.Endpoint.String(),
		bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	for _, h := range c.exporter.Headers {
		request.Header.Set(h.Key, h.Value)
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	if c.exporter.Gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, err // it does not contain a password of the URL
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	switch status := response.StatusCode; {
	case status < http.StatusMultipleChoices:
		return 0, nil
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway,
		status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return time.Duration(min(max(seconds, 0), 60)) * time.Second, answered(status)
	default:
		return -1, answered(status)
	}
}

func answered(status int) error { return fmt.Errorf("the receiver of traces answered %d", status) }

// redact replaces the secrets in spans by their hints.
func redact(spans []*tracepb.ResourceSpans) {
	for _, ofResource := range spans {
		redactAttributes(ofResource.GetResource().GetAttributes())
		for _, ofScope := range ofResource.GetScopeSpans() {
			for _, span := range ofScope.GetSpans() {
				redactSpan(span)
			}
		}
	}
}

func redactSpan(s *tracepb.Span) {
	s.Name, s.TraceState = secret.Redact(s.Name), secret.Redact(s.TraceState)
	if s.Status != nil {
		s.Status.Message = secret.Redact(s.Status.Message)
	}
	redactAttributes(s.Attributes)
	for _, e := range s.Events {
		e.Name = secret.Redact(e.Name)
		redactAttributes(e.Attributes)
	}
	for _, l := range s.Links {
		l.TraceState = secret.Redact(l.TraceState)
		redactAttributes(l.Attributes)
	}
}

func redactAttributes(all []*commonpb.KeyValue) {
	for _, a := range all {
		redactValue(a.GetValue())
	}
}

func redactValue(v *commonpb.AnyValue) {
	if text, is := v.GetValue().(*commonpb.AnyValue_StringValue); is {
		text.StringValue = secret.Redact(text.StringValue)
	}
	for _, element := range v.GetArrayValue().GetValues() {
		redactValue(element)
	}
}
