package billing

import (
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

func FuzzMoney(f *testing.F) {
	for _, text := range []string{"19.99", "0", "-0.00", "999999.99", "1000000", "1.005", "..", "0.1-", "0000001.10"} {
		f.Add(Currency, text)
	}
	f.Add("EUR", "1")
	f.Fuzz(func(t *testing.T, code, text string) {
		m, err := MoneyOf(code, text)
		if err != nil {
			check.Equal(t, fault.KindOf(err), fault.Invalid, "kind of the error")
			return
		}
		again, err := MoneyOf(m.Currency, m.Decimal())
		if err != nil || again != m || m.Minor < 0 || m.Minor > MaxAmount {
			t.Errorf("%q: got %d, written as %s and read as %d, %v", text, m.Minor, m.Decimal(), again.Minor, err)
		}
	})
}
