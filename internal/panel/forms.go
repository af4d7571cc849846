package panel

import (
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/fault"
)

// form is the state of a form: empty, or as submitted with its errors.
type form struct {
	Values url.Values

	fields []string
	faults []*fault.Error
	// worded rewrites the messages of services for the panel. If it is nil, they are shown unchanged.
	worded func(string) string
}

// newForm returns an empty form. The names of its fields are also those in errors.
func newForm(fields ...string) *form { return &form{Values: url.Values{}, fields: fields} }

// parseForm returns the submitted form. It returns fault.Invalid if the body cannot be parsed.
func (q *request) parseForm(fields ...string) (*form, error) {
	if err := q.r.ParseForm(); err != nil {
		return nil, fault.Errorf(fault.Invalid, "%s", q.text("errors.form"))
	}
	return &form{Values: q.r.PostForm, fields: fields, worded: q.reword}, nil
}

// Value returns the trimmed value of a field.
func (f *form) Value(name string) string { return strings.TrimSpace(f.Values.Get(name)) }

// Has reports whether a choice of a field is selected.
func (f *form) Has(name, choice string) bool { return slices.Contains(f.Values[name], choice) }

// refuse adds a service's validation errors to the form. It returns any other error, which has its own page.
func (f *form) refuse(err error) error {
	for _, one := range fault.Flatten(err) {
		if f.worded != nil {
			reworded := *one
			reworded.Message = f.worded(one.Message)
			one = &reworded
		}
		switch one.Kind {
		case fault.Invalid, fault.Conflict, fault.LimitReached:
			f.faults = append(f.faults, one)
		case fault.NotFound:
			if !slices.Contains(f.fields, fieldOf(one)) {
				return err
			}
			f.faults = append(f.faults, one)
		default:
			return err
		}
	}
	return nil
}

// Refused reports whether the form has errors.
func (f *form) Refused() bool { return len(f.faults) > 0 }

// fieldOf returns the name of the field that an error is about, without the API's "input." prefix and without the
// index of a list element.
func fieldOf(f *fault.Error) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(f.Field, "input."), ".")
	return name
}

// Errors returns the errors of a field.
func (f *form) Errors(name string) []string {
	var all []string
	for _, one := range f.faults {
		if fieldOf(one) == name {
			all = append(all, one.Message)
		}
	}
	return all
}

// General returns the errors that belong to none of the form's fields.
func (f *form) General() []string {
	var all []string
	for _, one := range f.faults {
		if !slices.Contains(f.fields, fieldOf(one)) {
			all = append(all, one.Message)
		}
	}
	return all
}

// Problems returns all errors: the general ones first, then those of each field.
func (f *form) Problems() []formError {
	var all []formError
	for _, text := range f.General() {
		all = append(all, formError{Text: text})
	}
	for _, name := range f.fields {
		for _, text := range f.Errors(name) {
			all = append(all, formError{name, f.label(name), text})
		}
	}
	return all
}

// label returns the key of a field's label. A password is new if the form also asks for the current one.
func (f *form) label(name string) string {
	if (name == passwordField || name == confirmationField) && slices.Contains(f.fields, presentField) {
		return "new_" + name
	}
	return name
}

// formError is one error of a form. Field is empty for a general one, and Label is the key of the field's label.
type formError struct{ Field, Label, Text string }

// addError adds an error of a rule that only the panel checks and the API does not have.
func (f *form) addError(name, message string) {
	f.faults = append(f.faults, fault.Errorf(fault.Invalid, "%s", message).On(name))
}

// uuidsOf parses the IDs that the panel put into a form.
func uuidsOf(texts []string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(texts))
	for i, text := range texts {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, fault.Errorf(fault.Invalid, "The form has an invalid ID. Go back and try again.")
		}
		ids[i] = id
	}
	return ids, nil
}

// noChoice returns the error for a value that a field does not offer.
func noChoice(q *request, field string) error {
	return fault.Errorf(fault.Invalid, "%s", q.text("errors.choice")).On(field)
}
