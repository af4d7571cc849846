package panel

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"latchkey/internal/signin"
)

//go:embed templates static messages
var files embed.FS

// views holds the templates, messages and static files.
type views struct {
	messages messages
	// pages parse their templates on first use. Each page has a copy of the shared templates, so unused pages should
	// not take memory.
	pages  map[string]func() (*template.Template, error)
	assets map[string]asset
}

// asset is a static file.
type asset struct {
	content []byte
	kind    string
	// version changes with the content.
	version string
	// compressed returns the content with gzip, or nil if that does not make it smaller.
	compressed func() []byte
}

// newAsset returns a static file. It is compressed on the first request for it.
func newAsset(name string, content []byte) asset {
	sum := sha256.Sum256(content)
	kind := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".woff2" {
		kind = "font/woff2" // not every system knows it
	}
	return asset{content, kind, hex.EncodeToString(sum[:6]), sync.OnceValue(func() []byte { return compress(content) })}
}

// compress returns the content with gzip, or nil if that does not make it smaller.
func compress(content []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil || out.Len() >= len(content) {
		return nil
	}
	return out.Bytes()
}

// loadViews returns the views. They are built on the first request for a page, so that a server that only serves the
// API neither waits for it nor holds it in memory. It panics if a file that all pages need is broken, which every test
// of a page would find.
var loadViews = sync.OnceValue(func() *views {
	v, err := newViews()
	if err != nil {
		panic(fmt.Errorf("make the control panel: %w", err))
	}
	return v
})

func newViews() (*views, error) {
	v := &views{pages: map[string]func() (*template.Template, error){}, assets: map[string]asset{}}
	var err error
	if v.messages, err = readMessages(files, "messages/en"); err != nil {
		return nil, err
	}
	if err := v.readAssets(); err != nil {
		return nil, err
	}
	return v, v.readPages()
}

func (v *views) readAssets() error {
	err := fs.WalkDir(files, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		v.assets[strings.TrimPrefix(name, "static/")] = newAsset(name, content)
		return nil
	})
	if err != nil {
		return err
	}
	styles, err := v.linked(v.assets[stylesheet].content)
	v.assets[stylesheet] = newAsset(stylesheet, styles)
	return err
}

// stylesheet is the name of the stylesheet of all pages.
const stylesheet = "panel.css"

// fileInStyles matches a static file that the stylesheet refers to.
var fileInStyles = regexp.MustCompile(`url\("([^"]+)"\)`)

// linked returns the stylesheet with the addresses of the files that it refers to.
func (v *views) linked(styles []byte) ([]byte, error) {
	var missing error
	linked := fileInStyles.ReplaceAllFunc(styles, func(found []byte) []byte {
		address, err := v.address(string(fileInStyles.FindSubmatch(found)[1]))
		missing = errors.Join(missing, err)
		return []byte(`url("` + address + `")`)
	})
	return linked, missing
}

// readPages prepares the pages templates/*.html. Each includes the layout and the shared parts in
// templates/shared/*.html.
func (v *views) readPages() error {
	shared, err := template.New("").Option("missingkey=error").Funcs(v.functions()).ParseFS(files,
		"templates/shared/*.html")
	if err != nil {
		return err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return err
	}
	for _, name := range names {
		v.pages[strings.TrimSuffix(path.Base(name), ".html")] = sync.OnceValues(func() (*template.Template, error) {
			page, err := shared.Clone()
			if err != nil {
				return nil, err
			}
			return page.ParseFS(files, name)
		})
	}
	return nil
}

// functions returns the functions that templates call.
func (v *views) functions() template.FuncMap {
	return template.FuncMap{
		"t":          v.messages.text,
		"tn":         v.messages.count,
		"asset":      v.address,
		"icon":       v.icon,
		"time":       timeElement,
		"when":       v.messages.relativeElement,
		"clock":      clockElement,
		"hour":       hourElement,
		"short":      shortTime,
		"day":        dayText,
		"month":      monthText,
		"money":      moneyText,
		"shortmonth": shortMonth,
		"args":       arguments,
		"join":       strings.Join,
		"breakable":  breakable,
		"unbroken":   unbroken,
		"prose":      prose,
		"list":       v.messages.list,
		"language":   languageName,
	}
}

// address returns the URL of a static file. It changes with the content, so browsers may cache it permanently.
func (v *views) address(name string) (string, error) {
	a, there := v.assets[name]
	if !there {
		return "", fmt.Errorf("no static file %s", name)
	}
	return "/static/" + name + "?v=" + a.version, nil
}

// icon returns an SVG that stands beside a text or in a labelled button.
func (v *views) icon(name string) (template.HTML, error) {
	a, there := v.assets["icons/"+name+".svg"]
	if !there {
		return "", fmt.Errorf("no icon %s", name)
	}
	return template.HTML(a.content), nil //nolint:gosec // an embedded file
}

// partOfAddress matches a part of a URL or an email address with the characters after which a line may break.
var partOfAddress = regexp.MustCompile(`[^/@_?&=-]+[/@_?&=-]*|[/@_?&=-]+`)

// breakable returns a URL or an email address that a narrow place breaks between its parts, and not within a word.
func breakable(text string) template.HTML {
	parts := partOfAddress.FindAllString(text, -1)
	for i := range parts {
		parts[i] = template.HTMLEscapeString(parts[i])
	}
	return template.HTML(strings.Join(parts, "<wbr>")) //nolint:gosec // its parts are escaped
}

// unbroken returns a name that no line breaks between its words.
func unbroken(name string) string { return strings.ReplaceAll(name, " ", "\u00a0") }

// prose returns a description with its parts in backticks as code.
func prose(description string) template.HTML {
	var text strings.Builder
	for i, part := range strings.Split(description, "`") {
		if part = template.HTMLEscapeString(part); i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		text.WriteString(part)
	}
	return template.HTML(text.String()) //nolint:gosec // its parts are escaped
}

// arguments makes a map from pairs of name and value, for a template that takes several values.
func arguments(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("args: odd number of arguments: %d", len(pairs))
	}
	all := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("args: name %v is not a string", pairs[i])
		}
		all[name] = pairs[i+1]
	}
	return all, nil
}

// layout is the data of the layout around each page.
type layout struct {
	// Account is the account's name, and Role the visitor's role in it.
	Account, Role, Email string
	// Others are other accounts of the visitor.
	Others []signin.Membership
	Nav    []section
	// Notice is the message about what the visitor just did, and Warns reports whether it did not work.
	Notice string
	Warns  bool
	// Kept reports whether the page has a form that was kept (refill).
	Kept bool
	Zone *time.Location
	Now  time.Time
	Path string
	// Theme is the theme that the visitor chose, and Themes are the choices.
	Theme  string
	Themes []string
	// Refused reports whether the page shows a submitted form again with its errors.
	Refused bool
}

// layout returns the data of the layout for a page with the status.
func (q *request) layout(status int) layout {
	shown := layout{Zone: q.zone, Now: q.now(), Path: q.r.URL.Path, Theme: q.theme(),
		Themes:  themes,
		Refused: status == http.StatusUnprocessableEntity}
	shown.Notice, shown.Warns = q.takeNotice()
	q.kept = q.takeKept(status)
	shown.Kept = q.kept != nil
	if q.by != nil && q.account.ID == q.by.AccountID {
		shown.Account, shown.Email, shown.Role, shown.Nav = q.account.Name, q.by.Name, q.role(), q.nav()
		for _, m := range q.memberships {
			if m.ID != q.account.ID && len(shown.Others) < mostOthers {
				shown.Others = append(shown.Others, m)
			}
		}
	}
	return shown
}

// mostOthers is how many other accounts the account menu shows at most.
const mostOthers = 5

// Initial returns the first letter of the account's name.
func (l layout) Initial() string {
	first, _ := utf8.DecodeRuneInString(l.Account)
	return strings.ToUpper(string(first))
}

// role returns the visitor's role in the account.
func (q *request) role() string {
	switch {
	case q.by.OwnsAccount(q.by.AccountID):
		return q.text("nav.roles.owner")
	case q.by.OwnsAStore():
		return q.text("nav.roles.store_owner")
	}
	return q.text("nav.roles.member")
}

// render writes the page with the name. content is a contentOf the page's data.
func (q *request) render(status int, name string, content any) error {
	parsed, there := loadViews().pages[name]
	if !there {
		return fmt.Errorf("no page %s", name)
	}
	page, err := parsed()
	if err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	var text bytes.Buffer
	if err := page.ExecuteTemplate(&text, "layout", content); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	shown := text.Bytes()
	if q.kept != nil {
		if shown, err = refill(shown, q.kept); err != nil {
			return fmt.Errorf("page %s: %w", name, err)
		}
	}
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	q.w.WriteHeader(status)
	_, _ = q.w.Write(shown) // the client may have disconnected
	return nil
}
