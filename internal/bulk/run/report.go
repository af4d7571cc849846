package run

import (
	"fmt"
	"io"
	"strconv"

	"latchkey/internal/bulk/file"
)

// Report is a CSV file of failed users with the columns line,email,field,code,message. It is written row by row, so
// that it is complete up to the last batch if the job is interrupted.
type Report struct{ rows *file.Writer }

// NewReport writes the header to w.
func NewReport(w io.Writer) (*Report, error) {
	r := &Report{file.NewWriter(w)}
	return r, r.write("line", "email", "field", "code", "message")
}

// Add writes a row for a failed user.
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
