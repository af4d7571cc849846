package panel

import (
	"math"
	"time"

	"latchkey/internal/webhook"
)

// The measures of the chart in CSS pixels. The horizontal ones are percentages, so that the chart fits any window
// while its texts keep their size.
const (
	chartHeight = 176
	chartTop    = 8
	chartFloor  = 150
	// barShare is the part of an hour's place that its bar takes.
	barShare = 0.7
	// hoursPerLabel is how many hours are between two labels, and minorHours how many that a narrow window leaves out.
	hoursPerLabel = 6
)

// chart is a bar chart of the attempts of a webhook by hour.
type chart struct {
	// Delivered and Failed are the sums.
	Delivered, Failed int
	Height, Floor     int
	// SlotWidth is the width of an hour, and BarWidth that of its bar, in percent.
	SlotWidth, BarWidth float64
	Lines               []chartLine
	Bars                []chartBar
	Hours               []chartHour
}

// chartLine is a horizontal line at a number of attempts.
type chartLine struct {
	Count int
	Y     float64
}

// chartBar is the bar of an hour: the failed attempts above the delivered ones.
type chartBar struct {
	Hour                        time.Time
	Delivered, Failed           int
	Slot, X                     float64
	DeliveredY, DeliveredHeight float64
	FailedY, FailedHeight       float64
}

// chartHour is the label of an hour. A narrow window leaves out the minor ones.
type chartHour struct {
	X     float64
	Label string
	Minor bool
}

// chartOf returns the chart of the hours in the viewer's time zone.
func chartOf(zone *time.Location, hours []webhook.HourCount) chart {
	c := chart{Height: chartHeight, Floor: chartFloor}
	if len(hours) == 0 {
		return c
	}
	highest := 0
	for _, h := range hours {
		c.Delivered += int(h.Delivered)
		c.Failed += int(h.Failed)
		highest = max(highest, int(h.Delivered+h.Failed))
	}
	step := stepOf(highest)
	top := 2 * step
	y := func(count int) float64 {
		return rounded(chartFloor - float64(count)/float64(top)*(chartFloor-chartTop))
	}
	for count := 0; count <= top; count += step {
		c.Lines = append(c.Lines, chartLine{count, y(count)})
	}
	slot := 100 / float64(len(hours))
	c.SlotWidth, c.BarWidth = rounded(slot), rounded(slot*barShare)
	for i, h := range hours {
		b := chartBar{Hour: h.Hour, Delivered: int(h.Delivered), Failed: int(h.Failed)}
		b.Slot = rounded(slot * float64(i))
		b.X = rounded(slot * (float64(i) + (1-barShare)/2))
		b.DeliveredY, b.FailedY = y(b.Delivered), y(b.Delivered+b.Failed)
		b.DeliveredHeight, b.FailedHeight = rounded(chartFloor-b.DeliveredY), rounded(b.DeliveredY-b.FailedY)
		c.Bars = append(c.Bars, b)
		if label := hourLabel(zone, h.Hour, i, len(hours)); label.Label != "" {
			label.X = rounded(slot * (float64(i) + 0.5))
			c.Hours = append(c.Hours, label)
		}
	}
	return c
}

// hourLabel returns the label below an hour, empty for an hour that has none: most of them, and those at the ends,
// where it would not fit.
func hourLabel(zone *time.Location, hour time.Time, i, hours int) chartHour {
	local := hour.In(zone)
	if local.Hour()%hoursPerLabel != 0 || i < 2 || i > hours-3 {
		return chartHour{}
	}
	if local.Hour() == 0 {
		return chartHour{Label: local.Format("2 Jan")}
	}
	return chartHour{Label: local.Format("15:04"), Minor: local.Hour()%(2*hoursPerLabel) != 0}
}

// stepOf returns the distance of the chart's lines: 1, 2 or 5 times a power of ten, so that two steps reach highest.
func stepOf(highest int) int {
	for power := 1; ; power *= 10 {
		for _, each := range []int{1, 2, 5} {
			if 2*each*power >= highest {
				return each * power
			}
		}
	}
}

// rounded rounds to hundredths, which is finer than a screen shows.
func rounded(x float64) float64 { return math.Round(x*100) / 100 }
