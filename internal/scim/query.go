package scim

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// MaxCount is the largest number of resources in a page. It is also the number if the request does not say one.
const MaxCount = 200

// Search is a request for a list, with the parameters of its address or the body of a POST to /.search (RFC 7644,
// sections 3.4.2 and 3.4.3). Sorting is not supported, so sortBy and sortOrder are ignored.
type Search struct {
	// Filter is nil if there is none. An empty filter is an error for ParseFilter.
	Filter *string
	// Start is the number of the first resource of the page, at least 1.
	Start int
	// Count is the largest number of resources of the page, 0 to MaxCount.
	Count int
	// Attributes and Excluded are the paths in the parameters attributes and excludedAttributes.
	Attributes, Excluded []string
}

// ReadQuery reads the query of a GET, still encoded. Case does not matter in the names of parameters: a
// filter that is overlooked would select everything. It returns an *Error with status 400.
func ReadQuery(query string) (Search, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return Search{}, invalid("invalidSyntax", "The query of the address is not encoded correctly.")
	}
	var root object
	filters := 0
	for _, name := range slices.Sorted(maps.Keys(values)) {
		root = append(root, member{name, strings.Join(values[name], ",")})
		if strings.EqualFold(name, "filter") {
			filters += len(values[name])
		}
	}
	if filters > 1 {
		return Search{}, invalid("invalidFilter", "There is more than one filter.")
	}
	return readSearch(root)
}

// ReadSearch reads the body of a POST to /.search. It returns an *Error with status 400.
func ReadSearch(body []byte) (Search, error) {
	root, err := readObject(body)
	if err != nil {
		return Search{}, err
	}
	return readSearch(root)
}

func readSearch(root object) (s Search, err error) {
	if value, ok := root.get("filter"); ok && value != nil {
		filter, is := value.(string)
		if !is {
			return Search{}, invalid("invalidFilter", "The filter must be text.")
		}
		s.Filter = &filter
	}
	if s.Start, err = readNumber(root, "startIndex", 1, 1, math.MaxInt32); err != nil {
		return Search{}, err
	}
	if s.Count, err = readNumber(root, "count", MaxCount, 0, MaxCount); err != nil {
		return Search{}, err
	}
	if s.Attributes, err = readPaths(root, "attributes"); err != nil {
		return Search{}, err
	}
	s.Excluded, err = readPaths(root, "excludedAttributes")
	return s, err
}

// readNumber reads a parameter that is a number, as text in a query. A number beyond the limits becomes the nearest
// one.
func readNumber(root object, name string, otherwise, least, most int) (int, error) {
	value, _ := root.get(name)
	if value == nil || value == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(fmt.Sprint(value)), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // beyond the range, n is the largest or smallest
		return 0, invalid("invalidValue", "%s must be a whole number.", name)
	}
	return int(min(max(n, int64(least)), int64(most))), nil
}

// Condition returns the search's filter for resources of a type, or nil if the search has none. It returns errors as
// ParseFilter does.
func (s Search) Condition(t *ResourceType) (Condition, error) {
	if s.Filter == nil {
		return nil, nil //nolint:nilnil // nil is the condition of a search without a filter
	}
	return ParseFilter(t, *s.Filter)
}

// ListResponse returns a page of resources. total is the number of all resources that match.
func ListResponse(total int64, start int, page []Document) Document {
	if page == nil {
		page = []Document{}
	}
	return Document{"schemas": []string{listURN}, "totalResults": total, "startIndex": start, "itemsPerPage": len(page),
		"Resources": page}
}

func splitPaths(text string) []string {
	var paths []string
	for path := range strings.SplitSeq(text, ",") {
		if path = strings.TrimSpace(path); path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// readPaths reads a parameter that is a list of paths, or a text in which they are separated by commas.
func readPaths(root object, name string) ([]string, error) {
	value, _ := root.get(name)
	list, ok := value.([]any)
	if !ok && value != nil {
		list = []any{value}
	}
	var paths []string
	for _, each := range list {
		text, ok := each.(string)
		if !ok {
			return nil, invalid("invalidValue", "%s must be a list of texts.", name)
		}
		paths = append(paths, splitPaths(text)...)
	}
	return paths, nil
}
