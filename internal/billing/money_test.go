package billing

import (
	"math"
	"strings"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// Amounts are whole minor units, in at most the decimals of their currency, and survive the way out and back in.
func TestMoneyOf(t *testing.T) {
	for value, minor := range map[string]int64{
		"0": 0, "0.00": 0, "-0": 0, "1": 100, "19.9": 1990, "19.99": 1999, "19.990": 1999, "0.01": 1, "00012.5": 1250,
		"999999.99": 99_999_999, strings.Repeat("0", 90) + "7": 700,
	} {
		m, err := MoneyOf("USD", value)
		if err != nil {
			t.Fatalf("reading %s: %v", value, err)
		}
		check.Equal(t, m, Money{Minor: minor, Currency: "USD"}, "%s", value)
		again, err := MoneyOf("USD", m.Decimal())
		if err != nil {
			t.Fatalf("reading %s: %v", m.Decimal(), err)
		}
		check.Equal(t, again, m, "%s again", m.Decimal())
	}
	for _, value := range []string{"", "-0.01", "0.001", "19.999", "1000000", "999999.991", "NaN", "Infinity", "1e5",
		"1e1000000000", "ten", "1.2.3", "--1", " 1", "1,5", strings.Repeat("9", 1000)} {
		_, err := MoneyOf("USD", value)
		got := fault.Flatten(err)
		if len(got) != 1 || got[0].Kind != fault.Invalid || got[0].Field != "value" {
			t.Errorf("%q gives %v, want one INVALID error on the field value", value, err)
		}
	}
	for _, code := range []string{"EUR", "", "usd", "XXX", "JPY"} {
		_, err := MoneyOf(code, "1")
		got := fault.Flatten(err)
		if len(got) != 1 || got[0].Kind != fault.Invalid || got[0].Field != "currencyCode" {
			t.Errorf("%q gives %v, want one INVALID error on the field currencyCode", code, err)
		}
	}
}

func TestMoneyAsText(t *testing.T) {
	for _, tc := range []struct {
		minor         int64
		decimal, text string
	}{
		{0, "0.00", "$0.00"}, {5, "0.05", "$0.05"}, {1990, "19.90", "$19.90"}, {-120, "-1.20", "-$1.20"},
		{123_456_789, "1234567.89", "$1,234,567.89"},
		{math.MaxInt64, "92233720368547758.07", "$92,233,720,368,547,758.07"},
		{math.MinInt64, "-92233720368547758.08", "-$92,233,720,368,547,758.08"},
	} {
		m := Money{Minor: tc.minor, Currency: "USD"}
		check.Equal(t, m.Decimal(), tc.decimal, "the decimal number of %d", tc.minor)
		check.Equal(t, m.String(), tc.text, "the text of %d", tc.minor)
	}
}
