package apiclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"latchkey/internal/fault"
)

// answer is what came back.
type answer struct {
	endpoint string
	status   int
	header   http.Header
	text     []byte
}

// document is an answer in the form of GraphQL.
type document struct {
	Data   json.RawMessage `json:"data"`
	Errors []problem       `json:"errors"`
}

// problem is one of an answer's errors.
type problem struct {
	Message    string `json:"message"`
	Extensions struct {
		Code           string   `json:"code"`
		Field          string   `json:"field"`
		RequiredScopes []string `json:"requiredScopes"`
		RequestID      string   `json:"requestId"`
	} `json:"extensions"`
}

// busy reports whether the server, or a proxy before it, may answer better in
// a moment.
func (a answer) busy() bool {
	switch a.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pause is how long the server asks to wait, 0 if it does not say (RFC 9110,
// section 10.2.3). A time is counted from the one in the same answer, so that
// clocks need not agree.
func (a answer) pause() time.Duration {
	text := a.header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return 0
	}
	return at.Sub(now)
}

// read reads the data, or returns what was refused.
func (a answer) read(into any) error {
	if a.status/100 == 3 {
		return fault.Errorf(fault.Invalid, "The server sends elsewhere, to %.200q. Give the address that it has itself.", a.header.Get("Location")).On("server")
	}
	var d document
	if err := json.Unmarshal(a.text, &d); err != nil || len(d.Errors) > 0 || a.status != http.StatusOK || len(d.Data) == 0 {
		return a.refusal()
	}
	if err := json.Unmarshal(d.Data, into); err != nil {
		return fmt.Errorf("the answer of %s is not of the expected form: %w", a.endpoint, err)
	}
	return nil
}

// refusal is the answer as an error.
func (a answer) refusal() error {
	var d document
	if err := json.Unmarshal(a.text, &d); err != nil || len(d.Errors) == 0 {
		return fmt.Errorf("%s answers %d and not as the API does", a.endpoint, a.status)
	}
	var list fault.List
	for _, p := range d.Errors {
		if fault.Kind(p.Extensions.Code) == fault.Internal {
			return p.internal()
		}
		f := fault.Errorf(p.kind(), "%s", p.Message).On(p.Extensions.Field)
		list = append(list, f.Requiring(p.Extensions.RequiredScopes...))
	}
	return list.Err()
}

// internal is a failure of the server's, which its log tells more of.
func (p problem) internal() error {
	text := "the server answers: " + p.Message
	if p.Extensions.RequestID != "" {
		text += " (request " + p.Extensions.RequestID + ")"
	}
	return errors.New(text)
}

// kind is what programs act on. Of an error without a code, or with one of
// servers to come, no more is known than that the request was refused.
func (p problem) kind() fault.Kind {
	switch kind := fault.Kind(p.Extensions.Code); kind {
	case fault.Unauthenticated, fault.Forbidden, fault.NotFound, fault.Conflict, fault.LimitReached,
		fault.RateLimited, fault.ComplexityLimit, fault.NotImplemented:
		return kind
	}
	return fault.Invalid
}
