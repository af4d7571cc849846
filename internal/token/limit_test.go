package token_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
)

// enrolled is an account in automated billing, with a store.
var (
	enrolled = account.Account{ID: acme.ID, Name: acme.Name,
		Features: []scope.Feature{scope.FeatureAutomatedBilling}}
	enrolledStore = account.Store{ID: acmeUS.ID, AccountID: acme.ID, Hash: acmeUS.Hash}
)

var enrolledOwners = map[scope.Level]token.Owner{
	scope.LevelAccount: token.AccountOwner(enrolled),
	scope.LevelStore:   ownerOf(enrolled, enrolledStore),
}

func dollars(value string) *token.Amount { return &token.Amount{Value: value, Currency: "USD"} }

func cents(minor int64) auth.ChargeLimit { return auth.ChargeLimit{Minor: minor, Currency: "USD"} }

// limited returns an API token with account_charges_write that may issue tokens and has the charge limit.
func limited(limit auth.ChargeLimit) *auth.Principal {
	by := issuer(acme, everyScope().Names()...)
	by.ChargeLimit = limit
	return by
}

// The rules for every issuer, on both levels. A store-level token can have no charge limit, since it cannot charge.
func TestChargeLimit(t *testing.T) {
	const invalid = "INVALID chargeLimit"
	for _, tc := range []struct {
		name  string
		limit *token.Amount
		want  auth.ChargeLimit
		fault string
	}{
		{"none", nil, auth.ChargeLimit{}, ""},
		{"dollars", dollars("100"), cents(100_00), ""},
		{"dollars and cents", dollars("12.34"), cents(12_34), ""},
		{"more decimals, all 0", dollars("12.3400"), cents(12_34), ""},
		{"0", dollars("0"), cents(0), ""},
		{"the most", dollars("999999.99"), cents(999_999_99), ""},
		{"a cent more than the most", dollars("1000000.00"), auth.ChargeLimit{}, invalid},
		{"a fraction of a cent more than the most", dollars("999999.991"), auth.ChargeLimit{}, invalid},
		{"less than 0", dollars("-0.01"), auth.ChargeLimit{}, invalid},
		{"a fraction of a cent", dollars("0.001"), auth.ChargeLimit{}, invalid},
		{"a very large number", dollars("1e999999"), auth.ChargeLimit{}, invalid},
		{"a very small number", dollars("1e-999999"), auth.ChargeLimit{}, invalid},
		{"a very long number", dollars("0." + strings.Repeat("0", 1_000_000)), auth.ChargeLimit{}, invalid},
		{"not a number", dollars("NaN"), auth.ChargeLimit{}, invalid},
		{"infinity", dollars("-Infinity"), auth.ChargeLimit{}, invalid},
		{"no value", dollars(""), auth.ChargeLimit{}, invalid},
		{"text", dollars("a hundred"), auth.ChargeLimit{}, invalid},
		{"another currency", &token.Amount{Value: "100", Currency: "EUR"}, auth.ChargeLimit{}, invalid},
		{"no currency", &token.Amount{Value: "100"}, auth.ChargeLimit{}, invalid},
	} {
		for kind, by := range issuersOn(scope.LevelAccount) {
			t.Run(tc.name+", "+kind, func(t *testing.T) {
				req := request(enrolledOwners[scope.LevelAccount])
				req.Scopes, req.ChargeLimit = []string{scope.AccountChargesWrite}, tc.limit
				wantLimit(t, by, req, tc.want, tc.fault)
				req.Scopes = []string{scope.AccountChargesRead}
				wantLimit(t, by, req, auth.ChargeLimit{}, unless(tc.limit == nil, invalid))
			})
		}
		for kind, by := range issuersOn(scope.LevelStore) {
			t.Run(tc.name+", store level, "+kind, func(t *testing.T) {
				req := request(enrolledOwners[scope.LevelStore])
				req.ChargeLimit = tc.limit
				wantLimit(t, by, req, auth.ChargeLimit{}, unless(tc.limit == nil, invalid))
			})
		}
	}
}

func unless(valid bool, fault string) string {
	if valid {
		return ""
	}
	return fault
}

func wantLimit(t *testing.T, by *auth.Principal, req token.Request, want auth.ChargeLimit, fault string) {
	t.Helper()
	grant, err := policy().Check(by, req, now)
	if fault != "" {
		wantFaults(t, err, fault)
		return
	}
	wantFaults(t, err)
	check.Equal(t, grant.ChargeLimit, want, "the charge limit with %v", req.Scopes)
}

// An API token with a charge limit grants account_charges_write only with a limit that is not higher.
func TestChargeLimitAttenuation(t *testing.T) {
	const forbidden = "FORBIDDEN chargeLimit"
	for _, tc := range []struct {
		name   string
		issuer auth.ChargeLimit
		limit  *token.Amount
		scopes []string
		want   []string
	}{
		{"its own limit", cents(100_00), dollars("100"), []string{scope.AccountChargesWrite}, nil},
		{"a lower limit", cents(100_00), dollars("0"), []string{scope.AccountChargesWrite}, nil},
		{"a higher limit", cents(100_00), dollars("100.01"), []string{scope.AccountChargesWrite}, []string{forbidden}},
		{"no limit", cents(100_00), nil, []string{scope.AccountChargesWrite}, []string{forbidden}},
		{"no limit, its own is 0", cents(0), nil, []string{scope.AccountChargesWrite}, []string{forbidden}},
		{"a wrong limit", cents(100_00), dollars("x"), []string{scope.AccountChargesWrite},
			[]string{"INVALID chargeLimit"}},
		{"no limit, but no charges", cents(100_00), nil, []string{scope.AccountChargesRead}, nil},
		{"any limit, has none", auth.ChargeLimit{}, dollars("999999.99"), []string{scope.AccountChargesWrite}, nil},
		{"no limit, has none", auth.ChargeLimit{}, nil, []string{scope.AccountChargesWrite}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := request(enrolledOwners[scope.LevelAccount])
			req.Scopes, req.ChargeLimit = tc.scopes, tc.limit
			_, err := policy().Check(limited(tc.issuer), req, now)
			wantFaults(t, err, tc.want...)
		})
	}
	t.Run("store level", func(t *testing.T) {
		_, err := policy().Check(limited(cents(0)), request(enrolledOwners[scope.LevelStore]), now)
		wantFaults(t, err)
	})
}

// A charge limit can be added and lowered, never raised or removed, by every issuer.
func TestUpdateOnlyLowersChargeLimit(t *testing.T) {
	none, invalid := auth.ChargeLimit{}, []string{"INVALID chargeLimit"}
	charges := []string{scope.AccountChargesWrite}
	for _, tc := range []struct {
		name   string
		scopes []string
		before auth.ChargeLimit
		update token.Update
		after  auth.ChargeLimit
		want   []string
	}{
		{"the first limit", charges, none, token.Update{ChargeLimit: dollars("50")}, cents(50_00), nil},
		{"the first limit, 0", charges, none, token.Update{ChargeLimit: dollars("0")}, cents(0), nil},
		{"a lower limit", charges, cents(50_00), token.Update{ChargeLimit: dollars("49.99")}, cents(49_99), nil},
		{"the same limit", charges, cents(50_00), token.Update{ChargeLimit: dollars("50.00")}, cents(50_00), nil},
		{"a higher limit", charges, cents(50_00), token.Update{ChargeLimit: dollars("50.01")}, none, invalid},
		{"a higher limit than 0", charges, cents(0), token.Update{ChargeLimit: dollars("0.01")}, none, invalid},
		{"an empty limit", charges, cents(50_00), token.Update{ChargeLimit: &token.Amount{}}, none, invalid},
		{"another currency", charges, cents(50_00),
			token.Update{ChargeLimit: &token.Amount{Value: "1", Currency: "EUR"}}, none, invalid},
		{"a limit, cannot charge", []string{scope.AccountChargesRead}, none,
			token.Update{ChargeLimit: dollars("50")}, none, invalid},
		{"a limit, no longer charges", charges, cents(50_00),
			token.Update{Scopes: []string{scope.AccountChargesRead}, ChargeLimit: dollars("1")}, none, invalid},
		{"a limit is kept", charges, cents(50_00), token.Update{Name: new("Another")}, cents(50_00), nil},
		{"a limit is kept without charges", charges, cents(50_00),
			token.Update{Scopes: []string{scope.AccountChargesRead}}, cents(50_00), nil},
	} {
		for kind, by := range issuersOn(scope.LevelAccount) {
			t.Run(tc.name+", "+kind, func(t *testing.T) {
				before := issuedToken(scope.LevelAccount, tc.scopes...)
				before.ChargeLimit = tc.before
				after, err := policy().CheckUpdate(by, before, tc.update, now)
				wantFaults(t, err, tc.want...)
				if err == nil {
					check.Equal(t, after.ChargeLimit, tc.after, "the charge limit")
				}
			})
		}
	}
	for kind, by := range issuersOn(scope.LevelStore) {
		t.Run("store level, "+kind, func(t *testing.T) {
			before := issuedToken(scope.LevelStore, "store_cart")
			_, err := policy().CheckUpdate(by, before, token.Update{ChargeLimit: dollars("1")}, now)
			wantFaults(t, err, invalid...)
		})
	}
}

// An API token with a charge limit can rotate only tokens that it could have issued.
func TestRotationWithChargeLimit(t *testing.T) {
	for _, tc := range []struct {
		name       string
		by, target auth.ChargeLimit
		scopes     []string
		want       []string
	}{
		{"the same limit", cents(5), cents(5), []string{scope.AccountChargesWrite}, nil},
		{"a lower limit", cents(5), cents(4), []string{scope.AccountChargesWrite}, nil},
		{"a higher limit", cents(5), cents(6), []string{scope.AccountChargesWrite}, []string{"FORBIDDEN id"}},
		{"no limit", cents(5), auth.ChargeLimit{}, []string{scope.AccountChargesWrite}, []string{"FORBIDDEN id"}},
		{"no limit, no charges", cents(5), auth.ChargeLimit{}, []string{scope.AccountChargesRead}, nil},
		{"has no limit", auth.ChargeLimit{}, auth.ChargeLimit{}, []string{scope.AccountChargesWrite}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			target := issuedToken(scope.LevelAccount, tc.scopes...)
			target.ChargeLimit = tc.target
			wantFaults(t, policy().CheckRotation(limited(tc.by), target, nil, 0, now), tc.want...)
		})
	}
	t.Run("itself", func(t *testing.T) {
		by := limited(cents(5))
		target := issuedToken(scope.LevelAccount, scope.AccountChargesWrite)
		by.ID, target.ChargeLimit = target.ID, cents(5)
		wantFaults(t, policy().CheckRotation(by, target, nil, 0, now))
	})
}

func TestChargeLimitText(t *testing.T) {
	for _, tc := range []struct {
		limit        auth.ChargeLimit
		text, amount string
	}{
		{auth.ChargeLimit{}, "", ""},
		{cents(0), "0.00 USD", "0.00"},
		{cents(5), "0.05 USD", "0.05"},
		{cents(999_999_99), "999999.99 USD", "999999.99"},
	} {
		check.Equal(t, fmt.Sprint(tc.limit), tc.text, "the limit %d", tc.limit.Minor)
		check.Equal(t, tc.limit.Amount(), tc.amount, "the amount of the limit %d", tc.limit.Minor)
	}
}
