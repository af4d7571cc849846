package auth

import "github.com/bojanz/currency"

// ChargeLimit is the most that an API token may charge merchants in a calendar month
// (UTC). The zero value does not limit anything, unlike a limit of 0.
type ChargeLimit struct {
	// Minor is the amount in minor units, such as cents.
	Minor int64
	// Currency is an ISO 4217 code. It is empty if there is no limit.
	Currency string
}

// IsZero reports whether there is no limit.
func (l ChargeLimit) IsZero() bool { return l.Currency == "" }

// Within reports whether l allows no more than other. No limit allows everything.
func (l ChargeLimit) Within(other ChargeLimit) bool {
	return other.IsZero() || l.Currency == other.Currency && l.Minor <= other.Minor
}

// Amount returns the amount in major units with the currency's digits, such as
// 100.00. It returns "" if there is no limit.
func (l ChargeLimit) Amount() string {
	if l.IsZero() {
		return ""
	}
	amount, err := currency.NewAmountFromInt64(l.Minor, l.Currency)
	if err != nil {
		return "" // no limit has a currency that does not exist
	}
	return amount.Number()
}

// String returns the amount with its currency, such as 100.00 USD, or "" if there is
// no limit.
func (l ChargeLimit) String() string {
	if l.IsZero() {
		return ""
	}
	return l.Amount() + " " + l.Currency
}
