package panel

import (
	"bytes"
	"net/http"
	"strings"
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
	q.w.Header().Set("Vary", "Accept-Encoding")
	content := found.content
	if acceptsGzip(q.r.Header) {
		if compressed := found.compressed(); compressed != nil {
			q.w.Header().Set("Content-Encoding", "gzip")
			content = compressed
		}
	}
	http.ServeContent(q.w, q.r, "", time.Time{}, bytes.NewReader(content))
	return nil
}

// acceptsGzip reports whether a request accepts gzip (RFC 9110, section 12.5.3). It ignores weights other than 0: all
// clients that accept gzip prefer it to no compression.
func acceptsGzip(h http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}

func serveFavicon(q *request) error {
	q.r.SetPathValue("file", "favicon.svg")
	return serveStatic(q)
}
