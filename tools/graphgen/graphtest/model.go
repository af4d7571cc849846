// Package graphtest holds a schema with one field of every kind, to compare the code that graphgen generates with
// gqlgen's.
package graphtest

import (
	"errors"
	"io"
	"strconv"
	"time"
)

//go:generate go run latchkey/tools/graphgen

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
	Color  Color
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

// IsFound marks Thing as a search result.
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

// IsFound marks Person as a search result.
func (Person) IsFound() {}

// Label is a field of the interface.
func (p Person) Label() string { return "person " + p.ID }

// Record is the stored form of a part.
type Record struct {
	ID     int
	Number int
	SeenAt *time.Time
}

// Part wraps a record. It has the record's fields but another ID.
type Part struct{ Record }

// ID returns the record's ID as in the API.
func (p Part) ID() string { return "part/" + strconv.Itoa(p.Record.ID) }

// Level is an enum bound to Go constants.
type Level int

// The levels.
const (
	Low Level = iota
	High
)

// Color is a scalar that marshals itself.
type Color struct{ Red, Green, Blue uint8 }

// MarshalGQL writes the color as a string.
func (c Color) MarshalGQL(w io.Writer) {
	_, _ = io.WriteString(w, `"#`+strconv.FormatInt(int64(c.Red)<<16|int64(c.Green)<<8|int64(c.Blue), 16)+`"`)
}

// UnmarshalGQL is required for a scalar. No input has a color.
func (c *Color) UnmarshalGQL(any) error { return errors.ErrUnsupported }
