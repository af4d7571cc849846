package main

import (
	"cmp"
	"slices"
	"time"
)

// measurement is the result of one load.
type measurement struct {
	perSecond float64
	p50, p99  time.Duration
	// processor is the processor time per response of the whole machine: server, client, database and kernel, on all
	// cores. Unlike a rate it does not include time that the host gave to other virtual machines. It is zero if the
	// system does not report it.
	processor time.Duration
}

// summarize returns the medians of several measurements of the same work.
func summarize(all []measurement) measurement {
	return measurement{
		perSecond: median(mapped(all, func(m measurement) float64 { return m.perSecond })),
		p50:       median(mapped(all, func(m measurement) time.Duration { return m.p50 })),
		p99:       median(mapped(all, func(m measurement) time.Duration { return m.p99 })),
		processor: median(mapped(all, func(m measurement) time.Duration { return m.processor })),
	}
}

// together combines the parts of a measurement, which have equal length: all responses divided by the total time. The
// percentiles are the medians of the parts' percentiles, because those of all responses are not known.
func together(parts []measurement) measurement {
	whole := summarize(parts)
	var answers, processor float64
	for _, p := range parts {
		answers += p.perSecond
		processor += p.perSecond * float64(p.processor)
	}
	if answers > 0 {
		whole.perSecond = answers / float64(len(parts))
		whole.processor = time.Duration(processor / answers)
	}
	return whole
}

// working runs a load and adds the processor time per response to its result.
func working(load func() (measurement, error)) (measurement, error) {
	before, started := processorTime(), time.Now()
	m, err := load()
	if answers := m.perSecond * time.Since(started).Seconds(); answers >= 1 {
		m.processor = time.Duration(float64(processorTime()-before) / answers)
	}
	return m, err
}

// ratio compares the rates of two programs, measured in turn, and the processor time of their responses.
type ratio struct{ median, least, most, processor float64 }

// compare divides round by round, because the machine may be faster in one round than in the next.
func compare(ours, theirs []measurement) ratio {
	var ratios, processor []float64
	for i := range min(len(ours), len(theirs)) {
		if theirs[i].perSecond > 0 {
			ratios = append(ratios, ours[i].perSecond/theirs[i].perSecond)
		}
		if ours[i].processor > 0 {
			processor = append(processor, float64(theirs[i].processor)/float64(ours[i].processor))
		}
	}
	if len(ratios) == 0 {
		return ratio{}
	}
	return ratio{median: median(ratios), least: slices.Min(ratios), most: slices.Max(ratios),
		processor: median(processor)}
}

// median returns the middle value, the mean of the two middle values if their number is even, and 0 if there is none.
func median[T float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile returns the smallest value that at least p percent of the sorted values do not exceed (nearest rank).
func percentile[T cmp.Ordered](sorted []T, p int) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}

func mapped[A, B any](values []A, f func(A) B) []B {
	results := make([]B, 0, len(values))
	for _, v := range values {
		results = append(results, f(v))
	}
	return results
}
