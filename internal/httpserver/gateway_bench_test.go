package httpserver_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/httpserver"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// shelf is a repository with one token, one gateway key and one store.
type shelf struct{}

func (shelf) Credential(_ context.Context, kind secret.Kind, _ []secret.KeyedDigest) (access.Record, error) {
	if kind == secret.GatewayKey {
		return access.Record{Principal: auth.Principal{Kind: auth.Gateway, ID: uuid.Max}}, nil
	}
	return access.Record{Principal: auth.Principal{
		Kind: auth.APIToken, ID: tokenID, AccountID: acme,
		Scopes: scope.NewSet("store_cart", "store_v2_products_read_only"),
	}}, nil
}

func (shelf) SaveUses(context.Context, []access.Use) error { return nil }

func (shelf) Store(context.Context, string) (access.Store, error) {
	return access.Store{AccountID: acme}, nil
}

// BenchmarkGatewayCheck measures a cached check over one connection, next to a
// handler that only writes a response.
func BenchmarkGatewayCheck(b *testing.B) {
	key, token := bySecret(b, secret.GatewayKey), bySecret(b, secret.AccountAccessToken)
	question := "GET /gateway/check HTTP/1.1\r\nHost: keys.example\r\nX-Latchkey-Gateway: " + key +
		"\r\nX-Auth-Token: " + token +
		"\r\nX-Original-URI: /stores/acme1us/v3/catalog/products/77?limit=5\r\nX-Original-Method: GET\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
	b.Run("bare", func(b *testing.B) {
		body := []byte(`{"active":true,"scope":"store_cart store_v2_products_read_only"}`)
		server := &http.Server{ReadHeaderTimeout: time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{"application/json"}
				_, _ = w.Write(body)
			})}
		l := listener(b)
		go func() { _ = server.Serve(l) }()
		defer server.Close()
		ask(b, l.Addr().String(), question, "200")
	})
	for _, limited := range []bool{false, true} {
		b.Run(fmt.Sprintf("check/limited=%v", limited), func(b *testing.B) {
			ctx, stop := context.WithCancel(context.Background())
			address, ended := gatewayServer(ctx, b, limited, nil)
			ask(b, address, question, "204")
			stop()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
	}
	b.Run("check/traces of 1 %", func(b *testing.B) {
		ctx, stop := context.WithCancel(context.Background())
		one := sdk.ParentBased(sdk.TraceIDRatioBased(0.01))
		address, ended := gatewayServer(ctx, b, false, sampled{sdk.NewTracerProvider(sdk.WithSampler(one),
			sdk.WithBatcher(tracetest.NewNoopExporter()))})
		ask(b, address, question, "204")
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
}

func bySecret(b *testing.B, kind secret.Kind) string {
	b.Helper()
	s, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		b.Fatal(err)
	}
	return s.Reveal()
}

func listener(b *testing.B) net.Listener {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// sampled are traces with a provider.
type sampled struct{ provider trace.TracerProvider }

func (s sampled) Provider() trace.TracerProvider          { return s.provider }
func (sampled) Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

func gatewayServer(ctx context.Context, b *testing.B, limited bool, traces httpserver.Traces) (address string,
	ended chan error) {
	b.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	memory, err := access.NewCaches(1000, time.Hour, func() bool { return time.Now().Unix() > 0 }, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(memory.Close)
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	verifier := access.NewVerifier(access.Config{
		Repository: shelf{}, Keys: keys, Catalogue: scope.Default(), Caches: memory, Uses: access.NewUses(shelf{}),
		Now: time.Now,
	})
	many := config.Rate{Requests: 1_000_000_000, Window: time.Second}
	public := listener(b)
	server, err := httpserver.New(httpserver.Config{
		Public: public, Admin: listener(b), Limits: limits(), Grace: time.Second, Verifier: verifier,
		Routes: routes.Default(), Log: log,
		Rates: config.Rates{On: limited, Token: many, Account: many, Failure: many}, WriteError: writeError,
		Traces: traces,
	})
	if err != nil {
		b.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	return public.Addr().String(), ended
}

// ask sends the same request repeatedly and reads the responses without
// allocating.
func ask(b *testing.B, address, request, status string) {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	out, in := []byte(request), bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(out); err != nil {
			b.Fatal(err)
		}
		length, first := 0, true
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if first && string(line[9:12]) != status {
				b.Fatalf("answered %s, want status %s", line, status)
			}
			first = false
			if len(line) > 16 && string(line[:16]) == "Content-Length: " {
				for _, c := range line[16 : len(line)-2] {
					length = 10*length + int(c-'0')
				}
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := in.Discard(length); err != nil {
			b.Fatal(err)
		}
	}
}
