package graph

import (
	"errors"

	"github.com/maypok86/otter/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"latchkey/internal/fault"
)

// What the documents that are kept take in memory is bounded, by an estimate in
// bytes: parsed text takes much more room than the text.
const (
	mostKept     = 16 << 20
	perDocument  = 2 << 10
	perCharacter = 20
	perSelection = 500
)

// A text of more bytes is not kept, and names in it that are wrong get no
// suggestions: no client in earnest sends one often, or wrote it by hand.
const largestText = 16 << 10

// documents turns the text of queries into documents, and keeps those that
// are right: a text that comes again is neither parsed nor validated again.
type documents struct {
	validation validation
	limits     Limits
	kept       *otter.Cache[string, *document]
}

func newDocuments(schema *ast.Schema, limits Limits) (*documents, error) {
	kept, err := otter.New(&otter.Options[string, *document]{
		MaximumWeight: mostKept,
		Weigher: func(text string, d *document) uint32 {
			return uint32(perDocument + perCharacter*len(text) + perSelection*d.selections)
		},
	})
	return &documents{validation: newValidation(schema), limits: limits, kept: kept}, err
}

// document is a query document that is valid and within the limits that can
// be told from its text. It is shared by requests and never changed.
type document struct {
	*ast.QueryDocument
	operations []operation
	// selections is how many the text has.
	selections int
}

// get returns the document of the text.
func (d *documents) get(text string) (*document, *refusal) {
	if doc, ok := d.kept.GetIfPresent(text); ok {
		return doc, nil
	}
	doc, refused := d.read(text)
	if refused == nil && len(text) <= largestText {
		d.kept.Set(text, doc)
	}
	return doc, refused
}

// read parses and validates a text. The limits come before validation, whose
// rules take time that is more than in proportion to the text.
func (d *documents) read(text string) (*document, *refusal) {
	escapes, bad := readEscapes(text)
	if bad != nil {
		return nil, invalid(gqlerror.List{bad})
	}
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: escapes.text}, d.limits.Tokens)
	if err != nil {
		return nil, d.unparsed(err)
	}
	survey, refused := d.limits.survey(parsed)
	if refused != nil {
		return nil, refused
	}
	held := d.validation.rules
	if len(text) > largestText {
		held = d.validation.silent
	}
	if errs := d.validation.check(parsed, held, escapes); len(errs) > 0 {
		return nil, invalid(errs)
	}
	doc := &document{QueryDocument: parsed, selections: survey.selections}
	for _, def := range parsed.Operations {
		use, problems := readArguments(def)
		if len(problems) > 0 {
			return nil, &refusal{problems: problems}
		}
		doc.operations = append(doc.operations, newOperation(def, use))
	}
	return doc, nil
}

func (d *documents) unparsed(err error) *refusal {
	var e *gqlerror.Error
	if errors.As(err, &e) && len(e.Locations) > 0 {
		e.Message = withoutLiteral(e.Message)
		return invalid(gqlerror.List{e})
	}
	// The only error without a place.
	return refuse(0, fault.ComplexityLimit, "The document has more than %d tokens. Send several requests, or values as variables.", d.limits.Tokens)
}

// operation returns the operation of the name, or the only one.
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
	return nil, refuseOperation("The document has no operation of the name in operationName.")
}

func refuseOperation(message string) *refusal {
	return &refusal{problems: []problem{{Error: fault.Errorf(fault.Invalid, "%s", message).On("operationName")}}}
}
