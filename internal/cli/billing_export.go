package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/billing"
	"latchkey/internal/bulk/file"
	"latchkey/internal/config"
)

func (p billingCommands) export() *cobra.Command {
	var month string
	c := &cobra.Command{
		Use: "export --month MONTH", Short: "Print all charges of a month, as CSV or JSON", Args: cobra.NoArgs,
		Example: "  latchkey billing export --month 2026-02 > 2026-02.csv",
	}
	c.Flags().StringVar(&month, "month", "", "the month (UTC) in which the charges fell due, such as 2026-02")
	must(c.MarkFlagRequired("month"))
	offer(c, config.Storage)
	c.RunE = p.runsAs([]string{"text", "csv", "json"}, func(c *cobra.Command, _ []string) error {
		if _, err := billing.MonthSpan(month); err != nil {
			return about("--month", err)
		}
		return p.withBackend(c, config.Needs{}, func(b *backend) error {
			return p.exportBilling(c.Context(), b, month)
		})
	})
	return c
}

func (p billingCommands) exportBilling(ctx context.Context, b *backend, month string) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	to := newChargeWriter(p.format, unwrittenTo{p.stdout})
	shown := p.rate("charges")
	begun, n := time.Now(), int64(0)
	err := to.begin()
	if err == nil {
		err = b.runner.Export(ctx, month, func(line billing.AccountingLine) error {
			n++
			shown.at(n)
			return to.write(line)
		})
	}
	shown.hide()
	if ctx.Err() != nil {
		return errIncomplete
	}
	if err == nil {
		err = to.end()
	}
	if err != nil {
		return err
	}
	p.say("%d charges in %s", n, time.Since(begun).Round(time.Millisecond))
	return nil
}

// chargeWriter writes charges in some format.
type chargeWriter interface {
	begin() error
	write(line billing.AccountingLine) error
	end() error
}

// newChargeWriter returns a writer of JSON for json, and of CSV otherwise.
func newChargeWriter(format string, to io.Writer) chargeWriter {
	if format == "json" {
		return &jsonCharges{to: to}
	}
	return &csvCharges{lines: file.NewWriter(to)}
}

// csvCharges writes a line for each charge.
type csvCharges struct {
	lines   *file.Writer
	waiting int
}

// csvFlush is how many lines are written at a time.
const csvFlush = 500

// chargeColumns are the columns of the CSV format. They are stable; new columns are added at the end.
var chargeColumns = []string{
	"charge_id", "merchant_id", "merchant_name", "partner_id", "partner_name", "store_hash", "app_id", "app_name",
	"subscription_id", "invoice_number", "kind", "description", "period_start", "period_end", "amount", "currency",
	"due_at", "created_at", "status",
}

func (w *csvCharges) begin() error {
	w.lines.Write(chargeColumns)
	return w.lines.Flush()
}

func (w *csvCharges) write(line billing.AccountingLine) error {
	v := chargeViewOf(line)
	w.lines.WriteNumeric([]string{
		v.ID, v.MerchantID, v.MerchantName, orEmpty(v.PartnerID), orEmpty(v.PartnerName), orEmpty(v.StoreHash),
		orEmpty(v.AppID), orEmpty(v.AppName), orEmpty(v.SubscriptionID), numberOrEmpty(v.InvoiceNumber), v.Kind,
		v.Description, timeOrEmpty(v.PeriodStart), timeOrEmpty(v.PeriodEnd), v.Amount.String(), v.Currency,
		timeOrEmpty(&v.DueAt), timeOrEmpty(&v.CreatedAt), v.Status,
	})
	if w.waiting++; w.waiting < csvFlush {
		return nil
	}
	return w.end()
}

func (w *csvCharges) end() error {
	w.waiting = 0
	return w.lines.Flush()
}

// jsonCharges writes one JSON document, with a charge a line.
type jsonCharges struct {
	to      io.Writer
	started bool
}

func (w *jsonCharges) begin() error {
	_, err := io.WriteString(w.to, `{"charges": [`)
	return err
}

func (w *jsonCharges) write(line billing.AccountingLine) error {
	text, err := json.Marshal(chargeViewOf(line))
	if err != nil {
		return fmt.Errorf("write a charge as JSON: %w", err)
	}
	lead := "\n"
	if w.started {
		lead = ",\n"
	}
	w.started = true
	_, err = io.WriteString(w.to, lead+string(text))
	return err
}

func (w *jsonCharges) end() error {
	_, err := io.WriteString(w.to, "\n]}\n")
	return err
}

// chargeView is a charge as JSON, named as in the API. What a carried charge or one without an invoice lacks is null.
type chargeView struct {
	ID             string      `json:"id"`
	MerchantID     string      `json:"merchantId"`
	MerchantName   string      `json:"merchantName"`
	PartnerID      *string     `json:"partnerId"`
	PartnerName    *string     `json:"partnerName"`
	StoreHash      *string     `json:"storeHash"`
	AppID          *string     `json:"appId"`
	AppName        *string     `json:"appName"`
	SubscriptionID *string     `json:"subscriptionId"`
	InvoiceNumber  *int64      `json:"invoiceNumber"`
	Kind           string      `json:"kind"`
	Description    string      `json:"description"`
	PeriodStart    *time.Time  `json:"periodStart"`
	PeriodEnd      *time.Time  `json:"periodEnd"`
	Amount         json.Number `json:"amount"`
	Currency       string      `json:"currency"`
	DueAt          time.Time   `json:"dueAt"`
	CreatedAt      time.Time   `json:"createdAt"`
	Status         string      `json:"status"`
}

func chargeViewOf(line billing.AccountingLine) chargeView {
	c := line.Charge
	v := chargeView{
		ID:           account.IDPrefix + "charge/" + c.ID.String(),
		MerchantID:   account.IDPrefix + "account/" + c.MerchantID.String(),
		MerchantName: line.MerchantName, Kind: string(c.Kind), Description: c.Description,
		PeriodStart: timeOrNil(c.Period.Start), PeriodEnd: timeOrNil(c.Period.End),
		Amount: json.Number(c.Amount.Decimal()), Currency: c.Amount.Currency, DueAt: c.DueAt, CreatedAt: c.CreatedAt,
		Status: string(c.Status),
	}
	if c.SubscriptionID != uuid.Nil {
		partner, app := account.IDPrefix+"account/"+c.PartnerID.String(), strconv.FormatInt(line.AppID, 10)
		subscription := subscriptionPrefix + c.SubscriptionID.String()
		v.PartnerID, v.PartnerName, v.StoreHash = &partner, &line.PartnerName, &line.StoreHash
		v.AppID, v.AppName, v.SubscriptionID = &app, &line.AppName, &subscription
	}
	if line.InvoiceNumber != 0 {
		v.InvoiceNumber = &line.InvoiceNumber
	}
	return v
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func numberOrEmpty(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func timeOrEmpty(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
