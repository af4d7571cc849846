package panel

import (
	"net/url"
	"slices"
	"strings"

	"latchkey/internal/fault"
)

// form is a form as it is shown: empty, or once more with what was entered and
// what is wrong with it.
type form struct {
	Values url.Values

	fields []string
	faults []*fault.Error
	// worded makes what services say fit for people; nil leaves it as it is.
	worded func(string) string
}

// newForm is an empty form of these fields, as they are called in the form and
// in faults.
func newForm(fields ...string) *form { return &form{Values: url.Values{}, fields: fields} }

// sent is the form that the visitor sent. It returns fault.Invalid for a body
// that is no form.
func (v *visit) sent(fields ...string) (*form, error) {
	if err := v.r.ParseForm(); err != nil {
		return nil, fault.Errorf(fault.Invalid, "%s", v.text("errors.form"))
	}
	return &form{Values: v.r.PostForm, fields: fields, worded: v.worded}, nil
}

// Value is what was entered into a field, without space around it.
func (f *form) Value(name string) string { return strings.TrimSpace(f.Values.Get(name)) }

// Has reports whether a choice of a field was made.
func (f *form) Has(name, choice string) bool { return slices.Contains(f.Values[name], choice) }

// refuse takes what is wrong with what was entered, to be shown. Any other
// error it returns: it has a page of its own.
func (f *form) refuse(err error) error {
	for _, one := range fault.Flatten(err) {
		if f.worded != nil {
			told := *one
			told.Message = f.worded(one.Message)
			one = &told
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

// Refused reports whether anything is wrong.
func (f *form) Refused() bool { return len(f.faults) > 0 }

// fieldOf is the field of a fault without the place that the API gives it and
// without the number of an element.
func fieldOf(f *fault.Error) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(f.Field, "input."), ".")
	return name
}

// Errors are what is wrong with a field.
func (f *form) Errors(name string) []string {
	var all []string
	for _, one := range f.faults {
		if fieldOf(one) == name {
			all = append(all, one.Message)
		}
	}
	return all
}

// General is what is wrong with the form as a whole, or with what is not a field
// of it.
func (f *form) General() []string {
	var all []string
	for _, one := range f.faults {
		if !slices.Contains(f.fields, fieldOf(one)) {
			all = append(all, one.Message)
		}
	}
	return all
}

// Problems are all that is wrong: with the form as a whole, and then with its
// fields.
func (f *form) Problems() []trouble {
	var all []trouble
	for _, text := range f.General() {
		all = append(all, trouble{"", text})
	}
	for _, name := range f.fields {
		for _, text := range f.Errors(name) {
			all = append(all, trouble{name, text})
		}
	}
	return all
}

// trouble is something that is wrong: with a field, or with a form as a whole.
type trouble struct{ Field, Text string }

// wrong says what is wrong with a field that the panel itself judges: what is
// asked of people and not of programs.
func (f *form) wrong(name, message string) {
	f.faults = append(f.faults, fault.Errorf(fault.Invalid, "%s", message).On(name))
}
