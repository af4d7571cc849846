package token

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

func checkName(name string) (string, fault.List) {
	name = strings.TrimSpace(name)
	if f := checkText("A name", name, MinName, MaxName); f != nil {
		return "", fault.List{f.On("name")}
	}
	return name, nil
}

func checkReason(reason string) (string, fault.List) {
	reason = strings.TrimSpace(reason)
	if f := checkText("A reason", reason, 0, MaxReason); f != nil {
		return "", fault.List{f.On("reason")}
	}
	return reason, nil
}

// checkText checks a text that is stored and later shown unchanged.
func checkText(what, text string, least, most int) *fault.Error {
	n := utf8.RuneCountInString(text)
	switch {
	case n < least || n > most:
		return fault.Errorf(fault.Invalid, "%s has %d to %d characters.", what, least, most)
	case !oneLine(text):
		return fault.Errorf(fault.Invalid, "%s is one line of plain text.", what)
	case secret.In(text):
		return fault.Errorf(fault.Invalid, "%s must not contain a credential. Rotate one that others may have seen.",
			what)
	}
	return nil
}

// oneLine reports whether text is one line of plain text. It rejects control
// characters, such as NUL, which PostgreSQL cannot store, and invisible characters,
// which can make one text look like another. U+FFFD replaces an invalid character,
// such as half a surrogate pair in JSON.
func oneLine(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) &&
			!unicode.Is(unicode.Join_Control, r)
	})
}
