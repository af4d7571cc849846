package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"latchkey/internal/fault"
)

// Error is a failure in the form of SCIM (RFC 7644, section 3.12).
type Error struct {
	// Status is the HTTP status.
	Status int
	// Type is the scimType, such as invalidFilter, or empty.
	Type string
	// Detail says to an administrator of the identity provider what is wrong and what to do.
	Detail string
}

// Error returns the detail.
func (e *Error) Error() string { return e.Detail }

// MarshalJSON returns the body of the answer.
func (e *Error) MarshalJSON() ([]byte, error) {
	d := Document{"schemas": []string{errorURN}, "status": strconv.Itoa(e.Status), "detail": e.Detail}
	if e.Type != "" {
		d["scimType"] = e.Type
	}
	return json.Marshal(d)
}

// invalid returns an error of the request with a scimType.
func invalid(scimType, format string, args ...any) *Error {
	return &Error{Status: 400, Type: scimType, Detail: fmt.Sprintf(format, args...)}
}

// statuses are the HTTP statuses and types of faults.
var statuses = map[fault.Kind]Error{
	fault.Invalid:         {Status: 400, Type: "invalidValue"},
	fault.ComplexityLimit: {Status: 400, Type: "tooMany"},
	fault.Unauthenticated: {Status: 401},
	fault.Forbidden:       {Status: 403},
	fault.NotFound:        {Status: 404},
	fault.Conflict:        {Status: 409},
	fault.LimitReached:    {Status: 409},
	fault.RateLimited:     {Status: 429},
}

// unique are the fields of faults that say that a value is taken.
var unique = map[string]bool{"email": true, "externalId": true, "userName": true}

// ErrorOf returns an error as SCIM answers it. Of errors that are neither an *Error nor a fault, it has no details, as
// fault.Flatten; the caller logs them.
func ErrorOf(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	kind := fault.KindOf(err)
	e, ok := statuses[kind]
	switch {
	case ok:
	case errors.Is(err, fault.ErrUnavailable):
		e.Status = 503
	default:
		e.Status = 500
	}
	for i, f := range fault.Flatten(err) {
		if i > 0 {
			e.Detail += " "
		}
		e.Detail += f.Message
		if len(f.RequiredScopes) > 0 {
			e.Detail += " The API token needs " + strings.Join(f.RequiredScopes, " and ") + "."
		}
		if kind == fault.Conflict && unique[f.Field] {
			e.Type = "uniqueness"
		}
	}
	return &e
}

// The errors of requests for what does not exist or is not possible.
var (
	// ErrNotFound is the error for a resource that is not in the account.
	ErrNotFound = &Error{Status: 404, Detail: "There is no such resource in this account. It may have been removed."}
	// ErrStale is the error for a condition of If-Match that does not hold.
	ErrStale = &Error{Status: 412,
		Detail: "The resource was changed after it was read. Read it again, then send the change with its new version."}
	// ErrBusy is the error for a request whose time ended while it waited for others of its account.
	ErrBusy = &Error{Status: 503,
		Detail: "Other requests of this account took all the time of this one. Send fewer at the same time, and try again."}
	// ErrDiscoveryFilter is the error for a filter on a discovery document (RFC 7644, section 4).
	ErrDiscoveryFilter = &Error{Status: 403, Detail: "This list cannot be filtered. Read it whole."}
	// ErrNoGroupChange is the error for a request that creates or deletes a group.
	ErrNoGroupChange = &Error{Status: 403,
		Detail: "Groups are stores, which are neither created nor deleted over SCIM. Create the store in the platform's " +
			"control panel, then link the group of the identity provider to the store of the same name."}
)

// ErrNameTaken is the error for a POST of a group whose name a store has.
func ErrNameTaken(name string) *Error {
	return &Error{Status: 409, Type: "uniqueness",
		Detail: fmt.Sprintf("A group with the name %q exists. Link it instead of creating it.", name)}
}
