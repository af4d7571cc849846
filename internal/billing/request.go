package billing

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/plaintext"
)

// Limits of requests.
const (
	// MaxItems is the most items of a checkout.
	MaxItems = 50
	// maxCheckoutData bounds the JSON of a checkout in the data of an event, in bytes. Lists of events load many.
	maxCheckoutData = 32_000
	// MaxTerms is how many terms a subscription has at most, and dataTerms how many of them, the newest, are in the
	// data of an event.
	MaxTerms  = 50
	dataTerms = 5
	// MaxText is the most characters of a product level, a charge's description, a reason and an idempotency key, and
	// MaxDescription that of an item's description.
	MaxText        = 255
	MaxDescription = 1000
	// MaxURL is the most characters of a redirect URL.
	MaxURL = 2048
	// MaxTrialDays is the longest trial.
	MaxTrialDays = 1000
	// MaxOpen is how many checkouts of a partner can wait for an approval, and MaxOpenForMerchant how many of them for
	// one merchant.
	MaxOpen            = 1000
	MaxOpenForMerchant = 20
	// CheckoutLifetime is for how long a checkout can be approved.
	CheckoutLifetime = 24 * time.Hour
	// MaxPreviewAge is for how long the time of a preview can be used.
	MaxPreviewAge = time.Hour
)

// MoneyRequest is an amount in a request: the code of a currency, and a decimal number such as 19.99.
type MoneyRequest struct{ CurrencyCode, Value string }

// PlanRequest is a pricing plan in a request. TrialDays and Cap are optional.
type PlanRequest struct {
	Interval  Interval
	Price     MoneyRequest
	TrialDays int
	Cap       *MoneyRequest
}

// StoreRef names a store by its ID or by its hash.
type StoreRef struct {
	ID   uuid.UUID
	Hash string
}

// is reports whether the reference names the store.
func (r StoreRef) is(id uuid.UUID, hash string) bool {
	return r.ID != uuid.Nil && r.ID == id || r.Hash != "" && r.Hash == hash
}

// ItemRequest is an item of a CheckoutRequest.
type ItemRequest struct {
	Description, RedirectURL string
	Plan                     PlanRequest
	// AppID is the app, and Store the store. Nil means that the request names none: a change keeps that of the
	// subscription.
	AppID *int64
	Store *StoreRef
	// Level is the level of the app. Nil means none, and in a change the level that the subscription has.
	Level *string
	// SubscriptionID is the subscription to change, or nil. The nil UUID stands for an ID that no subscription has.
	SubscriptionID *uuid.UUID
}

// CheckoutRequest describes a checkout to create.
type CheckoutRequest struct {
	// MerchantID is the account to charge. The nil UUID stands for an ID that no account has.
	MerchantID uuid.UUID
	Items      []ItemRequest
	// Key is the idempotency key, or nil.
	Key *string
	// AsOf is the time of a preview, or zero.
	AsOf time.Time
	// DryRun checks the request only.
	DryRun bool
}

// invalid returns a broken rule of a field.
func invalid(field, format string, args ...any) *fault.Error {
	return fault.Errorf(fault.Invalid, format, args...).On(field)
}

// under puts the fields of errors under the path of the object that they belong to.
func under(path string, err error) fault.List {
	found := fault.Flatten(err)
	for i, f := range found {
		if path != "" && f.Field != "" {
			found[i] = f.On(path + "." + f.Field)
		}
	}
	return found
}

// checkText checks a text that is stored and later shown unchanged.
func checkText(field, what, text string, least, most int) fault.List {
	switch n := utf8.RuneCountInString(text); {
	case n < least || n > most:
		return fault.List{invalid(field, "%s has %d to %d characters.", what, least, most)}
	case !plaintext.OneLine(text):
		return fault.List{invalid(field, "%s is one line of plain text.", what)}
	}
	return nil
}

// scheme matches what begins with the scheme of a URL. What follows the colon of a host is its port.
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:($|[^0-9])`)

// RedirectURL returns the URL in normal form: https, or http on this machine. A URL without a scheme is meant as https.
// It returns fault.Invalid for any other.
func RedirectURL(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text != "" && !scheme.MatchString(text) {
		text = "https://" + strings.TrimPrefix(text, "//")
	}
	u, err := url.Parse(text)
	switch {
	case text == "" || len(text) > MaxURL || err != nil || u.Opaque != "" || u.Hostname() == "",
		!plaintext.OneLine(text):
		return "", invalid("redirectUrl", "A redirect URL is a complete URL of at most %d characters.", MaxURL)
	case strings.ContainsFunc(u.Hostname(), func(r rune) bool { return r > unicode.MaxASCII }):
		return "", invalid("redirectUrl", "Write the host of a redirect URL in ASCII, such as xn--mnchen-3ya.example: "+
			"letters that look alike could mislead the merchant.")
	case u.User != nil:
		return "", invalid("redirectUrl", "A redirect URL contains no user name or password.")
	case u.Scheme == "https", u.Scheme == "http" && local(u.Hostname()):
		return u.String(), nil
	}
	return "", invalid("redirectUrl", "A redirect URL uses https. Only localhost can use http.")
}

// local reports whether the host is this machine.
func local(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// check returns the interval, price, cap and trial of a plan in an item. The fields of its errors are relative to it.
func (p PlanRequest) check() (Item, fault.List) {
	item := Item{Interval: p.Interval, TrialDays: p.TrialDays}
	var faults fault.List
	switch p.Interval {
	case Month, Quarter, Semiannual, Annual, Once:
	default:
		faults = append(faults, invalid("interval", "There is no billing interval %.32q.", p.Interval))
	}
	price, err := MoneyOf(p.Price.CurrencyCode, p.Price.Value)
	item.Price = price
	faults = append(faults, under("price", err)...)
	if p.Cap != nil {
		limit, err := MoneyOf(p.Cap.CurrencyCode, p.Cap.Value)
		item.Cap = &limit.Minor
		faults = append(faults, under("cappedAmount", err)...)
		if p.Interval == Once {
			faults = append(faults, invalid("cappedAmount", "A subscription that is paid once has no usage to cap."))
		}
	}
	if p.TrialDays < 0 || p.TrialDays > MaxTrialDays {
		faults = append(faults, invalid("trialDays", "A trial lasts 0 to %d days.", MaxTrialDays))
	}
	return item, faults
}

// check returns the item without what has to be looked up. The fields of its errors are relative to it.
func (r ItemRequest) check() (Item, fault.List) {
	item, found := r.Plan.check()
	faults := under("pricingPlan", found.Err())
	item.Description = strings.TrimSpace(r.Description)
	faults = append(faults, checkText("description", "A description", item.Description, 1, MaxDescription)...)
	text, err := RedirectURL(r.RedirectURL)
	item.RedirectURL = text
	faults = append(faults, fault.Flatten(err)...)
	if r.Level != nil {
		item.Level = strings.TrimSpace(*r.Level)
		faults = append(faults, checkText("product.productLevel", "A product level", item.Level, 0, MaxText)...)
	}
	if r.SubscriptionID != nil {
		item.SubscriptionID, item.Changes = *r.SubscriptionID, true
		if r.Plan.TrialDays > 0 {
			faults = append(faults, invalid("pricingPlan.trialDays",
				"Trial days cannot be added to existing subscriptions."))
		}
		if r.Plan.Interval == Once {
			faults = append(faults, invalid("pricingPlan.interval",
				"A subscription cannot be changed into one that is paid once."))
		}
		return item, faults
	}
	if r.AppID == nil {
		faults = append(faults, invalid("product.id", "Name the app."))
	} else {
		item.AppID = *r.AppID
	}
	if r.Store == nil {
		faults = append(faults, invalid("scope.id", "Name the store."))
	}
	return item, faults
}

// path returns the input field of an item.
func path(item int) string { return fmt.Sprintf("items.%d", item) }

// check returns the items without what has to be looked up.
func (r CheckoutRequest) check() ([]Item, fault.List) {
	if len(r.Items) == 0 || len(r.Items) > MaxItems {
		return nil, fault.List{invalid("items", "A checkout has 1 to %d items.", MaxItems)}
	}
	var faults fault.List
	items := make([]Item, len(r.Items))
	changed := map[uuid.UUID]bool{}
	for n, each := range r.Items {
		item, found := each.check()
		items[n] = item
		faults = append(faults, under(path(n), found.Err())...)
		if item.Changes && changed[item.SubscriptionID] {
			faults = append(faults, invalid(path(n)+".subscriptionId", "One item at most changes a subscription."))
		}
		changed[item.SubscriptionID] = item.Changes
	}
	if r.Key != nil {
		faults = append(faults, checkKey(*r.Key)...)
	}
	return items, faults
}

// checkKey checks an idempotency key.
func checkKey(key string) fault.List {
	return checkText("idempotencyKey", "An idempotency key", key, 1, MaxText)
}
