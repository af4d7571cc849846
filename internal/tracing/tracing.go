// Package tracing exports OpenTelemetry traces over OTLP/HTTP, as the OTEL_* environment variables say, and adds the
// IDs of requests and traces to log lines. It decides where spans go. Which spans there are is decided by the packages
// that get the provider; they get none while traces are off, and then do nothing for them.
package tracing

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracing exports spans. It is safe for concurrent use. A nil *Tracing is one that is off.
type Tracing struct {
	settings Settings
	provider *sdk.TracerProvider
	client   *client
	queue    *queue
	log      *slog.Logger
}

// Start starts exporting, or returns a Tracing that is off, if the settings say so. The caller must call Shutdown.
// version and instance identify this server in the spans.
func Start(ctx context.Context, s Settings, version, instance string, log *slog.Logger) (*Tracing, error) {
	if !s.On {
		return &Tracing{}, nil
	}
	sent, err := newClient(s.Exporter)
	if err != nil {
		return nil, err
	}
	// The SDK reports its own mistakes here, by default to standard error.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.WarnContext(ctx, "traces are incomplete", "error", err)
	}))
	exporter, err := otlptrace.New(ctx, sent)
	if err != nil {
		return nil, err
	}
	q := newQueue(exporter, s.QueueSize, log)
	limits := sdk.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = maxValue
	}
	provider := sdk.NewTracerProvider(
		sdk.WithResource(resource.NewSchemaless(s.resource(version, instance)...)),
		sdk.WithSampler(s.Sampler),
		sdk.WithRawSpanLimits(limits),
		sdk.WithSpanProcessor(q),
	)
	log.InfoContext(ctx, "traces are exported", "endpoint", s.Exporter.shown(), "sampler", s.Sampler.Description())
	return &Tracing{settings: s, provider: provider, client: sent, queue: q, log: log}, nil
}

// maxValue is the maximum length of an attribute's value, unless OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT sets another.
const maxValue = 2000

// resource returns the attributes that identify the server. Those of the environment take precedence.
func (s Settings) resource(version, instance string) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("service.name", "latchkey"), attribute.String("service.version", version),
		attribute.String("service.instance.id", instance),
		attribute.String("telemetry.sdk.name", "opentelemetry"), attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.version", otel.Version()),
	}
	for _, a := range s.Resource { // the last of several counts
		all = append(all, attribute.String(a.Key, a.Value))
	}
	if s.ServiceName != "" {
		all = append(all, attribute.String("service.name", s.ServiceName))
	}
	return all
}

// Provider returns the provider of tracers; nil if traces are off.
func (t *Tracing) Provider() trace.TracerProvider {
	if t == nil || t.provider == nil {
		return nil
	}
	return t.provider
}

// Propagator reads and writes the headers that connect the traces of several programs. It does nothing if traces are
// off.
func (t *Tracing) Propagator() propagation.TextMapPropagator {
	if t == nil || t.provider == nil || !t.settings.Propagate {
		return propagation.NewCompositeTextMapPropagator()
	}
	return propagation.TraceContext{}
}

// Collectors returns the metrics of exporting; none if traces are off.
func (t *Tracing) Collectors() []prometheus.Collector {
	if t == nil || t.queue == nil {
		return nil
	}
	return []prometheus.Collector{t.queue.exported, t.queue.dropped}
}

// Shutdown exports the spans that have ended. It gives up when ctx ends, and logs this.
func (t *Tracing) Shutdown(ctx context.Context) {
	if t == nil || t.provider == nil {
		return
	}
	err := t.provider.Shutdown(ctx)
	t.client.abort()
	if err != nil {
		t.log.WarnContext(ctx, "the last spans could not be exported", "error", err)
	}
}
