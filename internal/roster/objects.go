package roster

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey/internal/fault"
)

// objects reads NDJSON.
type objects struct {
	lines *bufio.Reader
	line  int
	// addresses says that only that key counts.
	addresses bool
}

func newObjects(r io.Reader, addresses bool) *objects {
	return &objects{lines: bufio.NewReaderSize(r, MaxRow), addresses: addresses}
}

// next reads a person. Lines with nothing on them are left out.
func (o *objects) next() (Person, error) {
	for {
		text, err := o.lines.ReadSlice('\n')
		o.line++
		switch {
		case o.line == 1 && bytes.ContainsRune(bytes.TrimSpace(text), '\r') && (errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF)):
			return Person{}, oldLineEnds()
		case errors.Is(err, bufio.ErrBufferFull):
			return Person{}, tooLong(o.line)
		case errors.Is(err, io.EOF) && len(text) == 0:
			return Person{}, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return Person{}, fmt.Errorf("read the file: %w", err)
		}
		if o.line == 1 {
			text = bytes.TrimPrefix(text, []byte(byteOrderMark))
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return o.person(text)
		}
	}
}

// person reads an object.
func (o *objects) person(text []byte) (Person, error) {
	wrong := func(message string) (Person, error) {
		return Person{}, &RowError{o.line, "", fault.List{fault.Errorf(fault.Invalid, "%s", message)}}
	}
	if !utf8.Valid(text) {
		return wrong(notText)
	}
	members := json.NewDecoder(bytes.NewReader(text))
	if start, err := members.Token(); err != nil || start != json.Delim('{') {
		return wrong(`Each line is a JSON object such as {"email": "ann@acme.example"}.`)
	}
	p := Person{Line: o.line}
	var faults fault.List
	var roleText string
	var seen []string
	for members.More() {
		key, err := members.Token()
		var value any
		if err == nil {
			err = members.Decode(&value)
		}
		if err != nil {
			return wrong("The line is not JSON.")
		}
		name := fmt.Sprint(key)
		if o.addresses && name != email {
			continue
		}
		if slices.Contains(seen, name) {
			faults = append(faults, fault.Errorf(fault.Invalid, "The key is there twice.").On(name))
		}
		seen = append(seen, name)
		if f := p.set(name, value, &roleText); f != nil {
			faults = append(faults, f)
		}
	}
	if _, err := members.Token(); err != nil {
		return wrong("The line is not JSON.")
	}
	if _, err := members.Token(); !errors.Is(err, io.EOF) {
		return wrong("There is something after the object: each line is one.")
	}
	return p.check(roleText, faults)
}

// set keeps the value of a key. Null says nothing.
func (p *Person) set(key string, value any, roleText *string) *fault.Error {
	kept := p.text(key)
	switch {
	case key == stores:
		return p.setStores(value)
	case key == role:
		kept = roleText
	case kept == nil:
		return fault.Errorf(fault.Invalid, "There is no such key; the keys are %s.", strings.Join(columns(), ", ")).On(fmt.Sprintf("%.40s", key))
	}
	cell, is := value.(string)
	if value != nil && !is {
		return fault.Errorf(fault.Invalid, "The value must be a text.").On(key)
	}
	cell, wrong := tidy(cell)
	if wrong != "" {
		return fault.Errorf(fault.Invalid, "%s", wrong).On(key)
	}
	*kept = cell
	return nil
}

func (p *Person) setStores(value any) *fault.Error {
	list, is := value.([]any)
	var hashes []string
	for _, element := range list {
		hash, text := element.(string)
		is = is && text
		hashes = append(hashes, hash)
	}
	if value != nil && !is {
		return fault.Errorf(fault.Invalid, `The value must be a list of stores' hashes such as ["acme1us"].`).On(stores)
	}
	p.Stores = listed(hashes)
	return nil
}
