package billing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bojanz/currency"

	"latchkey/internal/fault"
)

// Currency is the only currency that is billed.
const Currency = "USD"

// MaxAmount is the largest price, usage cap or charge, in minor units.
const MaxAmount = 999_999_99

// longestNumber is the largest length of a decimal number, in characters: an exponent would allow numbers that exhaust
// memory, and so would a number of any length.
const longestNumber = 100

// MoneyOf returns the amount that a decimal number such as 19.99 stands for. It returns fault.Invalid, with the field
// currencyCode or value, for a currency that is not billed and for a number that is not in whole minor units from 0
// to MaxAmount.
func MoneyOf(currencyCode, value string) (Money, error) {
	if currencyCode != Currency {
		return Money{}, fault.Errorf(fault.Invalid, "Only %s is billed.", Currency).On("currencyCode")
	}
	m, ok := parseMoney(currencyCode, value)
	if !ok {
		digits, _ := currency.GetDigits(currencyCode)
		return Money{}, fault.Errorf(fault.Invalid, "An amount in %s is a number with at most %d decimals, from 0 to %s.",
			currencyCode, digits, Money{MaxAmount, currencyCode}.Decimal()).On("value")
	}
	return m, nil
}

// parseMoney returns the amount, and whether it is one from 0 to MaxAmount in whole minor units.
func parseMoney(currencyCode, value string) (Money, bool) {
	if value == "" || len(value) > longestNumber || strings.Trim(value, "-.0123456789") != "" {
		return Money{}, false
	}
	amount, err := currency.NewAmount(value, currencyCode)
	if err != nil || !amount.Round().Equal(amount) {
		return Money{}, false
	}
	minor, err := amount.Int64()
	if err != nil || minor < 0 || minor > MaxAmount {
		return Money{}, false
	}
	return Money{minor, currencyCode}, true
}

// Decimal returns the amount in units of the currency as a decimal number with all decimals of the currency, such as
// 19.90. MoneyOf reads it.
func (m Money) Decimal() string {
	digits, known := currency.GetDigits(m.Currency)
	if !known || digits == 0 {
		return strconv.FormatInt(m.Minor, 10)
	}
	magnitude := uint64(m.Minor)
	if m.Minor < 0 {
		magnitude = -magnitude
	}
	// An amount of a list: it is written without the big numbers of the currency package. The longest number has a
	// sign and 20 digits.
	text := make([]byte, 0, 24)
	if m.Minor < 0 {
		text = append(text, '-')
	}
	sign := len(text)
	text = strconv.AppendUint(text, magnitude, 10)
	for len(text)-sign <= int(digits) {
		text = slices.Insert(text, sign, '0')
	}
	return string(slices.Insert(text, len(text)-int(digits), '.'))
}

// String returns the amount for display, such as $1,019.90.
func (m Money) String() string {
	amount, err := currency.NewAmountFromInt64(m.Minor, m.Currency)
	if err != nil {
		return fmt.Sprintf("%d %q", m.Minor, m.Currency)
	}
	return currency.NewFormatter(currency.NewLocale("en-US")).Format(amount)
}

// Plus returns the sum of two amounts of one currency.
func (m Money) Plus(minor int64) Money { return Money{m.Minor + minor, m.Currency} }
