package main

import (
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// line is a line of prose: where it is in its file, and its text.
type line struct {
	number int
	text   string
}

// place is where a construction stands.
type place struct {
	path    string
	line    int
	found   string
	instead string
}

// String returns the place in the form that editors understand: path:line: message.
func (p place) String() string {
	return fmt.Sprintf("%s:%d: %q: write %s", p.path, p.line, p.found, p.instead)
}

// construction is what a line of the list says.
type construction struct {
	pattern *regexp.Regexp
	instead string
}

// constructions are what a list holds.
type constructions struct {
	all []construction
	// plain are expressions whose matches are plain English.
	plain []*regexp.Regexp
}

// parseList reads a list. Each line is a regular expression, a tab and what to write instead; or "plain", a tab and a
// regular expression of what is plain English although a part of it is not. Lines that begin with # are comments.
func parseList(text string) (constructions, error) {
	var c constructions
	for entry := range strings.Lines(text) {
		entry = strings.TrimSpace(entry)
		if entry == "" || strings.HasPrefix(entry, "#") {
			continue
		}
		expression, instead, found := strings.Cut(entry, "\t")
		if !found {
			return constructions{}, fmt.Errorf("%q has no tab", entry)
		}
		isPlain := expression == "plain"
		if isPlain {
			expression = instead
		}
		pattern, err := regexp.Compile(`(?i)\b(?:` + expression + `)\b`)
		switch {
		case err != nil:
			return constructions{}, err
		case isPlain:
			c.plain = append(c.plain, pattern)
		default:
			c.all = append(c.all, construction{pattern, instead})
		}
	}
	return c, nil
}

// find returns the constructions in lines of a file, in their order.
func (c constructions) find(name string, lines []line) []place {
	var places []place
	for _, l := range lines {
		for _, plain := range c.plain {
			l.text = plain.ReplaceAllString(l.text, " ")
		}
		for _, each := range c.all {
			for _, found := range each.pattern.FindAllString(l.text, -1) {
				places = append(places, place{name, l.number, found, each.instead})
			}
		}
	}
	return places
}

// generated are folders of what programs made, or others wrote.
var generated = []string{"node_modules", "generated", "graphiql", "testdata"}

// readProse returns the lines of prose in a file. Files that hold none have none.
func readProse(name string) ([]line, error) {
	if slices.ContainsFunc(strings.Split(path.Dir(name), "/"),
		func(folder string) bool { return slices.Contains(generated, folder) }) {
		return nil, nil
	}
	read := map[string]func(string) []line{
		".go": inGo, ".md": everyLine, ".graphqls": inSchema, ".yaml": everyLine, ".yml": everyLine,
		".sql": comments("--"),
		".sh":  comments("#"), "": comments("#"),
	}[path.Ext(name)]
	if read == nil {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(read(string(text)),
		func(l line) bool { return !strings.ContainsFunc(l.text, unicode.IsLetter) }), nil
}

// everyLine returns all lines.
func everyLine(text string) []line {
	var all []line
	for l := range strings.Lines(text) {
		all = append(all, line{len(all) + 1, l})
	}
	return all
}

// comments returns the lines that begin with a mark.
func comments(mark string) func(string) []line {
	return func(text string) []line {
		return slices.DeleteFunc(everyLine(text),
			func(l line) bool { return !strings.HasPrefix(strings.TrimSpace(l.text), mark) })
	}
}

// inSchema returns the lines of descriptions: those with a quote, and those between two that have three.
func inSchema(text string) []line {
	within := false
	return slices.DeleteFunc(everyLine(text), func(l line) bool {
		if strings.Count(l.text, `"""`)%2 == 1 {
			within = !within
			return false
		}
		return !within && !strings.Contains(l.text, `"`)
	})
}

// inGo returns the lines of comments and of messages: string literals of three words and more.
func inGo(text string) []line {
	if strings.HasPrefix(text, "// Code generated") {
		return nil
	}
	var all []line
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(text))
	var s scanner.Scanner
	s.Init(file, []byte(text), nil, scanner.ScanComments)
	for position, kind, literal := s.Scan(); kind != token.EOF; position, kind, literal = s.Scan() {
		if kind != token.COMMENT && (kind != token.STRING || len(strings.Fields(literal)) < 3) {
			continue
		}
		for i, l := range strings.Split(literal, "\n") {
			all = append(all, line{file.Line(position) + i, l})
		}
	}
	return all
}
