package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/chain"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/tracing"
)

// tracesGrace is how long a stopping server tries to export the last spans.
const tracesGrace = 2 * time.Second

// servingSettings reads the settings of the server and the variables of its traces. It returns fault.Invalid with the
// errors of both.
func servingSettings(p *program, c *cobra.Command, needs config.Needs) (config.Config, tracing.Settings, error) {
	cfg, err := p.settings(c, needs)
	traces, ofTraces := tracing.Read(p.env)
	return cfg, traces, append(fault.List(fault.Flatten(err)), fault.Flatten(ofTraces)...).Err()
}

// startTraces starts exporting traces, if the settings say so. stop exports the last spans.
func startTraces(ctx context.Context, cfg config.Config, s tracing.Settings, log *slog.Logger) (
	traces *tracing.Tracing, stop func(), err error) {
	self, err := replica(cfg)
	if err != nil {
		return nil, nil, err
	}
	if traces, err = tracing.Start(ctx, s, programVersion(), self.Name, log); err != nil {
		return nil, nil, err
	}
	return traces, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesGrace)
		defer cancel()
		traces.Shutdown(ending)
	}, nil
}

// backgroundTracer is the name of the tracer for work in the background.
const backgroundTracer = "latchkey/internal/cli"

// recordRun does one run of work in the background, and records it as a trace unless provider is nil.
func recordRun(ctx context.Context, provider trace.TracerProvider, name string, run func(context.Context) error) {
	if provider == nil {
		_ = run(ctx) // it has reported the error
		return
	}
	ctx, span := provider.Tracer(backgroundTracer).Start(ctx, name, trace.WithNewRoot())
	defer span.End()
	if err := run(ctx); err != nil {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", string(fault.KindOf(err))))
	}
}

// recordedSeals records each sealing that sealed events or failed. Servers look for events twice a second, so
// recording every look would make far more traces than there are changes.
type recordedSeals struct {
	chain.Repository
	tracer trace.Tracer
}

// recordSeals returns repo if provider is nil.
func recordSeals(repo chain.Repository, provider trace.TracerProvider) chain.Repository {
	if provider == nil {
		return repo
	}
	return recordedSeals{repo, provider.Tracer(backgroundTracer)}
}

// Seal implements chain.Repository.
func (r recordedSeals) Seal(ctx context.Context, keys *secret.Keyring, last chain.Totals, at time.Time, limit int) (
	chain.Sealed, error) {
	began := time.Now()
	sealed, err := r.Repository.Seal(ctx, keys, last, at, limit)
	if err == nil && sealed.Events == 0 || ctx.Err() != nil {
		return sealed, err
	}
	_, span := r.tracer.Start(ctx, "seal audit events", trace.WithNewRoot(), trace.WithTimestamp(began),
		trace.WithAttributes(attribute.Int("latchkey.events", sealed.Events)))
	defer span.End()
	if err != nil {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", string(fault.KindOf(err))))
	}
	return sealed, err
}
