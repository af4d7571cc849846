package ratelimit_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/ratelimit"
)

func BenchmarkTake(b *testing.B) {
	all, err := ratelimit.New[uuid.UUID](rateOf(1_000_000_000, time.Minute), 1000)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		all.Take(uuid.Max, now)
	}
}

func BenchmarkGoodCredential(b *testing.B) {
	f, err := ratelimit.NewFailures(rateOf(100, time.Minute), 1000)
	if err != nil {
		b.Fatal(err)
	}
	from, credential := netip.MustParseAddr("192.0.2.1"), "a credential of fifty-odd letters, as all of ours are"
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		f.Admit(from, credential, now)
		f.Worked(credential)
	}
}

func BenchmarkRefused(b *testing.B) {
	f, err := ratelimit.NewFailures(rateOf(1, time.Hour), 1000)
	if err != nil {
		b.Fatal(err)
	}
	from, credential := netip.MustParseAddr("2001:db8::1"), "a credential of fifty-odd letters, as all of ours are"
	now := time.Now()
	f.Failed(from, credential, now)
	b.ReportAllocs()
	for b.Loop() {
		if _, admission := f.Admit(from, credential, now); admission != ratelimit.Refused {
			b.Fatalf("Admit() = %v, want %v", admission, ratelimit.Refused)
		}
	}
}
