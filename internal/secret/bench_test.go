package secret_test

import (
	"crypto/rand"
	"testing"

	"latchkey/internal/secret"
)

func BenchmarkParse(b *testing.B) {
	good := generate(b, secret.AccountAccessToken).Reveal()
	for _, bench := range []struct{ name, presented string }{
		{"good", good},
		{"mistyped", mistype(good)},
		{"truncated", good[:len(good)-1]},
		{"unknown prefix", "ghp_" + good[4:]},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stored, _ = secret.Parse(bench.presented)
			}
		})
	}
}

func BenchmarkCandidates(b *testing.B) {
	ring, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	s := generate(b, secret.AccountAccessToken)
	b.ReportAllocs()
	for b.Loop() {
		digests = ring.Candidates(s)
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		stored, _ = secret.Generate(rand.Reader, secret.StoreAccessToken)
	}
}

// Results of benchmarks are stored here, so that the compiler cannot remove the
// calls and results escape as they do in a server.
var (
	stored  secret.Secret
	digests []secret.KeyedDigest
)
