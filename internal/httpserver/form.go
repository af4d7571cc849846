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
	// maxForm is the largest body of a form in bytes, more than a request for
	// every scope there is takes.
	maxForm = 16 << 10
	// maxParameters is the most parameters of a form.
	maxParameters = 16
)

// form is the parameters of a request (RFC 6749, appendix B). Each is there
// once, and none is empty.
type form struct {
	names, values [maxParameters]string
	size          int
}

// get returns the parameter's value; empty if it is not there.
func (f *form) get(name string) string {
	for i := range f.size {
		if f.names[i] == name {
			return f.values[i]
		}
	}
	return ""
}

// parse adds the parameters of a body. One without a value counts as not sent,
// and none may be sent twice (RFC 6749, section 3.2).
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
			return badRequest("A parameter is there twice. Send each once.")
		case f.size == maxParameters:
			return badRequest(fmt.Sprintf("There are more than %d parameters.", maxParameters))
		}
		f.names[f.size], f.values[f.size] = name, value
		f.size++
	}
	return nil
}

// unescape undoes the encoding of forms, and says whether it is one.
func unescape(text string) (string, bool) {
	if !strings.ContainsAny(text, "%+") {
		return text, true
	}
	decoded, err := url.QueryUnescape(text)
	return decoded, err == nil
}

// readForm reads the request's body, which must be a form, into f: its caller
// has room for that where nothing has to be cleaned up.
func (p *public) readForm(x *exchange, r *http.Request, f *form) error {
	if !isForm(r.Header["Content-Type"]) {
		return badRequest("Send the parameters in the body, with Content-Type: application/x-www-form-urlencoded.")
	}
	limit := min(maxForm, p.Limits.MaxBody)
	if r.ContentLength > int64(limit) {
		return tooLong(limit)
	}
	body, err := readBody(x, r, limit)
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
	return &oauthError{http.StatusRequestEntityTooLarge, "invalid_request", fmt.Sprintf("The body has more than %d bytes.", limit)}
}

// readBody reads a body whose length, where it is known, is within the limit.
func readBody(x *exchange, r *http.Request, limit int) ([]byte, error) {
	if r.ContentLength < 0 {
		return io.ReadAll(http.MaxBytesReader(x.ResponseWriter, r.Body, int64(limit)))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// isForm says whether the media type is that of forms, with whatever
// parameters: they change nothing.
func isForm(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	media, _, _ := strings.Cut(contentType[0], ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded")
}
