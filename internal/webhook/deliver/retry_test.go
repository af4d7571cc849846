package deliver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// Rule 5: the delays of retries.
func TestDelays(t *testing.T) {
	check.Equal(t, deliver.Delays(), []int{5, 60, 300, 1800, 7200, 18000, 28800, 28800}, "the delays in seconds")
	check.Equal(t, deliver.MaxAttempts, 9, "attempts of a delivery")
	check.Equal(t, deliver.Timeout, 15*time.Second, "the time of an attempt")
	for failed, seconds := range deliver.Delays() {
		usual := time.Duration(seconds) * time.Second
		for random, want := range map[float64]time.Duration{0: usual * 8 / 10, 0.5: usual, 1: usual * 12 / 10} {
			got, again := deliver.RetryIn(failed+1, 0, random)
			if !again || (got-want).Abs() > time.Millisecond {
				t.Errorf("after %d failures with random %g: got %s and again %t, want %s", failed+1, random, got, again,
					want)
			}
		}
	}
	_, again := deliver.RetryIn(deliver.MaxAttempts, 0, 0.5)
	check.Equal(t, again, false, "another attempt after the last one")
	_, again = deliver.RetryIn(deliver.MaxAttempts, time.Minute, 0.5)
	check.Equal(t, again, false, "another attempt after the last one, with Retry-After")
}

// Rule 5: Retry-After makes a delay longer, up to an hour, and never shorter.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 12, 1, 8, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 120 ": 2 * time.Minute, "3600": time.Hour, "3601": time.Hour,
		"99999999999999999999": time.Hour, "-5": 0, "1.5": 0, "soon": 0,
		"Tue, 01 Dec 2026 08:40:00 GMT":   10 * time.Minute,
		"Tuesday, 01-Dec-26 08:40:00 GMT": 10 * time.Minute,
		"Tue Dec  1 08:40:00 2026":        10 * time.Minute,
		"Tue, 01 Dec 2026 08:00:00 GMT":   0,
		"Fri, 01 Jan 2027 08:00:00 GMT":   time.Hour,
	} {
		check.Equal(t, deliver.RetryAfter(http.Header{"Retry-After": {text}}, now), want, "%q", text)
	}
	check.Equal(t, deliver.RetryAfter(nil, now), 0, "without an answer")
	for _, tc := range []struct {
		failed      int
		after, want time.Duration
	}{
		{1, 2 * time.Second, 5 * time.Second}, {1, 2 * time.Minute, 2 * time.Minute}, {1, 9 * time.Hour, time.Hour},
		{5, time.Hour, 2 * time.Hour},
	} {
		got, _ := deliver.RetryIn(tc.failed, tc.after, 0.5)
		check.Equal(t, got, tc.want, "the delay after %d failures with Retry-After %s", tc.failed, tc.after)
	}
}

// The head of an answer is stored as text: valid UTF-8 without NUL, at most MaxResponseHead bytes.
func TestHeadOfAnAnswer(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "ok": "ok", "a\x00b": "a\uFFFDb", "\xff\xfe": "\uFFFD", "caf\xc3": "caf\uFFFD", "日本": "日本",
	} {
		check.Equal(t, deliver.HeadOf([]byte(in)), want, "%q", in)
	}
	for _, long := range []string{
		strings.Repeat("x", 1027), strings.Repeat("é", 514)[:1027], "x" + strings.Repeat("日", 342),
		strings.Repeat("\x00", 1027), strings.Repeat("x\xff", 513), strings.Repeat("x", 1023) + "日",
	} {
		got := deliver.HeadOf([]byte(long))
		if len(got) > webhook.MaxResponseHead || len(got) < webhook.MaxResponseHead-3 || !utf8.ValidString(got) ||
			strings.Contains(got, "\x00") {
			t.Errorf("HeadOf(%q…): got %d bytes, valid %t, want valid text of %d bytes, up to 3 fewer",
				long[:10], len(got), utf8.ValidString(got), webhook.MaxResponseHead)
		}
	}
}
