// Package scim is the part of SCIM 2.0 (RFC 7643, RFC 7644) that needs neither a database nor HTTP: the attributes of
// users and groups, filters, changes by PATCH and PUT, the parameters of lists, errors and the discovery documents.
//
// A user of SCIM is a user's membership in an account, and a group is a store. This package has no rules about them: it
// reads what a request asks for, and package membership decides.
//
// The tables of attributes in schema.go are the only list of attributes. The published schemas, the attributes and
// the rules of filters, the selection of attributes, and what a change may write follow from them.
package scim

import "time"

// MediaType is the media type of every answer. Requests may also be application/json.
const MediaType = "application/scim+json"

// The URNs of messages that are answered (RFC 7644, section 8.2). Those of requests are not checked.
const (
	listURN  = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	errorURN = "urn:ietf:params:scim:api:messages:2.0:Error"
)

// Document is a JSON object of an answer.
type Document = map[string]any

// timeForm is the form of times in documents and comparisons. It has a fixed width, so that the order of the texts is
// the order of the times.
const timeForm = "2006-01-02T15:04:05.000000Z"

// timeText returns a time in the form of documents and comparisons, or "" for the zero time. It leaves out what is
// shorter than a microsecond, as clock.Timestamp does.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeForm)
}

// meta returns the attribute meta of a resource.
func meta(of *ResourceType, location, version string, created, lastModified time.Time) Document {
	m := Document{"resourceType": of.Name, "location": location, "version": version}
	if !created.IsZero() {
		m["created"] = timeText(created)
	}
	if !lastModified.IsZero() {
		m["lastModified"] = timeText(lastModified)
	}
	return m
}
