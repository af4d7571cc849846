package panel

import (
	"bytes"
	"net/http"
	"time"
)

func staticRoutes() []route {
	return []route{
		get("/static/{file...}", public, serveStatic),
		get("/favicon.ico", public, serveFavicon),
	}
}

// serveStatic serves a static file. Only the current version is cached permanently.
func serveStatic(q *request) error {
	name := q.r.PathValue("file")
	found, there := loadViews().assets[name]
	if !there {
		return errNoPage()
	}
	if q.r.URL.Query().Get("v") == found.version {
		q.w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		q.w.Header().Set("Cache-Control", "no-cache")
	}
	q.w.Header().Set("Content-Type", found.kind)
	http.ServeContent(q.w, q.r, "", time.Time{}, bytes.NewReader(found.content))
	return nil
}

func serveFavicon(q *request) error {
	q.r.SetPathValue("file", "favicon.svg")
	return serveStatic(q)
}
