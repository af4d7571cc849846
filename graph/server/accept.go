package server

import (
	"net/http"
	"strconv"
	"strings"

	"latchkey/internal/fault"
)

// media is a media type of responses.
type media int

const (
	// mediaJSON is application/json, the default.
	mediaJSON media = iota
	// mediaGraphQL is application/graphql-response+json.
	mediaGraphQL
)

var (
	contentTypeJSON    = []string{"application/json; charset=utf-8"}
	contentTypeGraphQL = []string{"application/graphql-response+json; charset=utf-8"}
)

// contentType returns the value of the Content-Type header. All responses
// share it, so it must not be changed.
func (m media) contentType() []string {
	if m == mediaGraphQL {
		return contentTypeGraphQL
	}
	return contentTypeJSON
}

// refused returns the status for a request whose document, operation or
// variables are invalid. For application/json it is 200: clients cannot rely on
// the status, since it may be that of a proxy (GraphQL over HTTP, section
// "application/json").
func (m media) refused() int {
	if m == mediaGraphQL {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func notAcceptable() *refusal {
	return refuse(http.StatusNotAcceptable, fault.Invalid,
		"Answers are application/json or application/graphql-response+json. Accept one of them.")
}

// negotiate chooses the media type of the response by the request's Accept
// headers (RFC 9110, section 12.5.1). It reports false if the client accepts
// neither.
func negotiate(accept []string) (media, bool) {
	if len(accept) == 0 {
		return mediaJSON, true
	}
	if len(accept) == 1 {
		switch accept[0] { // fast path for the values that most clients send
		case "*/*", "application/json":
			return mediaJSON, true
		case "application/graphql-response+json":
			return mediaGraphQL, true
		}
	}
	var json, gql preference
	place := 0
	for _, line := range accept {
		for element := range strings.SplitSeq(line, ",") {
			name, quality, ok := mediaRange(element)
			if !ok {
				continue
			}
			place++
			json.match(name, "application/json", quality, place)
			gql.match(name, "application/graphql-response+json", quality, place)
		}
	}
	switch {
	case place == 0:
		return mediaJSON, true
	case gql.quality > json.quality, gql.quality == json.quality && gql.before(json):
		return mediaGraphQL, gql.quality > 0
	default:
		return mediaJSON, json.quality > 0
	}
}

// preference is the client's preference for one media type.
type preference struct {
	// quality is the weight in thousandths.
	quality     int
	specificity int
	// place is the position of the matching media range in the headers.
	place int
}

// match applies a media range. The most specific one that matches own wins.
func (p *preference) match(name, own string, quality, place int) {
	specificity := 0
	switch {
	case strings.EqualFold(name, own):
		specificity = 3
	case strings.EqualFold(name, "application/*"):
		specificity = 2
	case name == "*/*":
		specificity = 1
	}
	if specificity > p.specificity {
		*p = preference{quality, specificity, place}
	}
}

// before reports whether p wins over another preference of the same quality.
// Only a media type that the client names wins, and only over one that it does
// not name or names later.
func (p preference) before(other preference) bool {
	return p.specificity == 3 && (other.specificity < 3 || p.place < other.place)
}

// mediaRange parses one element of an Accept header. It reports false for an
// empty element and for an invalid weight.
func mediaRange(element string) (name string, quality int, ok bool) {
	name, parameters, _ := strings.Cut(element, ";")
	quality = 1000
	for parameter := range strings.SplitSeq(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(key, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return "", 0, false
		}
		quality = int(q * 1000)
	}
	name = strings.TrimSpace(name)
	return name, quality, name != ""
}
