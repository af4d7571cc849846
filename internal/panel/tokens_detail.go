package panel

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// historyPerPage is how many events the page of a token shows at once.
const historyPerPage = 20

// overlaps are the choices of how long the access token before a rotation goes
// on working.
var overlaps = []struct {
	key  string
	time time.Duration
}{{"none", 0}, {"hour", time.Hour}, {"day", 24 * time.Hour}, {"week", 7 * 24 * time.Hour}, {"month", token.MaxOverlap}}

// tokenPage is what the page of one token shows.
type tokenPage struct {
	*form
	Place *tokenPlace
	Token shownToken
	// APIPath and Ranges are where it is used, and where from.
	APIPath, Ranges string
	Access          []token.AccessToken
	// MayNarrow says that the visitor may change it, and that it lives.
	MayNarrow bool
	Sections  []scopeSection
	Latest    string
	Zone      string
	FormID    string
	Overlaps  []string
	// History are the newest events, or older ones; Older is the address of
	// those before them.
	History []historyLine
	Older   string
}

// historyLine is an event in words.
type historyLine struct {
	audit.Event

	What, Who string
	Details   []string
}

func (v *visit) tokenDetail() error {
	p, err := v.placeToList()
	if err != nil {
		return err
	}
	t, err := v.tokenAt(p)
	if err != nil {
		return err
	}
	return v.showDetail(http.StatusOK, p, t, nil)
}

// showDetail shows a token, with the form to narrow it as it was sent, if it
// was.
func (v *visit) showDetail(status int, p *tokenPlace, t token.Token, sent *form) error {
	told, err := v.showToken(p, t)
	if err != nil {
		return err
	}
	shown := tokenPage{
		form: sent, Place: p, Token: told, APIPath: token.APIPath(v.PublicURL, t), Ranges: rangesOf(t), Zone: v.zone.String(),
		MayNarrow: p.MayIssue && t.Status(v.Tokens.Now()) == token.Active, FormID: v.Forms.New(),
	}
	chosen := t.Scopes.Names()
	if sent == nil {
		shown.form = newForm(tokenFields...)
		shown.Values.Set("name", t.Name)
		shown.Values.Set("expiresAt", v.localEnd(t))
		shown.Values.Set("allowedIpRanges", strings.ReplaceAll(rangesOf(t), ", ", "\n"))
	} else {
		chosen = sent.chosenScopes()
	}
	shown.Sections, shown.Latest = sectionsOf(v.heldResources(t), chosen), v.localEnd(t)
	for _, o := range overlaps {
		shown.Overlaps = append(shown.Overlaps, o.key)
	}
	access, err := v.Tokens.AccessTokens(v.r.Context(), v.by, []uuid.UUID{t.ID})
	if err != nil {
		return err
	}
	if t.Status(v.Tokens.Now()) == token.Active {
		shown.Access = access[t.ID]
	}
	if shown.History, shown.Older, err = v.history(p, t); err != nil {
		return err
	}
	return v.page(status, "token", shown)
}

// localEnd is a token's end as a field has it; empty for none.
func (v *visit) localEnd(t token.Token) string {
	if t.ExpiresAt.IsZero() {
		return ""
	}
	return t.ExpiresAt.In(v.zone).Format(localTime)
}

func rangesOf(t token.Token) string {
	all := make([]string, len(t.AllowedIPRanges))
	for i, r := range t.AllowedIPRanges {
		all[i] = r.String()
	}
	return strings.Join(all, ", ")
}

// heldResources are what a token may do, as the catalogue has it, with nothing
// that it may not.
func (v *visit) heldResources(t token.Token) []scope.Resource {
	var held []scope.Resource
	for _, r := range v.Catalogue.Resources(t.Level(), v.account.Features) {
		r.Permissions = slices.DeleteFunc(slices.Clone(r.Permissions), func(p scope.Permission) bool { return !t.Scopes.Has(p.Scope) })
		if len(r.Permissions) > 0 {
			held = append(held, r)
		}
	}
	return held
}

// unshown are the scopes of a token that heldResources leaves out: the form to
// narrow it cannot take them away, and so leaves them.
func (v *visit) unshown(t token.Token) []string {
	names := t.Scopes.Names()
	for _, r := range v.heldResources(t) {
		for _, p := range r.Permissions {
			names = slices.DeleteFunc(names, func(name string) bool { return name == p.Scope })
		}
	}
	return names
}

// history is what happened to a token, newest first, and the address of what
// happened before that.
func (v *visit) history(p *tokenPlace, t token.Token) (lines []historyLine, older string, err error) {
	size := historyPerPage
	asked := page.Request{First: &size}
	if before := v.r.URL.Query().Get("before"); before != "" {
		asked.After = &before
	}
	w, err := asked.Window(page.MaxSize)
	if err != nil {
		return nil, "", errNoPage()
	}
	found, err := v.Audit.Events(v.r.Context(), t.AccountID, audit.Filter{TargetKey: t.ID.String()}, w)
	if err != nil {
		return nil, "", err
	}
	for _, item := range found.Items {
		e := item.Node
		line := historyLine{Event: e, What: v.text("tokens.history." + string(e.Action)), Who: v.actor(e.Actor)}
		for _, d := range e.Details {
			if told := v.detail(d); told != "" {
				line.Details = append(line.Details, told)
			}
		}
		lines = append(lines, line)
	}
	if found.HasNext {
		older = p.Address(t) + "?before=" + found.Items[len(found.Items)-1].Cursor()
	}
	return lines, older, nil
}

// toldDetails are the details of events that say something to people, by their
// names.
var toldDetails = []string{"name", "scopes", "expiresAt", "allowedIpRanges", "reason", "hint", "previousExpiresAt"}

// detail is a detail of an event in words; empty for one that says nothing to
// people.
func (v *visit) detail(d audit.Detail) string {
	if !slices.Contains(toldDetails, d.Name) {
		return ""
	}
	value := v.valueOf(d)
	if value == "" {
		value = v.text("tokens.detail.none")
	}
	return v.text("tokens.detail."+d.Name, "value", value)
}

// valueOf is the value of a detail of an event for people: times in their zone,
// scopes, permissions and other names of the API in words.
func (v *visit) valueOf(d audit.Detail) string {
	if at, err := time.Parse(time.RFC3339Nano, d.Value); err == nil {
		return shortTime(v.zone, at)
	}
	var words []string
	switch d.Name {
	case "permissions":
		for _, name := range strings.Fields(d.Value) {
			words = append(words, v.told("permissions.names.", name))
		}
		return strings.Join(words, ", ")
	case "scopes":
		for _, line := range v.scopeLines(scope.ParseSet(d.Value)) {
			words = append(words, line.Name+": "+line.Words())
		}
		return strings.Join(words, "; ")
	}
	return v.told("audit.values."+d.Name+".", d.Value)
}

// tokenSent is a form that was sent about the token of the address, with where
// it is, for whoever may issue tokens there.
func (v *visit) tokenSent(fields ...string) (*tokenPlace, token.Token, *form, error) {
	p, err := v.placeToIssue()
	if err != nil {
		return nil, token.Token{}, nil, err
	}
	t, err := v.tokenAt(p)
	if err != nil {
		return nil, token.Token{}, nil, err
	}
	f, err := v.sent(fields...)
	return p, t, f, err
}

// narrowToken takes rights from a token.
func (v *visit) narrowToken() error {
	p, t, f, err := v.tokenSent(tokenFields...)
	if err != nil {
		return err
	}
	update, err := v.updateOf(t, f)
	if err == nil {
		_, err = v.Tokens.Update(v.r.Context(), v.by, update)
	}
	if err == nil {
		return v.done(p.Address(t), "token_narrowed", 1)
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	return v.showDetail(http.StatusUnprocessableEntity, p, t, f)
}

// updateOf is what a form changes of a token: what it leaves as it is, is not
// named.
func (v *visit) updateOf(t token.Token, f *form) (token.Update, error) {
	u := token.Update{ID: t.ID}
	if name := f.Value("name"); name != t.Name {
		u.Name = &name
	}
	if chosen := append(f.chosenScopes(), v.unshown(t)...); !v.Catalogue.Expand(chosen...).Equal(t.Scopes) {
		u.Scopes = append([]string{}, chosen...)
	}
	if !slices.Equal(f.ranges(), strings.Split(rangesOf(t), ", ")) && (len(f.ranges()) > 0 || len(t.AllowedIPRanges) > 0) {
		u.AllowedIPRanges = append([]string{}, f.ranges()...)
	}
	if f.Value("expiresAt") == v.localEnd(t) {
		return u, nil
	}
	at, err := v.moment(f, "expiresAt")
	u.ExpiresAt = &at
	return u, err
}

// overlap is how long the access token of before shall go on working.
func (v *visit) overlap(f *form) (time.Duration, error) {
	for _, o := range overlaps {
		if o.key == f.Value("overlap") {
			return o.time, nil
		}
	}
	return 0, v.noChoice("overlap")
}

// rotateToken gives a token another access token.
func (v *visit) rotateToken() error {
	p, t, f, err := v.tokenSent("overlap")
	if err != nil {
		return err
	}
	overlap, err := v.overlap(f)
	if err != nil {
		return err
	}
	if err := v.Forms.Claim(v.r.Context(), v.by, f.Value("form")); err != nil {
		if fault.KindOf(err) == fault.Conflict {
			return v.sentBefore(p, p.Address(t))
		}
		return err
	}
	rotation, err := v.Tokens.Rotate(v.r.Context(), v.by, t.ID, &overlap)
	if err != nil {
		return err
	}
	return v.showSecrets(rotatedSecrets(v, p, rotation))
}
