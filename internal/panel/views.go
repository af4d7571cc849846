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
	return fs.WalkDir(files, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		v.assets[strings.TrimPrefix(name, "static/")] = asset{content, mime.TypeByExtension(path.Ext(name)),
			hex.EncodeToString(sum[:6])}
		return nil
	})
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
		"t":     v.messages.text,
		"tn":    v.messages.count,
		"asset": v.address,
		"icon":  v.icon,
		"time":  timeElement,
		"short": shortTime,
		"day":   dayText,
		"month": monthText,
		"args":  arguments,
		"join":  strings.Join,
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
	Account  string
	Accounts int
	Email    string
	Nav      []section
	Notice   string
	Zone     *time.Location
	Path     string
	// Refused reports whether the page shows a submitted form again with its errors.
	Refused bool
}

// layout returns the data of the layout for a page with the status.
func (q *request) layout(status int) layout {
	shown := layout{Zone: q.zone, Notice: q.notice(), Path: q.r.URL.Path,
		Refused: status == http.StatusUnprocessableEntity}
	if q.by != nil && q.account.ID == q.by.AccountID {
		shown.Account, shown.Accounts, shown.Email, shown.Nav = q.account.Name, q.accounts, q.by.Name, q.nav()
	}
	return shown
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
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	q.w.WriteHeader(status)
	_, _ = q.w.Write(text.Bytes()) // the client may have disconnected
	return nil
}
