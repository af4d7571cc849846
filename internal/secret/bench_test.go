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
		{"cut off", good[:len(good)-1]},
		{"foreign", "ghp_" + good[4:]},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				kept, _ = secret.Parse(bench.presented)
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
		kept, _ = secret.Generate(rand.Reader, secret.StoreAccessToken)
	}
}

// What benchmarks make is kept here, so that the compiler cannot leave it out
// and results escape as they do in a server.
var (
	kept    secret.Secret
	digests []secret.KeyedDigest
)
