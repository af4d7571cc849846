package panel

import (
	"maps"
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

// scopePrefix is the prefix of the fields that select scopes. A resource's key follows it.
const scopePrefix = "scopes."

// tokenFields are the fields of the forms of a token, named as in the faults of package token; "scopes" stands for
// all fields that select scopes.
var tokenFields = []string{"name", "scopes", "expiresIn", "expiresAt", "allowedIpRanges", "chargeLimit"}

// choices are the types of input that select permissions, by level: one permission for each resource in a store,
// several in an account.
var choices = map[scope.Level]string{scope.LevelAccount: "checkbox", scope.LevelStore: "radio"}

// lifetimes are the choices of how long a token is valid, in days. Zero means that it does not expire.
var lifetimes = []lifetimeChoice{{"never", 0}, {"week", 7}, {"month", 30}, {"quarter", 90}, {"half", 182},
	{"year", 365}}

type lifetimeChoice struct {
	key  string
	days int
}

// end returns when a token expires that is created now, or zero for never.
func (l lifetimeChoice) end(now time.Time) time.Time {
	if l.days == 0 {
		return time.Time{}
	}
	return now.AddDate(0, 0, l.days)
}

// scopeSection is a part of the table of scopes.
type scopeSection struct {
	Name      string
	Resources []scopeResource
}

// scopeResource is one row of the table.
type scopeResource struct {
	Key, Name, Description string
	Permissions            []scopeChoice
	// None reports whether no permission is selected.
	None bool
}

// Field returns the name of the row's fields.
func (r scopeResource) Field() string { return scopePrefix + r.Key }

// scopeChoice is one permission.
type scopeChoice struct {
	scope.Permission

	Chosen bool
}

// Implied returns the scopes that the permission implies, separated by spaces.
func (c scopeChoice) Implied() string { return strings.Join(c.Implies, " ") }

// sectionsOf returns the table of the resources with the chosen scopes selected.
func sectionsOf(resources []scope.Resource, chosen []string) []scopeSection {
	var all []scopeSection
	for _, r := range resources {
		line := scopeResource{Key: r.Key, Name: r.Name, Description: r.Description, None: true}
		for _, p := range r.Permissions {
			isChosen := slices.Contains(chosen, p.Scope)
			line.None = line.None && !isChosen
			line.Permissions = append(line.Permissions, scopeChoice{p, isChosen})
		}
		if n := len(all); n == 0 || all[n-1].Name != r.Section {
			all = append(all, scopeSection{Name: r.Section})
		}
		last := &all[len(all)-1]
		last.Resources = append(last.Resources, line)
	}
	return all
}

// chosenScopes returns the scopes that a form selects, without validating them.
func (f *form) chosenScopes() []string {
	var chosen []string
	for _, field := range slices.Sorted(maps.Keys(f.Values)) {
		if !strings.HasPrefix(field, scopePrefix) {
			continue
		}
		for _, name := range f.Values[field] {
			if name != "" {
				chosen = append(chosen, name)
			}
		}
	}
	return chosen
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

// offersCharges reports whether the table has the permission to charge, which a charge limit requires.
func offersCharges(sections []scopeSection) bool {
	for _, s := range sections {
		for _, r := range s.Resources {
			for _, p := range r.Permissions {
				if p.Scope == scope.AccountChargesWrite {
					return true
				}
			}
		}
	}
	return false
}

// request returns the request for a token that a form describes.
func (h *tokenIssueHandler) request(q *request, p *tokenPlace, f *form) (token.Request, error) {
	req := token.Request{Owner: p.owner, Name: f.Value("name"), Scopes: f.chosenScopes(), AllowedIPRanges: f.ranges(),
		ChargeLimit: f.chargeLimit()}
	at, err := parseTime(q, f, "expiresAt")
	if err != nil || !at.IsZero() {
		req.ExpiresAt = at
		return req, err
	}
	for _, l := range lifetimes {
		if l.key == f.Value("expiresIn") {
			req.ExpiresAt = l.end(h.tokens.Now())
			return req, nil
		}
	}
	return req, noChoice(q, "expiresIn")
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
	// Control is the type of input, "checkbox" or "radio".
	Control  string
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
}

func (h *tokenIssueHandler) page(q *request) error {
	p, err := h.placeToIssue(q)
	if err != nil {
		return err
	}
	return h.showForm(q, http.StatusOK, p, newForm(tokenFields...), token.Request{}, false)
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
	now := h.tokens.Now().In(q.zone)
	shown := newTokenPage{
		form: f, Place: p, FormID: h.forms.New(), APIPath: p.owner.APIPath(h.publicURL),
		Control:  choices[p.owner.Level()],
		Sections: sectionsOf(h.tokens.OfferedResources(p.owner), req.Scopes), Zone: q.zone.String(),
		Earliest: now.Format(localTime),
		Here:     q.origin.IP.String(), Capacity: room, Summary: scopeLines(q, h.catalogue,
			scope.NewSet(req.Scopes...)),
		End: req.ExpiresAt, Reviewed: reviewed,
	}
	shown.Charges = offersCharges(shown.Sections)
	longest := h.tokens.MaxLifetime()
	if longest > 0 {
		shown.Longest, shown.Latest = int(longest/(24*time.Hour)), now.Add(longest).Format(localTime)
	}
	for _, l := range lifetimes {
		if days := time.Duration(l.days) * 24 * time.Hour; longest == 0 || days > 0 && days <= longest {
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
	return showSecrets(q, h.newSecrets(q, p, issued))
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
