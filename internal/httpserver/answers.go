package httpserver

import (
	"encoding/json"
	"fmt"
	"net/http"

	"latchkey/internal/fault"
	"latchkey/internal/scim"
)

// header is a header that every response has. name is in canonical form. All
// responses share values, which must not be modified.
type header struct {
	name   string
	values []string
}

// securityHeaders returns the headers that protect browsers that open the API:
// a response must not be sniffed as HTML or cached. There are few of them
// because writing and parsing headers is a large part of the cost of a refused
// request. Responses without content get only the first one; refusals get all
// but the last (see requestState.addHeaders).
func securityHeaders(https bool) []header {
	all := []header{{"Cache-Control", []string{"no-store"}}}
	if https {
		// RFC 6797: one year. Sent only if clients are known to use HTTPS.
		all = append(all, header{"Strict-Transport-Security", []string{"max-age=31536000"}})
	}
	return append(all, header{"X-Content-Type-Options", []string{"nosniff"}})
}

// problem writes an HTTP error in the format of the API's errors, or of OAuth's
// or SCIM's on their routes, so that a client has to parse only one format.
func (rs *requestState) problem(status int, code fault.Kind, message string) {
	if rs.route.oauth {
		known := "invalid_request"
		if code == fault.Internal {
			known = "server_error"
		}
		rs.oauthError(&oauthError{status, known, message})
		return
	}
	if rs.route.scim {
		rs.Header().Set("Content-Type", scim.MediaType)
		rs.WriteHeader(status)
		// An error means that the client closed the connection.
		_ = json.NewEncoder(rs).Encode(&scim.Error{Status: status, Detail: message})
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
	writeJSON(rs, status, map[string][]apiError{"errors": {{message, extensions{code, rs.requestID[0]}}}})
}

func (rs *requestState) tooLarge(limit int) {
	rs.Header().Set("Connection", "close")
	rs.problem(http.StatusRequestEntityTooLarge, fault.Invalid,
		fmt.Sprintf("The request body is larger than %d bytes. Send a smaller one.", limit))
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// An error means that the client closed the connection.
	_ = json.NewEncoder(w).Encode(body)
}
