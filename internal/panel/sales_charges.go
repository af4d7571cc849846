package panel

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/fault"
)

// The choices of the filter, in the order of the page.
var (
	chargeStatuses = []billing.ChargeStatus{billing.ChargePending, billing.ChargeInvoiced, billing.ChargeDeleted}
	chargeKinds    = []billing.ChargeKind{billing.Recurring, billing.Proration, billing.Usage, billing.OneTime,
		billing.Credit}
)

// salesChargesPage is the data of the list of charges.
type salesChargesPage struct {
	salesFilter

	// Kinds are the choices of the kind, the chosen one being Kind, empty for all.
	Kinds []filterChoice
	Kind  string
	// Month limits the list to a month such as 2026-02, and Without is the address without that limit. Both are empty
	// if all months are listed.
	Month, Without string
	// Export is the address of the CSV file of the listed charges.
	Export string
	Rows   []shownCharge
	Pages  pageLinks
	// Count is the number of all charges that match, and Sum the sum of those that are not deleted.
	Count int
	Sum   billing.Money
}

// Filtered reports whether the list is limited.
func (p salesChargesPage) Filtered() bool {
	return p.salesFilter.Filtered() || p.Kind != "" || p.Month != ""
}

// chargeFilter returns the page for the address, and the charges that it asks for.
func chargeFilter(q *request) (salesChargesPage, billing.ChargeFilter) {
	query := q.r.URL.Query()
	p := salesChargesPage{salesFilter: salesFilterOf(q, salesChargesPath, chargeStatuses)}
	for _, each := range chargeKinds {
		chosen := string(each) == query.Get("kind")
		if chosen {
			p.Kind = string(each)
		}
		p.Kinds = append(p.Kinds, filterChoice{string(each), q.label("billing.kinds.", string(each)), chosen})
	}
	f := billing.ChargeFilter{As: billing.Side{Partner: true}, Status: billing.ChargeStatus(p.Status),
		Kind: billing.ChargeKind(p.Kind), Search: p.Search}
	if span, err := billing.MonthSpan(query.Get("month")); err == nil {
		p.Month, f.Due, p.Without = query.Get("month"), span, q.withQuery("month", "")
	}
	return p, f
}

func (h *salesHandler) charges(q *request) error {
	if err := billing.MayReadSales(q.by); err != nil {
		return err
	}
	shown, filter := chargeFilter(q)
	sum, n, err := h.sum(q, filter)
	if fault.KindOf(err) == fault.Invalid {
		shown.Errors = sentences(err)
		return salesChargesTemplate.show(q, http.StatusUnprocessableEntity, shown)
	}
	if err != nil {
		return err
	}
	found, err := h.billing.Charges(q.r.Context(), q.by, filter, q.pageRequest(linesPerPage))
	if err != nil {
		return err
	}
	shown.Sum, shown.Count, shown.Pages = sum, n, pageLinksOf(q, found)
	_, query, _ := strings.Cut(q.withQuery(), "?")
	shown.Export = (&url.URL{Path: q.address(salesExportPath), RawQuery: query}).String()
	var own []billing.Charge
	for _, item := range found.Items {
		own = append(own, item.Node)
	}
	if shown.Rows, err = describeCharges(q, h.billing, own, true); err != nil {
		return err
	}
	return salesChargesTemplate.show(q, http.StatusOK, shown)
}

// sum returns the sum of the charges that a filter selects, and their number. Deleted charges count only for the
// number, unless the filter asks for them.
func (h *salesHandler) sum(q *request, f billing.ChargeFilter) (billing.Money, int, error) {
	sum, n, err := h.billing.SumCharges(q.r.Context(), q.by, f)
	if err != nil || f.Status != "" {
		return sum, int(n), err
	}
	f.Status = billing.ChargeDeleted
	deleted, _, err := h.billing.SumCharges(q.r.Context(), q.by, f)
	return sum.Plus(-deleted.Minor), int(n), err
}

// salesChargePage is the data of a charge's page.
type salesChargePage struct {
	*form
	List, Address string
	One           shownCharge
	// Invoice is the month of the invoice, empty if there is none.
	Invoice string
	// Subscriptions is the address of the list of the customer's subscriptions.
	Subscriptions string
	// MayCredit and MayDelete report what the charge allows.
	MayCredit, MayDelete bool
}

// salesCreditPage is the data of the page that credits a charge.
type salesCreditPage struct {
	*form
	List, Address, FormID string
	One                   shownCharge
	// Left is what can still be credited, and Sign the sign of its currency.
	Left billing.Money
	Sign string
}

// find returns the charge that the address names.
func (h *salesHandler) find(q *request) (billing.Charge, error) {
	id, err := uuid.Parse(q.r.PathValue("charge"))
	if err != nil {
		return billing.Charge{}, errNoPage()
	}
	if err := billing.MayReadSales(q.by); err != nil {
		return billing.Charge{}, err
	}
	found, err := h.billing.ChargesByID(q.r.Context(), q.by, []uuid.UUID{id})
	if err != nil {
		return billing.Charge{}, err
	}
	if c, there := found[id]; there && c.PartnerID == q.by.AccountID {
		return c, nil
	}
	return billing.Charge{}, billing.ErrNoCharge()
}

func (h *salesHandler) charge(q *request) error {
	c, err := h.find(q)
	if err != nil {
		return err
	}
	return h.showCharge(q, http.StatusOK, c, newForm())
}

func (h *salesHandler) showCharge(q *request, status int, c billing.Charge, f *form) error {
	one, err := describeCharges(q, h.billing, []billing.Charge{c}, true)
	if err != nil {
		return err
	}
	shown := salesChargePage{form: f, List: q.address(salesChargesPath), Address: h.address(q, c), One: one[0],
		MayCredit: mayCredit(c), MayDelete: c.Status == billing.ChargePending && c.Kind == billing.Usage}
	if c.Status == billing.ChargeInvoiced {
		shown.Invoice = billing.MonthOf(c.DueAt)
	}
	shown.Subscriptions = ofCustomer(q, salesSubscriptionsPath, one[0].Hash, one[0].Customer)
	return salesChargeTemplate.show(q, status, shown)
}

func (h *salesHandler) address(q *request, c billing.Charge) string {
	return q.address(salesChargesPath + "/" + c.ID.String())
}

// mayCredit reports whether a charge can be credited, if it was not credited already.
func mayCredit(c billing.Charge) bool {
	return c.Status == billing.ChargeInvoiced && c.Amount.Minor > 0
}

// askCredit shows the form that credits a charge.
func (h *salesHandler) askCredit(q *request) error {
	c, err := h.find(q)
	if err != nil {
		return err
	}
	if !mayCredit(c) {
		return q.redirect(h.address(q, c))
	}
	return h.showCredit(q, http.StatusOK, c, newForm("amount", "reason"))
}

func (h *salesHandler) showCredit(q *request, status int, c billing.Charge, f *form) error {
	one, err := describeCharges(q, h.billing, []billing.Charge{c}, true)
	if err != nil {
		return err
	}
	left, err := h.left(q, c)
	if err != nil {
		return err
	}
	none := billing.Money{Currency: c.Amount.Currency}
	return salesCreditTemplate.show(q, status, salesCreditPage{form: f, List: q.address(salesChargesPath),
		Address: h.address(q, c), FormID: h.forms.New(), One: one[0], Left: left,
		Sign: strings.TrimSuffix(none.String(), none.Decimal())})
}

// left returns what can still be credited of a charge: an attempt to credit all of it says so.
func (h *salesHandler) left(q *request, c billing.Charge) (billing.Money, error) {
	_, _, err := h.billing.CreditCharge(q.r.Context(), q.by, billing.CreditRequest{ChargeID: c.ID,
		Amount: billing.MoneyRequest{CurrencyCode: c.Amount.Currency, Value: c.Amount.Decimal()}, Reason: c.Description,
		Key: h.forms.New(), DryRun: true})
	if err == nil {
		return c.Amount, nil
	}
	faults := fault.Flatten(err)
	if fault.KindOf(err) != fault.LimitReached || len(faults) == 0 {
		return billing.Money{}, err
	}
	return billing.MoneyOf(c.Amount.Currency, faults[0].Remaining)
}

// credit credits a charge. The form's ID is the idempotency key, so that a form that is sent twice credits once.
func (h *salesHandler) credit(q *request) error {
	c, err := h.find(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm("amount", "reason")
	if err != nil {
		return err
	}
	_, _, err = h.billing.CreditCharge(q.r.Context(), q.by, billing.CreditRequest{ChargeID: c.ID,
		Amount: billing.MoneyRequest{CurrencyCode: c.Amount.Currency, Value: f.Value("amount")},
		Reason: f.Value("reason"), Key: f.Value("form")})
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		if !mayCredit(c) {
			return h.showCharge(q, http.StatusUnprocessableEntity, c, f)
		}
		return h.showCredit(q, http.StatusUnprocessableEntity, c, f)
	}
	return q.redirectWithNotice(h.address(q, c), noticeOf("charge_credited", c.Description))
}

// delete deletes a pending charge for usage.
func (h *salesHandler) delete(q *request) error {
	c, err := h.find(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm("reason")
	if err != nil {
		return err
	}
	if _, err := h.billing.DeleteCharge(q.r.Context(), q.by,
		billing.Deletion{ID: c.ID, Reason: f.Value("reason")}); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showCharge(q, http.StatusUnprocessableEntity, c, f)
	}
	return q.redirectWithNotice(q.address(salesChargesPath), noticeOf("charge_deleted", c.Description))
}
