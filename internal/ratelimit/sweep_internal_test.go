package ratelimit

import (
	"testing"
	"time"
)

// Buckets that are full again are dropped, and others stay.
func TestSweep(t *testing.T) {
	all, err := New[int](Rate{Requests: 2, Window: time.Minute}, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for key := range 5000 {
		all.Take(key, now)
	}
	now = now.Add(time.Hour)
	all.Take(-1, now)
	all.Take(-1, now)
	for key := range 5000 {
		all.Take(10_000+key, now)
	}
	all.buckets.CleanUp()
	if n := all.buckets.EstimatedSize(); n > 6000 {
		t.Errorf("%d buckets remain, want 5,001 that are not full", n)
	}
	if _, ok := all.Take(-1, now); ok {
		t.Error("a bucket that was empty was dropped, want it kept")
	}
}
