package httpserver

import (
	"net/http"
	"slices"
	"strings"
)

// cors lets web pages of other origins call a route from a browser (Fetch
// Standard, "CORS protocol"). It never allows credentials: browsers then send
// neither cookies nor client certificates, and a page must send an access token
// itself. Names of headers are in canonical form.
type cors struct{ origins []string }

var (
	varyOrigin      = []string{"Origin"}
	varyPreflight   = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	corsMethods     = []string{"GET, POST"}
	corsHeaders     = []string{"Authorization, Content-Type, X-Auth-Token"}
	corsPreflightOK = []string{"600"} // seconds for which a browser need not ask again
	corsExposed     = []string{strings.Join([]string{requestIDHeader, "Retry-After", "Www-Authenticate",
		"X-Rate-Limit-Requests-Quota", "X-Rate-Limit-Requests-Left", "X-Rate-Limit-Time-Reset-Ms",
		"X-Rate-Limit-Time-Window-Ms"}, ", ")}
)

// newCORS returns nil if there are no origins: the route then answers as if it
// did not know the protocol.
func newCORS(origins []string) *cors {
	if len(origins) == 0 {
		return nil
	}
	return &cors{origins}
}

// answer adds the headers for the origin of the request, and reports whether
// it answered the request, which is a preflight then.
func (c *cors) answer(rs *requestState, r *http.Request) bool {
	h := rs.Header()
	preflight := r.Method == http.MethodOptions && len(r.Header["Access-Control-Request-Method"]) > 0
	if h["Vary"] = varyOrigin; preflight {
		h["Vary"] = varyPreflight
	}
	origin := r.Header["Origin"]
	if len(origin) != 1 || !slices.Contains(c.origins, origin[0]) {
		return false
	}
	h["Access-Control-Allow-Origin"] = origin
	if !preflight {
		h["Access-Control-Expose-Headers"] = corsExposed
		return false
	}
	h["Access-Control-Allow-Methods"] = corsMethods
	h["Access-Control-Allow-Headers"] = corsHeaders
	h["Access-Control-Max-Age"] = corsPreflightOK
	rs.WriteHeader(http.StatusNoContent)
	return true
}
