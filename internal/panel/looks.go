package panel

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed templates static messages
var files embed.FS

// looks is all that makes pages of what handlers say: templates, messages and
// static files.
type looks struct {
	messages messages
	// pages parse their templates at the first call. Each has a copy of the shared
	// ones, which takes memory that only pages in use should take.
	pages  map[string]func() (*template.Template, error)
	assets map[string]asset
}

// asset is a static file.
type asset struct {
	content []byte
	kind    string
	// version changes with the content.
	version string
}

// theLooks are made when the first page is asked for: a server that answers
// programs alone neither waits for them nor keeps them in memory. They panic if
// a file that all pages need is broken, which no page would survive in a test.
var theLooks = sync.OnceValue(func() *looks {
	l, err := newLooks()
	if err != nil {
		panic(fmt.Errorf("make the control panel: %w", err))
	}
	return l
})

func newLooks() (*looks, error) {
	l := &looks{pages: map[string]func() (*template.Template, error){}, assets: map[string]asset{}}
	var err error
	if l.messages, err = readMessages(files, "messages/en"); err != nil {
		return nil, err
	}
	if err := l.readAssets(); err != nil {
		return nil, err
	}
	return l, l.readPages()
}

func (l *looks) readAssets() error {
	return fs.WalkDir(files, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		l.assets[strings.TrimPrefix(name, "static/")] = asset{content, mime.TypeByExtension(path.Ext(name)), hex.EncodeToString(sum[:6])}
		return nil
	})
}

// readPages prepares templates/*.html, each a page, with the layout and the parts
// that all of them share, templates/shared/*.html.
func (l *looks) readPages() error {
	shared, err := template.New("").Option("missingkey=error").Funcs(l.functions()).ParseFS(files, "templates/shared/*.html")
	if err != nil {
		return err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return err
	}
	for _, name := range names {
		l.pages[strings.TrimSuffix(path.Base(name), ".html")] = sync.OnceValues(func() (*template.Template, error) {
			page, err := shared.Clone()
			if err != nil {
				return nil, err
			}
			return page.ParseFS(files, name)
		})
	}
	return nil
}

// functions are what templates call.
func (l *looks) functions() template.FuncMap {
	return template.FuncMap{
		"t":     l.messages.text,
		"tn":    l.messages.count,
		"asset": l.address,
		"icon":  l.icon,
		"time":  moment,
		"short": shortTime,
		"args":  arguments,
		"join":  strings.Join,
	}
}

// address is where a browser finds a static file: at another place once its
// content is another, so that it may be kept for good.
func (l *looks) address(name string) (string, error) {
	a, there := l.assets[name]
	if !there {
		return "", fmt.Errorf("there is no static file %s", name)
	}
	return "/static/" + name + "?v=" + a.version, nil
}

// icon is a drawing to stand beside a text, or in a button that has a label.
func (l *looks) icon(name string) (template.HTML, error) {
	a, there := l.assets["icons/"+name+".svg"]
	if !there {
		return "", fmt.Errorf("there is no icon %s", name)
	}
	return template.HTML(a.content), nil //nolint:gosec // a file of ours
}

// shortTime is how pages write a time, in the viewer's zone.
func shortTime(zone *time.Location, at time.Time) string {
	return at.In(zone).Format("2 Jan 2006, 15:04")
}

// moment is a time in the viewer's zone, which programs can read, too.
func moment(zone *time.Location, at time.Time) template.HTML {
	return template.HTML(fmt.Sprintf(`<time datetime=%q title=%q>%s</time>`, //nolint:gosec // made of digits and letters
		at.UTC().Format(time.RFC3339), at.In(zone).Format("Monday, 2 January 2006, 15:04:05 MST"), shortTime(zone, at)))
}

// arguments makes a map of pairs, for a template that is given several things.
func arguments(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("args: %d is not an even number", len(pairs))
	}
	all := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("args: %v is no name", pairs[i])
		}
		all[name] = pairs[i+1]
	}
	return all, nil
}

// view is what the layout shows around each page. The page's own is in Data.
type view struct {
	Account  string
	Accounts int
	Email    string
	Nav      []section
	Notice   string
	Zone     *time.Location
	Path     string
	// Refused says that what was sent is shown again with what is wrong.
	Refused bool
	Data    any
}

// page answers with a page.
func (v *visit) page(status int, name string, data any) error {
	parsed, there := theLooks().pages[name]
	if !there {
		return fmt.Errorf("there is no page %s", name)
	}
	page, err := parsed()
	if err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	shown := view{Zone: v.zone, Data: data, Notice: v.notice(), Path: v.r.URL.Path, Refused: status == http.StatusUnprocessableEntity}
	if v.by != nil && v.account.ID == v.by.AccountID {
		shown.Account, shown.Accounts, shown.Email, shown.Nav = v.account.Name, v.accounts, v.by.Name, v.nav()
	}
	var text bytes.Buffer
	if err := page.ExecuteTemplate(&text, "layout", shown); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(text.Bytes()) // a browser that is gone misses nothing
	return nil
}

// static serves a file that every page may need.
func (v *visit) static() error {
	name := v.r.PathValue("file")
	found, there := theLooks().assets[name]
	if !there {
		return errNoPage()
	}
	if v.r.URL.Query().Get("v") == found.version {
		v.w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		v.w.Header().Set("Cache-Control", "no-cache")
	}
	v.w.Header().Set("Content-Type", found.kind)
	http.ServeContent(v.w, v.r, "", time.Time{}, bytes.NewReader(found.content))
	return nil
}

func (v *visit) favicon() error {
	v.r.SetPathValue("file", "favicon.svg")
	return v.static()
}
