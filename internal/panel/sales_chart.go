package panel

import (
	"slices"
	"strings"

	"latchkey/internal/billing"
)

// digitWidth is the width of a digit beside the chart, and scaleGap the room between the digits and the chart.
const (
	digitWidth = 8
	scaleGap   = 8
)

// revenueChart is a bar chart of sums by month, drawn as the chart of a webhook.
type revenueChart struct {
	// Scale is the width of the amounts beside the chart.
	Height, Floor, Scale int
	SlotWidth, BarWidth  float64
	Lines                []revenueLine
	Bars                 []revenueBar
}

// revenueLine is a horizontal line at an amount.
type revenueLine struct {
	Amount string
	Y      float64
}

// revenueBar is the bar of a month, without height if its sum is not positive. A narrow window leaves out the labels of
// the minor ones, which do not begin a quarter. Year is the year, of each January and of the first month. It is Narrow,
// and shown in a narrow window only, at the first month that is labelled there.
type revenueBar struct {
	billing.MonthSum

	Slot, X, Middle, Y, BarHeight float64
	Minor, Narrow                 bool
	Year                          string
}

// revenueChartOf returns the chart of the months.
func revenueChartOf(months []billing.MonthSum) revenueChart {
	c := revenueChart{Height: chartHeight, Floor: chartFloor}
	highest := int64(0)
	for _, m := range months {
		highest = max(highest, m.Amount.Minor)
	}
	// The lines are at whole units of the currency, which has two decimals.
	const unit = 100
	step := int64(stepOf(int((highest + unit - 1) / unit)))
	top := 2 * step * unit
	y := func(minor int64) float64 {
		return rounded(chartFloor - float64(max(minor, 0))/float64(top)*(chartFloor-chartTop))
	}
	for n := range int64(3) {
		amount := billing.Money{Minor: n * step * unit, Currency: billing.Currency}
		label := strings.TrimSuffix(amount.String(), ".00")
		c.Lines = append(c.Lines, revenueLine{label, y(amount.Minor)})
		c.Scale = max(c.Scale, len(label)*digitWidth+scaleGap)
	}
	slot, dated := 100/float64(len(months)), false
	c.SlotWidth, c.BarWidth = rounded(slot), rounded(slot*barShare)
	for i, m := range months {
		b := revenueBar{MonthSum: m, Slot: rounded(slot * float64(i)), X: rounded(slot * (float64(i) + (1-barShare)/2)),
			Middle: rounded(slot * (float64(i) + 0.5)), Y: y(m.Amount.Minor)}
		year, month, _ := strings.Cut(m.Month, "-")
		b.Minor = !slices.Contains([]string{"01", "04", "07", "10"}, month)
		first := !b.Minor && !dated
		if i == 0 || month == "01" || first {
			b.Year, b.Narrow = year, i > 0 && month != "01"
		}
		dated = dated || !b.Minor
		b.BarHeight = rounded(chartFloor - b.Y)
		c.Bars = append(c.Bars, b)
	}
	return c
}
