package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"latchkey/internal/fault"
)

// answer is the response to one request.
type answer struct {
	endpoint string
	status   int
	header   http.Header
	text     []byte
}

// document is a GraphQL response.
type document struct {
	Data   json.RawMessage `json:"data"`
	Errors []problem       `json:"errors"`
}

// problem is one of a response's errors.
type problem struct {
	Message    string `json:"message"`
	Extensions struct {
		Code           string   `json:"code"`
		Field          string   `json:"field"`
		RequiredScopes []string `json:"requiredScopes"`
		RequestID      string   `json:"requestId"`
	} `json:"extensions"`
}

// busy reports whether the server, or a proxy before it, may succeed if the request is sent again.
func (a answer) busy() bool {
	switch a.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pause returns how long the server asks to wait (Retry-After, RFC 9110, section 10.2.3), or 0 if it does not say. A
// time is relative to the response's Date, so that the clocks need not agree.
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

// read decodes the data into into, or returns the errors of the response.
func (a answer) read(into any) error {
	if a.status/100 == 3 {
		return fault.Errorf(fault.Invalid, "The server redirects to %.200q. Use the server's own address.",
			a.header.Get("Location")).On("server")
	}
	var d document
	if err := json.Unmarshal(a.text, &d); err != nil || len(d.Errors) > 0 || a.status != http.StatusOK ||
		len(d.Data) == 0 {
		return a.refusal()
	}
	if err := json.Unmarshal(d.Data, into); err != nil {
		return fmt.Errorf("the response of %s does not have the expected form: %w", a.endpoint, err)
	}
	return nil
}

// refusal returns the response as an error.
func (a answer) refusal() error {
	var d document
	if err := json.Unmarshal(a.text, &d); err != nil || len(d.Errors) == 0 {
		return fmt.Errorf("%s responded with status %d and not as the API does", a.endpoint, a.status)
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

// internal returns a failure of the server with the request ID to look for in its log.
func (p problem) internal() error {
	text := "the server responded: " + p.Message
	if p.Extensions.RequestID != "" {
		text += " (request " + p.Extensions.RequestID + ")"
	}
	return errors.New(text)
}

// kind returns the kind of the error's code. An error without a code, or with a code of a later version, only says that
// the request was refused, so it is fault.Invalid.
func (p problem) kind() fault.Kind {
	switch kind := fault.Kind(p.Extensions.Code); kind {
	case fault.Unauthenticated, fault.Forbidden, fault.NotFound, fault.Conflict, fault.LimitReached,
		fault.RateLimited, fault.ComplexityLimit, fault.EventBridgeNotConfigured:
		return kind
	}
	return fault.Invalid
}
