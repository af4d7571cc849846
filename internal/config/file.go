package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey/internal/fault"
	"latchkey/internal/regularfile"
)

// maxFile is the maximum size of a settings file in bytes.
const maxFile = 256 << 10

// withFile returns a source whose environment also has the variables of the settings file, if one is set. Variables of
// the environment take precedence. The errors are those of the file, each with its line, and contain no value.
func (from Source) withFile() (Source, fault.List) {
	i := slices.IndexFunc(Settings(), func(s Setting) bool { return s.Flag == fileFlag })
	path, set, _ := Settings()[i].text(from)
	if !set || path == "" {
		return from, nil
	}
	variables, err := readVariables(path)
	if err != nil {
		var faults fault.List
		for _, f := range fault.Flatten(err) {
			faults = append(faults, f.On(Called(fileFlag)))
		}
		return from, faults
	}
	env := from.Env
	from.Env = func(name string) (string, bool) {
		if text, _ := env(name); text != "" {
			return text, true
		}
		text, set := variables[name]
		return text, set
	}
	return from, nil
}

// readVariables reads a settings file: a variable and its value on each line, as in NAME=value. Blank lines and lines
// that begin with a number sign are ignored, and so are quotes around a value.
func readVariables(path string) (map[string]string, error) {
	file, _, err := regularfile.Open(path)
	if err != nil {
		return nil, cannotRead(path, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, cannotRead(path, err)
	}
	if len(content) > maxFile || !utf8.Valid(content) {
		return nil, fault.Errorf(fault.Invalid, "%s must be a text of at most %d bytes.", path, maxFile)
	}
	known := fileVariables()
	variables := map[string]string{}
	var faults fault.List
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, maxFile+1)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, assigned := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		_, twice := variables[name]
		complaint := ""
		switch {
		case !assigned:
			complaint = "must have the form NAME=value"
		case !known[name]:
			complaint = fmt.Sprintf("%.80q is not the variable of a setting that a file can have", name)
		case twice:
			complaint = name + " is set twice"
		}
		if complaint != "" {
			faults = append(faults, fault.Errorf(fault.Invalid, "%s, line %d: %s.", path, number, complaint))
			continue
		}
		variables[name] = unquoted(strings.TrimSpace(value))
	}
	return variables, faults.Err()
}

// fileVariables returns the variables that a settings file can have.
func fileVariables() map[string]bool {
	known := map[string]bool{}
	for _, s := range Settings() {
		known[s.Variable()] = s.Flag != fileFlag
		if s.Secret {
			known[s.fileVariable()] = true
		}
	}
	return known
}

func unquoted(value string) string {
	if n := len(value); n >= 2 && value[0] == value[n-1] && (value[0] == '"' || value[0] == '\'') {
		return value[1 : n-1]
	}
	return value
}

func cannotRead(path string, err error) error {
	reason := err
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		reason = onPath.Err
	}
	return fault.Wrap(err, fault.Invalid, "%s", fmt.Sprintf("cannot read %s: %v", path, reason))
}

// Values has the texts of all settings, to find those that changed. It contains secrets and must not be printed.
type Values struct{ texts map[string]string }

// ReadValues reads the texts of all settings. The source must be one that Load accepts.
func ReadValues(from Source) Values {
	v := Values{map[string]string{}}
	from, _ = from.withFile()
	for _, s := range Settings() {
		v.texts[s.Flag], _, _ = s.text(from)
	}
	return v
}

// IsSet reports whether the setting of the flag has a text.
func (v Values) IsSet(flag string) bool { return v.texts[flag] != "" }

// Changed returns the flags of the settings that differ in other, in the order of the documentation.
func (v Values) Changed(other Values) []string {
	var flags []string
	for _, s := range Settings() {
		if v.texts[s.Flag] != other.texts[s.Flag] {
			flags = append(flags, s.Flag)
		}
	}
	return flags
}
