package provision

import (
	"fmt"
	"io"
	"strconv"

	"latchkey/internal/spreadsheet"
)

// Report is a CSV file of what failed: line,email,field,code,message. It is
// written row by row, so that it holds what failed so far whenever a job ends.
type Report struct{ rows *spreadsheet.Writer }

// NewReport begins a report with its header.
func NewReport(w io.Writer) (*Report, error) {
	r := &Report{spreadsheet.NewWriter(w)}
	return r, r.write("line", "email", "field", "code", "message")
}

// Add writes a row for somebody with whom something failed.
func (r *Report) Add(failed Result) error {
	line := ""
	if failed.Line > 0 {
		line = strconv.Itoa(failed.Line)
	}
	return r.write(line, failed.Email, failed.Field, failed.Code, failed.Message)
}

func (r *Report) write(cells ...string) error {
	r.rows.Write(cells)
	if err := r.rows.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
