package secret

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// WebhookPrefix is the prefix of the signing secrets of webhooks (Standard Webhooks, version 1).
const WebhookPrefix = "whsec_"

// webhookKey is the length of the key in a WebhookSecret in bytes.
const webhookKey = 32

// WebhookSecret is the signing secret of a webhook: WebhookPrefix and the base64 encoding of a key of 32 random bytes.
// Like Secret it does not print or compare. Its text is what is sealed to be stored.
type WebhookSecret struct {
	silent

	s *string
}

// GenerateWebhook returns a new signing secret with a key read from random. It returns an error if random does.
func GenerateWebhook(random io.Reader) (WebhookSecret, error) {
	var raw [webhookKey]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return WebhookSecret{}, fmt.Errorf("read random bytes for a signing secret: %w", err)
	}
	text := WebhookPrefix + base64.StdEncoding.EncodeToString(raw[:])
	return WebhookSecret{s: &text}, nil
}

// ParseWebhook parses the text of a signing secret. It returns ErrMalformed for any text that GenerateWebhook cannot
// return.
func ParseWebhook(text string) (WebhookSecret, error) {
	raw, err := decodeWebhook(text)
	if err != nil || len(raw) != webhookKey || WebhookPrefix+base64.StdEncoding.EncodeToString(raw) != text {
		return WebhookSecret{}, ErrMalformed
	}
	return WebhookSecret{s: &text}, nil
}

func decodeWebhook(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, WebhookPrefix)
	if !ok {
		return nil, ErrMalformed
	}
	return base64.StdEncoding.DecodeString(encoded)
}

// Key returns the key of the HMAC, or nil for the zero WebhookSecret.
func (s WebhookSecret) Key() []byte {
	raw, err := decodeWebhook(s.Reveal())
	if err != nil {
		return nil
	}
	return raw
}

// Reveal returns the text of the secret, for the one response that shows it and for sealing. It returns "" for the zero
// WebhookSecret.
func (s WebhookSecret) Reveal() string {
	if s.s == nil {
		return ""
	}
	return *s.s
}

// Hint returns the prefix and the last four characters, such as "whsec_…x7Q=", by which its holder can recognize the
// secret. They reveal 16 of the 256 random bits.
func (s WebhookSecret) Hint() string {
	if s.s == nil {
		return ""
	}
	return WebhookPrefix + "…" + (*s.s)[len(*s.s)-hintLength:]
}
