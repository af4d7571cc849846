package token

import (
	"strings"
	"unicode/utf8"

	"latchkey/internal/fault"
	"latchkey/internal/plaintext"
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
	case !plaintext.OneLine(text):
		return fault.Errorf(fault.Invalid, "%s is one line of plain text.", what)
	case n > 0 && !plaintext.Shows(text):
		return fault.Errorf(fault.Invalid, "%s has at least one visible character.", what)
	case secret.In(text):
		return fault.Errorf(fault.Invalid, "%s must not contain a credential. Rotate one that others may have seen.",
			what)
	}
	return nil
}
