package panel_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"latchkey/internal/panel"
)

// visitor is a browser without JavaScript: it keeps cookies and sends the headers that browsers send.
type visitor struct {
	t      *testing.T
	server *server
	client *http.Client
	jar    secureJar
	// from is the client's address.
	from string
}

// visitor returns a visitor without a session.
func (s *server) visitor() *visitor {
	s.t.Helper()
	kept, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	jar := secureJar{kept}
	return &visitor{t: s.t, server: s, jar: jar, from: s.machine(), client: &http.Client{
		Transport: transport, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signedIn returns a visitor who signed in as a user through the form. A user of several accounts is in the first
// of them.
func (s *server) signedIn(email string) *visitor {
	s.t.Helper()
	v := s.visitor()
	password := s.known(email)
	if r := v.post("/signin", "email", email, "password", password); r.status != http.StatusSeeOther {
		s.t.Fatalf("signing in %s: got %d %s, want 303", email, r.status, r.text())
	}
	return v
}

// secureJar keeps Secure cookies for localhost without TLS, as browsers do.
type secureJar struct{ http.CookieJar }

func overTLS(u *url.URL) *url.URL {
	secure := *u
	secure.Scheme = "https"
	return &secure
}

func (j secureJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.CookieJar.SetCookies(overTLS(u), cookies)
}

func (j secureJar) Cookies(u *url.URL) []*http.Cookie { return j.CookieJar.Cookies(overTLS(u)) }

// cookie returns the value of a cookie, or "".
func (v *visitor) cookie(name string) string {
	at, err := url.Parse(v.server.URL)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range v.jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// keep sets a cookie.
func (v *visitor) keep(name, value string) {
	at, err := url.Parse(v.server.URL)
	if err != nil {
		v.t.Fatal(err)
	}
	v.jar.SetCookies(at, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// get requests a path of the server without following redirects.
func (v *visitor) get(address string) *reply {
	v.t.Helper()
	return v.send(v.request(http.MethodGet, address, nil))
}

// open requests a path and follows redirects.
func (v *visitor) open(address string) *reply {
	v.t.Helper()
	r := v.get(address)
	for range 10 {
		if r.status != http.StatusSeeOther {
			return r
		}
		r = v.get(r.header.Get("Location"))
	}
	v.t.Fatalf("%s: got too many redirects, want a page", address)
	return nil
}

// post sends a form of name and value pairs, as a page of the server would, without following redirects.
func (v *visitor) post(address string, pairs ...string) *reply {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return v.postForm(address, form)
}

func (v *visitor) postForm(address string, form url.Values) *reply {
	v.t.Helper()
	return v.send(v.request(http.MethodPost, address, form))
}

// request returns a request as a page of the server would send it.
func (v *visitor) request(method, address string, form url.Values) *http.Request {
	v.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = v.server.URL + address
	}
	r, err := http.NewRequestWithContext(v.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Test")
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("X-Forwarded-For", v.from)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", v.server.URL)
	}
	return r
}

// send sends a request with the visitor's cookies.
func (v *visitor) send(r *http.Request) *reply {
	v.t.Helper()
	answer, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return &reply{t: v.t, by: v, method: r.Method, url: r.URL.RequestURI(), status: answer.StatusCode,
		header: answer.Header, body: string(body)}
}

// submit sends the form of a page that has a button with the name, with its current values and pairs replaced.
func (v *visitor) submit(page *reply, button string, pairs ...string) *reply {
	v.t.Helper()
	for _, f := range page.forms() {
		if !slices.Contains(f.buttons, button) {
			continue
		}
		if to, elsewhere := f.actions[button]; elsewhere {
			f.action = page.absolute(to)
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			f.values.Del(pairs[i])
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			f.values.Add(pairs[i], pairs[i+1])
		}
		if f.method == http.MethodGet {
			return v.get(f.action + "?" + f.values.Encode())
		}
		r := v.request(http.MethodPost, f.action, f.values)
		r.Header.Set("Referer", v.server.URL+page.url)
		return v.send(r)
	}
	v.t.Fatalf("%s: got no form with a button %q, want one: %s", page.url, button, page.body)
	return nil
}

// reply is a response of the server.
type reply struct {
	t *testing.T
	// by is the visitor who sent the request.
	by *visitor
	// method and url are the request's; url has no host.
	method, url string
	status      int
	header      http.Header
	body        string
	// parsed is the document, set on first use.
	parsed *html.Node
}

// wants fails the test unless the response has the status and its text contains text.
func (r *reply) wants(status int, text string) *reply {
	r.t.Helper()
	if r.status != status || !strings.Contains(r.text(), text) {
		r.t.Fatalf("%s %s answered %d, want %d and %q in: %s", r.method, r.url, r.status, status, text, r.text())
	}
	return r
}

// lacks fails the test if the response contains text.
func (r *reply) lacks(text string) *reply {
	r.t.Helper()
	if strings.Contains(r.text(), text) || strings.Contains(r.body, text) {
		r.t.Fatalf("%s %s: got %s, want it without %q", r.method, r.url, r.text(), text)
	}
	return r
}

// goes fails the test unless the response redirects to an address.
func (r *reply) goes(to string) *reply {
	r.t.Helper()
	if got := r.header.Get("Location"); r.status != http.StatusSeeOther || got != to {
		r.t.Fatalf("%s %s answered %d to %q, want 303 to %q: %s", r.method, r.url, r.status, got, to, r.text())
	}
	return r
}

// notes fails the test unless the page that the response redirects to shows the notice with the key for the number, and
// shows it only once. It does not check the names in it.
func (r *reply) notes(key string, n int) *reply {
	r.t.Helper()
	want := strings.ReplaceAll(regexp.QuoteMeta(panel.Notice(key, n)), `\{`, "{")
	want = regexp.MustCompile(`\{\w+\\}`).ReplaceAllString(want, ".+")
	to := r.header.Get("Location")
	if got := r.by.open(to).notice(); !regexp.MustCompile("^" + want + "$").MatchString(got) {
		r.t.Fatalf("%s %s: got the notice %q on %s, want %q", r.method, r.url, got, to, want)
	}
	if got := r.by.open(to).notice(); got != "" {
		r.t.Fatalf("%s %s: got the notice %q again, want none", r.method, r.url, got)
	}
	return r
}

// notice returns the text of the page's notice, or "".
func (r *reply) notice() string {
	for _, p := range r.all("p") {
		if class, _ := attribute(p, "class"); class == "notice" {
			return textOf(p)
		}
	}
	return ""
}

// document returns the page, parsed as browsers do.
func (r *reply) document() *html.Node {
	r.t.Helper()
	if r.parsed == nil {
		doc, err := html.Parse(strings.NewReader(r.body))
		if err != nil {
			r.t.Fatal(err)
		}
		r.parsed = doc
	}
	return r.parsed
}

// text returns the visible text of the page.
func (r *reply) text() string { return textOf(r.document()) }

// all returns the page's elements with a name.
func (r *reply) all(element string) []*html.Node {
	var found []*html.Node
	for n := range r.document().Descendants() {
		if n.Type == html.ElementNode && n.Data == element {
			found = append(found, n)
		}
	}
	return found
}

// links returns the addresses of the page's links, relative to the root.
func (r *reply) links() []string {
	var found []string
	for _, a := range r.all("a") {
		if to, ok := attribute(a, "href"); ok && !strings.HasPrefix(to, "#") {
			found = append(found, r.absolute(to))
		}
	}
	return found
}

// absolute resolves an address on the page, relative to the root. It returns an address on another host unchanged.
func (r *reply) absolute(to string) string {
	base, err := url.Parse(r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	at, err := base.Parse(to)
	if err != nil {
		r.t.Errorf("%s leads to %q: %v", r.url, to, err)
		return to
	}
	at.Fragment = ""
	return at.String()
}

// formOnPage is a form with its current values.
type formOnPage struct {
	method, action string
	values         url.Values
	// fields are its controls.
	fields []*html.Node
	// buttons are the names of its buttons. actions are the addresses of buttons with a formaction.
	buttons []string
	actions map[string]string
}

// forms returns the forms of the page.
func (r *reply) forms() []formOnPage {
	var found []formOnPage
	for _, element := range r.all("form") {
		f := formOnPage{method: http.MethodGet, action: r.url, values: url.Values{}, actions: map[string]string{}}
		if to, ok := attribute(element, "action"); ok {
			f.action = r.absolute(to)
		}
		if method, _ := attribute(element, "method"); strings.EqualFold(method, "post") {
			f.method = http.MethodPost
		}
		id, _ := attribute(element, "id")
		for n := range r.document().Descendants() {
			if owner, ok := attribute(n, "form"); ok && owner == id && id != "" {
				f.take(n)
			}
		}
		for n := range element.Descendants() {
			if _, elsewhere := attribute(n, "form"); !elsewhere {
				f.take(n)
			}
		}
		found = append(found, f)
	}
	return found
}

// take adds a control with its current value.
func (f *formOnPage) take(n *html.Node) {
	name, _ := attribute(n, "name")
	value, valued := attribute(n, "value")
	kind, _ := attribute(n, "type")
	switch {
	case n.Type != html.ElementNode:
	case n.Data == "button":
		label, _ := attribute(n, "aria-label")
		if label == "" {
			label = textOf(n)
		}
		f.buttons = append(f.buttons, label)
		if to, ok := attribute(n, "formaction"); ok {
			f.actions[label] = to
		}
	case name == "":
	case n.Data == "input":
		f.fields = append(f.fields, n)
		_, checked := attribute(n, "checked")
		if (kind == "checkbox" || kind == "radio") && !valued {
			value = "on"
		}
		if kind != "checkbox" && kind != "radio" || checked {
			f.values.Add(name, value)
		}
	case n.Data == "textarea":
		f.fields = append(f.fields, n)
		f.values.Add(name, textOf(n))
	case n.Data == "select":
		f.fields = append(f.fields, n)
		if chosen, there := chosenOf(n); there {
			f.values.Add(name, chosen)
		}
	}
}

// chosenOf returns the selected option of a select, or the first if none is selected.
func chosenOf(n *html.Node) (value string, there bool) {
	for o := range n.Descendants() {
		if o.Type != html.ElementNode || o.Data != "option" {
			continue
		}
		own, ok := attribute(o, "value")
		if !ok {
			own = textOf(o)
		}
		if _, selected := attribute(o, "selected"); selected {
			return own, true
		}
		if !there {
			value, there = own, true
		}
	}
	return value, there
}

func attribute(n *html.Node, name string) (value string, found bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// textOf returns the text in an element, with white space collapsed.
func textOf(n *html.Node) string {
	var words []string
	for d := range n.Descendants() {
		hidden := d.Parent != nil && (d.Parent.Data == "script" || d.Parent.Data == "style" ||
			d.Parent.Data == "title" && d.Parent.Namespace == "")
		if d.Type != html.TextNode || hidden {
			continue
		}
		parts := strings.Fields(d.Data)
		if before := d.PrevSibling; before != nil && before.Data == "wbr" && len(words) > 0 && len(parts) > 0 {
			words[len(words)-1] += parts[0]
			parts = parts[1:]
		}
		words = append(words, parts...)
	}
	return strings.Join(words, " ")
}
