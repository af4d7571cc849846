package export

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"latchkey/internal/bulk/file"
)

// Writer writes users in some format. Write flushes what it writes. Close ends the document; it does not close the
// underlying writer.
type Writer interface {
	Write(users []Person) error
	Close() error
}

// Formats returns the names of the formats.
func Formats() []string { return []string{"table", "csv", "json", "ndjson"} }

// NewWriter returns a writer for the named format. An unknown name selects table.
func NewWriter(format string, to io.Writer) Writer {
	switch format {
	case "csv":
		return &csvWriter{lines: file.NewWriter(to)}
	case "json":
		return &jsonWriter{to: to, open: "{\"users\": [\n", between: ",", end: "]}\n"}
	case "ndjson":
		return &jsonWriter{to: to}
	default:
		return &tableWriter{to: tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)}
	}
}

// columns are the columns of the CSV format. They are stable; new columns are added at the end.
var columns = []string{
	"user_id", "email", "first_name", "last_name", "locale", "external_id", "created_at", "updated_at",
	"store_hash", "store_name", "role", "status", "last_login_at",
}

// csvWriter writes a line for each store of a user, and one line for a user without stores.
type csvWriter struct {
	lines  *file.Writer
	headed bool
}

// Write writes lines.
func (w *csvWriter) Write(users []Person) error {
	if !w.headed {
		w.headed = true
		w.lines.Write(columns)
	}
	for _, p := range users {
		whole := []string{
			p.ID, p.Email, p.FirstName, p.LastName, p.Locale, textOf(p.ExternalID), timeText(&p.CreatedAt),
			timeText(&p.UpdatedAt), "", "", "", "", "",
		}
		if len(p.Stores) == 0 {
			w.lines.Write(whole)
		}
		for _, in := range p.Stores {
			copy(whole[8:], []string{in.StoreHash, in.StoreName, in.Role, in.Status, timeText(in.LastLoginAt)})
			w.lines.Write(whole)
		}
	}
	return w.lines.Flush()
}

func (w *csvWriter) Close() error { return nil }

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func timeText(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// jsonWriter writes one JSON object a line.
type jsonWriter struct {
	to                 io.Writer
	open, between, end string
	lines              int
}

// Write writes objects.
func (w *jsonWriter) Write(users []Person) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for _, p := range users {
		if w.lines > 0 {
			text.WriteString(w.between)
		} else {
			text.WriteString(w.open)
		}
		w.lines++
		if err := encoder.Encode(p); err != nil {
			return err
		}
	}
	_, err := w.to.Write(text.Bytes())
	return err
}

// Close ends the list.
func (w *jsonWriter) Close() error {
	end := w.end
	if w.lines == 0 {
		end = w.open + end
	}
	_, err := io.WriteString(w.to, end)
	return err
}

// tableWriter writes a table for a terminal. Its columns are as wide as each page needs.
type tableWriter struct {
	to     *tabwriter.Writer
	headed bool
}

// Write writes lines.
func (w *tableWriter) Write(users []Person) error {
	var text strings.Builder
	if !w.headed {
		w.headed = true
		text.WriteString("EMAIL\tNAME\tEXTERNAL ID\tSTORES\tUPDATED\n")
	}
	for _, p := range users {
		var stores []string
		for _, in := range p.Stores {
			stores = append(stores,
				in.StoreHash+":"+in.Role+map[bool]string{true: ":INACTIVE"}[in.Status == "INACTIVE"])
		}
		cells := []string{p.Email, p.FirstName + " " + p.LastName, textOf(p.ExternalID), strings.Join(stores, " "),
			p.UpdatedAt.UTC().Format("2006-01-02 15:04")}
		for i, cell := range cells {
			if cell == "" {
				cells[i] = "-"
			}
		}
		text.WriteString(strings.Join(cells, "\t") + "\n")
	}
	if _, err := io.WriteString(w.to, text.String()); err != nil {
		return err
	}
	return w.to.Flush()
}

// Close writes nothing.
func (w *tableWriter) Close() error { return nil }
