// Package storeapi knows what the store APIs behind a gateway ask of whoever
// calls them: which scope a method needs on a path. What it knows is data, a
// YAML file (routes.yaml).
package storeapi

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"latchkey/internal/scope"
)

// anyCredential stands in a route for no scope at all.
const anyCredential = "any"

// rule is what a route needs: scopes of which any will do, at least one. None
// says that the methods are not admitted.
type rule struct{ read, modify []string }

// nowhere admits nothing.
var nowhere = &rule{}

// node is where paths have come to, segment by segment.
type node struct {
	literal map[string]*node
	// names are the keys of literal, which are looked through faster here.
	names []string
	// any is followed by every segment that literal does not lead on from.
	any *node
	// here is the rule of a path that ends here, and below that of all longer
	// ones.
	here, below *rule
}

// Table is all routes. It never changes.
type Table struct{ root node }

//go:embed routes.yaml
var builtIn string

var defaultTable = sync.OnceValue(func() *Table {
	t, err := Parse(strings.NewReader(builtIn), scope.Default())
	if err != nil {
		panic(fmt.Sprintf("the built-in routes: %v", err))
	}
	return t
})

// Default returns the built-in table. It asks for scopes of the built-in
// catalogue: where another catalogue lacks one, nobody holds it.
func Default() *Table { return defaultTable() }

// Match is what a request is about and needs.
type Match struct {
	// Store is the hash of the store that the path names, and Path what
	// follows it, decoded, from a slash on.
	Store, Path string
	accepts     []string
}

// Match returns what a request with the method for the target, a path with or
// without a query, needs. It returns false for every target that Latchkey and
// the server behind the gateway could read differently (RFC 3986, section 3.3,
// and what servers make of it), is not below /stores/{hash}, or that no route
// names for the method. Methods and paths are compared with case; what a server
// that does not could take for a literal segment of a route is refused.
func (t *Table) Match(method, target string) (Match, bool) {
	path, ok := decode(target)
	if !ok {
		return Match{}, false
	}
	below, ok := strings.CutPrefix(path, "/stores/")
	if !ok {
		return Match{}, false
	}
	hash, length := below, strings.IndexByte(below, '/')
	if length < 0 {
		return Match{}, false
	}
	found := t.root.find(below[length:])
	if found == nil {
		return Match{}, false
	}
	m := Match{Store: hash[:length], Path: below[length:], accepts: found.modify}
	if method == "GET" || method == "HEAD" {
		m.accepts = found.read
	}
	return m, m.accepts != nil && method != ""
}

// Missing returns the scope to ask for where none that would do is held; empty
// when one is, or none is needed.
func (m Match) Missing(held scope.Set) string {
	for _, name := range m.accepts {
		if name == anyCredential || held.Has(name) {
			return ""
		}
	}
	return m.accepts[0]
}

// find returns the rule for the rest of a path: nothing, or a slash before
// each segment.
func (n *node) find(path string) *rule {
	if path == "" {
		return n.here
	}
	segment, rest := path[1:], ""
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment, rest = segment[:i], segment[i:]
	}
	next := n.literal[segment]
	if next == nil && n.resembled(segment) {
		return nowhere
	}
	if next != nil {
		if r := next.find(rest); r != nil {
			return r
		}
	}
	if n.any != nil {
		if r := n.any.find(rest); r != nil {
			return r
		}
	}
	return n.below
}

// resembled says whether a literal could be meant by the segment.
func (n *node) resembled(segment string) bool {
	return slices.ContainsFunc(n.names, func(literal string) bool { return resembles(segment, literal) })
}

// resembles says whether the segment is the literal, which is ASCII, but for
// case, or but for something after it that does not go on a name: some servers
// take "Transactions" and "transactions.json" for "transactions".
func resembles(segment, literal string) bool {
	for _, r := range segment {
		if literal == "" {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_'
		}
		l := rune(literal[0])
		if unicode.ToLower(r) != unicode.ToLower(l) && unicode.ToUpper(r) != unicode.ToUpper(l) {
			return false
		}
		literal = literal[1:]
	}
	return literal == ""
}
