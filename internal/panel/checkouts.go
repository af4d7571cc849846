package panel

import (
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/user"
)

// checkoutsPath begins the paths of the pages to approve checkouts, below the account's, and checkoutPattern is their
// pattern. billing.Checkout.Path makes their addresses.
const (
	checkoutsPath   = "/checkouts"
	checkoutPattern = accountPattern + checkoutsPath + "/{checkout}"
)

// checkoutHandler serves the page on which the owner of stores approves or declines what an app asks for.
type checkoutHandler struct {
	billing *billing.Service
	users   *user.Service
}

func (h *checkoutHandler) routes() []route {
	return []route{
		get(checkoutPattern, member, h.page),
		post(checkoutPattern+"/approve", member, h.approve),
		post(checkoutPattern+"/decline", member, h.decline),
	}
}

// checkoutPage is the data of the page.
type checkoutPage struct {
	billing.Review

	// State is a part of message keys, and Badge its look. Form is a part of the heading's key: whether the items are
	// new subscriptions, changes, or both.
	State, Badge, Form string
	// Partner is the account that charges.
	Partner, Address string
	Shown            []shownItem
	// Total is the sum of the charges of the approval, and Today is the same sum without its sign. Credit reports
	// whether the sum is negative, in the merchant's favor.
	Total, Today billing.Money
	Credit       bool
	// Then says what is charged later, if there are several items.
	Then []string
	// Billed reports whether the approval charges or credits anything. Only is the charge if there is a single one:
	// the total stands for it.
	Billed bool
	Only   *shownCharge
	// Was is the total on the old page that the visitor answered, nil if it is the same or unknown.
	Was *billing.Money
	// ReviewedAt and Digest are what the visitor saw (billing.Reviewed), in the form.
	ReviewedAt, Digest string
	// RedirectURL is where the browser goes after the approval, and Host its host.
	RedirectURL, Host string
	// Site is the address of the app's site, for a request that was not approved.
	Site string
	// Owners can answer, if the visitor cannot.
	Owners []contact
	// Blocked reports whether an item can no longer be approved.
	Blocked bool
	// Late is a message: the visitor's answer came too late. Outdated is the error of an answer to an old page.
	Late, Outdated string
	// Subscriptions is the address of the list of subscriptions.
	Subscriptions string
}

// Many returns a part of the keys of messages that depend on the number of items.
func (p checkoutPage) Many() string {
	switch len(p.Shown) {
	case 1:
		return "single"
	case 2:
		return "both"
	}
	return "all"
}

var checkoutLooks = map[string]string{"approved": "good", "declined": "", "expired": "warn"}

// shownItem is an item of a checkout as the page shows it.
type shownItem struct {
	billing.ReviewedItem

	// Every and Per are the interval in words.
	Every, Per string
	// Cap is the usage cap that holds after the approval; nil if usage cannot be charged.
	Cap    *billing.Money
	Before *shownTerm
	// Withdraws is the last day of the subscription if the owner cancelled it: the change withdraws that.
	Withdraws time.Time
	// Lines are what the approval charges, and Sum is their sum.
	Lines []shownCharge
	Sum   billing.Money
	// SameCap reports whether the change leaves the cap unchanged.
	SameCap bool
	// Same is another active subscription of the store to the app, nil if there is none. The approval adds one.
	Same *shownSubscription
	// SameChanges reports whether another item of the checkout changes that one.
	SameChanges bool
	// Problem is why it can no longer be approved.
	Problem string
	// Address is that of the subscription, empty if there is none yet.
	Address string
}

// shownTerm is a term of a subscription as pages show it.
type shownTerm struct {
	billing.Term

	Every, Per string
	Cap        *billing.Money
}

// every returns an interval in words, such as "every month", and per what a price is for, such as "month".
func every(q *request, i billing.Interval) string { return q.label("billing.every.", string(i)) }
func per(q *request, i billing.Interval) string   { return q.label("billing.per.", string(i)) }

// capOf returns a usage cap in the currency of the price.
func capOf(limit *int64, price billing.Money) *billing.Money {
	if limit == nil {
		return nil
	}
	return &billing.Money{Minor: *limit, Currency: price.Currency}
}

func describeTerm(q *request, t billing.Term) shownTerm {
	return shownTerm{t, every(q, t.Interval), per(q, t.Interval), capOf(t.Cap, t.Price)}
}

// find returns the checkout that the address names, with what its approval would charge.
func (h *checkoutHandler) find(q *request) (billing.Review, error) {
	id, err := uuid.Parse(q.r.PathValue("checkout"))
	if err != nil {
		return billing.Review{}, errNoPage()
	}
	found, err := h.billing.Review(q.r.Context(), q.by, id)
	if fault.KindOf(err) == fault.Forbidden {
		return found, fault.Wrap(err, fault.Forbidden, "%s", q.text("checkouts.forbidden"))
	}
	// The partner has no answer to give, and reads its checkouts over the API.
	if err == nil && found.Checkout.MerchantID != q.by.AccountID {
		return found, errNoPage()
	}
	return found, err
}

func (h *checkoutHandler) page(q *request) error {
	found, err := h.find(q)
	if err != nil {
		return err
	}
	return h.show(q, http.StatusOK, found, "", "")
}

// show shows the checkout. late and outdated say why an answer was not accepted.
func (h *checkoutHandler) show(q *request, status int, found billing.Review, late, outdated string) error {
	c := found.Checkout
	shown := checkoutPage{
		Review: found, State: stateOf(found), Badge: checkoutLooks[stateOf(found)], Form: "new", Address: c.Path(),
		ReviewedAt: found.At.Format(time.RFC3339), Digest: hex.EncodeToString(found.Seen().Digest),
		RedirectURL: c.Items[0].RedirectURL, Host: hostOf(c.Items[0].RedirectURL), Late: late, Outdated: outdated,
		Subscriptions: q.address(subscriptionsPath), Total: billing.Money{Currency: billing.Currency},
	}
	isNew := func(item billing.ReviewedItem) bool { return !item.Changes }
	if added := slices.ContainsFunc(found.Items, isNew); !added {
		shown.Form = "change"
	} else if slices.ContainsFunc(found.Items, func(item billing.ReviewedItem) bool { return item.Changes }) {
		shown.Form = "mixed"
	}
	for _, item := range found.Items {
		one := describeItem(q, item)
		if shown.State == "open" && isNew(item) {
			var err error
			if one.Same, err = h.same(q, c, item); err != nil {
				return err
			}
			changes := func(other billing.ReviewedItem) bool {
				return other.Before != nil && other.Before.ID == one.Same.ID
			}
			one.SameChanges = one.Same != nil && slices.ContainsFunc(found.Items, changes)
		}
		shown.Shown = append(shown.Shown, one)
		shown.Partner, shown.Blocked = item.Partner, shown.Blocked || one.Problem != ""
		shown.Total = shown.Total.Plus(one.Sum.Minor)
		shown.Billed = shown.Billed || len(one.Lines) > 0
	}
	if len(shown.Shown) > 1 && !shown.Blocked {
		shown.Then = thenCharged(q, shown.Shown)
	}
	if only := shown.Shown[0]; len(shown.Shown) == 1 && len(only.Lines) == 1 {
		shown.Only = &only.Lines[0]
	}
	shown.Today, shown.Credit = shown.Total, shown.Total.Minor < 0
	if shown.Credit {
		shown.Today.Minor = -shown.Today.Minor
	}
	if was, err := strconv.ParseInt(q.r.PostFormValue("total"), 10, 64); err == nil && outdated != "" &&
		was != shown.Total.Minor {
		shown.Was = &billing.Money{Minor: was, Currency: shown.Total.Currency}
	}
	if at, err := url.Parse(shown.RedirectURL); err == nil && shown.Host != "" {
		shown.Site = (&url.URL{Scheme: at.Scheme, Host: at.Host, Path: "/"}).String()
	}
	if !found.MayAnswer {
		var err error
		if shown.Owners, err = h.owners(q, found); err != nil {
			return err
		}
	}
	if found.MayAnswer && shown.State == "open" && !shown.Blocked {
		allowRedirect(q.w.Header(), shown.RedirectURL)
	}
	return checkoutTemplate.show(q, status, shown)
}

// thenCharged says what items charge after the approval, the earliest first.
func thenCharged(q *request, items []shownItem) (texts []string) {
	due := slices.DeleteFunc(slices.Clone(items), func(item shownItem) bool { return item.Next == nil })
	slices.SortStableFunc(due, func(a, b shownItem) int { return a.Next.DueAt.Compare(b.Next.DueAt) })
	for _, item := range due {
		pairs := []any{"amount", item.Next.Amount, "day", dayText(item.Next.DueAt), "every", item.Every}
		if item.Interval == billing.Once {
			texts = append(texts, q.text("checkouts.on_day", pairs[:4]...))
		} else {
			texts = append(texts, q.text("checkouts.sum.then_each", pairs...))
		}
	}
	return texts
}

// stateOf returns the state of a checkout as a part of message keys.
func stateOf(r billing.Review) string {
	if r.Expired {
		return "expired"
	}
	return strings.ToLower(string(r.Checkout.State))
}

func describeItem(q *request, item billing.ReviewedItem) shownItem {
	shown := shownItem{ReviewedItem: item, Every: every(q, item.Interval), Per: per(q, item.Interval),
		Cap: capOf(item.Cap, item.Price), Sum: billing.Money{Currency: billing.Currency}}
	if item.Before != nil {
		before := describeTerm(q, item.Before.Term())
		shown.Before, shown.Withdraws = &before, item.Before.CancelledAt
		shown.SameCap = item.Cap == nil || before.Cap != nil && *before.Cap == *shown.Cap
		if item.Cap == nil {
			shown.Cap = before.Cap
		}
	}
	for _, charge := range item.Charges {
		line := describeCharge(q, charge)
		// What is left of the period has one name for both prices, unless the plan has another.
		switch {
		case shown.Before != nil && charge.Kind == billing.Credit:
			line.Description = q.text("checkouts.at_price", "line", charge.Description, "price", shown.Before.Price)
		case charge.Kind == billing.Proration:
			line.Description = q.text("checkouts.at_price", "line", charge.Description, "price", item.Price)
		}
		shown.Lines = append(shown.Lines, line)
		shown.Sum = shown.Sum.Plus(charge.Amount.Minor)
	}
	if item.Problem != nil {
		shown.Problem = q.reword(fault.Flatten(item.Problem)[0].Message)
	}
	if item.SubscriptionID != uuid.Nil {
		shown.Address = q.address(subscriptionsPath + "/" + item.SubscriptionID.String())
	}
	return shown
}

// same returns an active subscription of the item's store to its app, nil if there is none.
func (h *checkoutHandler) same(q *request, c billing.Checkout, item billing.ReviewedItem) (*shownSubscription, error) {
	one := 1
	found, err := h.billing.Subscriptions(q.r.Context(), q.by, billing.SubscriptionFilter{AppID: &item.AppID,
		StoreID: &item.StoreID, Status: billing.Active, As: billing.Side{Merchant: true}}, paging.Request{First: &one})
	if err != nil || len(found.Items) == 0 || found.Items[0].Node.MerchantID != c.MerchantID {
		return nil, err
	}
	shown, err := describeSubscriptions(q, h.billing, []billing.Subscription{found.Items[0].Node})
	if err != nil {
		return nil, err
	}
	return &shown[0], nil
}

// owners returns the owners of the stores of the items.
func (h *checkoutHandler) owners(q *request, found billing.Review) ([]contact, error) {
	var ids []uuid.UUID
	for _, item := range found.Items {
		if item.StoreOwner != uuid.Nil && !slices.Contains(ids, item.StoreOwner) {
			ids = append(ids, item.StoreOwner)
		}
	}
	return contactsAmong(q, h.users, ids)
}

// contactsAmong returns the users that the visitor may see.
func contactsAmong(q *request, service *user.Service, ids []uuid.UUID) ([]contact, error) {
	users, err := service.ByID(q.r.Context(), q.by, ids)
	var all []contact
	for _, id := range ids {
		if u, visible := users[id]; visible {
			all = append(all, contact{fullName(u), u.Email})
		}
	}
	return all, err
}

// hostOf returns the host of a redirect URL.
func hostOf(address string) string {
	at, err := url.Parse(address)
	if err != nil {
		return address
	}
	return at.Host
}

// allowRedirect lets the forms of the page lead to the scheme of a redirect URL. Browsers apply form-action to each
// redirect of a form, and the app's site can redirect to another host, so that the policy cannot name hosts.
func allowRedirect(header http.Header, address string) {
	at, err := url.Parse(address)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" {
		return
	}
	header.Set("Content-Security-Policy", strings.Replace(header.Get("Content-Security-Policy"),
		"form-action 'self'", "form-action 'self' "+at.Scheme+":", 1))
}

// approve approves the checkout, as the page showed it, and redirects to the app.
func (h *checkoutHandler) approve(q *request) error {
	found, err := h.find(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm("at", "digest")
	if err != nil {
		return err
	}
	seen, err := parseReviewed(f)
	if err != nil {
		return fault.Errorf(fault.Invalid, "%s", q.text("errors.form"))
	}
	approved, err := h.billing.ApproveReviewed(q.r.Context(), q.by, found.Checkout.ID, &seen)
	if err != nil {
		return h.refused(q, err)
	}
	if to, err := url.Parse(approved.Items[0].RedirectURL); err == nil && to.IsAbs() {
		return q.redirect(approved.Items[0].RedirectURL)
	}
	return q.redirect(approved.Path())
}

// parseReviewed returns what the visitor saw.
func parseReviewed(f *form) (billing.Reviewed, error) {
	at, err := time.Parse(time.RFC3339, f.Value("at"))
	digest, wrong := hex.DecodeString(f.Value("digest"))
	return billing.Reviewed{At: at, Digest: digest}, errors.Join(err, wrong)
}

// decline declines the checkout.
func (h *checkoutHandler) decline(q *request) error {
	found, err := h.find(q)
	if err != nil {
		return err
	}
	declined, err := h.billing.DeclineCheckout(q.r.Context(), q.by, found.Checkout.ID)
	if err != nil {
		return h.refused(q, err)
	}
	return q.redirect(declined.Path())
}

// refused shows the checkout as it is now, and why the answer was not accepted: another tab was faster, it has
// expired, or what it would charge has changed.
func (h *checkoutHandler) refused(q *request, err error) error {
	if kind := fault.KindOf(err); kind != fault.Conflict && kind != fault.NotFound {
		return err
	}
	found, errFind := h.find(q)
	if errFind != nil {
		return errFind
	}
	state := stateOf(found)
	if state == "open" {
		return h.show(q, http.StatusConflict, found, "", q.reword(fault.Flatten(err)[0].Message))
	}
	return h.show(q, http.StatusConflict, found, q.label("checkouts.late.", state), "")
}
