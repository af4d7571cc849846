package graph

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
// Parameters"). Extensions may be sent and are ignored where there is a query.
type params struct {
	query         string
	operationName string
	// variables are as encoding/json has them, numbers as json.Number.
	variables map[string]any
}

func badRequest(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, fault.Invalid, format, args...)
}

func notOverGET() *refusal {
	refused := refuse(http.StatusMethodNotAllowed, fault.Invalid, "A mutation is sent with POST.")
	refused.allow = http.MethodPost
	return refused
}

// readRequest reads the parameters of a request. It needs room for the body,
// of which nothing is left in use.
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
		return params{}, refuse(http.StatusUnsupportedMediaType, fault.Invalid, "Send the request as Content-Type: application/json, in UTF-8.")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return params{}, refuse(http.StatusUnsupportedMediaType, fault.Invalid, "Send the request without a Content-Encoding.")
	}
	if _, err := room.ReadFrom(r.Body); err != nil {
		return params{}, unread(err)
	}
	return decodeParams(room.Bytes())
}

// unread is what a request is refused for whose body cannot be read.
func unread(err error) *refusal {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, fault.Invalid,
			"The request's body has more than %d bytes. Send less at once.", tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, fault.Invalid, "The request's body did not arrive in time. Send it faster, or less at once.")
	default:
		return badRequest("The request's body could not be read to its end.")
	}
}

// isJSON reports whether a Content-Type is one that requests may have. Without a
// charset the text is UTF-8, as JSON is. ASCII is part of UTF-8, and "utf8" is
// what some programs call it.
func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	if contentType[0] == "application/json" { // what nearly every client sends
		return true
	}
	name, parameters, err := mime.ParseMediaType(contentType[0])
	charset, given := parameters["charset"]
	if err != nil || name != "application/json" {
		return false
	}
	switch strings.ToLower(charset) {
	case "utf-8", "utf8", "us-ascii":
		return true
	default:
		return !given
	}
}

// readURL reads the parameters of a GET request.
func readURL(rawQuery string) (params, *refusal) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return params{}, badRequest("The parameters in the address are not well-formed.")
	}
	for name, all := range values {
		if len(all) > 1 || !utf8.ValidString(all[0]) {
			return params{}, badRequest("The parameter %.40q in the address must be there once, in UTF-8.", name)
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

// persistedQueryNotSupported is the code that clients of Apollo's automatic
// persisted queries act on: they send the query itself then.
const persistedQueryNotSupported fault.Kind = "PERSISTED_QUERY_NOT_SUPPORTED"

// missingQuery refuses a request without a query. One that names a persisted
// query by its hash is answered as Apollo Server does that keeps none.
func missingQuery(extensions map[string]any) *refusal {
	if extensions["persistedQuery"] != nil {
		return refuse(http.StatusOK, persistedQueryNotSupported, "PersistedQueryNotSupported")
	}
	return badRequest("The request has no query. Send it as the parameter \"query\".")
}

// readMap reads a parameter that is an object, or absent, or null.
func readMap(name string, text []byte) (map[string]any, *refusal) {
	switch string(text) { // what nearly every client sends that has none
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
