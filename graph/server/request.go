package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"latchkey/internal/fault"
)

// params are the parameters of a request (GraphQL over HTTP, section "Request
// Parameters"). Extensions are ignored if the request has a query.
type params struct {
	query         string
	operationName string
	// variables are as encoding/json decodes them, with numbers as json.Number.
	variables map[string]any
}

func badRequest(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, fault.Invalid, format, args...)
}

func notOverGET() *refusal {
	refused := refuse(http.StatusMethodNotAllowed, fault.Invalid, "Send mutations with POST.")
	refused.allow = http.MethodPost
	return refused
}

// readRequest reads the parameters of a request. It uses room as the buffer of
// the body; the parameters do not refer to it.
func readRequest(r *http.Request, room *bytes.Buffer) (params, *refusal) {
	switch r.Method {
	case http.MethodGet:
		return readURL(r.URL.RawQuery)
	case http.MethodPost:
		return readBody(r, room)
	default:
		refused := refuse(http.StatusMethodNotAllowed, fault.Invalid, "Send a request with POST, or a query with GET.")
		refused.allow = "GET, POST"
		return params{}, refused
	}
}

func readBody(r *http.Request, room *bytes.Buffer) (params, *refusal) {
	if !isJSON(r.Header["Content-Type"]) {
		return params{}, refuse(http.StatusUnsupportedMediaType, fault.Invalid,
			"Send the request as Content-Type: application/json, in UTF-8.")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return params{}, refuse(http.StatusUnsupportedMediaType, fault.Invalid,
			"Send the request without a Content-Encoding.")
	}
	if _, err := room.ReadFrom(r.Body); err != nil {
		return params{}, bodyError(err)
	}
	return decodeParams(room.Bytes())
}

// bodyError returns the refusal of a request whose body cannot be read.
func bodyError(err error) *refusal {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, fault.Invalid,
			"The request body is larger than %d bytes. Send a smaller one.", tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, fault.Invalid,
			"The request's body did not arrive in time. Send it faster, or less at once.")
	default:
		return badRequest("The request's body could not be read to its end.")
	}
}

// isJSON reports whether requests may have the Content-Type. The default charset
// is UTF-8. ASCII is a subset of it, and some clients spell it "utf8".
func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	if contentType[0] == "application/json" { // fast path for the value that most clients send
		return true
	}
	name, parameters, err := mime.ParseMediaType(contentType[0])
	charset, hasCharset := parameters["charset"]
	if err != nil || name != "application/json" {
		return false
	}
	switch strings.ToLower(charset) {
	case "utf-8", "utf8", "us-ascii":
		return true
	default:
		return !hasCharset
	}
}

// readURL reads the parameters of a GET request.
func readURL(rawQuery string) (params, *refusal) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return params{}, badRequest("The URL has malformed query parameters.")
	}
	for name, all := range values {
		if len(all) > 1 || !utf8.ValidString(all[0]) {
			return params{}, badRequest("The query parameter %.40q must be in the URL once, in UTF-8.", name)
		}
	}
	p := params{query: values.Get("query"), operationName: values.Get("operationName")}
	extensions, refused := readMap("extensions", []byte(values.Get("extensions")))
	if refused != nil {
		return params{}, refused
	}
	if p.query == "" {
		return params{}, missingQuery(extensions)
	}
	p.variables, refused = readMap("variables", []byte(values.Get("variables")))
	return p, refused
}

// persistedQueryNotSupported is the error code that makes clients with Apollo's
// automatic persisted queries send the query itself.
const persistedQueryNotSupported fault.Kind = "PERSISTED_QUERY_NOT_SUPPORTED"

// missingQuery returns the refusal of a request without a query. For the hash of
// a persisted query, it is that of an Apollo Server without persisted queries.
func missingQuery(extensions map[string]any) *refusal {
	if extensions["persistedQuery"] != nil {
		return refuse(http.StatusOK, persistedQueryNotSupported, "PersistedQueryNotSupported")
	}
	return badRequest("The request has no query. Send it as the parameter \"query\".")
}

// readMap reads a parameter that is an object, null or missing.
func readMap(name string, text []byte) (map[string]any, *refusal) {
	switch string(text) { // fast path for the value that most clients send that has none
	case "", "null", "{}":
		return nil, nil
	}
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := d.Decode(&m)
	if err == nil {
		_, err = d.Token()
	}
	if !errors.Is(err, io.EOF) {
		return nil, badRequest("The parameter %q must be an object, in JSON.", name)
	}
	return m, nil
}
