package deliver

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// delays are the times between the attempts of a delivery, about a day in all.
var delays = []time.Duration{
	5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 8 * time.Hour,
	8 * time.Hour,
}

const (
	// jitter is the largest part by which a delay is longer or shorter, so that deliveries that failed together are
	// not attempted together.
	jitter = 0.2
	// maxRetryAfter is the longest delay that a receiver can ask for.
	maxRetryAfter = time.Hour
)

// MaxAttempts is the number of attempts after which a delivery is dead.
var MaxAttempts = len(delays) + 1

// retryIn returns the time from a failed attempt to the next one, or false if it was the last one. failed is the number
// of failed attempts, this one included. The delay is not shorter than retryAfter, up to maxRetryAfter. random is
// uniform in [0, 1).
func retryIn(failed int, retryAfter time.Duration, random float64) (time.Duration, bool) {
	if failed > len(delays) {
		return 0, false
	}
	delay := delays[max(failed, 1)-1]
	delay += time.Duration(float64(delay) * jitter * (2*random - 1))
	return max(delay, min(retryAfter, maxRetryAfter)), true
}

// retryAfter reads the header Retry-After (RFC 9110, section 10.2.3): seconds or a date. It returns 0 without a valid
// one.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter // also a number that is too large for an int64
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
