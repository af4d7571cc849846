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
		if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", first) {
			cell = "'" + cell
		}
		safe[i] = cell
	}
	return safe
}
