package scope

import (
	"slices"
	"strings"
)

// checkImplied checks the implications of every scope. It runs after all scopes are
// read.
func (p *parser) checkImplied() {
	for _, name := range p.order {
		e := p.scopes[name]
		for i, implied := range e.grant.Implies {
			p.checkOne(e, implied, e.implied[i])
			if slices.Contains(e.grant.Implies[:i], implied) {
				p.Add(e.implied[i], "scope %q is implied twice", implied)
			}
		}
	}
	p.checkCircles()
}

// checkOne checks that e may imply the scope. Each rule prevents an implication
// from granting a scope that the rules of issuing would deny.
func (p *parser) checkOne(e entry, implied string, line int) {
	other, known := p.scopes[implied]
	switch {
	case !known:
		p.Add(line, "implied scope %q is not in the catalogue", implied)
	case other.grant.Level != "" && e.grant.Level != "" && !e.grant.Level.holds(other.grant.Level):
		p.Add(line, "store scope %q cannot imply account scope %q", e.grant.Scope, implied)
	case other.grant.Feature != "" && other.grant.Feature != e.grant.Feature:
		p.Add(line, "scope %q cannot imply %q, which needs a feature that it does not need itself", e.grant.Scope,
			implied)
	case e.grant.Delegable && !other.grant.Delegable:
		p.Add(line, "scope %q cannot imply %q, which is not delegable, while it is delegable itself", e.grant.Scope,
			implied)
	}
}

// checkCircles finds scopes that imply themselves. It reports each cycle once, on
// the line of its first scope.
func (p *parser) checkCircles() {
	const underway, done = 1, 2
	state := make(map[string]int, len(p.order))
	var path []string
	var visit func(name string)
	visit = func(name string) {
		switch state[name] {
		case done:
			return
		case underway:
			circle := append(slices.Clone(path[slices.Index(path, name):]), name)
			p.Add(p.scopes[name].line, "scopes imply each other in a circle: %s", strings.Join(circle, " → "))
			return
		}
		state[name] = underway
		path = append(path, name)
		for _, implied := range p.scopes[name].grant.Implies {
			visit(implied)
		}
		path = path[:len(path)-1]
		state[name] = done
	}
	for _, name := range p.order {
		visit(name)
	}
}

// grants returns the properties of all scopes, with transitive implications.
func (p *parser) grants() map[string]Grant {
	grants := make(map[string]Grant, len(p.order))
	for _, name := range p.order {
		grant := p.scopes[name].grant
		reached := map[string]bool{}
		p.reach(name, reached)
		grant.Implies = nil
		for implied := range reached {
			grant.Implies = append(grant.Implies, implied)
		}
		slices.Sort(grant.Implies)
		grants[name] = grant
	}
	return grants
}

// reach adds to reached all scopes that name implies.
func (p *parser) reach(name string, reached map[string]bool) {
	for _, implied := range p.scopes[name].grant.Implies {
		if !reached[implied] {
			reached[implied] = true
			p.reach(implied, reached)
		}
	}
}
