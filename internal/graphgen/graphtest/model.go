// Package graphtest holds a schema with one field of every sort, to hold what
// graphgen generates against what gqlgen generates.
package graphtest

import (
	"errors"
	"io"
	"strconv"
	"time"
)

//go:generate go run latchkey/internal/graphgen

// Thing has a field of every sort.
type Thing struct {
	ID     string
	Name   string
	Note   *string
	Count  int
	Big    *int64
	Ratio  float64
	On     bool
	Kind   Kind
	Level  *Level
	Colour Colour
	At     time.Time
	Gone   time.Time
	Tags   []string
	Labels []*string
	Grid   [][]int
	Owner  *Person
	Friend *Person
	Parts  []*Part
	Spares []Part
	Child  *Thing
	// Panics makes Risky panic.
	Panics bool
}

// IsNode marks Thing as a Node.
func (Thing) IsNode() {}

// IsFound marks Thing as something found.
func (Thing) IsFound() {}

// Title is a field that is a method.
func (t Thing) Title() string { return "the " + t.Name }

// Label is a field of the interface.
func (t Thing) Label() string { return "thing " + t.ID }

// Checked is a field that is a method and can fail: it does for a zero count.
func (t Thing) Checked() (string, error) {
	if t.Count == 0 {
		return "", errors.New("nothing to check")
	}
	return "checked", nil
}

// Risky panics if the thing says so.
func (t Thing) Risky() string {
	if t.Panics {
		panic("too risky")
	}
	return "safe"
}

// Person is an object of plain fields only.
type Person struct {
	ID        string
	Email     string
	FirstName string
	LastName  string
	Locale    string
}

// IsNode marks Person as a Node.
func (Person) IsNode() {}

// IsFound marks Person as someone found.
func (Person) IsFound() {}

// Label is a field of the interface.
func (p Person) Label() string { return "person " + p.ID }

// Record is how a part is kept.
type Record struct {
	ID     int
	Number int
	SeenAt *time.Time
}

// Part wraps a record, whose fields it has but for the id.
type Part struct{ Record }

// ID is the record's id as the API has it.
func (p Part) ID() string { return "part/" + strconv.Itoa(p.Record.ID) }

// Level is an enum bound to Go constants.
type Level int

// The levels.
const (
	Low Level = iota
	High
)

// Colour is a scalar that marshals itself.
type Colour struct{ Red, Green, Blue uint8 }

// MarshalGQL writes the colour as a string.
func (c Colour) MarshalGQL(w io.Writer) {
	_, _ = io.WriteString(w, `"#`+strconv.FormatInt(int64(c.Red)<<16|int64(c.Green)<<8|int64(c.Blue), 16)+`"`)
}

// UnmarshalGQL is needed for a scalar; no input has a colour.
func (c *Colour) UnmarshalGQL(any) error { return errors.ErrUnsupported }
