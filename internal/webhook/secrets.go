package webhook

import (
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/secret"
)

// seal returns the signing secret in its stored form.
func seal(keys *secret.Keyring, random io.Reader, id uuid.UUID, s secret.WebhookSecret) (SigningSecret, error) {
	sealed, err := keys.Seal(random, []byte(s.Reveal()), SealedFor(id))
	if err != nil {
		return SigningSecret{}, fmt.Errorf("seal the signing secret of webhook %s: %w", id, err)
	}
	return SigningSecret{Sealed: sealed, Hint: s.Hint()}, nil
}

// SigningSecrets opens the secrets that sign a request at the time now: the current one, and the previous one until it
// expires.
func (w Webhook) SigningSecrets(keys *secret.Keyring, now time.Time) ([]secret.WebhookSecret, error) {
	current, err := open(keys, w.ID, w.Secret)
	if err != nil {
		return nil, err
	}
	if !w.hasPrevious(now) {
		return []secret.WebhookSecret{current}, nil
	}
	previous, err := open(keys, w.ID, w.Previous)
	if err != nil {
		return nil, err
	}
	return []secret.WebhookSecret{current, previous}, nil
}

func (w Webhook) hasPrevious(now time.Time) bool {
	return w.Previous.Hint != "" && now.Before(w.PreviousExpiresAt)
}

// SecretHints returns the hints of the secrets that sign a request at the time now, the current one first.
func (w Webhook) SecretHints(now time.Time) []string {
	if w.hasPrevious(now) {
		return []string{w.Secret.Hint, w.Previous.Hint}
	}
	return []string{w.Secret.Hint}
}

func open(keys *secret.Keyring, id uuid.UUID, s SigningSecret) (secret.WebhookSecret, error) {
	text, err := keys.Open(s.Sealed, SealedFor(id))
	if err != nil {
		return secret.WebhookSecret{}, fmt.Errorf("open a signing secret of webhook %s: %w", id, err)
	}
	return secret.ParseWebhook(string(text))
}
