package panel_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/html"
)

// The crawled users: one of each kind, from the fewest permissions to the most. The manifest adds those that the demo
// does not have.
var crawledUsers = []struct{ who, email string }{
	{"nobody", ""},
	{"an inactive person", "ben@acme.example"},
	{"staff without permissions", "chloe@acme.example"},
	{"staff with List_Store_API_Tokens", "keeper@acme.example"},
	{"a person in two accounts", "both@agency.example"},
	{"a store's owner", "eu@acme.example"},
	{"another account's owner", "owner@bicycles.example"},
	{"the account's owner", "owner@acme.example"},
}

const morePeople = `
accounts:
  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01
    name: Acme Retail
    owner: {email: owner@acme.example}
    users:
      - {email: keeper@acme.example, first_name: Kim, last_name: Keeper, locale: en}
      - {email: both@agency.example, first_name: Bo, last_name: Both, locale: en}
    stores:
      - hash: acme1us
        name: Acme US
        users:
          - {email: keeper@acme.example, permissions: [List_Store_API_Tokens]}
  - uuid: 3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02
    name: Blue Bicycles
    owner: {email: owner@bicycles.example}
    users:
      - {email: both@agency.example, first_name: Bo, last_name: Both, locale: en}
    stores:
      - hash: bluebike
        name: Blue Bicycles
        users:
          - {email: both@agency.example, permissions: [Add_Orders]}
`

// The limits of a crawl: pages and forms at most, how many queries of one address are opened, and how many forms
// that differ only in IDs are sent. The last is one, because each form takes long with the race detector. Addresses
// without a query are all opened.
const (
	mostPages   = 600
	mostForms   = 150
	mostQueries = 3
	mostAlike   = 1
)

// newCrawledServer returns a server on which every page has something to show, and the paths of pages without links.
func newCrawledServer(t *testing.T, database string) (s *server, unlinked []string) {
	t.Helper()
	s = serve(t, database, january)
	s.apply(morePeople)
	s.issueSome()
	owner := s.signedIn(s.OwnerEmail)
	const provider = "Provisioning script"
	s.provisionSome(uuid.MustParse(idOf(owner, s.page("/tokens"), provider)), provider)
	return s, s.billSome()
}

// crawl visits everything that the panel offers to one user.
type crawl struct {
	t *testing.T
	// who is the kind of user.
	who string
	v   *visitor
	// email is empty for a visitor without a session.
	email string
	// pages are the visited pages, by address.
	pages map[string]*reply
	// alike counts addresses that differ only in IDs and queries.
	alike map[string]int
	// queue holds the addresses to visit, and offered the page that linked to each.
	queue   []string
	offered map[string]string
	// acted reports whether a form was sent, so that links of earlier pages may be dead.
	acted bool
}

func newCrawl(t *testing.T, s *server, who, email string) *crawl {
	t.Helper()
	c := &crawl{t: t, who: who, email: email, v: s.visitor(), pages: map[string]*reply{}, alike: map[string]int{},
		offered: map[string]string{}}
	if email != "" {
		c.v = s.signedIn(email)
	}
	return c
}

// read follows links, breadth first, and checks every page.
func (c *crawl) read(from ...string) {
	c.t.Helper()
	for _, address := range from {
		c.offer("the visitor", address)
	}
	for len(c.queue) > 0 && len(c.pages) < mostPages {
		address := c.queue[0]
		c.queue = c.queue[1:]
		c.visit(address)
	}
}

// offer queues an address that a page links to.
func (c *crawl) offer(by, address string) {
	at, err := url.Parse(address)
	if err != nil || at.IsAbs() || at.Host != "" || c.offered[address] != "" {
		return
	}
	c.offered[address] = by
	if c.alike[likeness(address)]++; at.RawQuery == "" || c.alike[likeness(address)] <= mostQueries {
		c.queue = append(c.queue, address)
	}
}

var ids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|/stores/[^/?]+|=[^&]*`)

// likeness returns an address without IDs and without the values of its query.
func likeness(address string) string { return ids.ReplaceAllString(address, "*") }

// visit opens and checks a page and queues its links.
func (c *crawl) visit(address string) *reply {
	c.t.Helper()
	r := c.v.open(address)
	c.pages[address] = r
	// The user is a member of both.
	elsewhere := r.status == http.StatusConflict && strings.Contains(r.text(), "This page is in another account")
	// A search form without a value.
	choosesNone := r.status == http.StatusUnprocessableEntity && strings.HasSuffix(address, "?")
	if r.status >= http.StatusBadRequest && !elsewhere && !choosesNone && !c.acted {
		c.t.Errorf("%s: %s, offered by %s, answers %d: %s, want no error", c.who, address, c.offered[address], r.status,
			r.text())
	}
	c.take(r)
	return r
}

// check checks a response to any request.
func (c *crawl) check(r *reply) {
	c.t.Helper()
	for _, each := range flaws(r) {
		c.t.Errorf("%s: %s %.200s (%d) %s, want no flaws", c.who, r.method, r.url, r.status, each)
	}
}

// take checks a response and queues its links.
func (c *crawl) take(r *reply) {
	c.t.Helper()
	c.check(r)
	if !isPage(r) {
		return
	}
	for _, to := range r.links() {
		c.offer(r.url, to)
	}
	for _, f := range r.forms() {
		if f.method == http.MethodGet && len(f.buttons) > 0 {
			c.offer(r.url, path(f.action)+"?"+f.values.Encode())
		}
	}
}

func isPage(r *reply) bool {
	return strings.HasPrefix(r.header.Get("Content-Type"), "text/html") && r.status != http.StatusSeeOther
}

// path returns an address without its query.
func path(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}

// flaws returns the problems that any response of the panel can have.
func flaws(r *reply) []string {
	var found []string
	flaw := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if r.status >= http.StatusInternalServerError {
		flaw("fails: %s", r.text())
	}
	if strings.HasPrefix(r.url, "/static/") || r.url == "/favicon.ico" {
		return found
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy":            "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := r.header.Get(name); got != want {
			flaw("has %s %q, want %q", name, got, want)
		}
	}
	policy := r.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", formAction(r),
		"base-uri 'none'", "frame-ancestors 'none'"} {
		if !slices.Contains(strings.Split(policy, "; "), want) {
			flaw("has no %s in its policy %q", want, policy)
		}
	}
	switch {
	case isPage(r):
		found = append(found, misshapen(r)...)
	case r.status == http.StatusOK && !strings.HasPrefix(r.header.Get("Content-Disposition"), "attachment"):
		flaw("is neither a page nor a static file: %s", r.header.Get("Content-Type"))
	}
	return found
}

// formAction returns what the policy of a page must say about its forms: they stay on the panel, except on a page that
// approves a checkout, which leads to the app's site afterwards.
func formAction(r *reply) string {
	if isPage(r) {
		for _, f := range r.forms() {
			if strings.Contains(f.action, "/checkouts/") && strings.HasSuffix(f.action, "/approve") {
				return "form-action 'self' https:"
			}
		}
	}
	return "form-action 'self'"
}

// misshapen returns the problems of a page's structure.
func misshapen(r *reply) []string {
	var found []string
	titles := slices.DeleteFunc(r.all("title"), func(n *html.Node) bool { return n.Namespace != "" })
	if len(titles) != 1 || strings.HasPrefix(strings.TrimSpace(titles[0].FirstChild.Data), "·") {
		found = append(found, fmt.Sprintf("has %d titles, or one that says nothing", len(titles)))
	}
	if headings := r.all("h1"); len(headings) != 1 || textOf(headings[0]) == "" {
		found = append(found, fmt.Sprintf("has %d first headings, or one that says nothing", len(headings)))
	}
	seen := map[string]bool{}
	for n := range r.document().Descendants() {
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				found = append(found, "has an attribute "+a.Key+" that browsers ignore")
			}
			if a.Key == "id" && seen[a.Val] {
				found = append(found, "has the id "+a.Val+" twice")
			}
			seen[a.Val] = seen[a.Val] || a.Key == "id"
		}
	}
	return found
}

// posts returns the POST forms of the visited pages, in order. Of forms that differ only in IDs it returns at most
// the given number.
func (c *crawl) posts(most int) []offeredForm {
	var found []offeredForm
	alike := map[string]int{}
	for _, address := range slices.Sorted(maps.Keys(c.pages)) {
		if !isPage(c.pages[address]) {
			continue
		}
		for _, f := range c.pages[address].forms() {
			kind := likeness(f.action) + fmt.Sprint(f.buttons, len(f.fields))
			if alike[kind]++; f.method == http.MethodPost && alike[kind] <= most {
				found = append(found, offeredForm{address, f})
			}
		}
	}
	return found
}

// offeredForm is a form with the address of its page.
type offeredForm struct {
	on string
	formOnPage
}

// act sends every form three times: empty, with nonsense, and with plausible values. Forms that end the session
// come last.
func (c *crawl) act() {
	c.t.Helper()
	forms := c.posts(mostAlike)
	slices.SortStableFunc(forms, func(a, b offeredForm) int {
		return strings.Compare(fmt.Sprint(path(a.action) == "/signout"), fmt.Sprint(path(b.action) == "/signout"))
	})
	for _, f := range forms[:min(len(forms), mostForms)] {
		for _, values := range []url.Values{{}, f.nonsense("\x00\xff"),
			f.nonsense(`"'><script>alert(1)</script>` + strings.Repeat("ö", 3000))} {
			c.stay()
			c.take(c.v.postForm(f.action, values))
		}
		c.stay()
		again := c.v.open(f.on)
		still := slices.IndexFunc(again.forms(),
			func(g formOnPage) bool { return g.action == f.action && slices.Equal(g.buttons, f.buttons) })
		if still < 0 {
			continue // an earlier form removed it
		}
		f.formOnPage = again.forms()[still]
		r := c.v.postForm(f.action, f.plausible(c.v.server.passwords[c.email]))
		c.take(r)
		if r.status == http.StatusForbidden || r.status == http.StatusNotFound ||
			r.status == http.StatusMethodNotAllowed {
			c.t.Errorf("%s: %s offers a form to %s, which answers %d: %s, want neither 403, 404 nor 405", c.who, f.on,
				f.action, r.status, r.text())
		}
		to := r.header.Get("Location")
		if r.status != http.StatusSeeOther {
			continue
		}
		if left := strings.HasPrefix(to, appSite); left != strings.HasSuffix(f.action, "/approve") {
			c.t.Errorf("%s: %s leads to %s, want another site after an approval only", c.who, f.action, to)
		} else if !left {
			c.offered[to] = f.on
			c.visit(to)
		}
	}
	c.stay()
	c.acted = true
	c.read()
}

// err requests addresses that no page links to: with the IDs of another account, and with nonsense in queries.
func (c *crawl) err(other string) {
	c.t.Helper()
	tried := map[string]bool{}
	for address := range c.pages {
		if c.offered[address] == "" || tried[likeness(address)] || strings.HasPrefix(address, "/static/") {
			continue
		}
		tried[likeness(address)] = true
		at, err := url.Parse(address)
		if err != nil {
			c.t.Fatal(err)
		}
		parts := strings.Split(at.EscapedPath(), "/")
		for i := 1; i < len(parts); i++ {
			for _, nonsense := range []string{other, "nonsense", "%00", "%ff", "..%2f..", strings.Repeat("x", 3000)} {
				wrong := slices.Clone(parts)
				wrong[i] = nonsense
				c.check(c.v.get(strings.Join(wrong, "/") + "?" + at.RawQuery))
			}
		}
		for name := range at.Query() {
			for _, nonsense := range []string{"", "nonsense", "%00", "%ff", "-1", "99999999999999999999",
				"%3Cscript%3E"} {
				c.check(c.v.get(at.EscapedPath() + "?" + url.QueryEscape(name) + "=" + nonsense))
			}
		}
	}
}

// stay signs in again if a form ended the session.
func (c *crawl) stay() {
	c.t.Helper()
	if c.email != "" && c.v.get("/accounts").status != http.StatusOK {
		c.v = c.v.server.signedIn(c.email)
	}
}

// nonsense returns nonsense for all fields.
func (f *formOnPage) nonsense(text string) url.Values {
	values := url.Values{}
	for name := range f.values {
		values.Set(name, text)
	}
	for _, n := range f.fields {
		name, _ := attribute(n, "name")
		values.Set(name, text)
	}
	return values
}

// plausible returns the form's values with all required fields filled in. Every password is the user's own, so that
// it does not change.
func (f *formOnPage) plausible(password string) url.Values {
	values := maps.Clone(f.values)
	boxes := map[string]bool{}
	for _, n := range f.fields {
		name, _ := attribute(n, "name")
		kind, _ := attribute(n, "type")
		own, _ := attribute(n, "value")
		_, required := attribute(n, "required")
		switch {
		case kind == "hidden":
		case kind == "checkbox" && !boxes[name]:
			values.Set(name, own)
			boxes[name] = true
		case kind == "radio":
			values.Set(name, own) // the last option
		case kind == "password":
			values.Set(name, password)
		case kind == "url" && required && values.Get(name) == "":
			values.Set(name, "https://hooks.example/plausible")
		case kind == "email" && required:
			values.Set(name, "newcomer@acme.example")
		case kind == "date":
			values.Set(name, time.Now().AddDate(0, 1, 0).Format(time.DateOnly))
		case kind == "number" && required:
			values.Set(name, "1")
		case name == "amount":
			values.Set(name, "0.01")
		case required && values.Get(name) == "":
			values.Set(name, "Plausible "+name)
		}
	}
	return values
}
