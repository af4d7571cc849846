// Package routes has the routes of the store APIs behind a gateway, and the scope
// that a method requires on a path. The routes are data, in routes.yaml.
package routes

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"latchkey/internal/scope"
)

// anyCredential in a route means that no scope is required.
const anyCredential = "any"

// rule is the scopes of a route, of which a request needs at least one. If it is
// empty, the methods are not allowed.
type rule struct{ read, modify []string }

// nowhere allows no request.
var nowhere = &rule{}

// node is a node in the tree of path segments.
type node struct {
	literal map[string]*node
	// names are the keys of literal. A slice is faster to search here.
	names []string
	// any is the node for every segment that is not in literal.
	any *node
	// here is the rule of the path that ends here, and below that of all longer
	// paths.
	here, below *rule
}

// Table is the set of all routes. It is immutable.
type Table struct {
	root node
	// listed are the routes by their paths, in which all variables have the same name.
	listed map[string]listed
}

// listed is a route as its file names it.
type listed struct {
	path string
	rule *rule
}

// Difference has the paths of the routes that another table adds, removes or changes, in alphabetical order.
type Difference struct{ Added, Removed, Changed []string }

// Compare returns the difference to another table.
func (t *Table) Compare(next *Table) Difference {
	var d Difference
	for key, now := range next.listed {
		was, known := t.listed[key]
		switch {
		case !known:
			d.Added = append(d.Added, now.path)
		case !slices.Equal(was.rule.read, now.rule.read) || !slices.Equal(was.rule.modify, now.rule.modify):
			d.Changed = append(d.Changed, now.path)
		}
	}
	for key, was := range t.listed {
		if _, kept := next.listed[key]; !kept {
			d.Removed = append(d.Removed, was.path)
		}
	}
	for _, paths := range [][]string{d.Added, d.Removed, d.Changed} {
		slices.Sort(paths)
	}
	return d
}

// IsZero reports whether both tables have the same routes.
func (d Difference) IsZero() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

//go:embed routes.yaml
var builtIn string

var defaultTable = sync.OnceValue(func() *Table {
	t, err := Parse(strings.NewReader(builtIn), scope.Default())
	if err != nil {
		panic(fmt.Sprintf("the built-in routes: %v", err))
	}
	return t
})

// Default returns the built-in table. It requires scopes of the built-in catalogue.
// If another catalogue lacks one of them, no credential has it.
func Default() *Table { return defaultTable() }

// Match is the result of matching a request.
type Match struct {
	// Store is the hash of the store in the path. Path is the rest of the path,
	// decoded, from a slash on.
	Store, Path string
	accepts     []string
}

// Match returns the store, the path and the required scopes of a request. target is
// a path with or without a query. It returns false for a target that Latchkey and
// the server behind the gateway could interpret differently (RFC 3986, section 3.3,
// and the practice of servers), that is not below /stores/{hash}, or that has no
// route for the method. Methods and paths are case-sensitive. A segment that a
// case-insensitive server could take for a literal segment of a route is rejected.
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

// Missing returns a scope that the request needs, or "" if one of the scopes that
// allow it is held or none is needed.
func (m Match) Missing(held scope.Set) string {
	for _, name := range m.accepts {
		if name == anyCredential || held.Has(name) {
			return ""
		}
	}
	return m.accepts[0]
}

// find returns the rule for the rest of a path, which is empty or begins with a
// slash.
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

// resembled reports whether the segment resembles a literal.
func (n *node) resembled(segment string) bool {
	return slices.ContainsFunc(n.names, func(literal string) bool { return resembles(segment, literal) })
}

// resembles reports whether a server could take the segment for the literal, which
// is ASCII: it differs only in case, or in a suffix that does not begin with a
// character of a name. Some servers take "Transactions" and "transactions.json" for
// "transactions".
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
