package billing

import (
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
)

// monthLayout is the form of months.
const monthLayout = "2006-01"

// MonthOf returns the month of a time, such as 2026-02, in UTC. That of a charge's due time decides its invoice.
func MonthOf(t time.Time) string { return t.UTC().Format(monthLayout) }

// MonthSpan returns the time of a month such as 2026-02.
func MonthSpan(month string) (Span, error) {
	start, err := time.Parse(monthLayout, month)
	if err != nil {
		return Span{}, fault.Wrap(err, fault.Invalid, "%q is not a month such as 2026-02.", month)
	}
	return Span{start, start.AddDate(0, 1, 0)}, nil
}

// Compose returns the invoice of a month for all pending charges of the merchant that fell due before its end. If their
// sum is negative, it returns two Carried charges: a line of the invoice that makes its total 0, and the credit that is
// due at the beginning of the next month. They have no ID yet.
func Compose(m OpenMonth, id uuid.UUID, number int64, charges []Charge, now time.Time) (Invoice, []Charge, error) {
	month, err := MonthSpan(m.Month)
	if err != nil {
		return Invoice{}, nil, err
	}
	invoice := Invoice{ID: id, MerchantID: m.MerchantID, Month: m.Month, Number: number, IssuedAt: now,
		Total: Money{Currency: m.Currency}}
	for _, c := range charges {
		invoice.Total.Minor += c.Amount.Minor
	}
	if invoice.Total.Minor >= 0 {
		return invoice, nil, nil
	}
	credit := Charge{
		MerchantID:  m.MerchantID,
		Kind:        Carried,
		Amount:      invoice.Total,
		DueAt:       month.End,
		CreatedAt:   now,
		SourceKey:   CarriedKey(m.MerchantID, m.Month, m.Currency),
		Status:      ChargePending,
		Description: "Carried from " + m.Month,
	}
	line := credit
	line.Amount.Minor = -invoice.Total.Minor
	// The last line of the invoice.
	line.DueAt = month.End.Add(-time.Microsecond)
	line.SourceKey = CarriedOutKey(m.MerchantID, m.Month, m.Currency)
	line.Status, line.InvoiceID = ChargeInvoiced, id
	line.Description = "Carried to " + MonthOf(month.End)
	invoice.Total.Minor = 0
	return invoice, []Charge{line, credit}, nil
}
