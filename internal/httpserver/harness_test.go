package httpserver_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/httpserver"
	dbtest "latchkey/internal/test/db"
)

const (
	goodToken = "lka_good"
	apiPath   = "/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql"
)

var tokenID = uuid.MustParse("01980000-0000-7000-8000-000000000001")

// secondToken is another token of the same account.
const secondToken = "lka_second"

// verifier accepts two tokens, and fails with an internal error on another.
type verifier struct{ httpserver.Verifier }

func (verifier) Verify(_ context.Context, presented string, _ auth.Origin) (*access.Record, error) {
	switch presented {
	case goodToken:
		return &access.Record{Principal: auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: tokenID,
			Name: "secret name"}}, nil
	case secondToken:
		return &access.Record{Principal: auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.Max}}, nil
	case "lka_broken":
		return nil, io.ErrUnexpectedEOF
	}
	if strings.HasPrefix(presented, "lka_typo") {
		return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonMalformed})
	}
	return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonUnknown})
}

// writeError writes errors like the API, as far as these tests need it.
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	status := map[fault.Kind]int{fault.Unauthenticated: 401, fault.Invalid: 400, fault.Forbidden: 403,
		fault.RateLimited: 429, fault.Internal: 500}[fault.KindOf(err)]
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(
		map[string]any{"errors": []map[string]string{{"message": fault.Flatten(err)[0].Message}}})
}

func limits() config.HTTP {
	return config.HTTP{
		MaxBody: 1000, MaxHeader: 8192, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 5 * time.Second, RequestTimeout: 5 * time.Second,
	}
}

// running is a server under test.
type running struct {
	public, admin string // base URLs
	log           *dbtest.Log
	stop          context.CancelFunc
	ended         chan error
	client        *http.Client
}

// start runs a server until the test ends and checks that its goroutines ended.
func start(t *testing.T, api http.HandlerFunc, adjust func(*httpserver.Config)) *running {
	t.Helper()
	listen := func() net.Listener {
		l, err := httpserver.Listen(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	r := &running{log: &dbtest.Log{}, ended: make(chan error, 1),
		client: &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}}
	c := httpserver.Config{
		Public: listen(), Admin: listen(), Limits: limits(), Grace: 5 * time.Second, Verifier: verifier{}, API: api,
		WriteError: writeError, Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}
	r.public, r.admin = "http://"+c.Public.Addr().String(), "http://"+c.Admin.Addr().String()
	if adjust != nil {
		adjust(&c)
	}
	server, err := httpserver.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.ended <- server.Run(ctx); close(r.ended) }()
	t.Cleanup(func() {
		stop()
		for range r.ended { // a test may have taken the error already
		}
		r.client.CloseIdleConnections()
		goleak.VerifyNone(t)
	})
	return r
}

// answer is a response with its body.
type answer struct {
	*http.Response
	text string
}

// do sends a request; headers are "Name: value" lines.
func (r *running) do(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(text)}
}

func (r *running) api(t *testing.T, headers ...string) answer {
	t.Helper()
	return r.do(t, "POST", r.public+apiPath, `{"query":"{viewer{kind}}"}`, headers...)
}

// whoami responds with the caller and its address, as handlers see them.
func whoami(w http.ResponseWriter, r *http.Request) {
	p, err := auth.From(r.Context())
	if err != nil {
		writeError(w, r, err)
		return
	}
	from := "unknown"
	if p.Origin.IP.IsValid() {
		from = p.Origin.IP.String()
	}
	_, _ = io.WriteString(w, from+" "+p.Origin.RequestID)
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
