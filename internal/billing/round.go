package billing

import "math/bits"

// Prorate returns amount × part / whole, rounded once, half away from zero. part must be in [0, whole], and whole above
// 0. No intermediate result overflows.
func Prorate(amount, part, whole int64) int64 {
	magnitude := uint64(amount)
	if amount < 0 {
		magnitude = -magnitude
	}
	high, low := bits.Mul64(magnitude, uint64(part))
	quotient, remainder := bits.Div64(high, low, uint64(whole))
	if remainder >= uint64(whole)-remainder {
		quotient++
	}
	if amount < 0 {
		return -int64(quotient)
	}
	return int64(quotient)
}
