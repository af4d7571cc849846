package leaks

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"unicode/utf8"

	"latchkey/internal/fault"
	"latchkey/internal/plaintext"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

// Report is a secret that a client has found.
type Report struct {
	Token string `json:"token"`
	// Type is the scanner's name for secrets of this form.
	Type string `json:"type"`
	// URL is where the secret was found, and Source what is there. Both may be any text.
	URL    string `json:"url"`
	Source string `json:"source"`
}

// Limits of a body.
const (
	// MaxSigned is the maximum number of reports in a signed body.
	MaxSigned = 1000
	// MaxUnsigned is the maximum number of reports in another body.
	MaxUnsigned = 10
)

// ParseReports parses a body: a list of reports, or one report. It returns fault.Invalid for another body and for one
// with more than most reports.
func ParseReports(body []byte, most int) ([]Report, error) {
	var reports []Report
	body = bytes.TrimSpace(body)
	var err error
	if len(body) > 0 && body[0] == '{' {
		reports = make([]Report, 1)
		err = json.Unmarshal(body, &reports[0])
	} else {
		err = json.Unmarshal(body, &reports)
	}
	switch {
	case err != nil:
		return nil, fault.Errorf(fault.Invalid, // the cause may contain parts of the body
			`The body must be JSON: [{"token": …, "type": …, "url": …, "source": …}], or one such object.`)
	case len(reports) == 0 || len(reports) > most:
		return nil, fault.Errorf(fault.Invalid, "Send 1 to %d reports at once.", most)
	}
	for _, r := range reports {
		if r.Token == "" {
			return nil, fault.Errorf(fault.Invalid, "Every report needs a token.")
		}
	}
	return reports, nil
}

const (
	maxPlace  = 150 // characters
	maxSource = 30
)

// reason returns the report as the reason of a revocation. It has at most token.MaxReason characters.
func (r Report) reason(from Reporter) string {
	text := "Leaked: reported by a client that has the secret"
	if from.Scanner {
		text = "Leaked: reported by a secret scanner"
	}
	if source := source(r.Source); source != "" {
		text += ", found in " + source
	}
	if place := place(r.URL); place != "" {
		text += " at " + place
	}
	return short(text, token.MaxReason)
}

// source returns the name of a kind of place, or "" for another text.
func source(text string) string {
	strange := func(c rune) bool { return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') }
	if len(text) > maxSource || strings.ContainsFunc(text, strange) {
		return ""
	}
	return strings.ToLower(text)
}

// place returns a URL without the parts that may have secrets, or "" for another text.
func place(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if found := secret.Find([]byte(u.Path)); len(found) > 0 {
		bare.Path = ""
	}
	if text = bare.String(); !plaintext.OneLine(text) || secret.In(text) {
		return ""
	}
	return short(text, maxPlace)
}

// short returns the first characters of a text.
func short(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
