package graph

import (
	"net/http"
	"strconv"
	"strings"

	"latchkey/internal/fault"
)

// media is a media type that answers are written in.
type media int

const (
	// mediaJSON is application/json, the older one and the default.
	mediaJSON media = iota
	// mediaGraphQL is application/graphql-response+json.
	mediaGraphQL
)

var (
	contentTypeJSON    = []string{"application/json; charset=utf-8"}
	contentTypeGraphQL = []string{"application/graphql-response+json; charset=utf-8"}
)

// contentType is the header's value, shared by all answers and never changed.
func (m media) contentType() []string {
	if m == mediaGraphQL {
		return contentTypeGraphQL
	}
	return contentTypeJSON
}

// refused is the status of a request whose document, operation or variables
// are wrong. As application/json it is 200, since a client must not need to
// tell our answer from a proxy's by the status (GraphQL over HTTP, section
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

// negotiate chooses between the two by the request's Accept (RFC 9110, section
// 12.5.1). It reports false if neither will do.
func negotiate(accept []string) (media, bool) {
	if len(accept) == 0 {
		return mediaJSON, true
	}
	if len(accept) == 1 {
		switch accept[0] { // what nearly every client sends
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
			json.hear(name, "application/json", quality, place)
			gql.hear(name, "application/graphql-response+json", quality, place)
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

// preference is what an Accept header says of one media type.
type preference struct {
	// quality is in thousandths.
	quality     int
	specificity int
	// place is where it was said, among all.
	place int
}

// hear takes in a media range: the most specific one that matches counts.
func (p *preference) hear(name, own string, quality, place int) {
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

// before says whether p is to be preferred to another of the same quality:
// only what was named, and named first.
func (p preference) before(other preference) bool {
	return p.specificity == 3 && (other.specificity < 3 || p.place < other.place)
}

// mediaRange reads one element of an Accept header. It reports false for an
// empty one and for a weight that is none.
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
