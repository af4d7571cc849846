package access

import (
	"time"

	"latchkey/internal/secret"
)

// Familiar reports whether the secret has a place in front of the records.
func (m *Memory) Familiar(s secret.Secret, now time.Time) bool {
	return m.familiar.recall(s.Reveal(), []secret.Kind{s.Kind()}, func() time.Time { return now }) != nil
}
