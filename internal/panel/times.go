package panel

import (
	"fmt"
	"html/template"
	"time"

	"latchkey/internal/fault"
)

// shortTime formats a time in the viewer's time zone.
func shortTime(zone *time.Location, at time.Time) string {
	return at.In(zone).Format("2 Jan 2006, 15:04")
}

// exactTime formats a time in the viewer's time zone, with the day of the week, seconds and the zone.
func exactTime(zone *time.Location, at time.Time) string {
	return at.In(zone).Format("Monday, 2 January 2006, 15:04:05 MST")
}

// timeElement returns a time element with the time in the viewer's time zone and in UTC.
func timeElement(zone *time.Location, at time.Time) template.HTML {
	return template.HTML(fmt.Sprintf(`<time datetime=%q title=%q>%s</time>`, //nolint:gosec // consists of digits and letters
		at.UTC().Format(time.RFC3339), exactTime(zone, at), shortTime(zone, at)))
}

// hourElement returns a time element with the day and the time in the viewer's time zone, without the year.
func hourElement(zone *time.Location, at time.Time) template.HTML {
	return template.HTML(fmt.Sprintf(`<time datetime=%q title=%q>%s</time>`, //nolint:gosec // consists of digits and letters
		at.UTC().Format(time.RFC3339), exactTime(zone, at), at.In(zone).Format("2 Jan, 15:04")))
}

// clockElement returns a time element with the time of day in the viewer's time zone.
func clockElement(zone *time.Location, at time.Time) template.HTML {
	return template.HTML(fmt.Sprintf(`<time datetime=%q title=%q>%s</time>`, //nolint:gosec // consists of digits and letters
		at.UTC().Format(time.RFC3339), exactTime(zone, at), at.In(zone).Format(time.TimeOnly)))
}

// dayHeading names a day in the viewer's time zone, in words if it is today or yesterday.
func dayHeading(q *request, at time.Time) string {
	const layout = "Monday, 2 January 2006"
	day, now := at.In(q.zone).Format(layout), q.now().In(q.zone)
	switch day {
	case now.Format(layout):
		return q.text("times.today", "day", day)
	case now.AddDate(0, 0, -1).Format(layout):
		return q.text("times.yesterday", "day", day)
	}
	return day
}

// units are the units of relative times, as parts of message keys, from the largest to the smallest.
var units = []struct {
	key    string
	length time.Duration
}{
	{"years", 365 * 24 * time.Hour}, {"months", 30 * 24 * time.Hour}, {"days", 24 * time.Hour}, {"hours", time.Hour},
	{"minutes", time.Minute},
}

// relative describes a time by its distance from now, in rounded units: "3 days ago", "in 2 months".
func (m messages) relative(now, at time.Time) (string, error) {
	direction, distance := "times.ago.", now.Sub(at)
	if distance < 0 {
		direction, distance = "times.in.", -distance
	}
	for _, u := range units {
		if n := int(distance.Round(u.length) / u.length); n > 0 && distance > u.length*9/10 {
			return m.count(direction+u.key, n)
		}
	}
	return m.text(direction + "now")
}

// relativeElement returns a time element with the distance from now, and with the time itself, which the stylesheet
// shows while the pointer or the focus is in the row.
func (m messages) relativeElement(zone *time.Location, now, at time.Time) (template.HTML, error) {
	text, err := m.relative(now, at)
	const element = `<time datetime=%q title=%q><span>%s</span> <span class="exact">%s</span></time>`
	return template.HTML(fmt.Sprintf(element, //nolint:gosec // a message, digits and letters
		at.UTC().Format(time.RFC3339), exactTime(zone, at), text, shortTime(zone, at))), err
}

// shortDay formats a day in the viewer's time zone, with the year if it is not this one.
func (q *request) shortDay(at time.Time) string {
	at = at.In(q.zone)
	if at.Year() == q.now().In(q.zone).Year() {
		return at.Format("2 Jan")
	}
	return at.Format("2 Jan 2006")
}

// localTime is the format of a datetime-local field (HTML, "local date and time strings").
const localTime = "2006-01-02T15:04"

// parseTime parses a datetime-local field in the viewer's time zone. It returns the zero time for an empty field.
func parseTime(q *request, f *form, field string) (time.Time, error) {
	text := f.Value(field)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{localTime, localTime + ":05"} {
		if at, err := time.ParseInLocation(layout, text, q.zone); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fault.Errorf(fault.Invalid, "%s", q.text("tokens.new.no_time")).On(field)
}

// timeLayouts are the formats in which browsers send local times and dates (HTML, sections 4.10.5.1.7 and 4.10.5.1.9).
// end returns the end of the period that starts at a time: a minute, a second or a day.
var timeLayouts = []struct {
	layout string
	end    func(time.Time) time.Time
}{
	{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Second) }},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
}

// parsePeriod parses a time in the viewer's time zone and returns the start and the end of the period that it names.
// An empty text returns zero times.
func parsePeriod(q *request, text string) (begins, ends time.Time, right bool) {
	if text == "" {
		return begins, ends, true
	}
	for _, each := range timeLayouts {
		if at, err := time.ParseInLocation(each.layout, text, q.zone); err == nil {
			return at, each.end(at), true
		}
	}
	return begins, ends, false
}
