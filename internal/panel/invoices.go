package panel

import (
	"net/http"
	"slices"

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
	Rows  []billing.Invoice
	Pages pageLinks
}

func (h *invoiceHandler) list(q *request) error {
	found, err := h.billing.Invoices(q.r.Context(), q.by, q.pageRequest(linesPerPage))
	if err != nil {
		return err
	}
	shown := invoiceListPage{List: q.address(invoicesPath), Pages: pageLinksOf(q, found)}
	for _, item := range found.Items {
		shown.Rows = append(shown.Rows, item.Node)
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
	return invoiceTemplate.show(q, http.StatusOK, shown)
}
