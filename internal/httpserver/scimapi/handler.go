// Package scimapi serves SCIM 2.0 over HTTP (RFC 7644) for identity providers: it decodes requests, calls package
// directory and writes answers. The requests are authenticated already.
package scimapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/directory"
	"latchkey/internal/fault"
	"latchkey/internal/scim"
)

// Handler serves the SCIM API of all accounts. A request must have its principal in the context (package auth), and as
// path values the account's UUID, "account_uuid", and the path below the API's address, "resource".
type Handler struct {
	directory *directory.Service
	publicURL string
	log       *slog.Logger
}

// New returns a handler. publicURL is the base URL of the service, without a trailing slash.
func New(d *directory.Service, publicURL string, log *slog.Logger) *Handler {
	return &Handler{directory: d, publicURL: publicURL, log: log}
}

// request is one request with its answer.
type request struct {
	*http.Request

	h    *Handler
	w    http.ResponseWriter
	by   *auth.Principal
	base string
	// note is what is recorded of the request.
	note directory.Request
	// leave ends an expensive read of the account, once its result is encoded or the request fails.
	leave func()
}

// ServeHTTP serves a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	by, err := auth.From(r.Context())
	if err != nil {
		WriteError(w, r, err)
		return
	}
	if isStranger(by, r.PathValue("account_uuid")) {
		WriteError(w, r, errStranger)
		return
	}
	if err := directory.MayDiscover(by); err != nil {
		WriteError(w, r, err)
		return
	}
	if r.Method == http.MethodHead { // net/http leaves out the body
		r = r.WithContext(r.Context())
		r.Method = http.MethodGet
	}
	q := &request{Request: r, h: h, w: w, by: by, leave: func() {},
		base: directory.BaseURL(h.publicURL, by.AccountID)}
	defer q.done()
	q.note.Method = r.Method
	if err := q.serve(); err != nil {
		q.fail(err) //nolint:contextcheck // the request has the context
	}
	h.directory.Note(by, q.note)
}

// errStranger is the error for a token of another account. It is the same whether the account exists or not.
var errStranger = &scim.Error{
	Status: http.StatusForbidden,
	Detail: "This token does not work here. Use an account-level API token of the account whose UUID is in the address.",
}

// isStranger reports whether the principal does not belong to the account, or only to one of its stores.
func isStranger(by *auth.Principal, account string) bool {
	return by.StoreID != uuid.Nil || by.AccountID == uuid.Nil || by.AccountID.String() != strings.ToLower(account)
}

// fail answers with an error, and logs it unless it has a message for the client.
func (q *request) fail(err error) {
	e := scim.ErrorOf(err)
	if e.Status == http.StatusInternalServerError && errors.Is(q.Context().Err(), context.DeadlineExceeded) {
		e = scim.ErrBusy
		err = e
	}
	if fault.KindOf(err) == fault.Internal && !errors.As(err, new(*scim.Error)) && q.Context().Err() == nil {
		q.h.log.LogAttrs(q.Context(), slog.LevelError, "SCIM request failed", slog.Any("error", err),
			slog.String("request_id", q.by.Origin.RequestID))
	}
	q.note.Status, q.note.Detail = e.Status, e.Detail
	WriteError(q.w, q.Request, err)
}

// WriteError answers a request with an error in the form of SCIM.
func WriteError(w http.ResponseWriter, _ *http.Request, err error) {
	e := scim.ErrorOf(err)
	if e.Status == http.StatusServiceUnavailable {
		w.Header()["Retry-After"] = []string{"1"}
	}
	writeJSON(w, e.Status, e)
}

// writeJSON answers with a JSON document.
func writeJSON(w http.ResponseWriter, status int, body any) { writeText(w, status, encoded(body)) }

// encoded returns a JSON document.
func encoded(body any) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(body) // documents and errors have only values that can be encoded
	return text.Bytes()
}

func writeText(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", scim.MediaType)
	w.WriteHeader(status)
	_, _ = w.Write(text) // an error means that the client closed the connection
}

// answer answers with a document, if it is not nil.
func (q *request) answer(status int, body any) error {
	q.note.Status = status
	if body == nil {
		q.w.WriteHeader(status)
		return nil
	}
	text := encoded(body)
	// The expensive read ends afterwards, so that at most one answer more is in memory.
	sent, err := q.h.directory.Send(q.Context(), q.by, len(text))
	if err != nil {
		return err
	}
	defer sent()
	q.done() // a client that reads slowly does not keep others waiting
	writeText(q.w, status, text)
	return nil
}

// done ends the expensive read of the request, if there is one.
func (q *request) done() {
	q.leave()
	q.leave = func() {}
}

// methods are the handlers of a resource, by HTTP method.
type methods map[string]func(*request) error

// serve finds the resource and calls the handler of the method.
func (q *request) serve() error {
	parts := strings.Split(strings.TrimSuffix(q.PathValue("resource"), "/"), "/")
	resource := canonical(parts[0])
	q.note.Resource = resource
	id := ""
	if len(parts) == 2 {
		id = parts[1]
	}
	if len(parts) > 2 {
		return errNoEndpoint
	}
	on, known := endpoints[endpoint{resource, kindOf(id)}]
	if !known {
		return errNoEndpoint
	}
	if kindOf(id) == one {
		q.SetPathValue("id", id)
		q.note.Subject = id
	}
	serve, allowed := on[q.Method]
	if !allowed {
		q.w.Header().Set("Allow", on.allow())
		return &scim.Error{
			Status: http.StatusMethodNotAllowed,
			Detail: "This address supports only " + on.allow() + ".",
		}
	}
	return serve(q)
}

// canonical returns the name of a resource with its usual case. Microsoft's reference client requests /users.
func canonical(resource string) string {
	for e := range endpoints {
		if strings.EqualFold(e.resource, resource) {
			return e.resource
		}
	}
	return resource
}

// endpoint is a resource of the API, as a list, one of the list, or its search.
type endpoint struct {
	resource string
	kind     kind
}

type kind int

const (
	list kind = iota
	one
	search
)

func kindOf(id string) kind {
	switch id {
	case "":
		return list
	case ".search":
		return search
	}
	return one
}

var (
	errNoEndpoint = &scim.Error{Status: http.StatusNotFound,
		Detail: "There is nothing at this address. The endpoints are /Users, /Groups, /ServiceProviderConfig, " +
			"/ResourceTypes and /Schemas below the account's SCIM address."}
	errNoMe = &scim.Error{Status: http.StatusNotImplemented,
		Detail: "/Me is not supported: an API token is not a user. Read a user at /Users."}
	errNoBulk = &scim.Error{Status: http.StatusNotImplemented,
		Detail: "/Bulk is not supported. Send the changes one by one."}
)

// endpoints are the resources of the API.
var endpoints = map[endpoint]methods{
	{"Users", list}:   {http.MethodGet: listUsers, http.MethodPost: createUser},
	{"Users", search}: {http.MethodPost: listUsers},
	{"Users", one}: {http.MethodGet: getUser, http.MethodPut: replaceUser, http.MethodPatch: patchUser,
		http.MethodDelete: deleteUser},
	{"Groups", list}:   {http.MethodGet: listGroups, http.MethodPost: createGroup},
	{"Groups", search}: {http.MethodPost: listGroups},
	{"Groups", one}: {http.MethodGet: getGroup, http.MethodPut: replaceGroup, http.MethodPatch: patchGroup,
		http.MethodDelete: deleteGroup},
	{".search", list}: {http.MethodPost: searchAll},

	{"ServiceProviderConfig", list}: {http.MethodGet: getConfig},
	{"ResourceTypes", list}:         {http.MethodGet: discover(scim.ResourceTypes)},
	{"ResourceTypes", one}:          {http.MethodGet: discover(scim.ResourceTypes)},
	{"Schemas", list}:               {http.MethodGet: discover(scim.Schemas)},
	{"Schemas", one}:                {http.MethodGet: discover(scim.Schemas)},

	{"Me", list}:   refuseAll(errNoMe),
	{"Bulk", list}: refuseAll(errNoBulk),
}

// allMethods are the methods that some address supports.
var allMethods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// refuseAll returns handlers that refuse every method with the error.
func refuseAll(err *scim.Error) methods {
	all := methods{}
	for _, m := range allMethods {
		all[m] = func(*request) error { return err }
	}
	return all
}

// allow returns the value of an Allow header.
func (m methods) allow() string {
	var names []string
	for _, name := range allMethods {
		if m[name] != nil {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// body returns the body of the request, which is not read unless the principal may make the request.
func (q *request) body(may func(*auth.Principal) error) ([]byte, error) {
	if err := may(q.by); err != nil {
		return nil, err
	}
	if text := q.Header.Get("Content-Type"); text != "" {
		media, _, err := mime.ParseMediaType(text)
		if err != nil || media != scim.MediaType && media != "application/json" {
			return nil, &scim.Error{Status: http.StatusUnsupportedMediaType,
				Detail: "Send the body as " + scim.MediaType + " or application/json."}
		}
	}
	body, err := io.ReadAll(q.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &scim.Error{Status: http.StatusRequestEntityTooLarge,
			Detail: "The body of the request is too large. Send fewer members in a request."}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &scim.Error{Status: http.StatusRequestTimeout, Detail: "The body of the request came too slowly."}
	case err != nil:
		return nil, &scim.Error{Status: http.StatusBadRequest, Type: "invalidSyntax",
			Detail: "The body of the request is incomplete."}
	}
	return body, nil
}

// search returns the parameters of a list: in the address, or of a POST in the body.
func (q *request) search() (scim.Search, error) {
	if q.Method != http.MethodPost {
		return scim.ReadQuery(q.URL.RawQuery)
	}
	body, err := q.body(directory.MayRead)
	if err != nil {
		return scim.Search{}, err
	}
	return scim.ReadSearch(body)
}

// one answers with a resource, in the selection of the address. A GET that names its version is answered with 304.
func (q *request) one(status int, of *scim.ResourceType, d scim.Document, version, location string) error {
	selected, err := scim.ReadQuery(q.URL.RawQuery)
	if err != nil {
		return err
	}
	q.w.Header().Set("ETag", version)
	if q.Method == http.MethodGet {
		if known := strings.Join(
			q.Header.Values("If-None-Match"),
			",",
		); known != "" &&
			scim.MatchesTag(known, version) {
			return q.answer(http.StatusNotModified, nil)
		}
	}
	if status == http.StatusCreated {
		q.w.Header().Set("Location", location)
	}
	return q.answer(status, selected.Projection(of).Apply(d))
}

// ifMatch returns the value of the If-Match header, or "".
func (q *request) ifMatch() string { return strings.Join(q.Header.Values("If-Match"), ",") }

// getConfig answers with the configuration of the API.
func getConfig(q *request) error {
	return q.answer(http.StatusOK, scim.ServiceProviderConfig(q.base))
}

// discover returns the handler of a list of documents, and of one of them.
func discover(documents func(base string) []scim.Document) func(*request) error {
	return func(q *request) error {
		for name := range q.URL.Query() {
			if strings.EqualFold(name, "filter") {
				return scim.ErrDiscoveryFilter
			}
		}
		all := documents(q.base)
		if id := q.PathValue("id"); id != "" {
			d, err := scim.ByID(all, id)
			if err != nil {
				return err
			}
			return q.answer(http.StatusOK, d)
		}
		return q.answer(http.StatusOK, scim.ListResponse(int64(len(all)), 1, all))
	}
}
