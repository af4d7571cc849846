package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"latchkey/internal/audit"
)

// page is how many subscriptions, invoices or merchants are read at a time for all accounts.
const page = 100

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
			after = each.Subscription.ID
		}
		if len(list) == 0 {
			break
		}
	}
	if err := r.eachIssue(ctx, "", func(i Issue) error {
		all(VerifyInvoice(i.Invoice, i.Charges))
		return nil
	}); err != nil {
		return err
	}
	return r.eachMerchantCarried(ctx, func(charges []Charge) { all(VerifyCarried(charges)) })
}

// eachIssue calls do for every invoice of a month, or of all months if it is empty.
func (r *Runner) eachIssue(ctx context.Context, month string, do func(Issue) error) error {
	for after := uuid.Nil; ; {
		list, err := r.ledger.Issued(ctx, month, after, page)
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

// ExportRow is a line of an invoice for the platform's finance. Its fields have the names of the export's columns.
type ExportRow struct {
	Month          string      `json:"month"`
	InvoiceID      *string     `json:"invoiceId"`
	InvoiceNumber  int64       `json:"invoiceNumber"`
	MerchantID     *string     `json:"merchantId"`
	PartnerID      *string     `json:"partnerId"`
	SubscriptionID *string     `json:"subscriptionId"`
	ChargeID       *string     `json:"chargeId"`
	Kind           ChargeKind  `json:"kind"`
	Description    string      `json:"description"`
	PeriodStart    audit.Time  `json:"periodStart"`
	PeriodEnd      audit.Time  `json:"periodEnd"`
	DueAt          audit.Time  `json:"dueAt"`
	Currency       string      `json:"currency"`
	Amount         json.Number `json:"amount"`
}

// ExportColumns are the columns of the export, in the order of ExportRow.Values.
func ExportColumns() []string {
	return []string{"month", "invoiceId", "invoiceNumber", "merchantId", "partnerId", "subscriptionId", "chargeId",
		"kind", "description", "periodStart", "periodEnd", "dueAt", "currency", "amount"}
}

// Values returns the values of the columns as text. Those that a row lacks are empty.
func (r ExportRow) Values() []string {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	moment := func(t audit.Time) string {
		encoded, err := t.MarshalJSON()
		if err != nil || string(encoded) == "null" {
			return ""
		}
		return string(encoded[1 : len(encoded)-1])
	}
	return []string{r.Month, text(r.InvoiceID), strconv.FormatInt(r.InvoiceNumber, 10), text(r.MerchantID),
		text(r.PartnerID), text(r.SubscriptionID), text(r.ChargeID), string(r.Kind), r.Description,
		moment(r.PeriodStart), moment(r.PeriodEnd), moment(r.DueAt), r.Currency, r.Amount.String()}
}

// Export calls write with every line of the invoices of a month such as 2026-02, invoice by invoice.
func (r *Runner) Export(ctx context.Context, month string, write func(ExportRow) error) error {
	if _, err := MonthSpan(month); err != nil {
		return fmt.Errorf("billing: cannot export: %w", err)
	}
	return r.eachIssue(ctx, month, func(i Issue) error {
		for _, c := range i.Charges {
			if err := write(exportRow(i.Invoice, c)); err != nil {
				return err
			}
		}
		return nil
	})
}

func exportRow(i Invoice, c Charge) ExportRow {
	return ExportRow{
		Month: i.Month, InvoiceID: idOf(audit.TargetInvoice, i.ID), InvoiceNumber: i.Number,
		MerchantID: idOf(audit.TargetAccount, i.MerchantID), PartnerID: idOf(audit.TargetAccount, c.PartnerID),
		SubscriptionID: idOf(audit.TargetSubscription, c.SubscriptionID), ChargeID: idOf(audit.TargetCharge, c.ID),
		Kind: c.Kind, Description: c.Description, PeriodStart: audit.Time(c.Period.Start),
		PeriodEnd: audit.Time(c.Period.End), DueAt: audit.Time(c.DueAt), Currency: c.Amount.Currency,
		Amount: json.Number(c.Amount.Decimal()),
	}
}
