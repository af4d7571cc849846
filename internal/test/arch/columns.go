package arch

import (
	"fmt"
	"go/scanner"
	"go/token"
	"strings"
)

const (
	// maxColumns is the maximum width of a line of Go.
	maxColumns = 120
	// tabWidth is the width of a tab.
	tabWidth = 4
	// unbreakable is the length from which a string excuses its line: breaking it would hide it from a search.
	unbreakable = 60
)

func checkColumns(m Module) []Finding {
	var findings []Finding
	for _, text := range m.Texts {
		if !strings.HasSuffix(text.Path, ".go") || !m.isHandWritten(text.Path) {
			continue
		}
		excused := excusedLines(text.Content)
		for i, line := range strings.Split(text.Content, "\n") {
			if n := columns(line); n > maxColumns && !excused[i+1] {
				findings = append(findings, Finding{text.Path, i + 1,
					fmt.Sprintf("%d columns, at most %d", n, maxColumns)})
			}
		}
	}
	return findings
}

func (m Module) isHandWritten(path string) bool {
	for _, f := range m.GoFiles {
		if f.Path == path {
			return !f.Generated && !strings.HasSuffix(path, ".resolvers.go") // gqlgen writes their signatures
		}
	}
	return false
}

func columns(line string) int {
	n := 0
	for _, r := range line {
		if r == '\t' {
			n += tabWidth
		} else {
			n++
		}
	}
	return n
}

// excusedLines returns the numbers of the lines that cannot be broken: those with a long string or with a directive.
func excusedLines(source string) map[int]bool {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(source))
	s.Init(file, []byte(source), nil, scanner.ScanComments)
	excused := map[int]bool{}
	for {
		pos, kind, text := s.Scan()
		first := file.Line(pos)
		switch {
		case kind == token.EOF:
			return excused
		case kind == token.STRING && (len(text) >= unbreakable || strings.Contains(text, "\n")):
			for i := range strings.Count(text, "\n") + 1 {
				excused[first+i] = true
			}
		case kind == token.COMMENT && (strings.HasPrefix(text, "//nolint:") || strings.HasPrefix(text, "//go:")):
			excused[first] = true
		}
	}
}
