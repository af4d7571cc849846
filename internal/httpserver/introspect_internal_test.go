package httpserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// kept is a repository with two credentials.
type kept map[secret.Digest]access.Record

func (k kept) Credential(_ context.Context, _ secret.Kind, candidates []secret.KeyedDigest) (access.Record, error) {
	if r, there := k[candidates[0].Digest]; there {
		return r, nil
	}
	return access.Record{}, fault.Errorf(fault.NotFound, "none")
}

func (kept) Store(context.Context, string) (access.Store, error) {
	return access.Store{}, fault.Errorf(fault.NotFound, "none")
}

// BenchmarkIntrospection measures the introspection of a cached token by a
// gateway whose key is cached, without the network.
func BenchmarkIntrospection(b *testing.B) {
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	var values [2]secret.Secret
	for i, kind := range []secret.Kind{secret.GatewayKey, secret.OAuthAccessToken} {
		if values[i], err = secret.Generate(rand.Reader, kind); err != nil {
			b.Fatal(err)
		}
	}
	repository := kept{
		keys.Digest(values[0]).Digest: {Principal: auth.Principal{Kind: auth.Gateway, ID: uuid.New()}},
		keys.Digest(values[1]).Digest: {ClientID: "qekxjrgdtamvyq7h3r4mukd5f8zpnbc", IssuedAt: time.Now(),
			Principal: auth.Principal{
				Kind: auth.APIToken, ID: uuid.New(), AccountID: uuid.New(),
				Scopes: scope.NewSet("store_cart", "store_v2_products"), ExpiresAt: time.Now().Add(time.Hour),
			}},
	}
	memory, err := access.NewCaches(100, time.Hour, func() bool { return true }, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	defer memory.Close()
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	p := newPublic(Config{
		Limits: config.HTTP{MaxBody: 1 << 20, RequestTimeout: time.Second}, Log: log,
		PublicURL: "https://keys.example.com",
		Verifier: access.NewVerifier(access.Config{Repository: repository, Keys: keys, Catalogue: scope.Default(),
			Caches: memory, Now: time.Now}),
	}, newMetrics(nil), nil)
	body := []byte("token=" + values[1].Reveal() + "&client_ip=203.0.113.7")
	request, err := http.NewRequest(http.MethodPost, introspectPath, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	request.RemoteAddr, request.ContentLength = "127.0.0.1:1234", int64(len(body))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", "Bearer "+values[0].Reveal())
	answered := &answered{}
	b.ReportAllocs()
	for b.Loop() {
		answered.header, answered.bytes = make(http.Header), 0
		request.Body = io.NopCloser(bytes.NewReader(body))
		p.ServeHTTP(answered, request)
		if answered.bytes < 300 {
			b.Fatalf("answer: got %d bytes, want at least 300", answered.bytes)
		}
	}
}

// answered is a ResponseWriter that counts responses.
type answered struct {
	unread
	bytes int
}

func (a *answered) Write(p []byte) (int, error) {
	a.bytes += len(p)
	return len(p), nil
}
