package panel

import (
	"testing"
	"time"

	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
)

// hoursFrom returns counts of successive hours.
func hoursFrom(start time.Time, counts ...[2]int64) []webhook.HourCount {
	hours := make([]webhook.HourCount, len(counts))
	for i, c := range counts {
		hours[i] = webhook.HourCount{Hour: start.Add(time.Duration(i) * time.Hour), Delivered: c[0], Failed: c[1]}
	}
	return hours
}

// The bars are in proportion to the counts, stand on the floor, and end below the top.
func TestChartBars(t *testing.T) {
	start := time.Date(2026, 11, 28, 21, 0, 0, 0, time.UTC)
	c := chartOf(time.UTC, hoursFrom(start, [2]int64{0, 0}, [2]int64{4, 0}, [2]int64{0, 2}, [2]int64{2, 2}))
	check.Equal(t, [2]int{c.Delivered, c.Failed}, [2]int{6, 4}, "the sums")
	check.Equal(t, c.Lines, []chartLine{{0, 150}, {2, 79}, {4, 8}}, "the lines")
	check.Equal(t, [2]float64{c.SlotWidth, c.BarWidth}, [2]float64{25, 17.5}, "the widths")
	type figures struct{ delivered, failed float64 }
	for i, want := range []figures{{0, 0}, {142, 0}, {0, 71}, {71, 71}} {
		b := c.Bars[i]
		check.Equal(t, figures{b.DeliveredHeight, b.FailedHeight}, want, "the heights of bar %d", i)
		check.Equal(t, b.DeliveredY+b.DeliveredHeight, float64(chartFloor), "the floor of bar %d", i)
		check.Equal(t, b.FailedY+b.FailedHeight, b.DeliveredY, "failed attempts stand on delivered ones in bar %d", i)
	}
}

// Without attempts the chart has lines for a few, and no bar has a height.
func TestChartOfNothing(t *testing.T) {
	c := chartOf(time.UTC, hoursFrom(time.Unix(0, 0), make([][2]int64, 48)...))
	check.Equal(t, c.Lines, []chartLine{{0, 150}, {1, 79}, {2, 8}}, "the lines")
	for i, b := range c.Bars {
		check.Equal(t, b.DeliveredHeight+b.FailedHeight, 0, "the height of bar %d", i)
	}
	check.Equal(t, len(chartOf(time.UTC, nil).Bars), 0, "bars of no hours")
}

func TestChartSteps(t *testing.T) {
	for highest, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 2, 4: 2, 5: 5, 10: 5, 11: 10, 20: 10, 21: 20, 101: 100,
		2001: 2000} {
		check.Equal(t, stepOf(highest), want, "the step for %d", highest)
	}
}

// Labels stand at every sixth hour of the viewer's time zone, midnight with its date, and not at the ends.
func TestChartLabels(t *testing.T) {
	zone := time.FixedZone("half", 5*3600+1800)
	start := time.Date(2026, 11, 28, 17, 0, 0, 0, time.UTC) // 22:30 in the zone
	var labels, minor []string
	for _, h := range chartOf(zone, hoursFrom(start, make([][2]int64, 48)...)).Hours {
		labels = append(labels, h.Label)
		if h.Minor {
			minor = append(minor, h.Label)
		}
	}
	check.Equal(t, labels, []string{"29 Nov", "06:30", "12:30", "18:30", "30 Nov", "06:30", "12:30", "18:30"}, "labels")
	check.Equal(t, minor, []string{"06:30", "18:30", "06:30", "18:30"}, "labels that narrow windows leave out")
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 ms", 85 * time.Millisecond: "85 ms",
		999 * time.Millisecond: "999 ms", time.Second: "1.0 s", 15 * time.Second: "15.0 s"} {
		check.Equal(t, durationText(d), want, "%s", d)
	}
}

// A group says how many of its types are chosen, and is open while some are.
func TestChosenInGroup(t *testing.T) {
	for _, tc := range []struct {
		group eventTypeGroup
		count int
		opens bool
	}{
		{eventTypeGroup{Types: []eventTypeChoice{{}, {}}}, 0, false},
		{eventTypeGroup{Types: []eventTypeChoice{{Chosen: true}, {}}}, 1, true},
		{eventTypeGroup{Chosen: true, Types: []eventTypeChoice{{}, {}}}, 2, false},
	} {
		check.Equal(t, tc.group.Count(), tc.count, "count of %+v", tc.group)
		check.Equal(t, tc.group.Opens(), tc.opens, "whether %+v is open", tc.group)
	}
}

// A chosen pattern makes the types that it covers needless.
func TestChosenTypes(t *testing.T) {
	for _, tc := range []struct{ chosen, want []string }{
		{nil, nil},
		{[]string{"", "user.added"}, []string{"user.added"}},
		{[]string{"user.*", "user.added", "store_user.added"}, []string{"user.*", "store_user.added"}},
		{[]string{"store.*", "store_user.added"}, []string{"store.*", "store_user.added"}},
		{[]string{"*", "user.*", "user.added"}, []string{"*"}},
		{[]string{"nonsense"}, []string{"nonsense"}},
	} {
		f := newForm("eventTypes")
		f.Values["eventTypes"] = tc.chosen
		if got := f.chosenTypes(); len(got)+len(tc.want) > 0 {
			check.Equal(t, got, tc.want, "chosen %q", tc.chosen)
		}
	}
}
