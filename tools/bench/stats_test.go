package main

import (
	"slices"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   float64
	}{
		{name: "none", want: 0},
		{name: "one", values: []float64{3}, want: 3},
		{name: "odd and unsorted", values: []float64{9, 1, 5}, want: 5},
		{name: "even", values: []float64{4, 1, 3, 2}, want: 2.5},
		{name: "an outlier changes nothing", values: []float64{1, 2, 3, 4, 1e9}, want: 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := slices.Clone(test.values)
			check.Equal(t, median(test.values), test.want, "median(%v)", test.values)
			check.Equal(t, test.values, before, "the values were reordered")
		})
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	tests := []struct {
		name   string
		sorted []int
		p      int
		want   int
	}{
		{name: "none", p: 99, want: 0},
		{name: "one value is every percentile", sorted: []int{7}, p: 1, want: 7},
		{name: "median of a hundred", sorted: hundred, p: 50, want: 50},
		{name: "99th of a hundred", sorted: hundred, p: 99, want: 99},
		{name: "99th of three is the last", sorted: []int{1, 2, 3}, p: 99, want: 3},
		{name: "100th", sorted: hundred, p: 100, want: 100},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			check.Equal(t, percentile(test.sorted, test.p), test.want, "percentile(%d)", test.p)
		})
	}
}

func TestCompareGoesRoundByRound(t *testing.T) {
	rates := func(perSecond ...float64) []measurement {
		return mapped(perSecond, func(r float64) measurement { return measurement{perSecond: r} })
	}
	tests := []struct {
		name         string
		ours, theirs []measurement
		want         ratio
	}{
		{name: "a machine that slows down does not change a ratio", ours: rates(50, 25, 5), theirs: rates(100, 50, 10),
			want: ratio{median: 0.5, least: 0.5, most: 0.5}},
		{name: "range", ours: rates(40, 60, 50), theirs: rates(100, 100, 100),
			want: ratio{median: 0.5, least: 0.4, most: 0.6}},
		{name: "of processor time, the less the better",
			ours:   []measurement{{perSecond: 50, processor: 40}, {perSecond: 50, processor: 80}},
			theirs: []measurement{{perSecond: 50, processor: 20}, {perSecond: 50, processor: 40}},
			want:   ratio{median: 1, least: 1, most: 1, processor: 0.5}},
		{name: "nothing to compare with", ours: rates(1), theirs: rates(0), want: ratio{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			check.Equal(t, compare(test.ours, test.theirs), test.want, "compare")
		})
	}
}

func TestSummarize(t *testing.T) {
	got := summarize([]measurement{
		{perSecond: 10, p50: 3 * time.Millisecond, p99: 9 * time.Millisecond},
		{perSecond: 30, p50: time.Millisecond, p99: 7 * time.Millisecond},
		{perSecond: 20, p50: 2 * time.Millisecond, p99: 8 * time.Millisecond},
	})
	check.Equal(t, got, (measurement{perSecond: 20, p50: 2 * time.Millisecond, p99: 8 * time.Millisecond}), "summarize")
}
