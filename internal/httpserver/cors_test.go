package httpserver_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

// corsOf returns the headers of a response that browsers look at for CORS.
func corsOf(h http.Header) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
			all = append(all, name+": "+strings.Join(h[name], " | "))
		}
	}
	return strings.Join(all, "\n")
}

// Pages of the origins that the operator names, and of no others, may call the
// Account API from a browser. Credentials such as cookies are never allowed.
func TestCORS(t *testing.T) {
	const origin, other = "https://admin.example.com", "https://admin.example.com.evil.example"
	r := start(t, whoami, func(c *httpserver.Config) { c.CORSOrigins = []string{origin, "http://localhost:3000"} })
	const exposed = "Access-Control-Expose-Headers: X-Request-Id, Retry-After, Www-Authenticate, X-Rate-Limit-Requests-Quota, " +
		"X-Rate-Limit-Requests-Left, X-Rate-Limit-Time-Reset-Ms, X-Rate-Limit-Time-Window-Ms"
	const varies = "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	allowed := "Access-Control-Allow-Origin: " + origin
	for _, tc := range []struct {
		name, method, path string
		headers            []string
		status             int
		want               string
	}{
		{"preflight", "OPTIONS", apiPath, []string{"Origin: " + origin, "Access-Control-Request-Method: POST",
			"Access-Control-Request-Headers: content-type,x-auth-token"}, 204,
			"Access-Control-Allow-Headers: Authorization, Content-Type, X-Auth-Token\nAccess-Control-Allow-Methods: GET, POST\n" +
				allowed + "\nAccess-Control-Max-Age: 600\n" + varies},
		{"preflight of another origin", "OPTIONS", apiPath, []string{"Origin: " + other,
			"Access-Control-Request-Method: POST"}, 405, varies},
		{"preflight of no origin", "OPTIONS", apiPath, []string{"Access-Control-Request-Method: POST"}, 405, varies},
		{"preflight of a sandboxed page", "OPTIONS", apiPath, []string{"Origin: null",
			"Access-Control-Request-Method: POST"}, 405, varies},
		{"OPTIONS that is not a preflight", "OPTIONS", apiPath, []string{"Origin: " + origin}, 405,
			allowed + "\n" + exposed + "\nVary: Origin"},
		{"request", "POST", apiPath, []string{"Origin: " + origin, "X-Auth-Token: " + goodToken}, 200,
			allowed + "\n" + exposed + "\nVary: Origin"},
		{"request of the second origin", "POST", apiPath, []string{"Origin: http://localhost:3000",
			"X-Auth-Token: " + goodToken}, 200,
			"Access-Control-Allow-Origin: http://localhost:3000\n" + exposed + "\nVary: Origin"},
		{"refused request", "POST", apiPath, []string{"Origin: " + origin, "X-Auth-Token: lka_wrong"}, 401,
			allowed + "\n" + exposed + "\nVary: Origin"},
		{"request of another origin", "POST", apiPath, []string{"Origin: " + other, "X-Auth-Token: " + goodToken}, 200,
			"Vary: Origin"},
		{"two origins", "POST", apiPath, []string{"Origin: " + origin, "Origin: " + other,
			"X-Auth-Token: " + goodToken}, 200, "Vary: Origin"},
		{"request of no page", "POST", apiPath, []string{"X-Auth-Token: " + goodToken}, 200, "Vary: Origin"},
		{"gateway check", "OPTIONS", "/gateway/check", []string{"Origin: " + origin,
			"Access-Control-Request-Method: POST"}, 401, ""},
		{"OAuth", "OPTIONS", "/oauth2/token", []string{"Origin: " + origin,
			"Access-Control-Request-Method: POST"}, 405, ""},
		{"unknown address", "OPTIONS", "/nothing", []string{"Origin: " + origin,
			"Access-Control-Request-Method: POST"}, 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := r.do(t, tc.method, r.public+tc.path, "{}", tc.headers...)
			check.Equal(t, got.StatusCode, tc.status, "status: %s", got.text)
			check.Equal(t, corsOf(got.Header), tc.want, "headers")
		})
	}
}

// Without --cors-origins, no page of another origin can call the Account API,
// and responses do not mention the protocol.
func TestCORSIsOff(t *testing.T) {
	r := start(t, whoami, nil)
	for _, method := range []string{"OPTIONS", "POST"} {
		got := r.do(t, method, r.public+apiPath, "{}", "Origin: https://admin.example.com",
			"Access-Control-Request-Method: POST", "X-Auth-Token: "+goodToken)
		check.Equal(t, got.StatusCode, map[string]int{"OPTIONS": 405, "POST": 200}[method], "status of %s", method)
		check.Equal(t, corsOf(got.Header), "", "headers of %s", method)
	}
}
