package panel

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
)

// invoiceHandler serves the invoices of a merchant.
type invoiceHandler struct{ billing *billing.Service }

func (h *invoiceHandler) routes() []route {
	return []route{
		get(accountPattern+invoicesPath, member, h.list),
		get(accountPattern+invoicesPath+"/{invoice}", member, h.page),
	}
}

// invoiceListPage is the data of the list.
type invoiceListPage struct {
	List  string
	Rows  []invoiceRow
	Pages pageLinks
	// Count is the number of all invoices.
	Count int
}

// invoiceRow is an invoice in the list. Sellers names the first account whose apps charged, and counts the others.
type invoiceRow struct {
	billing.Invoice

	Sellers string
}

func (h *invoiceHandler) list(q *request) error {
	found, err := h.billing.Invoices(q.r.Context(), q.by, q.pageRequest(linesPerPage))
	if err != nil {
		return err
	}
	count, err := h.billing.CountInvoices(q.r.Context(), q.by)
	if err != nil {
		return err
	}
	shown := invoiceListPage{List: q.address(invoicesPath), Pages: pageLinksOf(q, found), Count: int(count)}
	ids := make([]uuid.UUID, len(found.Items))
	for i, item := range found.Items {
		ids[i] = item.Node.ID
	}
	sellers, err := h.billing.Sellers(q.r.Context(), q.by, ids)
	if err != nil {
		return err
	}
	for _, item := range found.Items {
		row := invoiceRow{Invoice: item.Node}
		if names := sellers[row.ID]; len(names) > 1 {
			row.Sellers = q.count("invoices.others", len(names)-1, "first", names[0])
		} else {
			row.Sellers = strings.Join(names, "")
		}
		shown.Rows = append(shown.Rows, row)
	}
	return invoicesTemplate.show(q, http.StatusOK, shown)
}

// invoicePage is the data of an invoice's page.
type invoicePage struct {
	List    string
	Invoice billing.Invoice
	// Lines are all charges of the invoice, and Sellers the names of the accounts whose apps charged.
	Lines   []shownCharge
	Sellers []string
}

func (h *invoiceHandler) page(q *request) error {
	id, err := uuid.Parse(q.r.PathValue("invoice"))
	if err != nil {
		return errNoPage()
	}
	found, err := h.billing.InvoicesByID(q.r.Context(), q.by, []uuid.UUID{id})
	if err != nil {
		return err
	}
	one, there := found[id]
	if !there {
		return fault.Errorf(fault.NotFound, "%s", q.text("invoices.none"))
	}
	shown := invoicePage{List: q.address(invoicesPath), Invoice: one}
	var charges []billing.Charge
	size := paging.MaxSize
	for req := (paging.Request{First: &size}); ; {
		lines, err := h.billing.InvoiceLines(q.r.Context(), q.by, []uuid.UUID{id}, req)
		if err != nil {
			return err
		}
		items := lines[id].Items
		for _, item := range items {
			charges = append(charges, item.Node)
		}
		if !lines[id].HasNext || len(items) == 0 {
			break
		}
		after := items[len(items)-1].Cursor()
		req.After = &after
	}
	if shown.Lines, err = describeCharges(q, h.billing, charges, false); err != nil {
		return err
	}
	for _, line := range shown.Lines {
		if line.Partner != "" && !slices.Contains(shown.Sellers, line.Partner) {
			shown.Sellers = append(shown.Sellers, line.Partner)
		}
	}
	if len(shown.Sellers) == 1 { // the head of the invoice names it
		for i, line := range shown.Lines {
			if line.About != "" {
				shown.Lines[i].About = q.text("billing.charged_for", "app", line.App, "store", line.Store)
			}
		}
	}
	return invoiceTemplate.show(q, http.StatusOK, shown)
}
