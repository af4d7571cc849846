package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// measured returns a contender that logs when it is measured, and for how long.
func measured(name string, log *[]string, each ...measurement) contender {
	turn := 0
	return contender{name, func(_ context.Context, d time.Duration) (measurement, error) {
		*log = append(*log, name+" "+d.String())
		turn++
		return each[(turn-1)%len(each)], nil
	}}
}

func TestRunRounds(t *testing.T) {
	var log []string
	groups := [][]contender{
		{measured("raw", &log, measurement{perSecond: 1})},
		{measured("bare", &log, measurement{perSecond: 100}),
			measured("ours", &log, measurement{perSecond: 40}, measurement{perSecond: 60})},
	}
	renew := func(context.Context) error { log = append(log, "renew"); return nil }
	results, err := runRounds(t.Context(), groups, renew, options{rounds: 1, each: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	want := "renew, raw 1s, turn, renew, raw 2s, turn, turn"
	turn := strings.NewReplacer("bare 1s, ours 1s", "turn", "ours 1s, bare 1s", "turn") // in either order
	check.Equal(t, turn.Replace(strings.Join(log, ", ")), want, "measured")
	for name, want := range map[string]float64{"raw": 1, "bare": 100, "ours": 50} {
		if got := results[name]; len(got) != 1 || got[0].perSecond != want {
			t.Errorf("%s: got %v, want one measurement of %v", name, got, want)
		}
	}
	broken := errors.New("a wrong answer")
	groups[1][1].load = func(context.Context, time.Duration) (measurement, error) { return measurement{}, broken }
	if _, err := runRounds(t.Context(), groups, renew, options{rounds: 1, each: time.Second}); !errors.Is(err,
		broken) || !strings.Contains(err.Error(), "ours") {
		t.Errorf("a load that fails: got %v, want %v with the contender's name", err, broken)
	}
}

func TestTogether(t *testing.T) {
	// In sums of responses, a part with three times the responses has three times the weight.
	parts := []measurement{
		{perSecond: 100, p50: 3, p99: 30, processor: 8},
		{perSecond: 300, p50: 1, p99: 90, processor: 4},
		{perSecond: 200, p50: 2, p99: 60, processor: 5},
	}
	want := measurement{perSecond: 200, p50: 2, p99: 60, processor: 5}
	check.Equal(t, together(parts), want, "the parts together")
	check.Equal(t, together(parts[:2]).processor, 5, "processor time per response")
}
