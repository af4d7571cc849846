package panel

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// scopePrefix begins the names of the fields that choose scopes. What follows
// is a resource's key.
const scopePrefix = "scopes."

// tokenFields are the fields of a form about a token, called as the faults of
// package token call them; "scopes" stands for all that choose scopes.
var tokenFields = []string{"name", "scopes", "expiresIn", "expiresAt", "allowedIpRanges"}

// choices are the controls that choose permissions, by level: one of each
// resource in a store, several in an account.
var choices = map[scope.Level]string{scope.LevelAccount: "checkbox", scope.LevelStore: "radio"}

// lifetimes are the choices of how long a token lives. Zero is for good.
var lifetimes = []lifetimeChoice{{"never", 0}, {"week", 7}, {"month", 30}, {"quarter", 90}, {"half", 182}, {"year", 365}}

type lifetimeChoice struct {
	key  string
	days int
}

// end is when a token ends that is made now.
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

// scopeResource is one line of it.
type scopeResource struct {
	Key, Name, Description string
	Permissions            []scopeChoice
	// None says that no permission is chosen.
	None bool
}

// Field is the name of the line's fields.
func (r scopeResource) Field() string { return scopePrefix + r.Key }

// scopeChoice is one permission.
type scopeChoice struct {
	scope.Permission

	Chosen bool
}

// Implied are the scopes that come with the permission, with spaces between.
func (c scopeChoice) Implied() string { return strings.Join(c.Implies, " ") }

// sectionsOf is a table of resources, with the chosen scopes chosen.
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

// chosenScopes are the scopes that were chosen in a form, whatever they are.
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

// ranges are the lines of the field of address ranges.
func (f *form) ranges() []string {
	var all []string
	for line := range strings.Lines(f.Value("allowedIpRanges")) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// localTime is how a field of date and time writes a moment (HTML, "local date
// and time strings").
const localTime = "2006-01-02T15:04"

// moment reads the field of a date and time in the viewer's zone; zero for an
// empty one.
func (v *visit) moment(f *form, field string) (time.Time, error) {
	text := f.Value(field)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{localTime, localTime + ":05"} {
		if at, err := time.ParseInLocation(layout, text, v.zone); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fault.Errorf(fault.Invalid, "%s", v.text("tokens.new.no_time")).On(field)
}

// noChoice is the answer to a value that a field does not offer.
func (v *visit) noChoice(field string) error {
	return fault.Errorf(fault.Invalid, "%s", v.text("errors.choice")).On(field)
}

// tokenRequest is what a form asks for.
func (v *visit) tokenRequest(p *tokenPlace, f *form) (token.Request, error) {
	req := token.Request{Owner: p.owner, Name: f.Value("name"), Scopes: f.chosenScopes(), AllowedIPRanges: f.ranges()}
	at, err := v.moment(f, "expiresAt")
	if err != nil || !at.IsZero() {
		req.ExpiresAt = at
		return req, err
	}
	for _, l := range lifetimes {
		if l.key == f.Value("expiresIn") {
			req.ExpiresAt = l.end(v.Tokens.Now())
			return req, nil
		}
	}
	return req, v.noChoice("expiresIn")
}

// check looks a form over: what is wrong with it is shown at its fields.
func (v *visit) check(f *form, req token.Request, parsed error) error {
	if parsed != nil {
		if err := f.refuse(parsed); err != nil {
			return err
		}
	}
	if err := v.Tokens.Check(v.by, req); err != nil {
		return f.refuse(err)
	}
	return nil
}

// lifetime is a choice of when a token ends; zero for never.
type lifetime struct {
	Key string
	End time.Time
}

// newTokenPage is the form of a new token.
type newTokenPage struct {
	*form
	Place   *tokenPlace
	FormID  string
	APIPath string
	// Control is "checkbox" or "radio".
	Control  string
	Sections []scopeSection
	// Lifetimes are the choices, and Longest the most days, if there are any.
	Lifetimes []lifetime
	Longest   int
	Zone      string
	// Earliest and Latest bound the date and time.
	Earliest, Latest string
	// Here is the visitor's own address.
	Here string
	Room token.Room
	// Summary is what the token will be able to do, End when it ends.
	Summary []scopeLine
	End     time.Time
	// Reviewed says that the summary was asked for.
	Reviewed bool
}

func (v *visit) newToken() error {
	p, err := v.placeToIssue()
	if err != nil {
		return err
	}
	return v.tokenForm(http.StatusOK, p, newForm(tokenFields...), token.Request{}, false)
}

// newTokenSent is the form of a new token that was sent, looked over: where, with
// what is wrong, and what it asks for.
func (v *visit) newTokenSent() (*tokenPlace, *form, token.Request, error) {
	p, err := v.placeToIssue()
	if err != nil {
		return nil, nil, token.Request{}, err
	}
	f, err := v.sent(tokenFields...)
	if err != nil {
		return nil, nil, token.Request{}, err
	}
	req, parsed := v.tokenRequest(p, f)
	return p, f, req, v.check(f, req, parsed)
}

// reviewToken shows what a token would be able to do, and what is wrong with
// the form, without making one.
func (v *visit) reviewToken() error {
	p, f, req, err := v.newTokenSent()
	if err != nil {
		return err
	}
	status := http.StatusOK
	if f.Refused() {
		status = http.StatusUnprocessableEntity
	}
	return v.tokenForm(status, p, f, req, true)
}

// tokenForm shows the form. It has another id each time: what was sent with
// the one before was not acted on.
func (v *visit) tokenForm(status int, p *tokenPlace, f *form, req token.Request, reviewed bool) error {
	room, err := v.Tokens.Room(v.r.Context(), v.by, p.owner)
	if err != nil {
		return err
	}
	now := v.Tokens.Now().In(v.zone)
	shown := newTokenPage{
		form: f, Place: p, FormID: v.Forms.New(), APIPath: p.owner.APIPath(v.PublicURL), Control: choices[p.owner.Level()],
		Sections: sectionsOf(v.Tokens.Offered(p.owner), req.Scopes), Zone: v.zone.String(), Earliest: now.Format(localTime),
		Here: v.who.Origin.IP.String(), Room: room, Summary: v.scopeLines(scope.NewSet(req.Scopes...)), End: req.ExpiresAt, Reviewed: reviewed,
	}
	longest := v.Tokens.MaxLifetime()
	if longest > 0 {
		shown.Longest, shown.Latest = int(longest/(24*time.Hour)), now.Add(longest).Format(localTime)
	}
	for _, l := range lifetimes {
		if days := time.Duration(l.days) * 24 * time.Hour; longest == 0 || days > 0 && days <= longest {
			shown.Lifetimes = append(shown.Lifetimes, lifetime{l.key, l.end(now)})
		}
	}
	return v.page(status, "token-new", shown)
}

func (v *visit) createToken() error {
	p, f, req, err := v.newTokenSent()
	if err != nil {
		return err
	}
	if f.Refused() {
		return v.tokenForm(http.StatusUnprocessableEntity, p, f, req, false)
	}
	issued, err := v.createOnce(req, f)
	if fault.KindOf(err) == fault.Conflict {
		return v.sentBefore(p, p.After())
	}
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.tokenForm(http.StatusUnprocessableEntity, p, f, req, false)
	}
	return v.showSecrets(newSecrets(v, p, issued))
}

// createOnce issues the token that a form asks for, unless it was sent before.
func (v *visit) createOnce(req token.Request, f *form) (token.Issued, error) {
	if err := v.Forms.Claim(v.r.Context(), v.by, f.Value("form")); err != nil {
		return token.Issued{}, err
	}
	return v.Tokens.Create(v.r.Context(), v.by, req)
}

// sentBefore answers a form that was sent before.
func (v *visit) sentBefore(p *tokenPlace, back string) error {
	return v.page(http.StatusConflict, "token-sent", struct {
		Place *tokenPlace
		Back  string
	}{p, back})
}
