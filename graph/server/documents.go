package server

import (
	"errors"

	"github.com/maypok86/otter/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"latchkey/internal/fault"
)

// The document cache is bounded by an estimate of its size in bytes. A parsed
// document takes much more memory than its text.
const (
	maxCached    = 16 << 20
	perDocument  = 2 << 10
	perCharacter = 20
	perSelection = 500
)

// longestCached is the length in bytes up to which a document is cached, and up to
// which errors suggest similar names. Longer documents are rarely repeated or
// written by hand.
const longestCached = 16 << 10

// documents parses and validates query documents and caches the valid ones. It
// is safe for concurrent use.
type documents struct {
	config     Config
	validation validation
	cache      *otter.Cache[string, *document]
}

func newDocuments(schema *ast.Schema, c Config) (*documents, error) {
	cache, err := otter.New(&otter.Options[string, *document]{
		MaximumWeight: maxCached,
		Weigher: func(text string, d *document) uint32 {
			return uint32(perDocument + perCharacter*len(text) + perSelection*d.selections)
		},
	})
	return &documents{config: c, validation: newValidation(schema), cache: cache}, err
}

// document is a valid query document within the limits that do not depend on
// variables. Requests share it, so it must not be changed.
type document struct {
	*ast.QueryDocument
	operations []operation
	// selections is the number of selections in the text.
	selections int
}

// get returns the document, from the cache if possible.
func (d *documents) get(text string) (*document, *refusal) {
	if doc, ok := d.cache.GetIfPresent(text); ok {
		return doc, nil
	}
	doc, refused := d.read(text)
	if refused == nil && len(text) <= longestCached {
		d.cache.Set(text, doc)
	}
	return doc, refused
}

// read parses and validates a text. It checks the limits before validation,
// because the time of some validation rules grows faster than the text.
func (d *documents) read(text string) (*document, *refusal) {
	escapes, bad := readEscapes(text)
	if bad != nil {
		return nil, invalid(gqlerror.List{bad})
	}
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: escapes.text}, d.config.Limits.Tokens)
	if err != nil {
		return nil, d.unparsed(err)
	}
	survey, refused := d.config.Limits.survey(parsed)
	if refused != nil {
		return nil, refused
	}
	rules := d.validation.rules
	if len(text) > longestCached {
		rules = d.validation.silent
	}
	if errs := d.validation.check(parsed, rules, escapes); len(errs) > 0 {
		return nil, invalid(errs)
	}
	doc := &document{QueryDocument: parsed, selections: survey.selections}
	for _, def := range parsed.Operations {
		use, problems := readArguments(def, d.config.Coerce)
		if len(problems) > 0 {
			return nil, &refusal{problems: problems}
		}
		doc.operations = append(doc.operations, newOperation(&d.config, def, use))
	}
	return doc, nil
}

func (d *documents) unparsed(err error) *refusal {
	var e *gqlerror.Error
	if errors.As(err, &e) && len(e.Locations) > 0 {
		e.Message = withoutLiteral(e.Message)
		return invalid(gqlerror.List{e})
	}
	// The token limit is the only error without a location.
	return refuse(0, fault.ComplexityLimit,
		"The document has more than %d tokens. Send several requests, or values as variables.", d.config.Limits.Tokens)
}

// operation returns the operation with the name, or the only one if name is
// empty.
func (d *document) operation(name string) (*operation, *refusal) {
	switch {
	case len(d.operations) == 0:
		return nil, refuse(0, fault.Invalid, "The document has no operation.")
	case name == "" && len(d.operations) == 1:
		return &d.operations[0], nil
	case name == "":
		return nil, refuseOperation("The document has several operations. Name one in operationName.")
	}
	for i := range d.operations {
		if d.operations[i].Name == name {
			return &d.operations[i], nil
		}
	}
	return nil, refuseOperation("The document has no operation with the name in operationName.")
}

func refuseOperation(message string) *refusal {
	return &refusal{problems: []problem{{Error: fault.Errorf(fault.Invalid, "%s", message).On("operationName")}}}
}
