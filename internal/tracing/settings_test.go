package tracing_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	"latchkey/internal/tracing"
)

func from(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		text, ok := env[name]
		return text, ok
	}
}

// When traces are on, and where they go (docs/traces.md).
func TestWhenTracesAreOn(t *testing.T) {
	const general, ofTraces = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for _, tc := range []struct {
		name string
		env  map[string]string
		want string // the endpoint; empty if traces are off
	}{
		{"nothing set", nil, ""},
		{"empty", map[string]string{general: " ", "OTEL_TRACES_EXPORTER": ""}, ""},
		{"otlp", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"},
		{"none", map[string]string{"OTEL_TRACES_EXPORTER": "none", general: "http://collector:1"}, ""},
		{"disabled", map[string]string{"OTEL_SDK_DISABLED": "TRUE", general: "http://collector:1"}, ""},
		{"not disabled", map[string]string{"OTEL_SDK_DISABLED": "false", general: "http://collector:1"},
			"http://collector:1/v1/traces"},
		{"with a path", map[string]string{general: "https://collector/otlp/"}, "https://collector/otlp/v1/traces"},
		{"of traces", map[string]string{general: "http://other", ofTraces: "https://collector/here"},
			"https://collector/here"},
		{"wrong values while off", map[string]string{"OTEL_TRACES_SAMPLER": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
			""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := tracing.Read(from(tc.env))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if s.On {
				got = s.Exporter.Endpoint.String()
			}
			check.Equal(t, got, tc.want, "endpoint")
		})
	}
}

// Values that are not supported are refused, all at once, by the names of their variables and without secrets.
func TestWrongVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not.pem")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		"OTEL_EXPORTER_OTLP_HEADERS": "a=b,hidden", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s",
		"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd", "OTEL_EXPORTER_OTLP_CERTIFICATE": file,
		"OTEL_EXPORTER_OTLP_CLIENT_KEY": file, "OTEL_TRACES_SAMPLER": "jaeger_remote", "OTEL_PROPAGATORS": "b3",
		"OTEL_RESOURCE_ATTRIBUTES": "a=%zz", "OTEL_BSP_MAX_QUEUE_SIZE": "0",
	}
	_, err := tracing.Read(from(wrong))
	check.Equal(t, fault.KindOf(err), fault.Invalid, "kind")
	named := map[string]bool{}
	for _, f := range fault.Flatten(err) {
		named[f.Field] = true
		if strings.Contains(f.Message, "hidden") {
			t.Errorf("%s: got %q, want no header in it", f.Field, f.Message)
		}
	}
	for name := range wrong {
		if !named[name] {
			t.Errorf("got no error of %s, want one", name)
		}
	}
	check.Equal(t, len(named), len(wrong), "errors")
	for _, env := range []map[string]string{
		{"OTEL_TRACES_EXPORTER": "console"},
		{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
		{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "NaN"},
	} {
		if _, err := tracing.Read(from(env)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%v: got %v, want it invalid", env, err)
		}
	}
}

// Samplers, headers and propagators as the variables say.
func TestVariables(t *testing.T) {
	for name, want := range map[string]string{
		"": "ParentBased{root:AlwaysOnSampler", "always_on": "AlwaysOnSampler", "always_off": "AlwaysOffSampler",
		"traceidratio": "TraceIDRatioBased{0.25}", "parentbased_always_off": "ParentBased{root:AlwaysOffSampler",
		"parentbased_traceidratio": "ParentBased{root:TraceIDRatioBased{0.25}",
	} {
		s, err := tracing.Read(from(map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": name,
			"OTEL_TRACES_SAMPLER_ARG": "0.25", "OTEL_EXPORTER_OTLP_HEADERS": "a=b%2Cc, d = e",
			"OTEL_PROPAGATORS": "tracecontext,baggage"}))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Sampler.Description(); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got the sampler %s, want %s", name, got, want)
		}
		check.Equal(t, s.Exporter.Headers, []tracing.Pair{{Key: "a", Value: "b,c"}, {Key: "d", Value: "e"}}, "headers")
		check.Equal(t, s.Propagate, true, "propagates")
	}
	s, err := tracing.Read(from(map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PROPAGATORS": "none"}))
	check.Equal(t, s.Propagate || err != nil, false, "propagates")
}
