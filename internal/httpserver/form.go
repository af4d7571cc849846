package httpserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

const (
	// maxForm is the maximum size of a form body in bytes. A request for all
	// scopes fits.
	maxForm = 16 << 10
	// maxParameters is the maximum number of parameters of a form.
	maxParameters = 16
)

// form holds the parameters of a request (RFC 6749, appendix B). Names are
// unique and values are not empty.
type form struct {
	names, values [maxParameters]string
	size          int
}

// get returns the value of a parameter, or "" if it is missing.
func (f *form) get(name string) string {
	for i := range f.size {
		if f.names[i] == name {
			return f.values[i]
		}
	}
	return ""
}

// parse adds the parameters of a body. A parameter without a value counts as
// missing, and none may be repeated (RFC 6749, section 3.2).
func (f *form) parse(body string) error {
	for more := body != ""; more; {
		var pair string
		pair, body, more = strings.Cut(body, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, nameOK := unescape(name)
		value, valueOK := unescape(value)
		switch {
		case !nameOK || !valueOK:
			return badRequest("The body is not application/x-www-form-urlencoded.")
		case value == "":
			continue
		case f.get(name) != "":
			return badRequest("A parameter is repeated. Send each one once.")
		case f.size == maxParameters:
			return badRequest(fmt.Sprintf("The body has more than %d parameters.", maxParameters))
		}
		f.names[f.size], f.values[f.size] = name, value
		f.size++
	}
	return nil
}

// unescape decodes form-encoded text and reports whether it is valid.
func unescape(text string) (string, bool) {
	if !strings.ContainsAny(text, "%+") {
		return text, true
	}
	decoded, err := url.QueryUnescape(text)
	return decoded, err == nil
}

// readForm parses the request's body, which must be a form, into f. The caller
// passes f so that it can be allocated on the stack.
func (o *oauthServer) readForm(rs *requestState, r *http.Request, f *form) error {
	if !isForm(r.Header["Content-Type"]) {
		return badRequest("Send the parameters in the body, with Content-Type: application/x-www-form-urlencoded.")
	}
	limit := min(maxForm, o.limits.MaxBody)
	if r.ContentLength > int64(limit) {
		return tooLong(limit)
	}
	body, err := readBody(rs, r, limit)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLong(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &oauthError{http.StatusRequestTimeout, "invalid_request", "The body did not arrive in time."}
	case err != nil:
		return badRequest("The body cannot be read.")
	}
	return f.parse(string(body))
}

func tooLong(limit int) error {
	return &oauthError{http.StatusRequestEntityTooLarge, "invalid_request",
		fmt.Sprintf("The body has more than %d bytes.", limit)}
}

// readBody reads a body of at most limit bytes. The caller has checked the
// Content-Length, if there is one.
func readBody(rs *requestState, r *http.Request, limit int) ([]byte, error) {
	if r.ContentLength < 0 {
		return io.ReadAll(http.MaxBytesReader(rs.ResponseWriter, r.Body, int64(limit)))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// isForm reports whether the media type is that of forms. Its parameters are
// ignored because none is defined.
func isForm(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	media, _, _ := strings.Cut(contentType[0], ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded")
}
