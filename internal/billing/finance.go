package billing

import (
	"context"

	"github.com/google/uuid"
)

// page is how many subscriptions, invoices or merchants are read at a time for all accounts.
const page = 100

// exportPage is how many charges an export reads at a time.
const exportPage = 1000

// Verify checks the rules of billing on all data, and reports every row that breaks one.
func (r *Runner) Verify(ctx context.Context, report func(Finding)) error {
	all := func(found []Finding) {
		for _, f := range found {
			report(f)
		}
	}
	for after := uuid.Nil; ; {
		now, list, err := r.ledger.Statements(ctx, after, page)
		if err != nil {
			return err
		}
		for _, each := range list {
			all(VerifySubscription(each.Subscription, each.Charges, now))
			all(VerifyTotals(each))
			after = each.Subscription.ID
		}
		if len(list) == 0 {
			break
		}
	}
	if err := r.eachIssue(ctx, func(i Issue) error {
		all(VerifyInvoice(i.Invoice, i.Charges))
		return nil
	}); err != nil {
		return err
	}
	return r.eachMerchantCarried(ctx, func(charges []Charge) { all(VerifyCarried(charges)) })
}

// eachIssue calls do for every invoice.
func (r *Runner) eachIssue(ctx context.Context, do func(Issue) error) error {
	for after := uuid.Nil; ; {
		list, err := r.ledger.Issued(ctx, after, page)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, each := range list {
			if err := do(each); err != nil {
				return err
			}
			after = each.Invoice.ID
		}
	}
}

// eachMerchantCarried calls do with the Carried charges of every merchant that has some.
func (r *Runner) eachMerchantCarried(ctx context.Context, do func([]Charge)) error {
	for after := uuid.Nil; ; {
		list, err := r.ledger.CarriedCharges(ctx, after, page)
		if err != nil || len(list) == 0 {
			return err
		}
		start := 0
		for i := range list {
			if i+1 == len(list) || list[i+1].MerchantID != list[i].MerchantID {
				do(list[start : i+1])
				start = i + 1
			}
		}
		after = list[len(list)-1].MerchantID
	}
}

// MerchantOf returns the merchant of a subscription, for the operator. It returns fault.NotFound if there is no such
// subscription.
func (r *Runner) MerchantOf(ctx context.Context, subscriptionID uuid.UUID) (uuid.UUID, error) {
	return r.ledger.MerchantOf(ctx, subscriptionID)
}

// Export calls write with every charge of all accounts that fell due in a month such as 2026-02, merchant by merchant.
// It returns fault.Invalid for a text that is not a month.
func (r *Runner) Export(ctx context.Context, month string, write func(AccountingLine) error) error {
	span, err := MonthSpan(month)
	if err != nil {
		return err
	}
	for afterMerchant, afterCharge := uuid.Nil, uuid.Nil; ; {
		lines, err := r.ledger.Accounting(ctx, span, afterMerchant, afterCharge, exportPage)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if err := write(line); err != nil {
				return err
			}
			afterMerchant, afterCharge = line.Charge.MerchantID, line.Charge.ID
		}
		if len(lines) < exportPage {
			return nil
		}
	}
}
