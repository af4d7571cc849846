package tracing

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"latchkey/internal/fault"
	"latchkey/internal/regularfile"
)

// Settings are the OTEL_* variables that concern traces.
type Settings struct {
	// On reports whether spans are recorded and exported.
	On       bool
	Exporter Exporter
	Sampler  sdk.Sampler
	// Propagate reports whether trace contexts are read from requests and sent with webhooks.
	Propagate bool
	// ServiceName and Resource describe the server. ServiceName may be empty.
	ServiceName string
	Resource    []Pair
	// QueueSize is the maximum number of spans that wait to be exported.
	QueueSize int
}

// Exporter are the settings of sending spans.
type Exporter struct {
	// Endpoint is the URL to which spans are sent.
	Endpoint *url.URL
	Headers  []Pair
	// Timeout bounds a request.
	Timeout time.Duration
	Gzip    bool
	TLS     *tls.Config
}

// Pair is a name with a value.
type Pair struct{ Key, Value string }

// Read reads the variables of the environment. It returns fault.Invalid with every error, each naming the variable.
// If traces are off, the other variables are not checked: they may be for other programs.
func Read(env func(string) (string, bool)) (Settings, error) {
	r := reader{env: env}
	s := Settings{On: r.on()}
	if !s.On {
		return Settings{}, r.faults.Err()
	}
	s.Exporter, s.Sampler, s.Propagate = r.exporter(), r.sampler(), r.propagates()
	s.ServiceName, _ = r.text("OTEL_SERVICE_NAME")
	s.Resource = r.pairs("OTEL_RESOURCE_ATTRIBUTES")
	s.QueueSize = r.number("OTEL_BSP_MAX_QUEUE_SIZE", sdk.DefaultMaxQueueSize)
	return s, r.faults.Err()
}

// reader reads variables and collects their errors.
type reader struct {
	env    func(string) (string, bool)
	faults fault.List
}

// text returns the first variable that is set, and its name. An empty one counts as not set.
func (r *reader) text(names ...string) (text, name string) {
	for _, name := range names {
		if text, _ := r.env(name); strings.TrimSpace(text) != "" {
			return strings.TrimSpace(text), name
		}
	}
	return "", ""
}

func (r *reader) wrong(variable, format string, args ...any) {
	r.faults = append(r.faults, fault.Errorf(fault.Invalid, format, args...).On(variable))
}

const (
	exporterVariable       = "OTEL_TRACES_EXPORTER"
	endpointVariable       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpointVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

// on reports whether traces are on: OTEL_TRACES_EXPORTER is otlp, or an endpoint is set and OTEL_TRACES_EXPORTER is
// not none.
func (r *reader) on() bool {
	if disabled, _ := r.text("OTEL_SDK_DISABLED"); strings.EqualFold(disabled, "true") {
		return false
	}
	switch exporter, _ := r.text(exporterVariable); exporter {
	case "otlp":
		return true
	case "":
		endpoint, _ := r.text(tracesEndpointVariable, endpointVariable)
		return endpoint != ""
	case "none":
		return false
	default:
		r.wrong(exporterVariable, "must be otlp or none; Latchkey has no other exporter.")
		return false
	}
}

// specific returns the names of a variable of the exporter, the one for traces first.
func specific(suffix string) []string {
	return []string{"OTEL_EXPORTER_OTLP_TRACES_" + suffix, "OTEL_EXPORTER_OTLP_" + suffix}
}

func (r *reader) exporter() Exporter {
	if protocol, name := r.text(specific("PROTOCOL")...); protocol != "" && protocol != "http/protobuf" {
		r.wrong(name,
			"must be http/protobuf, which most collectors accept on port 4318; Latchkey has no other.")
	}
	e := Exporter{Endpoint: r.endpoint(), TLS: r.tls()}
	for _, name := range specific("HEADERS") {
		if e.Headers = r.pairs(name); e.Headers != nil {
			break
		}
	}
	timeout, name := r.text(specific("TIMEOUT")...)
	e.Timeout = 10 * time.Second
	if timeout != "" {
		e.Timeout = time.Duration(r.number(name, 0)) * time.Millisecond
	}
	switch compression, name := r.text(specific("COMPRESSION")...); compression {
	case "gzip":
		e.Gzip = true
	case "", "none":
	default:
		r.wrong(name, "must be gzip or none.")
	}
	return e
}

// endpoint returns the URL to which spans are sent. The variable of traces has it, and the other one its base.
func (r *reader) endpoint() *url.URL {
	text, name := r.text(tracesEndpointVariable, endpointVariable)
	if name == "" {
		text = "http://localhost:4318"
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.wrong(name, "must be a URL such as http://127.0.0.1:4318.")
		return &url.URL{}
	}
	if name != tracesEndpointVariable {
		u = u.JoinPath("v1", "traces")
	}
	return u
}

// shown returns the endpoint without what may be a secret.
func (e Exporter) shown() string {
	return e.Endpoint.Scheme + "://" + e.Endpoint.Host + e.Endpoint.Path
}

// maxPEM is the maximum size of a file with certificates or a key, in bytes.
const maxPEM = 1 << 20

func (r *reader) tls() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if path, name := r.text(specific("CERTIFICATE")...); path != "" {
		c.RootCAs = x509.NewCertPool()
		if text, err := readPEM(path); err != nil || !c.RootCAs.AppendCertsFromPEM(text) {
			r.wrong(name, "must name a file with certificates of authorities, in PEM.")
		}
	}
	file, name := r.text(specific("CLIENT_CERTIFICATE")...)
	key, ofKey := r.text(specific("CLIENT_KEY")...)
	switch {
	case file == "" && key == "":
	case file == "" || key == "":
		r.wrong(name+ofKey, "must be given together with the other one of certificate and key.")
	default:
		certificate, err := readPEM(file)
		private, errOfKey := readPEM(key)
		pair, errOfPair := tls.X509KeyPair(certificate, private)
		if errors.Join(err, errOfKey, errOfPair) != nil {
			r.wrong(name, "must name a file with a certificate, and %s one with its key, in PEM.", ofKey)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

func readPEM(path string) ([]byte, error) {
	file, _, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxPEM))
}

// sampler returns the sampler. The ones based on the parent follow the decision of a trace that a trusted proxy began.
func (r *reader) sampler() sdk.Sampler {
	const variable = "OTEL_TRACES_SAMPLER"
	switch name, _ := r.text(variable); strings.ToLower(name) {
	case "always_on":
		return sdk.AlwaysSample()
	case "always_off":
		return sdk.NeverSample()
	case "traceidratio":
		return sdk.TraceIDRatioBased(r.ratio())
	case "", "parentbased_always_on":
		return sdk.ParentBased(sdk.AlwaysSample())
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample())
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(r.ratio()))
	}
	r.wrong(variable, "must be always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio.")
	return sdk.NeverSample()
}

func (r *reader) ratio() float64 {
	text, name := r.text("OTEL_TRACES_SAMPLER_ARG")
	if text == "" {
		return 1
	}
	ratio, err := strconv.ParseFloat(text, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		r.wrong(name, "must be a number from 0 to 1.")
	}
	return ratio
}

// propagates reports whether trace contexts are passed on. Baggage is accepted, because it is one of the defaults, but
// Latchkey neither reads nor sends it.
func (r *reader) propagates() bool {
	const variable = "OTEL_PROPAGATORS"
	list, _ := r.text(variable)
	if list == "" {
		return true
	}
	found := false
	for name := range strings.SplitSeq(list, ",") {
		switch strings.TrimSpace(name) {
		case "tracecontext":
			found = true
		case "baggage", "none", "":
		default:
			r.wrong(variable, "must be tracecontext, baggage or none; Latchkey knows no other propagator.")
			return false
		}
	}
	return found
}

func (r *reader) number(variable string, otherwise int) int {
	text, _ := r.text(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		r.wrong(variable, "must be a positive whole number.")
		return 1
	}
	return n
}

// pairs reads a list of the form name=value,name=value with percent-encoded values. Its error does not repeat the
// text, which may be a secret.
func (r *reader) pairs(variable string) []Pair {
	text, _ := r.text(variable)
	if text == "" {
		return nil
	}
	var all []Pair
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		key, value, found := strings.Cut(entry, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		value, err := url.PathUnescape(value)
		if !found || key == "" || err != nil {
			r.wrong(variable, "must be a list of the form name=value,name=value; entry %d is not.", len(all)+1)
			return nil
		}
		all = append(all, Pair{key, value})
	}
	return all
}
