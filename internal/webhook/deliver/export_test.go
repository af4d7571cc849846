package deliver

// These are tested by themselves.
var (
	RetryIn    = retryIn
	RetryAfter = retryAfter
	HeadOf     = headOf
)

// Delays are the times between attempts.
func Delays() []int {
	seconds := make([]int, len(delays))
	for i, d := range delays {
		seconds[i] = int(d.Seconds())
	}
	return seconds
}
