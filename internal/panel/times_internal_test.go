package panel

import (
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// URLs and email addresses can break between their parts, and are escaped.
func TestBreakable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "owner@acme.example": "owner@<wbr>acme.example",
		"https://hooks.example/busy": "https://<wbr>hooks.example/<wbr>busy",
		"/<b>&x=1":                   "/<wbr>&lt;b&gt;&amp;<wbr>x=<wbr>1",
	} {
		check.Equal(t, string(breakable(text)), want, "%q", text)
	}
}

// Relative times are rounded to their largest unit.
func TestRelativeTimes(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for after, want := range map[time.Duration]string{
		0: "just now", -20 * time.Second: "just now", -59 * time.Second: "1 minute ago", -time.Minute: "1 minute ago",
		-90 * time.Minute: "2 hours ago", -23 * time.Hour: "1 day ago", -5 * day: "5 days ago",
		-400 * day: "1 year ago", 20 * time.Second: "in a moment", time.Hour: "in 1 hour",
		90*day - time.Second: "in 3 months", 365 * day: "in 1 year",
	} {
		got, err := loadViews().messages.relative(now, now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, got, want, "%s from now", after)
	}
	got, err := loadViews().messages.relativeElement(time.UTC, now, now.Add(-5*day))
	if err != nil || !strings.Contains(string(got), "25 Nov 2026, 12:00") {
		t.Errorf("element: got %s and %v, want the time itself in it", got, err)
	}
}
