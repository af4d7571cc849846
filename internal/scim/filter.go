package scim

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a filter.
const (
	// MaxFilter is the largest number of bytes of a filter, and of a path of a PATCH.
	MaxFilter = 8 << 10
	// maxComparisons is the largest number of comparisons.
	maxComparisons = 200
	// maxDepth is how deep parentheses can be nested.
	maxDepth = 20
)

// ParseFilter reads a filter over resources of a type (RFC 7644, section 3.4.2.2). It also accepts what Entra ID sends:
// a part after a filtered attribute, as in emails[type eq "work"].value eq "ann@acme.example", and values without
// quotes. It returns an *Error with status 400 and the type invalidFilter, which says at which character the filter is
// wrong.
func ParseFilter(t *ResourceType, text string) (Condition, error) {
	p := &parser{text: text, wrong: "invalidFilter", what: "filter", of: t}
	c, err := p.whole(p.or)
	if err != nil {
		return nil, err
	}
	return simplified(c), nil
}

// parser is a recursive descent parser of filters and of the paths of PATCH.
type parser struct {
	text string
	at   int
	// wrong is the type of errors, and what is what the text is called in them.
	wrong, what string

	of *ResourceType
	// within is the attribute before the brackets that the parser is in, or nil.
	within *Attribute
	// unknown accepts all attributes and comparisons. The condition has no meaning then.
	unknown bool

	depth, comparisons int
}

// whole runs read over the whole text.
func (p *parser) whole(read func() (Condition, error)) (Condition, error) {
	switch {
	case len(p.text) > MaxFilter:
		return nil, invalid(p.wrong, "The %s has more than %d bytes.", p.what, MaxFilter)
	case !utf8.ValidString(p.text):
		return nil, invalid(p.wrong, "The %s is not in UTF-8.", p.what)
	}
	c, err := read()
	if err != nil {
		return nil, err
	}
	if p.skipSpace(); p.at < len(p.text) {
		return nil, p.fail(p.at, "the text before is complete: join expressions with and, or")
	}
	return c, nil
}

// fail returns an error at a byte of the text.
func (p *parser) fail(at int, why string) error {
	return invalid(p.wrong, "The %s is wrong at character %d: %s.", p.what,
		utf8.RuneCountInString(p.text[:at])+1, why)
}

// or reads conditions that are joined by "or", which binds the least.
func (p *parser) or() (Condition, error) {
	var list Or
	return p.joined("or", p.and, func(c Condition) { list = append(list, c) }, func() Condition { return list })
}

// and reads conditions that are joined by "and".
func (p *parser) and() (Condition, error) {
	var list And
	return p.joined("and", p.term, func(c Condition) { list = append(list, c) }, func() Condition { return list })
}

// joined reads one or more conditions that are joined by a word. It returns a single one unchanged.
func (p *parser) joined(word string, read func() (Condition, error), add func(Condition),
	all func() Condition) (Condition, error) {
	first, err := read()
	if err != nil || !p.accept(word) {
		return first, err
	}
	add(first)
	for {
		next, err := read()
		if err != nil {
			return nil, err
		}
		add(next)
		if !p.accept(word) {
			return all(), nil
		}
	}
}

// term reads a condition in parentheses, with or without "not", or a comparison.
func (p *parser) term() (Condition, error) {
	p.skipSpace()
	start := p.at
	word := p.word()
	p.skipSpace()
	switch {
	case word == "" && p.next() == '(':
		return p.parentheses()
	case strings.EqualFold(word, "not") && p.next() == '(':
		c, err := p.parentheses()
		return Not{c}, err
	case word == "":
		return nil, p.fail(p.at, "an attribute is missing")
	case p.next() == '[':
		return p.filtered(start, word)
	}
	return p.comparison(start, word)
}

func (p *parser) parentheses() (Condition, error) {
	open := p.at
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(open, "parentheses are nested too deep")
	}
	p.at++
	c, err := p.or()
	if err != nil {
		return nil, err
	}
	p.depth--
	if p.skipSpace(); p.next() != ')' {
		return nil, p.fail(p.at, "a closing parenthesis is missing")
	}
	p.at++
	return c, nil
}

// filtered reads a condition in brackets, which one value of the attribute must meet, and the comparison of a part of
// that value, if one follows.
func (p *parser) filtered(start int, path string) (Condition, error) {
	a, c, err := p.brackets(start, path)
	if err != nil {
		return nil, err
	}
	if p.next() == '.' {
		p.at++
		part := p.at
		p.within = a
		compared, err := p.comparison(part, p.word())
		p.within = nil
		if err != nil {
			return nil, err
		}
		c = And{c, compared}
	}
	if p.unknown {
		return c, nil
	}
	return anyOf(a, c), nil
}

// brackets reads a condition in brackets after the path of a multi-valued attribute, and returns both.
func (p *parser) brackets(start int, path string) (*Attribute, Condition, error) {
	if p.within != nil {
		return nil, nil, p.fail(p.at, "brackets are in brackets")
	}
	a := &Attribute{}
	if !p.unknown {
		found, ok := p.of.find(path)
		if !ok || found.sub != nil || found.attribute == nil || found.attribute.SubAttributes == nil ||
			!found.attribute.MultiValued {
			return nil, nil, p.fail(start, path+" has no values that can be selected")
		}
		a = found.attribute
	}
	p.at++
	p.within = a
	c, err := p.or()
	if err != nil {
		return nil, nil, err
	}
	p.within = nil
	if p.skipSpace(); p.next() != ']' {
		return nil, nil, p.fail(p.at, "a closing bracket is missing")
	}
	p.at++
	return a, c, nil
}

// comparison reads an operator and its value, and compares the attribute with the path.
func (p *parser) comparison(start int, path string) (Condition, error) {
	if p.comparisons++; p.comparisons > maxComparisons {
		return nil, p.fail(start, "there are too many comparisons")
	}
	p.skipSpace()
	at := p.at
	op := Op(strings.ToLower(p.word()))
	if !slices.Contains(operators, op) {
		return nil, p.fail(at, "an operator is missing, such as eq")
	}
	var l literal
	if op != Present {
		var err error
		if l, err = p.literal(); err != nil {
			return nil, err
		}
	}
	if p.unknown {
		return And{}, nil
	}
	r, ok := p.attribute(path)
	if !ok {
		return nil, p.fail(start, "there is no attribute "+path)
	}
	c, why := compare(r, op, l)
	if why != "" {
		return nil, p.fail(start, why)
	}
	if p.within == nil {
		c = anyOf(r.attribute, c)
	}
	return c, nil
}

// attribute returns the attribute with the path: in brackets, a part of the attribute before them.
func (p *parser) attribute(path string) (attributeRef, bool) {
	if p.within != nil {
		sub := named(p.within.SubAttributes, path)
		return attributeRef{attribute: p.within, sub: sub}, sub != nil
	}
	r, ok := p.of.find(path)
	return r, ok && r.attribute != nil
}

// literal reads a value: a JSON string, or a text up to the next space, parenthesis or bracket.
func (p *parser) literal() (literal, error) {
	before := p.at
	p.skipSpace()
	if p.at == before && p.at < len(p.text) {
		return literal{}, p.fail(p.at, "a space is missing")
	}
	if p.next() == '"' {
		return p.quoted()
	}
	start := p.at
	for p.at < len(p.text) && !strings.ContainsRune(" \t()[]\"", rune(p.text[p.at])) {
		p.at++
	}
	if p.at == start {
		return literal{}, p.fail(p.at, "a value is missing")
	}
	return literal{text: p.text[start:p.at]}, nil
}

func (p *parser) quoted() (literal, error) {
	start := p.at
	for p.at++; p.at < len(p.text) && p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			p.at++
		}
	}
	if p.at >= len(p.text) {
		return literal{}, p.fail(start, "the closing quote is missing")
	}
	p.at++
	l := literal{quoted: true}
	if json.Unmarshal([]byte(p.text[start:p.at]), &l.text) != nil {
		return literal{}, p.fail(start, "the value is not a JSON string")
	}
	return l, nil
}

// word reads an operator, or the path of an attribute, with the URN of its schema if it has one. It returns "" if the
// text continues with neither.
func (p *parser) word() string {
	start := p.at
	for p.at < len(p.text) && inWord(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

func inWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.:$", c) >= 0
}

// accept reads the word if it is next, and reports whether it was.
func (p *parser) accept(word string) bool {
	before := p.at
	p.skipSpace()
	if strings.EqualFold(p.word(), word) {
		return true
	}
	p.at = before
	return false
}

func (p *parser) skipSpace() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

// next returns the next byte, or 0 at the end.
func (p *parser) next() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}
