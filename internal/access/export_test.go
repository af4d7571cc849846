package access

import (
	"time"

	"latchkey/internal/secret"
)

// Familiar reports whether the secret has a place in front of the records.
func (m *Caches) Hot(s secret.Secret, now time.Time) bool {
	return m.hot.get(s.Reveal(), []secret.Kind{s.Kind()}, func() time.Time { return now }) != nil
}
