package file

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
	// addresses reports whether only the email address is read.
	addresses bool
}

func newObjects(r io.Reader, addresses bool) *objects {
	return &objects{lines: bufio.NewReaderSize(r, MaxRow), addresses: addresses}
}

// next reads the next row. Blank lines are skipped.
func (o *objects) next() (Row, error) {
	for {
		text, err := o.lines.ReadSlice('\n')
		o.line++
		switch {
		case o.line == 1 && bytes.ContainsRune(bytes.TrimSpace(text), '\r') &&
			(errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF)):
			return Row{}, oldLineEnds()
		case errors.Is(err, bufio.ErrBufferFull):
			return Row{}, tooLong(o.line)
		case errors.Is(err, io.EOF) && len(text) == 0:
			return Row{}, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return Row{}, fmt.Errorf("read the file: %w", err)
		}
		if o.line == 1 {
			text = bytes.TrimPrefix(text, []byte(byteOrderMark))
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return o.row(text)
		}
	}
}

// row parses one JSON object.
func (o *objects) row(text []byte) (Row, error) {
	wrong := func(message string) (Row, error) {
		return Row{}, &RowError{o.line, "", fault.List{fault.Errorf(fault.Invalid, "%s", message)}}
	}
	if !utf8.Valid(text) {
		return wrong(notText)
	}
	members := json.NewDecoder(bytes.NewReader(text))
	if start, err := members.Token(); err != nil || start != json.Delim('{') {
		return wrong(`Each line is a JSON object such as {"email": "ann@acme.example"}.`)
	}
	r := Row{Line: o.line}
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
			faults = append(faults, fault.Errorf(fault.Invalid, "The key appears twice.").On(name))
		}
		seen = append(seen, name)
		if f := r.setValue(name, value, &roleText); f != nil {
			faults = append(faults, f)
		}
	}
	if _, err := members.Token(); err != nil {
		return wrong("The line is not JSON.")
	}
	if _, err := members.Token(); !errors.Is(err, io.EOF) {
		return wrong("Each line must hold exactly one JSON object.")
	}
	return r.check(roleText, faults)
}

// setValue stores the value of a key. Null leaves the field empty.
func (r *Row) setValue(key string, value any, roleText *string) *fault.Error {
	switch {
	case !slices.Contains(columns(), key):
		return fault.Errorf(fault.Invalid, "The key is unknown. The keys are %s.",
			strings.Join(columns(), ", ")).On(fmt.Sprintf("%.40s", key))
	case key == stores:
		return r.setStoreList(value)
	}
	cell, is := value.(string)
	if value != nil && !is {
		return fault.Errorf(fault.Invalid, "The value must be a string.").On(key)
	}
	cell, wrong := tidy(cell)
	switch {
	case wrong != "":
		return fault.Errorf(fault.Invalid, "%s", wrong).On(key)
	case key == role:
		*roleText = cell
	default:
		r.set(key, cell)
	}
	return nil
}

func (r *Row) setStoreList(value any) *fault.Error {
	list, is := value.([]any)
	var hashes []string
	for _, element := range list {
		hash, text := element.(string)
		is = is && text
		hashes = append(hashes, hash)
	}
	if value != nil && !is {
		return fault.Errorf(fault.Invalid, `The value must be a list of store hashes such as ["acme1us"].`).On(stores)
	}
	r.setStores(hashes)
	return nil
}
