package panel

import (
	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/billing"
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
	// Current reports whether the visitor is on this page or one below it.
	Current bool
}

// nav returns the links to the pages that the visitor may open.
func (q *request) nav() []section {
	settings := section{Title: q.text("nav.settings")}
	if token.MayList(q.by, q.by.AccountID, uuid.Nil) == nil {
		settings.Links = append(settings.Links, q.link("nav.account_tokens", "key", "/tokens"))
	}
	if webhook.MayRead(q.by) == nil {
		settings.Links = append(settings.Links, q.link("nav.webhooks", "webhook", "/webhooks"))
	}
	if billing.MayReadSubscriptions(q.by) == nil {
		settings.Links = append(settings.Links, q.link("nav.subscriptions", "rotate", subscriptionsPath))
	}
	if billing.MayReadInvoices(q.by) == nil {
		settings.Links = append(settings.Links, q.link("nav.invoices", "log", invoicesPath))
	}
	settings.Links = append(settings.Links, q.link("nav.stores", "store", "/stores"))
	if user.MayListAll(q.by) == nil || q.by.MaySomewhere(auth.ManageUsers) {
		settings.Links = append(settings.Links, q.link("nav.users", "users", "/users"))
	}
	if mayReadAudit(q) == nil {
		settings.Links = append(settings.Links, q.link("nav.audit", "log", "/audit"))
	}
	settings.Links = append(settings.Links, q.link("graphiql.title", "code", "/graphiql"))
	if billing.MayReadSales(q.by) != nil {
		return []section{settings}
	}
	return []section{settings, {Title: q.text("nav.billing"), Links: []link{
		q.link("nav.sales_subscriptions", "rotate", salesSubscriptionsPath),
		q.link("nav.sales_charges", "log", salesChargesPath),
		q.link("nav.sales_revenue", "account", salesRevenuePath),
	}}}
}

func (q *request) link(key, icon, path string) link {
	address := q.address(path)
	return link{q.text(key), icon, address, within(q.r.URL.Path, address)}
}

// within reports whether a path is the address or is below it.
func within(path, address string) bool {
	return path == address || len(path) > len(address) && path[:len(address)] == address && path[len(address)] == '/'
}
