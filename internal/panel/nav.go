package panel

import (
	"cmp"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/paging"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// section is a group of links in the navigation.
type section struct {
	Title string
	Links []link
}

// link is one page of the navigation.
type link struct {
	Label, Icon, Address string
	// Above is the address that stands for the link when the current page is searched, if it is not Address: that of
	// a store, of which the link leads to one page.
	Above string
	// Current reports whether the visitor is on this page or one below it.
	Current bool
}

// nav returns the links to the pages that the visitor may open, in sections that have at least one.
func (q *request) nav() []section {
	all := []section{
		{q.text("nav.account"), q.accountLinks()},
		{q.text("nav.billing"), q.billingLinks()},
		{q.text("nav.apps"), salesLinks(q)},
		{q.text("nav.stores"), q.storeLinks()},
		{q.text("nav.developer"), []link{
			q.link("graphiql.title", "code", "/graphiql"),
			q.link("graphiql.schema.title", "book", "/graphiql/schema"),
			q.link("scopes.title", "shield", "/scopes"),
		}},
	}
	all = slices.DeleteFunc(all, func(s section) bool { return len(s.Links) == 0 })
	here := q.r.URL.Path
	// The list of subscriptions leads to the requests for them.
	if within(here, q.address(checkoutsPath)) {
		here = q.address(subscriptionsPath)
	}
	markCurrent(all, here)
	return all
}

func (q *request) accountLinks() []link {
	var links []link
	if token.MayList(q.by, q.by.AccountID, uuid.Nil) == nil {
		links = append(links, q.link("nav.account_tokens", "key", "/tokens"))
	}
	if user.MayListAll(q.by) == nil || q.by.MaySomewhere(auth.ManageUsers) {
		links = append(links, q.link("nav.users", "users", "/users"))
	}
	if webhook.MayRead(q.by) == nil {
		links = append(links, q.link("nav.webhooks", "webhook", "/webhooks"))
	}
	if mayReadAudit(q) == nil {
		links = append(links, q.link("nav.audit", "log", "/audit"))
	}
	return links
}

// billingLinks returns the links to subscriptions and invoices of the account's stores.
func (q *request) billingLinks() []link {
	var links []link
	if billing.MayReadSubscriptions(q.by) == nil {
		links = append(links, q.link("nav.subscriptions", "rotate", subscriptionsPath))
	}
	if billing.MayReadInvoices(q.by) == nil {
		links = append(links, q.link("nav.invoices", "invoice", invoicesPath))
	}
	return links
}

// salesLinks returns the links to subscriptions to the account's apps, their charges and the revenue.
func salesLinks(q *request) []link {
	if billing.MayReadSales(q.by) != nil {
		return nil
	}
	return []link{q.link("nav.sales_subscriptions", "tag", salesSubscriptionsPath),
		q.link("nav.sales_charges", "coins", salesChargesPath), q.link("nav.sales_revenue", "chart", salesRevenuePath)}
}

// storeLinks returns the links of the first stores, and of all stores.
func (q *request) storeLinks() []link {
	var links []link
	for _, s := range q.stores {
		links = append(links, link{Label: s.Name, Icon: "store", Address: storeAddress(q, s),
			Above: q.address("/stores/" + s.Hash)})
	}
	return append(links, q.link("nav.all_stores", "list", "/stores"))
}

func (q *request) link(key, icon, path string) link {
	return link{Label: q.text(key), Icon: icon, Address: q.address(path)}
}

// markCurrent marks the link to the page at a path or else to the nearest page above it.
func markCurrent(all []section, path string) {
	var nearest *link
	above := ""
	for _, s := range all {
		for i := range s.Links {
			at := cmp.Or(s.Links[i].Above, s.Links[i].Address)
			if within(path, at) && len(at) > len(above) {
				nearest, above = &s.Links[i], at
			}
		}
	}
	if nearest != nil {
		nearest.Current = true
	}
}

// within reports whether a path is the address or is below it.
func within(path, address string) bool {
	return path == address || len(path) > len(address) && path[:len(address)] == address && path[len(address)] == '/'
}

// storesInNav is how many stores the navigation shows at most.
const storesInNav = 6

// navStores returns the newest stores that the visitor has access to, by name.
func navStores(q *request, accounts *account.Service) ([]account.Store, error) {
	size := storesInNav
	found, err := accounts.Stores(q.r.Context(), q.by, account.StoreFilter{}, paging.Request{First: &size})
	if err != nil {
		return nil, err
	}
	stores := make([]account.Store, len(found.Items))
	for i, item := range found.Items {
		stores[i] = item.Node
	}
	slices.SortFunc(stores, byStoreName)
	return stores, nil
}
