package panel

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/token"
)

// tokenDetailHandler serves the page of one API token, restricts tokens and rotates their access tokens.
type tokenDetailHandler struct {
	*tokenHandler

	events    audit.Reader
	forms     *formtoken.FormTokens
	publicURL string
}

func (h *tokenDetailHandler) routes() []route {
	var all []route
	for _, at := range tokenPatterns {
		all = append(all,
			get(at+"/{token}", member, h.page),
			post(at+"/{token}", member, h.restrict, fresh),
			post(at+"/{token}/rotate", member, h.rotate, fresh),
		)
	}
	return all
}

// overlaps are the choices of how long the previous access token remains valid after a rotation.
var overlaps = []struct {
	key  string
	time time.Duration
}{{"none", 0}, {"hour", time.Hour}, {"day", 24 * time.Hour}, {"week", 7 * 24 * time.Hour}, {"month", token.MaxOverlap}}

// tokenPage is the data of a token's page.
type tokenPage struct {
	*form
	Place *tokenPlace
	Token shownToken
	// APIPath is the base URL of the API, and Ranges are the allowed IP addresses.
	APIPath, Ranges string
	Access          []token.AccessToken
	// MayNarrow reports whether the token is active and the visitor may restrict it.
	MayNarrow bool
	Sections  []scopeSection
	// Charges reports whether the form has the field of the charge limit.
	Charges  bool
	Latest   string
	Zone     string
	FormID   string
	Overlaps []string
	// History is one page of events, newest first. Older is the address of the next page.
	History []historyLine
	Older   string
}

func (h *tokenDetailHandler) page(q *request) error {
	p, err := h.placeToList(q)
	if err != nil {
		return err
	}
	t, err := h.find(q, p)
	if err != nil {
		return err
	}
	return h.showDetail(q, http.StatusOK, p, t, nil)
}

// showDetail shows a token. sent is the submitted form that restricts it, or nil.
func (h *tokenDetailHandler) showDetail(q *request, status int, p *tokenPlace, t token.Token, sent *form) error {
	described, err := h.showToken(q, p, t)
	if err != nil {
		return err
	}
	shown := tokenPage{
		form: sent, Place: p, Token: described, APIPath: token.APIPath(h.publicURL, t), Ranges: rangesOf(t),
		Zone:      q.zone.String(),
		MayNarrow: p.MayIssue && t.Status(h.tokens.Now()) == token.Active, FormID: h.forms.New(),
	}
	chosen := t.Scopes.Names()
	if sent == nil {
		shown.form = newForm(tokenFields...)
		shown.Values.Set("name", t.Name)
		shown.Values.Set("expiresAt", localEnd(q, t))
		shown.Values.Set("allowedIpRanges", strings.ReplaceAll(rangesOf(t), ", ", "\n"))
		shown.Values.Set("chargeLimit", t.ChargeLimit.Amount())
	} else {
		chosen = sent.chosenScopes()
	}
	shown.Sections, shown.Latest = sectionsOf(h.heldResources(q, t), chosen), localEnd(q, t)
	shown.Charges = offersCharges(shown.Sections)
	for _, o := range overlaps {
		shown.Overlaps = append(shown.Overlaps, o.key)
	}
	access, err := h.tokens.AccessTokens(q.r.Context(), q.by, []uuid.UUID{t.ID})
	if err != nil {
		return err
	}
	if t.Status(h.tokens.Now()) == token.Active {
		shown.Access = access[t.ID]
	}
	if shown.History, shown.Older, err = h.history(q, p, t); err != nil {
		return err
	}
	return tokenTemplate.show(q, status, shown)
}

// localEnd formats a token's expiration for a form field. It returns "" if the token does not expire.
func localEnd(q *request, t token.Token) string {
	if t.ExpiresAt.IsZero() {
		return ""
	}
	return t.ExpiresAt.In(q.zone).Format(localTime)
}

func rangesOf(t token.Token) string {
	all := make([]string, len(t.AllowedIPRanges))
	for i, r := range t.AllowedIPRanges {
		all[i] = r.String()
	}
	return strings.Join(all, ", ")
}

// heldResources returns the resources of the catalog with only the permissions that the token has.
func (h *tokenDetailHandler) heldResources(q *request, t token.Token) []scope.Resource {
	var held []scope.Resource
	for _, r := range h.catalogue.Resources(t.Level(), q.account.Features) {
		r.Permissions = slices.DeleteFunc(slices.Clone(r.Permissions),
			func(p scope.Permission) bool { return !t.Scopes.Has(p.Scope) })
		if len(r.Permissions) > 0 {
			held = append(held, r)
		}
	}
	return held
}

// unshown returns the scopes of a token that heldResources leaves out. The form has no boxes for them, so an update
// keeps them.
func (h *tokenDetailHandler) unshown(q *request, t token.Token) []string {
	names := t.Scopes.Names()
	for _, r := range h.heldResources(q, t) {
		for _, p := range r.Permissions {
			names = slices.DeleteFunc(names, func(name string) bool { return name == p.Scope })
		}
	}
	return names
}

// detailValue formats the value of a detail: times in the viewer's time zone, and scopes, permissions and other names
// of the API by their labels.
func detailValue(q *request, catalogue *scope.Catalogue, d audit.Detail) string {
	if at, err := time.Parse(time.RFC3339Nano, d.Value); err == nil {
		return shortTime(q.zone, at)
	}
	var words []string
	switch d.Name {
	case "permissions":
		for _, name := range strings.Fields(d.Value) {
			words = append(words, q.label("permissions.names.", name))
		}
		return strings.Join(words, ", ")
	case "scopes":
		for _, line := range scopeLines(q, catalogue, scope.ParseSet(d.Value)) {
			words = append(words, line.Name+": "+line.Words())
		}
		return strings.Join(words, "; ")
	}
	return q.label("audit.values."+d.Name+".", d.Value)
}

// submitted returns the token that the address names and the submitted form, if the visitor may issue tokens there.
func (h *tokenDetailHandler) submitted(q *request, fields ...string) (*tokenPlace, token.Token, *form, error) {
	p, err := h.placeToIssue(q)
	if err != nil {
		return nil, token.Token{}, nil, err
	}
	t, err := h.find(q, p)
	if err != nil {
		return nil, token.Token{}, nil, err
	}
	f, err := q.parseForm(fields...)
	return p, t, f, err
}

// restrict restricts a token.
func (h *tokenDetailHandler) restrict(q *request) error {
	p, t, f, err := h.submitted(q, tokenFields...)
	if err != nil {
		return err
	}
	var after token.Token
	update, err := h.updateOf(q, t, f)
	if err == nil {
		after, err = h.tokens.Update(q.r.Context(), q.by, update)
	}
	if err == nil {
		return q.redirectWithNotice(p.Address(t), noticeOf("token_narrowed", after.Name))
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	return h.showDetail(q, http.StatusUnprocessableEntity, p, t, f)
}

// updateOf returns the changes that a form makes to a token. Unchanged fields are not set.
func (h *tokenDetailHandler) updateOf(q *request, t token.Token, f *form) (token.Update, error) {
	u := token.Update{ID: t.ID}
	if name := f.Value("name"); name != t.Name {
		u.Name = &name
	}
	if chosen := append(f.chosenScopes(), h.unshown(q, t)...); !h.catalogue.Expand(chosen...).Equal(t.Scopes) {
		u.Scopes = append([]string{}, chosen...)
	}
	if !slices.Equal(f.ranges(), strings.Split(rangesOf(t), ", ")) &&
		(len(f.ranges()) > 0 || len(t.AllowedIPRanges) > 0) {
		u.AllowedIPRanges = append([]string{}, f.ranges()...)
	}
	if value := f.Value("chargeLimit"); f.Values.Has("chargeLimit") && value != t.ChargeLimit.Amount() {
		u.ChargeLimit = &token.Amount{Value: value, Currency: token.ChargeCurrency}
	}
	if f.Value("expiresAt") == localEnd(q, t) {
		return u, nil
	}
	at, err := parseTime(q, f, "expiresAt")
	u.ExpiresAt = &at
	return u, err
}

// overlapOf returns how long the previous access token remains valid.
func overlapOf(q *request, f *form) (time.Duration, error) {
	for _, o := range overlaps {
		if o.key == f.Value("overlap") {
			return o.time, nil
		}
	}
	return 0, noChoice(q, "overlap")
}

// rotate issues a new access token for a token.
func (h *tokenDetailHandler) rotate(q *request) error {
	p, t, f, err := h.submitted(q, "overlap")
	if err != nil {
		return err
	}
	overlap, err := overlapOf(q, f)
	if err != nil {
		return err
	}
	if err := h.forms.Claim(q.r.Context(), q.by, f.Value("form")); err != nil {
		if fault.KindOf(err) == fault.Conflict {
			return showAlreadySubmitted(q, p, p.Address(t))
		}
		return err
	}
	rotation, err := h.tokens.Rotate(q.r.Context(), q.by, t.ID, &overlap)
	if err != nil {
		return err
	}
	return showSecrets(q, h.rotatedSecrets(q, p, rotation), noticeOf("token_rotated", t.Name))
}
