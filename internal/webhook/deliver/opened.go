package deliver

import (
	"bytes"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/secret"
	"latchkey/internal/webhook"
)

// maxOpened is the maximum number of webhooks whose opened secrets are cached.
const maxOpened = 1024

// opened caches the opened signing secrets of webhooks, since to open them takes longer than to sign a request. It is
// safe for concurrent use.
type opened struct {
	keys *secret.Keyring

	mu sync.Mutex
	of map[uuid.UUID]openedSecrets
}

// openedSecrets are the secrets of a webhook as it was read.
type openedSecrets struct {
	webhook webhook.Webhook
	secrets []secret.WebhookSecret
}

func newOpened(keys *secret.Keyring) *opened {
	return &opened{keys: keys, of: map[uuid.UUID]openedSecrets{}}
}

// secrets returns what SigningSecrets returns.
func (o *opened) secrets(w webhook.Webhook, now time.Time) ([]secret.WebhookSecret, error) {
	o.mu.Lock()
	found, ok := o.of[w.ID]
	o.mu.Unlock()
	if ok && len(found.secrets) == len(w.SecretHints(now)) && sameSecret(found.webhook.Secret, w.Secret) &&
		sameSecret(found.webhook.Previous, w.Previous) {
		return found.secrets, nil
	}
	secrets, err := w.SigningSecrets(o.keys, now)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.of) >= maxOpened {
		clear(o.of)
	}
	o.of[w.ID] = openedSecrets{w, secrets}
	return secrets, nil
}

func sameSecret(a, b webhook.SigningSecret) bool {
	return a.Sealed.Key == b.Sealed.Key && bytes.Equal(a.Sealed.Text, b.Sealed.Text)
}
