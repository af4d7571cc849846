package httpserver

import (
	"encoding/json"
	"fmt"
	"net/http"

	"latchkey/internal/fault"
)

// header is a header of every answer, with its name in canonical form. The
// values are shared by all answers and never changed.
type header struct {
	name   string
	values []string
}

// securityHeaders are for browsers that come across the API: nothing here is
// a page, nothing may be taken for one, and nothing may be kept. They are few,
// since writing and reading them is a good part of what it costs to refuse a
// request: the first is the only one for answers without content, and the last
// is none for refusals (see exchange.complete).
func securityHeaders(https bool) []header {
	all := []header{{"Cache-Control", []string{"no-store"}}}
	if https {
		// RFC 6797: a year. Only where https is known to work.
		all = append(all, header{"Strict-Transport-Security", []string{"max-age=31536000"}})
	}
	return append(all, header{"X-Content-Type-Options", []string{"nosniff"}})
}

// problem answers an error of HTTP in the form of the errors of the API, or of
// OAuth where that is spoken, so that a client needs to know one form only.
func (x *exchange) problem(status int, code fault.Kind, message string) {
	if x.route.oauth {
		known := "invalid_request"
		if code == fault.Internal {
			known = "server_error"
		}
		x.oauthError(&oauthError{status, known, message})
		return
	}
	type extensions struct {
		Code      fault.Kind `json:"code"`
		RequestID string     `json:"requestId"`
	}
	type apiError struct {
		Message    string     `json:"message"`
		Extensions extensions `json:"extensions"`
	}
	writeJSON(x, status, map[string][]apiError{"errors": {{message, extensions{code, x.requestID[0]}}}})
}

func (x *exchange) tooLarge(limit int) {
	x.Header().Set("Connection", "close")
	x.problem(http.StatusRequestEntityTooLarge, fault.Invalid, fmt.Sprintf("The request's body has more than %d bytes. Send less at once.", limit))
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// A client that is gone is no failure of ours.
	_ = json.NewEncoder(w).Encode(body)
}
