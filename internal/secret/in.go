package secret

import (
	"slices"
	"strings"
	"unicode"
)

// In reports whether text contains a credential. Users paste credentials into the wrong field, and none may be stored
// (docs/promises.md: 1).
func In(text string) bool {
	between := func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	return containsWebhook(text) || slices.ContainsFunc(strings.FieldsFunc(text, between), func(word string) bool {
		_, err := Parse(word)
		return err == nil
	})
}

// webhookLength is the length of a signing secret in characters.
const webhookLength = len(WebhookPrefix) + (webhookKey+2)/3*4

func containsWebhook(text string) bool {
	for {
		i := strings.Index(text, WebhookPrefix)
		if i < 0 {
			return false
		}
		text = text[i:]
		if len(text) >= webhookLength {
			if _, err := ParseWebhook(text[:webhookLength]); err == nil {
				return true
			}
		}
		text = text[len(WebhookPrefix):]
	}
}
