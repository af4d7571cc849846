package panel

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/token"
)

// tokenIssueHandler serves the pages that create an API token.
type tokenIssueHandler struct {
	*tokenHandler

	forms     *formtoken.FormTokens
	publicURL string
}

func (h *tokenIssueHandler) routes() []route {
	var all []route
	for _, at := range tokenPatterns {
		all = append(all,
			post(at, member, h.create, fresh),
			get(at+"/new", member, h.page),
			post(at+"/new", member, h.review),
		)
	}
	return all
}

// tokenFields are the fields of the forms of a token, named as in the faults of package token; "scopes" stands for
// all fields that select scopes.
var tokenFields = []string{"name", "scopes", "expiresIn", "expiresAt", "allowedIpRanges", "chargeLimit"}

// lifetimes are the choices of how long a token is valid, in days.
var lifetimes = []lifetimeChoice{{"week", 7}, {"month", 30}, {"two_months", 60}, {usualLifetime, 90}, {"year", 365},
	{customLifetime, 0}, {noEnd, 0}}

const (
	// usualLifetime is the choice of a new form.
	usualLifetime = "quarter"
	// customLifetime is the choice of a date and time.
	customLifetime = "custom"
	// noEnd is the choice of a token that does not expire.
	noEnd = "never"
)

type lifetimeChoice struct {
	key  string
	days int
}

// end returns when a token expires that is created now, or zero for a choice without a number of days.
func (l lifetimeChoice) end(now time.Time) time.Time {
	if l.days == 0 {
		return time.Time{}
	}
	return now.AddDate(0, 0, l.days)
}

// within reports whether tokens that are valid for longest at most can have the lifetime. Zero means that there is no
// limit.
func (l lifetimeChoice) within(longest time.Duration) bool {
	return longest == 0 || l.key == customLifetime || l.days > 0 && time.Duration(l.days)*24*time.Hour <= longest
}

// ranges returns the non-empty lines of the field of IP address ranges.
func (f *form) ranges() []string {
	var all []string
	for line := range strings.Lines(f.Value("allowedIpRanges")) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// chargeLimit returns the charge limit of the form, or nil if the field is empty.
func (f *form) chargeLimit() *token.Amount {
	value := f.Value("chargeLimit")
	if value == "" {
		return nil
	}
	return &token.Amount{Value: value, Currency: token.ChargeCurrency}
}

// request returns the request for a token that a form describes.
func (h *tokenIssueHandler) request(q *request, p *tokenPlace, f *form) (token.Request, error) {
	req := token.Request{Owner: p.owner, Name: f.Value("name"), Scopes: f.chosenScopes(), AllowedIPRanges: f.ranges(),
		ChargeLimit: f.chargeLimit()}
	for _, l := range lifetimes {
		if l.key == f.Value("expiresIn") {
			var err error
			if req.ExpiresAt = l.end(h.tokens.Now()); l.key == customLifetime {
				req.ExpiresAt, err = customEnd(q, f)
			}
			return req, err
		}
	}
	return req, noChoice(q, "expiresIn")
}

// customEnd returns the date and time of the form, which must not be empty.
func customEnd(q *request, f *form) (time.Time, error) {
	if f.Value("expiresAt") == "" {
		return time.Time{}, fault.Errorf(fault.Invalid, "%s", q.text("tokens.new.custom_missing")).On("expiresAt")
	}
	return parseTime(q, f, "expiresAt")
}

// check validates a form. It adds validation errors to the form and returns any other error.
func (h *tokenIssueHandler) check(q *request, f *form, req token.Request, parsed error) error {
	if parsed != nil {
		if err := f.refuse(parsed); err != nil {
			return err
		}
	}
	if err := h.tokens.Check(q.by, req); err != nil {
		return f.refuse(err)
	}
	return nil
}

// lifetime is a choice of the expiration. End is zero for never.
type lifetime struct {
	Key string
	End time.Time
}

// newTokenPage is the data of the form that creates a token.
type newTokenPage struct {
	*form
	Place   *tokenPlace
	FormID  string
	APIPath string
	// Presets are the sets of scopes to start from.
	Presets  []presetGroup
	Sections []scopeSection
	// Charges reports whether the form has the field of the charge limit.
	Charges bool
	// Lifetimes are the choices, and Longest is the maximum number of days, or 0 if there is no limit.
	Lifetimes []lifetime
	Longest   int
	Zone      string
	// Earliest and Latest limit the expiration field.
	Earliest, Latest string
	// Here is the visitor's IP address.
	Here     string
	Capacity token.Capacity
	// Summary describes the scopes of the token, and End is its expiration.
	Summary []scopeLine
	End     time.Time
	// Reviewed reports whether the visitor asked for the summary.
	Reviewed bool
	// Used are the names of the owner's tokens, and NameUsed reports whether the entered name is among them.
	Used     []string
	NameUsed bool
}

// UsedNames returns the names of the owner's tokens as JSON, for the script.
func (p newTokenPage) UsedNames() (string, error) {
	names, err := json.Marshal(p.Used)
	return string(names), err
}

func (h *tokenIssueHandler) page(q *request) error {
	p, err := h.placeToIssue(q)
	if err != nil {
		return err
	}
	usual := h.usualLifetime()
	f, req := newForm(tokenFields...), token.Request{ExpiresAt: usual.end(h.tokens.Now())}
	f.Values.Set("expiresIn", usual.key)
	for _, preset := range scope.Presets(h.tokens.OfferedResources(p.owner)) {
		if preset.Key == q.r.URL.Query().Get("preset") {
			req.Scopes = preset.Scopes
		}
	}
	original, err := h.original(q, p)
	if err == nil {
		req.Scopes = original.Scopes.Names()
		fillFrom(q, f, original)
	} else if fault.KindOf(err) != fault.NotFound {
		return err
	}
	return h.showForm(q, http.StatusOK, p, f, req, false)
}

// fillFrom fills the form of a new token in from another token, except for its scopes and its expiration.
func fillFrom(q *request, f *form, original token.Token) {
	name := []rune(q.text("tokens.new.copy_of", "name", original.Name))
	f.Values.Set("name", string(name[:min(len(name), token.MaxName)]))
	f.Values.Set("allowedIpRanges", strings.ReplaceAll(rangesOf(original), ", ", "\n"))
	f.Values.Set("chargeLimit", original.ChargeLimit.Amount())
}

// usualLifetime returns the lifetime that a new form chooses: the usual one or, if that is not allowed, the longest
// that is.
func (h *tokenIssueHandler) usualLifetime() lifetimeChoice {
	usual := lifetimeChoice{key: customLifetime}
	for _, l := range lifetimes {
		if l.days > 0 && l.within(h.tokens.MaxLifetime()) {
			usual = l
		}
		if l.key == usualLifetime {
			break
		}
	}
	return usual
}

// original returns the token that the form is to duplicate. It returns fault.NotFound if the address names none.
func (h *tokenIssueHandler) original(q *request, p *tokenPlace) (token.Token, error) {
	if !p.MayList {
		return token.Token{}, token.ErrNoToken()
	}
	return h.named(q, p, q.r.URL.Query().Get("from"))
}

// usedNames returns the names of the tokens of a place that are not deleted, if the visitor may see them.
func (h *tokenIssueHandler) usedNames(q *request, p *tokenPlace) ([]string, error) {
	names := []string{}
	if !p.MayList {
		return names, nil
	}
	search := token.Search{Sort: token.ByName, Size: token.MaxFound}
	search.Statuses = []token.Status{token.Active}
	found, err := h.tokens.Find(q.r.Context(), q.by, p.owner, search)
	for _, t := range found.Tokens {
		names = append(names, t.Name)
	}
	return names, err
}

// submitted returns the validated form of a new token, with its errors, and the request that it describes.
func (h *tokenIssueHandler) submitted(q *request) (*tokenPlace, *form, token.Request, error) {
	p, err := h.placeToIssue(q)
	if err != nil {
		return nil, nil, token.Request{}, err
	}
	f, err := q.parseForm(tokenFields...)
	if err != nil {
		return nil, nil, token.Request{}, err
	}
	req, parsed := h.request(q, p, f)
	return p, f, req, h.check(q, f, req, parsed)
}

// review shows what a token would be able to do, and the errors of the form, without creating the token.
func (h *tokenIssueHandler) review(q *request) error {
	p, f, req, err := h.submitted(q)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if f.Refused() {
		status = http.StatusUnprocessableEntity
	}
	return h.showForm(q, status, p, f, req, true)
}

// showForm shows the form with a new one-time form ID. The form that used the previous ID created nothing.
func (h *tokenIssueHandler) showForm(q *request, status int, p *tokenPlace, f *form, req token.Request,
	reviewed bool) error {
	room, err := h.tokens.Capacity(q.r.Context(), q.by, p.owner)
	if err != nil {
		return err
	}
	used, err := h.usedNames(q, p)
	if err != nil {
		return err
	}
	now, offered := h.tokens.Now().In(q.zone), h.tokens.OfferedResources(p.owner)
	shown := newTokenPage{
		form: f, Place: p, FormID: h.forms.New(), APIPath: p.owner.APIPath(h.publicURL),
		Presets:  presetsOf(offered, p.Base+"/new", q.r.URL.Query().Get("preset")),
		Sections: sectionsOf(offered, req.Scopes), Zone: q.zone.String(),
		Earliest: now.Format(localTime),
		Here:     q.origin.IP.String(), Capacity: room, Summary: scopeLines(q, h.catalogue,
			scope.NewSet(req.Scopes...)),
		End: req.ExpiresAt, Reviewed: reviewed, Used: used,
	}
	shown.Charges = offersCharges(shown.Sections)
	shown.NameUsed = slices.ContainsFunc(used,
		func(name string) bool { return strings.EqualFold(name, f.Value("name")) })
	longest := h.tokens.MaxLifetime()
	if longest > 0 {
		shown.Longest, shown.Latest = int(longest/(24*time.Hour)), now.Add(longest).Format(localTime)
	}
	for _, l := range lifetimes {
		if l.within(longest) {
			shown.Lifetimes = append(shown.Lifetimes, lifetime{l.key, l.end(now)})
		}
	}
	return tokenNewTemplate.show(q, status, shown)
}

func (h *tokenIssueHandler) create(q *request) error {
	p, f, req, err := h.submitted(q)
	if err != nil {
		return err
	}
	if f.Refused() {
		return h.showForm(q, http.StatusUnprocessableEntity, p, f, req, false)
	}
	issued, err := h.createOnce(q, req, f)
	if fault.KindOf(err) == fault.Conflict {
		return showAlreadySubmitted(q, p, p.After())
	}
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showForm(q, http.StatusUnprocessableEntity, p, f, req, false)
	}
	return showSecrets(q, h.newSecrets(q, p, issued), noticeOf("token_created", issued.Token.Name))
}

// createOnce issues the token that a form describes, unless the form was already submitted.
func (h *tokenIssueHandler) createOnce(q *request, req token.Request, f *form) (token.Issued, error) {
	if err := h.forms.Claim(q.r.Context(), q.by, f.Value("form")); err != nil {
		return token.Issued{}, err
	}
	return h.tokens.Create(q.r.Context(), q.by, req)
}

// tokenSentPage is the data of the page for a form that was already submitted.
type tokenSentPage struct {
	Place *tokenPlace
	Back  string
}

// showAlreadySubmitted answers a form that was already submitted.
func showAlreadySubmitted(q *request, p *tokenPlace, back string) error {
	return tokenSentTemplate.show(q, http.StatusConflict, tokenSentPage{p, back})
}
