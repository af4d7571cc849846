package panel

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/signin/formtoken"
)

// salesHandler serves what the apps of a partner charge.
type salesHandler struct {
	billing *billing.Service
	forms   *formtoken.FormTokens
}

// The patterns of the pages of a partner.
const (
	salesChargesPath       = salesPath + "/charges"
	salesRevenuePath       = salesPath + "/revenue"
	salesSubscriptionsPath = salesPath + "/subscriptions"
)

func (h *salesHandler) routes() []route {
	const one = accountPattern + salesChargesPath + "/{charge}"
	return []route{
		get(accountPattern+salesChargesPath, member, h.charges),
		get(one, member, h.charge),
		post(one+"/credit", member, h.credit),
		post(one+"/delete", member, h.delete),
		get(accountPattern+salesRevenuePath, member, h.revenue),
		get(accountPattern+salesSubscriptionsPath, member, h.subscriptions),
	}
}

// The choices of the filter, in the order of the page.
var (
	chargeStatuses = []billing.ChargeStatus{billing.ChargePending, billing.ChargeInvoiced, billing.ChargeDeleted}
	chargeKinds    = []billing.ChargeKind{billing.Recurring, billing.Proration, billing.Usage, billing.OneTime,
		billing.Credit}
)

// filterChoice is an option of a filter.
type filterChoice struct {
	Value, Label string
	Chosen       bool
}

// salesChargesPage is the data of the list of charges.
type salesChargesPage struct {
	List            string
	Statuses, Kinds []filterChoice
	Rows            []shownCharge
	Pages           pageLinks
}

func (h *salesHandler) charges(q *request) error {
	if err := billing.MayReadSales(q.by); err != nil {
		return err
	}
	shown := salesChargesPage{List: q.address(salesChargesPath)}
	filter := billing.ChargeFilter{As: billing.Side{Partner: true}}
	status, kind := q.r.URL.Query().Get("status"), q.r.URL.Query().Get("kind")
	for _, each := range chargeStatuses {
		chosen := string(each) == status
		if chosen {
			filter.Status = each
		}
		shown.Statuses = append(shown.Statuses,
			filterChoice{string(each), q.label("billing.charge_status.", string(each)), chosen})
	}
	for _, each := range chargeKinds {
		chosen := string(each) == kind
		if chosen {
			filter.Kind = each
		}
		shown.Kinds = append(shown.Kinds, filterChoice{string(each), q.label("billing.kinds.", string(each)), chosen})
	}
	found, err := h.billing.Charges(q.r.Context(), q.by, filter, q.pageRequest(linesPerPage))
	if err != nil {
		return err
	}
	shown.Pages = pageLinksOf(q, found)
	var own []billing.Charge
	for _, item := range found.Items {
		own = append(own, item.Node)
	}
	if shown.Rows, err = describeCharges(q, h.billing, own, true); err != nil {
		return err
	}
	return salesChargesTemplate.show(q, http.StatusOK, shown)
}

// salesChargePage is the data of a charge's page.
type salesChargePage struct {
	*form
	List, Address, FormID string
	One                   shownCharge
	// MayCredit and MayDelete report what the charge allows.
	MayCredit, MayDelete bool
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
	return h.showCharge(q, http.StatusOK, c, newForm("amount", "reason"), h.forms.New())
}

func (h *salesHandler) showCharge(q *request, status int, c billing.Charge, f *form, formID string) error {
	one, err := describeCharges(q, h.billing, []billing.Charge{c}, true)
	if err != nil {
		return err
	}
	return salesChargeTemplate.show(q, status, salesChargePage{form: f, List: q.address(salesChargesPath),
		Address: q.address(salesChargesPath + "/" + c.ID.String()), FormID: formID, One: one[0],
		MayCredit: c.Status == billing.ChargeInvoiced && c.Amount.Minor > 0,
		MayDelete: c.Status == billing.ChargePending && c.Kind == billing.Usage})
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
		return h.showCharge(q, http.StatusUnprocessableEntity, c, f, h.forms.New())
	}
	return q.redirectWithNotice(q.address(salesChargesPath), noticeOf("charge_credited", c.Description))
}

// delete deletes a pending charge for usage.
func (h *salesHandler) delete(q *request) error {
	c, err := h.find(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm("amount", "reason")
	if err != nil {
		return err
	}
	if _, err := h.billing.DeleteCharge(q.r.Context(), q.by,
		billing.Deletion{ID: c.ID, Reason: f.Value("reason")}); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showCharge(q, http.StatusUnprocessableEntity, c, f, h.forms.New())
	}
	return q.redirectWithNotice(q.address(salesChargesPath), noticeOf("charge_deleted", c.Description))
}

// salesSubscriptionsPage is the data of the list of subscriptions to the account's apps.
type salesSubscriptionsPage struct {
	Rows  []shownSubscription
	Pages pageLinks
}

func (h *salesHandler) subscriptions(q *request) error {
	if err := billing.MayReadSales(q.by); err != nil {
		return err
	}
	found, err := h.billing.Subscriptions(q.r.Context(), q.by,
		billing.SubscriptionFilter{As: billing.Side{Partner: true}}, q.pageRequest(linesPerPage))
	if err != nil {
		return err
	}
	var all []billing.Subscription
	for _, item := range found.Items {
		all = append(all, item.Node)
	}
	rows, err := describeSubscriptions(q, h.billing, all)
	if err != nil {
		return err
	}
	return salesSubscriptionsTemplate.show(q, http.StatusOK, salesSubscriptionsPage{rows, pageLinksOf(q, found)})
}

// revenueMonths is how many months the chart of the revenue shows.
const revenueMonths = 12

// revenuePage is the data of the page about the revenue.
type revenuePage struct {
	Chart revenueChart
	// Newest are the months of the chart that have charges, newest first.
	Newest []revenueBar
	Total  billing.Money
}

func (h *salesHandler) revenue(q *request) error {
	now, err := h.billing.Now(q.r.Context())
	if err != nil {
		return err
	}
	month, err := billing.MonthSpan(billing.MonthOf(now))
	if err != nil {
		return err
	}
	from := month.Start.AddDate(0, 1-revenueMonths, 0)
	sums, err := h.billing.Revenue(q.r.Context(), q.by, from, month.End)
	if err != nil {
		return err
	}
	var months []billing.MonthSum
	shown := revenuePage{Total: billing.Money{Currency: billing.Currency}}
	for n := range revenueMonths {
		at := billing.MonthOf(from.AddDate(0, n, 0))
		sum := billing.MonthSum{Month: at, Amount: billing.Money{Currency: billing.Currency}}
		if i := slices.IndexFunc(sums, func(s billing.MonthSum) bool { return s.Month == at }); i >= 0 {
			sum = sums[i]
		}
		shown.Total = shown.Total.Plus(sum.Amount.Minor)
		months = append(months, sum)
	}
	shown.Chart = revenueChartOf(months)
	shown.Newest = slices.DeleteFunc(slices.Clone(shown.Chart.Bars), func(b revenueBar) bool { return b.Charges == 0 })
	slices.Reverse(shown.Newest)
	return revenueTemplate.show(q, http.StatusOK, shown)
}
