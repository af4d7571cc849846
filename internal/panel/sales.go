package panel

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"latchkey/internal/account"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/signin/formtoken"
)

// salesHandler serves what the apps of a partner charge.
type salesHandler struct {
	billing  *billing.Service
	accounts *account.Service
	forms    *formtoken.FormTokens
	sessions *sessions
	log      *slog.Logger
}

// The patterns of the pages of a partner.
const (
	salesChargesPath       = salesPath + "/charges"
	salesExportPath        = salesPath + "/charges.csv"
	salesRevenuePath       = salesPath + "/revenue"
	salesSubscriptionsPath = salesPath + "/subscriptions"
)

func (h *salesHandler) routes() []route {
	const one = accountPattern + salesChargesPath + "/{charge}"
	return []route{
		get(accountPattern+salesChargesPath, member, h.charges),
		get(accountPattern+salesExportPath, member, h.export),
		get(one, member, h.charge),
		get(one+"/credit", member, h.askCredit),
		post(one+"/credit", member, h.credit),
		post(one+"/delete", member, h.delete),
		get(accountPattern+salesRevenuePath, member, h.revenue),
		get(accountPattern+salesSubscriptionsPath, member, h.subscriptions),
	}
}

// salesSubscriptionsPage is the data of the list of subscriptions to the account's apps.
type salesSubscriptionsPage struct {
	salesFilter

	Rows  []soldSubscription
	Pages pageLinks
	Count int
}

// soldSubscription is a subscription in the list. Charges is the address of the list of the customer's charges.
type soldSubscription struct {
	shownSubscription

	Charges string
}

// salesFilter is the part of a list of sales that its address asks for.
type salesFilter struct {
	// Here is the address of the list without a filter.
	Here string
	// Statuses are the choices of the status, the chosen one being Status, empty for all. Search is a text, and Errors
	// say what is wrong with it.
	Statuses       []filterLink
	Status, Search string
	Errors         []string
}

// Filtered reports whether the list is limited.
func (f salesFilter) Filtered() bool { return f.Status != "" || f.Search != "" }

// salesFilterOf returns the filter that the address of a list asks for.
func salesFilterOf[T ~string](q *request, path string, statuses []T) salesFilter {
	query := q.r.URL.Query()
	f := salesFilter{Here: q.address(path), Search: strings.TrimSpace(query.Get("q"))}
	for _, each := range statuses {
		if query.Get("status") == string(each) {
			f.Status = string(each)
		}
	}
	f.Statuses = []filterLink{{"all", q.withQuery("status", ""), f.Status == ""}}
	for _, each := range statuses {
		f.Statuses = append(f.Statuses,
			filterLink{string(each), q.withQuery("status", string(each)), f.Status == string(each)})
	}
	return f
}

// ofCustomer returns the address of a list of sales, limited to a customer by the hash of the store, or by the name if
// the store was deleted.
func ofCustomer(q *request, path, hash, name string) string {
	return (&url.URL{Path: q.address(path), RawQuery: url.Values{"q": {cmp.Or(hash, name)}}.Encode()}).String()
}

func (h *salesHandler) subscriptions(q *request) error {
	if err := billing.MayReadSales(q.by); err != nil {
		return err
	}
	shown := salesSubscriptionsPage{salesFilter: salesFilterOf(q, salesSubscriptionsPath,
		[]billing.Status{billing.Active, billing.Suspended, billing.Cancelled})}
	filter := billing.SubscriptionFilter{As: billing.Side{Partner: true}, Status: billing.Status(shown.Status),
		Search: shown.Search}
	count, err := h.billing.CountSubscriptions(q.r.Context(), q.by, filter)
	if fault.KindOf(err) == fault.Invalid {
		shown.Errors = sentences(err)
		return salesSubscriptionsTemplate.show(q, http.StatusUnprocessableEntity, shown)
	}
	if err != nil {
		return err
	}
	found, err := h.billing.Subscriptions(q.r.Context(), q.by, filter, q.pageRequest(linesPerPage))
	if err != nil {
		return err
	}
	var all []billing.Subscription
	for _, item := range found.Items {
		all = append(all, item.Node)
	}
	described, err := describeSubscriptions(q, h.billing, all)
	if err != nil {
		return err
	}
	for _, s := range described {
		shown.Rows = append(shown.Rows, soldSubscription{s, ofCustomer(q, salesChargesPath, s.StoreHash, s.Merchant)})
	}
	shown.Pages, shown.Count = pageLinksOf(q, found), int(count)
	return salesSubscriptionsTemplate.show(q, http.StatusOK, shown)
}

// revenueMonths is how many months the chart of the revenue shows.
const revenueMonths = 12

// revenuePage is the data of the page about the revenue.
type revenuePage struct {
	Chart revenueChart
	// Newest are the months of the chart that have charges, newest first.
	Newest []revenueBar
	Total  billing.Money
	// From and To are the first and the last month, and Running is the last one, which has not ended.
	From, To, Running string
	// Here is the address of the page, and Charges that of the list of charges, empty if one app is chosen.
	Here, Charges string
	// Apps are the apps to choose from, if there are several.
	Apps []filterChoice
}

// filterChoice is an option of a filter.
type filterChoice struct {
	Value, Label string
	Chosen       bool
}

// mostApps is how many apps the choice on the page about the revenue has at most.
const mostApps = 100

// apps returns the apps that the revenue can be limited to, and the ID of the chosen one, nil for all.
func (h *salesHandler) apps(q *request) (choices []filterChoice, chosen *int64, err error) {
	size := mostApps
	found, err := h.accounts.Apps(q.r.Context(), q.by, paging.Request{First: &size})
	if err != nil || len(found.Items) < 2 {
		return nil, nil, err
	}
	for _, item := range found.Items {
		choice := filterChoice{Value: strconv.FormatInt(item.Node.ID, 10), Label: item.Node.Name}
		if choice.Chosen = choice.Value == q.r.URL.Query().Get("app"); choice.Chosen {
			chosen = &item.Node.ID
		}
		choices = append(choices, choice)
	}
	return choices, chosen, nil
}

func (h *salesHandler) revenue(q *request) error {
	if err := billing.MayReadSales(q.by); err != nil {
		return err
	}
	now, err := h.billing.Now(q.r.Context())
	if err != nil {
		return err
	}
	month, err := billing.MonthSpan(billing.MonthOf(now))
	if err != nil {
		return err
	}
	from := month.Start.AddDate(0, 1-revenueMonths, 0)
	choices, app, err := h.apps(q)
	if err != nil {
		return err
	}
	sums, err := h.billing.Revenue(q.r.Context(), q.by, app, from, month.End)
	if err != nil {
		return err
	}
	var months []billing.MonthSum
	shown := revenuePage{Total: billing.Money{Currency: billing.Currency}, Here: q.address(salesRevenuePath),
		Running: billing.MonthOf(now), From: from.Format("Jan 2006"), To: month.Start.Format("Jan 2006"), Apps: choices}
	if app == nil {
		shown.Charges = q.address(salesChargesPath)
	}
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
