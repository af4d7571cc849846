package billing

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// amounts returns pending charges of the amounts, due in a month.
func amounts(merchant uuid.UUID, month string, cents ...int64) []Charge {
	charges := []Charge{}
	for i, amount := range cents {
		kind := Recurring
		if amount < 0 {
			kind = Credit
		}
		charges = append(charges, Charge{ID: uuid.New(), MerchantID: merchant, Kind: kind, Amount: Money{amount, "USD"},
			DueAt: date(month+"-01").AddDate(0, 0, i), Status: ChargePending})
	}
	return charges
}

func TestRuleInvoices(t *testing.T) {
	m := OpenMonth{uuid.UUID{0xc}, "2026-01", "USD"}
	k := "k/" + m.MerchantID.String() + "/2026-01/USD"
	for _, c := range []struct {
		name  string
		cents []int64
		total int64
		// carried is the amount that the next month has.
		carried int64
	}{
		{"a sum", []int64{1000, -333, 5}, 672, 0},
		{"only charges of 0", []int64{0, 0}, 0, 0},
		{"a sum of 0", []int64{500, -500}, 0, 0},
		{"a negative sum", []int64{500, -1200}, 0, -700},
	} {
		invoice, carried, err := Compose(m, uuid.UUID{7}, 3, amounts(m.MerchantID, m.Month, c.cents...),
			date("2026-02-03"))
		check.Equal(t, err, nil, "%s: error", c.name)
		check.Equal(t, invoice, Invoice{ID: uuid.UUID{7}, MerchantID: m.MerchantID, Month: "2026-01", Number: 3,
			Total: Money{c.total, "USD"}, IssuedAt: date("2026-02-03")}, "%s: invoice", c.name)
		if c.carried == 0 {
			check.Equal(t, len(carried), 0, "%s: carried charges", c.name)
			continue
		}
		check.Equal(t, carried, []Charge{
			{MerchantID: m.MerchantID, Kind: Carried, Amount: Money{-c.carried, "USD"}, Status: ChargeInvoiced,
				DueAt: date("2026-01-31T23:59:59.999999"), CreatedAt: date("2026-02-03"), InvoiceID: uuid.UUID{7},
				SourceKey: k + "/out", Description: "Carried to 2026-02"},
			{MerchantID: m.MerchantID, Kind: Carried, Amount: Money{c.carried, "USD"}, Status: ChargePending,
				DueAt: date("2026-02-01"), CreatedAt: date("2026-02-03"), SourceKey: k,
				Description: "Carried from 2026-01"},
		}, "%s: carried charges", c.name)
	}
	_, _, err := Compose(OpenMonth{Month: "January"}, uuid.Nil, 1, nil, time.Time{})
	got, _ := kind(err)
	check.Equal(t, got, fault.Invalid, "kind of the error for a month that is none")
}

func TestRuleMonth(t *testing.T) {
	zone := time.FixedZone("", -8*60*60)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{date("2026-01-31T23:59:59.999999"), "2026-01"}, {date("2026-02-01"), "2026-02"},
		{time.Date(2026, 1, 31, 16, 0, 0, 0, zone), "2026-02"}, {date("2026-12-31T23:59:59"), "2026-12"},
	} {
		check.Equal(t, MonthOf(c.at), c.want, "the month of %s", c.at)
	}
	span, err := MonthSpan("2026-12")
	check.Equal(t, err, nil, "error")
	check.Equal(t, span, between("2026-12-01", "2027-01-01"), "the time of December")
}

// TestInvoicesExplainEveryCent invoices random months, one after the other.
func TestInvoicesExplainEveryCent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		merchant := uuid.New()
		var pending, invoiced, allCarried []Charge
		var invoices, charged int64
		for n := range rapid.IntRange(1, 24).Draw(t, "months") {
			month := MonthOf(date("2025-01-01").AddDate(0, n, 0))
			fresh := amounts(merchant, month, rapid.SliceOfN(rapid.Int64Range(-5000, 4000), 0, 5).Draw(t, "amounts")...)
			for _, c := range fresh {
				charged += c.Amount.Minor
			}
			pending = append(pending, fresh...)
			if len(pending) == 0 {
				continue
			}
			id := uuid.New()
			invoice, carried, err := Compose(OpenMonth{merchant, month, "USD"}, id, int64(n), pending,
				date("2030-01-01"))
			if err != nil {
				t.Fatal(err)
			}
			lines := slices.Clone(pending)
			pending = nil
			for i := range carried {
				carried[i].ID = uuid.New()
				if carried[i].Status == ChargePending {
					pending = append(pending, carried[i])
				} else {
					lines = append(lines, carried[i])
				}
			}
			for i := range lines {
				lines[i].Status, lines[i].InvoiceID = ChargeInvoiced, id
			}
			allCarried = append(allCarried, carried...)
			if found := VerifyInvoice(invoice, lines); len(found) > 0 {
				t.Fatalf("findings %v", found)
			}
			invoices += invoice.Total.Minor
			invoiced = append(invoiced, lines...)
		}
		var rest int64
		for _, c := range pending {
			rest += c.Amount.Minor
		}
		if invoices+rest != charged || rest > 0 {
			t.Fatalf("invoices %d and pending %d, charged %d", invoices, rest, charged)
		}
		for i := range allCarried {
			for _, c := range invoiced {
				if c.ID == allCarried[i].ID {
					allCarried[i] = c
				}
			}
		}
		if found := VerifyCarried(allCarried); len(found) > 0 {
			t.Fatalf("findings %v", found)
		}
	})
}
