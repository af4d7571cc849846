package billing

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// Rule: usage needs an active subscription with a cap, and stays within the cap and the token's limit.
func TestRuleUsage(t *testing.T) {
	limit := int64(5000)
	plan := Item{Interval: Month, Price: Money{Minor: 1000}, Cap: &limit}
	capped := approved("2026-03-10T09:00:00", plan).Subscription
	with := func(edit func(*Subscription)) Subscription {
		s := capped
		s.Terms = slices.Clone(s.Terms)
		edit(&s)
		return s
	}
	one := func(n int64) *int64 { return &n }
	for _, tc := range []struct {
		name      string
		s         Subscription
		cents     int64
		u         UsageSums
		want      []string
		remaining string
	}{
		{"all of the cap", capped, 5000, UsageSums{}, nil, ""},
		{"the rest of the cap", capped, 1, UsageSums{Period: 4999}, nil, ""},
		{"above the cap", capped, 5001, UsageSums{}, []string{
			"LIMIT_REACHED amount.value: The charge exceeds the usage cap of $50.00 for the period. $50.00 remains."},
			"50.00"},
		{"above the rest", capped, 2, UsageSums{Period: 4999}, []string{
			"LIMIT_REACHED amount.value: The charge exceeds the usage cap of $50.00 for the period. $0.01 remains."},
			"0.01"},
		{"above a cap that was lowered", capped, 1, UsageSums{Period: 6000}, []string{
			"LIMIT_REACHED amount.value: The charge exceeds the usage cap of $50.00 for the period. $0.00 remains."},
			"0.00"},
		{"all of the token's limit", capped, 300, UsageSums{Token: 700, TokenLimit: one(1000)}, nil, ""},
		{"above the token's limit", capped, 301, UsageSums{Token: 700, TokenLimit: one(1000)}, []string{
			"LIMIT_REACHED amount.value: The charge exceeds the API token's limit of $10.00 for the month. $3.00 remains."},
			"3.00"},
		{"without a cap", with(func(s *Subscription) { s.Terms[0].Cap = nil }), 1, UsageSums{}, []string{
			"CONFLICT subscriptionId: The merchant has approved no usage cap. Create a checkout with " +
				"pricingPlan.cappedAmount."}, ""},
		{"paid once", with(func(s *Subscription) { s.Terms[0].Interval = Once }), 1, UsageSums{}, []string{
			"CONFLICT subscriptionId: A subscription that is paid once has no usage."}, ""},
		{"in a trial", with(func(s *Subscription) { s.TrialEndsAt = date("2026-04-01") }), 1, UsageSums{}, []string{
			"CONFLICT subscriptionId: The subscription is in its trial, in which usage cannot be charged."}, ""},
		{"suspended", with(func(s *Subscription) { s.Suspensions = []Span{{Start: date("2026-03-12")}} }), 1,
			UsageSums{}, []string{"CONFLICT subscriptionId: The subscription is suspended."}, ""},
		{"ended", with(func(s *Subscription) { s.CancelAt = date("2026-03-12") }), 1, UsageSums{}, []string{
			"CONFLICT subscriptionId: The subscription has ended."}, ""},
		{"cancelled, not ended", with(func(s *Subscription) { s.CancelAt = date("2026-04-10") }), 1, UsageSums{}, nil,
			""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := usage(tc.s, Money{tc.cents, "USD"}, tc.u, date("2026-03-20T10:00:00"))
			check.Equal(t, failures(err), tc.want, "the error")
			if err != nil {
				check.Equal(t, fault.Flatten(err)[0].Remaining, tc.remaining, "what remains")
				return
			}
			check.Equal(t, c.Period, between("2026-03-10", "2026-04-10"), "the period")
			check.Equal(t, c.DueAt, date("2026-03-20T10:00:00"), "when it is due")
			check.Equal(t, c.Amount.Minor, tc.cents, "the amount")
		})
	}
}

// Rule: what is invoiced can be credited, up to its amount.
func TestRuleCredits(t *testing.T) {
	charge := Charge{ID: uuid.UUID{1}, Status: ChargeInvoiced, Kind: Recurring, Amount: Money{1000, "USD"}}
	for _, tc := range []struct {
		name     string
		status   ChargeStatus
		amount   int64
		cents    int64
		credited int64
		want     []string
	}{
		{"all of it", ChargeInvoiced, 1000, 1000, 0, nil},
		{"the rest", ChargeInvoiced, 1000, 400, -600, nil},
		{"more than the rest", ChargeInvoiced, 1000, 401, -600, []string{
			"LIMIT_REACHED amount.value: The credits of a charge of $10.00 cannot exceed it. $4.00 remains."}},
		{"what is pending", ChargePending, 1000, 1, 0, []string{
			"CONFLICT chargeId: Only invoiced charges can be credited. This one is PENDING."}},
		{"what was deleted", ChargeDeleted, 1000, 1, 0, []string{
			"CONFLICT chargeId: Only invoiced charges can be credited. This one is DELETED."}},
		{"a credit", ChargeInvoiced, -1000, 1, 0, []string{"CONFLICT chargeId: A credit cannot be credited."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			charge.Status, charge.Amount.Minor = tc.status, tc.amount
			c, err := credit(charge, Money{tc.cents, "USD"}, tc.credited, date("2026-04-02"))
			check.Equal(t, failures(err), tc.want, "the error")
			if err == nil {
				check.Equal(t, []any{c.Amount.Minor, c.CreditOf, c.Kind}, []any{-tc.cents, charge.ID, Credit},
					"the credit")
			}
		})
	}
}

// Rule: the preview of a change is what the change charges, and it refuses what createCheckout refuses.
func TestRulePreviewIsChecked(t *testing.T) {
	now := date("2026-03-20T12:00:00")
	id := uuid.UUID{0xa}
	for _, tc := range []struct {
		name string
		edit func(*PreviewRequest)
		want []string
	}{
		{"a change", func(*PreviewRequest) {}, nil},
		{"a change an hour ago", func(r *PreviewRequest) { r.At = date("2026-03-20T11:00:00") }, nil},
		{"a change to come", func(r *PreviewRequest) { r.At = date("2026-03-20T12:00:01") }, []string{
			"INVALID at: The time of a change must not be in the future."}},
		{"a change more than an hour ago", func(r *PreviewRequest) { r.At = date("2026-03-20T10:59:59") }, []string{
			"INVALID at: The preview is older than an hour. Create a new one."}},
		{"everything wrong", func(r *PreviewRequest) {
			r.Plan, r.Level = PlanRequest{Interval: Once, Price: MoneyRequest{"EUR", "1"}, TrialDays: 1}, ptr("a\nb")
		}, []string{
			"INVALID pricingPlan.price.currencyCode: Only USD is billed.",
			"INVALID productLevel: A product level is one line of plain text.",
			"INVALID pricingPlan.trialDays: Trial days cannot be added to existing subscriptions.",
			"INVALID pricingPlan.interval: A subscription cannot be changed into one that is paid once."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := PreviewRequest{SubscriptionID: id,
				Plan: PlanRequest{Interval: Month, Price: MoneyRequest{"USD", "20"}}}
			tc.edit(&req)
			step, _, err := req.decide(running(), false, now)
			check.Equal(t, failures(err), tc.want, "the errors")
			check.Equal(t, len(step.Added), map[bool]int{true: 2}[err == nil], "charges")
		})
	}
	_, _, err := PreviewRequest{SubscriptionID: id, Plan: PlanRequest{Interval: Month,
		Price: MoneyRequest{"USD", "20"}}}.decide(running(), true, now)
	check.Equal(t, failures(err), []string{"INVALID pricingPlan.price.value: A draft app can only ask for 0."},
		"the errors for a draft app")
}
