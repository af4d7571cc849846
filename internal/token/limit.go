package token

import (
	"strings"

	"github.com/bojanz/currency"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// ChargeCurrency is the only currency of charges, and so of charge limits.
const ChargeCurrency = "USD"

// MaxChargeLimit is the highest charge limit of a token, in minor units.
const MaxChargeLimit = 999_999_99

// longestNumber is the largest length of a decimal number, in characters. With
// more, and with an exponent, a number can exhaust memory.
const longestNumber = 100

// Amount is an amount of money as a request has it.
type Amount struct {
	// Value is a decimal number in major units, such as 100.00.
	Value string
	// Currency is an ISO 4217 code.
	Currency string
}

// parseLimit parses a charge limit.
func parseLimit(a Amount) (auth.ChargeLimit, *fault.Error) {
	if a.Currency != ChargeCurrency {
		return auth.ChargeLimit{}, wrongLimit("Charges are in %s. Enter the limit in %[1]s.", ChargeCurrency)
	}
	if len(a.Value) > longestNumber || strings.Trim(a.Value, "-.0123456789") != "" {
		return auth.ChargeLimit{}, outOfBounds()
	}
	amount, err := currency.NewAmount(a.Value, a.Currency)
	if err != nil || !amount.Round().Equal(amount) {
		return auth.ChargeLimit{}, outOfBounds()
	}
	minor, err := amount.Int64()
	if err != nil || minor < 0 || minor > MaxChargeLimit {
		return auth.ChargeLimit{}, outOfBounds()
	}
	return auth.ChargeLimit{Minor: minor, Currency: a.Currency}, nil
}

func outOfBounds() *fault.Error {
	return wrongLimit("A charge limit is 0 to 999,999.99, with at most two decimals.")
}

func wrongLimit(format string, args ...any) *fault.Error {
	return fault.Errorf(fault.Invalid, format, args...).On("chargeLimit")
}

// checkLimit checks the charge limit of a new token with these scopes. An API token
// that has a limit grants no right to charge more.
func checkLimit(by *auth.Principal, scopes scope.Set, wanted *Amount) (auth.ChargeLimit, fault.List) {
	charges := scopes.Has(scope.AccountChargesWrite)
	var limit auth.ChargeLimit
	if wanted != nil {
		var f *fault.Error
		if limit, f = parseLimit(*wanted); f != nil {
			return auth.ChargeLimit{}, fault.List{f}
		}
		if !charges {
			return auth.ChargeLimit{}, fault.List{cannotCharge()}
		}
	}
	if charges && !mayCharge(by, limit) {
		return limit, fault.List{fault.Errorf(fault.Forbidden,
			"This token can charge at most %s in a month. Enter a charge limit of at most that.",
			by.ChargeLimit).On("chargeLimit")}
	}
	return limit, nil
}

func cannotCharge() *fault.Error {
	return wrongLimit("Only a token with %s can have a charge limit.", scope.AccountChargesWrite)
}

// mayCharge reports whether the principal may grant the right to charge up to a limit.
func mayCharge(by *auth.Principal, limit auth.ChargeLimit) bool {
	return by.Kind != auth.APIToken || by.ChargeLimit.IsZero() || !limit.IsZero() && limit.Within(by.ChargeLimit)
}

func narrowLimit(t *Token, wanted Amount) fault.List {
	limit, f := parseLimit(wanted)
	switch {
	case f != nil:
		return fault.List{f}
	case !t.Scopes.Has(scope.AccountChargesWrite):
		return fault.List{cannotCharge()}
	case !limit.Within(t.ChargeLimit):
		return fault.List{wrongLimit("An update can only lower the charge limit: enter at most %s.", t.ChargeLimit)}
	}
	t.ChargeLimit = limit
	return nil
}
