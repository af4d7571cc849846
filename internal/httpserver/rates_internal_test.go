package httpserver

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
)

// anybody is a verifier that accepts every credential as the same token.
type anybody struct {
	Verifier
	record *access.Record
}

func (a anybody) Verify(context.Context, string, auth.Origin) (*access.Record, error) {
	return a.record, nil
}

// unread is a ResponseWriter that discards the response.
type unread struct{ header http.Header }

func (u unread) Header() http.Header         { return u.header }
func (u unread) Write(p []byte) (int, error) { return len(p), nil }
func (u unread) WriteHeader(int)             {}

// BenchmarkRates measures a request with and without rate limits.
func BenchmarkRates(b *testing.B) {
	many := config.Rate{Requests: 1_000_000_000, Window: time.Second}
	for name, on := range map[string]bool{"on": true, "off": false} {
		b.Run(name, func(b *testing.B) {
			m, log := newMetrics(nil), slog.New(slog.DiscardHandler)
			r, err := newRates(config.Rates{On: on, Token: many, Account: many, Failure: many}, m, log)
			if err != nil {
				b.Fatal(err)
			}
			p := newPublic(Config{
				Limits: config.HTTP{MaxBody: 1, RequestTimeout: time.Second}, Log: log,
				Verifier: anybody{record: &access.Record{Principal: auth.Principal{ID: uuid.Max, AccountID: uuid.Max}}},
				API: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Content-Type"], w.Header()["Content-Length"] = nil, nil
				}),
			}, m, r)
			request, err := http.NewRequest(http.MethodPost, "/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql",
				http.NoBody)
			if err != nil {
				b.Fatal(err)
			}
			request.RemoteAddr = "127.0.0.1:1234"
			request.Header.Set("X-Auth-Token", "a credential of fifty-odd letters, as all of ours are")
			b.ReportAllocs()
			for b.Loop() {
				p.ServeHTTP(unread{make(http.Header)}, request)
			}
		})
	}
}
