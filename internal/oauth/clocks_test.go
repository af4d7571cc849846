package oauth_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

// What is ended at once is refused at once by a server whose clock is behind, though by that clock it is not yet ended,
// and by the server that ended it when its clock is set back.
func TestEndedWhateverTheClock(t *testing.T) {
	rotate := func(h *house, i token.Issued, overlap time.Duration) {
		h.t.Helper()
		if _, err := h.tokens.Rotate(h.t.Context(), h.owner, i.Token.ID, &overlap); err != nil {
			h.t.Fatal(err)
		}
	}
	revoke := func(h *house, i token.Issued, s secret.Secret) {
		h.t.Helper()
		if err := h.Revoke(h.t.Context(), h.client(i), s.Reveal()); err != nil {
			h.t.Fatal(err)
		}
	}
	// Each makes an access token and returns it with what ends it.
	ways := map[string]func(*house, token.Issued) (secret.Secret, func()){
		"revoked by its client": func(h *house, i token.Issued) (secret.Secret, func()) {
			return i.AccessToken, func() { revoke(h, i, i.AccessToken) }
		},
		"granted and revoked": func(h *house, i token.Issued) (secret.Secret, func()) {
			g := h.grant(i, "")
			return g.AccessToken, func() { revoke(h, i, g.AccessToken) }
		},
		"rotated without overlap": func(h *house, i token.Issued) (secret.Secret, func()) {
			return i.AccessToken, func() { rotate(h, i, 0) }
		},
		"rotated twice": func(h *house, i token.Issued) (secret.Secret, func()) {
			rotate(h, i, time.Hour)
			return i.AccessToken, func() { rotate(h, i, time.Hour) }
		},
		"rotated, and revoked by a server by whose clock the overlap is over": func(h *house, i token.Issued) (secret.Secret, func()) {
			rotate(h, i, time.Second)
			h.clock = h.clock.Add(time.Second)
			return i.AccessToken, func() { revoke(h, i, i.AccessToken) }
		},
		"rotated, and rotated by a server by whose clock the overlap is over": func(h *house, i token.Issued) (secret.Secret, func()) {
			rotate(h, i, time.Second)
			h.clock = h.clock.Add(time.Second)
			return i.AccessToken, func() { rotate(h, i, time.Hour) }
		},
		"granted, and revoked by a server by whose clock it has expired": func(h *house, i token.Issued) (secret.Secret, func()) {
			g := h.grant(i, "")
			h.clock = h.clock.Add(g.Lifetime)
			return g.AccessToken, func() { revoke(h, i, g.AccessToken) }
		},
	}
	for _, behind := range []time.Duration{30 * time.Second, time.Hour} {
		for name, way := range ways {
			t.Run(fmt.Sprintf("%s, %s", name, behind), func(t *testing.T) {
				eachHouse(t, func(t *testing.T, h *house) {
					there := newSibling(t, h, behind)
					value, end := way(h, h.issue(scope.LevelStore, []string{"store_cart"}))
					mustBe(t, there.look(value), "")
					end()
					h.mustNotWork(value)
					there.mustRefuse(t, value)
					h.clock = h.clock.Add(-behind)
					h.mustNotWork(value)
				})
			})
		}
	}
}

// What ends later ends at its date, by the clock of each server.
func TestOverlapEndsAtItsDate(t *testing.T) {
	const behind = 30 * time.Second
	eachHouse(t, func(t *testing.T, h *house) {
		there := newSibling(t, h, behind)
		issued := h.issue(scope.LevelAccount, []string{"account_read"})
		overlap := time.Hour
		rotation, err := h.tokens.Rotate(t.Context(), h.owner, issued.Token.ID, &overlap)
		if err != nil {
			t.Fatal(err)
		}
		ends := rotation.PreviousExpiresAt
		for _, tc := range []struct {
			name        string
			at          time.Time
			here, there fault.Kind
		}{
			{"before", ends.Add(-time.Microsecond), "", ""},
			{"at its date", ends, fault.Unauthenticated, ""},
			{"when the other clock is not there yet", ends.Add(behind - time.Microsecond), fault.Unauthenticated, ""},
			{"when it is", ends.Add(behind), fault.Unauthenticated, fault.Unauthenticated},
		} {
			h.clock = tc.at
			_, err := h.look(issued.AccessToken)
			mustBe(t, err, tc.here)
			mustBe(t, there.look(issued.AccessToken), tc.there)
			h.mustWork(rotation.AccessToken)
		}
	})
}
