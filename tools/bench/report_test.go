package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

func TestMarkdown(t *testing.T) {
	at := func(perSecond ...float64) []measurement {
		return mapped(perSecond, func(r float64) measurement {
			return measurement{perSecond: r, p50: 1500 * time.Microsecond, p99: 4 * time.Millisecond,
				processor: time.Duration(1e9 / r)}
		})
	}
	r := report{
		header: []string{"a machine"},
		pairs: []pair{
			{work: "issue", against: "raw", target: 0.4, stretch: 0.55},
			{work: "list", against: "hand", target: 0.35, stretch: 1},
			{work: "viewer", against: "bare", target: 0.45, stretch: 0.6},
			{work: "sent", against: "bare"},
		},
		results: map[string][]measurement{
			"issue": at(60, 61, 58), "raw": at(100, 100, 100),
			"list": at(40, 41), "hand": at(100, 100),
			"viewer": at(10), "bare": at(100), "sent": {{perSecond: 50, processor: 2e7}},
		},
		figures: []figure{{work: "idle", value: 29.96, unit: "MB", target: 45, stretch: 30},
			{work: "start", value: 61, unit: "ms", target: 60, stretch: 30}},
	}
	for _, want := range []string{
		"- a machine\n",
		"| issue | 60 | 1.50 ms | 4.00 ms | raw | 100 | 0.60 | 0.58–0.61 | 0.60 | ≥ 0.40 | 0.55 | stretch reached |\n",
		"| list | 40 | 1.50 ms | 4.00 ms | hand | 100 | 0.41 | 0.40–0.41 | 0.41 | ≥ 0.35 | 1.00 | target reached |\n",
		"| viewer | 10 | 1.50 ms | 4.00 ms | bare | 100 | 0.10 | 0.10–0.10 | 0.10 | ≥ 0.45 | 0.60 | missed |\n",
		"| sent | 50 | – | – | bare | 100 | 0.50 | 0.50–0.50 | 0.50 | – | – | no target |\n",
		"| idle | 30.0 MB | ≤ 45 | 30 | stretch reached |\n",
		"| start | 61.0 ms | ≤ 60 | 30 | missed |\n",
	} {
		if !strings.Contains(r.markdown(), want) {
			t.Errorf("report: got\n%s\nwant %q in it", r.markdown(), want)
		}
	}
}

// A pair without a contender would be reported as missed without being measured.
func TestEveryPairIsMeasured(t *testing.T) {
	measured := map[string]bool{}
	for _, c := range slices.Concat(new(suite).contenders()...) {
		if measured[c.name] {
			t.Errorf("contenders with the name %q: got two, want one", c.name)
		}
		measured[c.name] = true
	}
	for _, p := range pairs() {
		if !measured[p.work] || !measured[p.against] {
			t.Errorf("got no contender of %q or %q, want both", p.work, p.against)
		}
	}
}

func TestChosen(t *testing.T) {
	tests := []struct {
		name, part string
		want       []string // contenders, a group each
	}{
		{name: "one work and its yardstick, which take turns", part: "viewer",
			want: []string{bareYardstick + ", " + viewerWork}},
		{name: "two with one yardstick, one group each", part: "revoke",
			want: []string{rawYardstick, revokeWork, revokeManyWork}},
		{name: "none", part: "coffee"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, groups := chosen(test.part, new(suite).contenders())
			got := mapped(groups, func(group []contender) string {
				return strings.Join(mapped(group, func(c contender) string { return c.name }), ", ")
			})
			check.Equal(t, got, test.want, "groups")
		})
	}
}
