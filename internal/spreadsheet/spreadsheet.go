// Package spreadsheet keeps CSV files from being run as programs by what opens
// them.
package spreadsheet

import (
	"strings"
	"unicode/utf8"
)

// Harmless returns the cells with an apostrophe before each that a spreadsheet
// would run as a formula, as spreadsheets do it themselves (OWASP: CSV
// Injection).
func Harmless(cells []string) []string {
	safe := make([]string, len(cells))
	for i, cell := range cells {
		if begins(cell) {
			cell = "'" + cell
		}
		safe[i] = cell
	}
	return safe
}

// Original returns the cell of which Harmless made this one.
func Original(cell string) string {
	if rest, marked := strings.CutPrefix(cell, "'"); marked && begins(rest) {
		return rest
	}
	return cell
}

// begins reports whether a spreadsheet would run the cell.
func begins(cell string) bool {
	first, _ := utf8.DecodeRuneInString(cell)
	return cell != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", first)
}
