package panel

import (
	"context"
	"io"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/billing"
	"latchkey/internal/bulk/file"
	"latchkey/internal/paging"
)

// chargeColumns are the columns of the CSV file of charges, named as those of "billing export".
var chargeColumns = []string{"charge_id", "merchant_name", "store_hash", "app_name", "subscription_id", "kind",
	"description", "period_start", "period_end", "amount", "currency", "due_at", "status"}

// export streams all charges that match the filter as CSV.
func (h *salesHandler) export(q *request) error {
	if err := billing.MayReadSales(q.by); err != nil {
		return err
	}
	_, filter := chargeFilter(q)
	read := func(after *uuid.UUID) ([]shownCharge, *uuid.UUID, error) { return h.read(q, filter, after) }
	begin := func(to io.Writer) func([]shownCharge) error {
		lines := file.NewWriter(to)
		lines.Write(chargeColumns)
		return func(charges []shownCharge) error {
			for _, c := range charges {
				lines.WriteNumeric([]string{c.ID.String(), c.Customer, c.Hash, c.App, c.SubscriptionID.String(),
					string(c.Kind), c.Description, csvTime(c.Period.Start), csvTime(c.Period.End), c.Amount.Decimal(),
					c.Amount.Currency, csvTime(c.DueAt), string(c.Status)})
			}
			return lines.Flush()
		}
	}
	return streamCSV(q, h.log, "charges", "an export of charges was aborted", begin, read)
}

// csvTime returns a time as the files have it, empty for zero.
func csvTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// read reads one page of charges, and returns the ID of the last one if more follow. It verifies the session again, as
// auditHandler.read does.
func (h *salesHandler) read(q *request, f billing.ChargeFilter, after *uuid.UUID) ([]shownCharge, *uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.r.Context()), exportStep)
	defer cancel()
	if err := h.sessions.verify(ctx, q); err != nil {
		return nil, nil, err
	}
	if q.by == nil {
		return nil, nil, access.ErrRefused()
	}
	if err := billing.MayReadSales(q.by); err != nil {
		return nil, nil, err
	}
	size := paging.MaxSubscriptions
	page := paging.Request{First: &size}
	if after != nil {
		cursor := paging.Cursor(*after)
		page.After = &cursor
	}
	found, err := h.billing.Charges(ctx, q.by, f, page)
	if err != nil {
		return nil, nil, err
	}
	charges := make([]billing.Charge, len(found.Items))
	for i, item := range found.Items {
		charges[i] = item.Node
	}
	step := *q
	step.r = q.r.WithContext(ctx)
	shown, err := describeCharges(&step, h.billing, charges, true)
	if err != nil || !found.HasNext || len(found.Items) == 0 {
		return shown, nil, err
	}
	return shown, &found.Items[len(found.Items)-1].Key, nil
}
