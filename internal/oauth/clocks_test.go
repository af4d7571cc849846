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

// An access token that is ended immediately is also rejected by a server whose
// clock is behind the time of the end, and by the server that ended it after its
// clock is set back.
func TestEndedOnEveryClock(t *testing.T) {
	rotate := func(h *fixture, i token.Issued, overlap time.Duration) {
		h.t.Helper()
		if _, err := h.Tokens.Rotate(h.t.Context(), h.owner, i.Token.ID, &overlap); err != nil {
			h.t.Fatal(err)
		}
	}
	revoke := func(h *fixture, i token.Issued, s secret.Secret) {
		h.t.Helper()
		if err := h.Revoke(h.t.Context(), h.client(i), s.Reveal()); err != nil {
			h.t.Fatal(err)
		}
	}
	// Each function creates an access token and returns it with a function that
	// ends it.
	ways := map[string]func(*fixture, token.Issued) (secret.Secret, func()){
		"revoked by its client": func(h *fixture, i token.Issued) (secret.Secret, func()) {
			return i.AccessToken, func() { revoke(h, i, i.AccessToken) }
		},
		"granted and revoked": func(h *fixture, i token.Issued) (secret.Secret, func()) {
			g := h.grant(i, "")
			return g.AccessToken, func() { revoke(h, i, g.AccessToken) }
		},
		"rotated without overlap": func(h *fixture, i token.Issued) (secret.Secret, func()) {
			return i.AccessToken, func() { rotate(h, i, 0) }
		},
		"rotated twice": func(h *fixture, i token.Issued) (secret.Secret, func()) {
			rotate(h, i, time.Hour)
			return i.AccessToken, func() { rotate(h, i, time.Hour) }
		},
		"rotated, revoked by a server whose clock is after the overlap": func(h *fixture,
			i token.Issued) (secret.Secret, func()) {
			rotate(h, i, time.Second)
			h.Clock.Advance(time.Second)
			return i.AccessToken, func() { revoke(h, i, i.AccessToken) }
		},
		"rotated, rotated by a server whose clock is after the overlap": func(h *fixture,
			i token.Issued) (secret.Secret, func()) {
			rotate(h, i, time.Second)
			h.Clock.Advance(time.Second)
			return i.AccessToken, func() { rotate(h, i, time.Hour) }
		},
		"granted, revoked by a server whose clock is after the expiration": func(h *fixture,
			i token.Issued) (secret.Secret, func()) {
			g := h.grant(i, "")
			h.Clock.Advance(g.Lifetime)
			return g.AccessToken, func() { revoke(h, i, g.AccessToken) }
		},
	}
	for _, behind := range []time.Duration{30 * time.Second, time.Hour} {
		for name, way := range ways {
			t.Run(fmt.Sprintf("%s, %s", name, behind), func(t *testing.T) {
				eachFixture(t, func(t *testing.T, h *fixture) {
					there := newSibling(t, h, behind)
					value, end := way(h, h.issue(scope.LevelStore, []string{"store_cart"}))
					mustBe(t, there.verify(value), "")
					end()
					h.mustNotWork(value)
					there.mustRefuse(t, value)
					h.Clock.Advance(-behind)
					h.mustNotWork(value)
				})
			})
		}
	}
}

// An access token with an expiration time expires on each server by its own clock.
func TestOverlapExpires(t *testing.T) {
	const behind = 30 * time.Second
	eachFixture(t, func(t *testing.T, h *fixture) {
		there := newSibling(t, h, behind)
		issued := h.issue(scope.LevelAccount, []string{"account_read"})
		overlap := time.Hour
		rotation, err := h.Tokens.Rotate(t.Context(), h.owner, issued.Token.ID, &overlap)
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
			{"at the expiration", ends, fault.Unauthenticated, ""},
			{"before the expiration on the other clock", ends.Add(behind - time.Microsecond), fault.Unauthenticated,
				""},
			{"at the expiration on the other clock", ends.Add(behind), fault.Unauthenticated, fault.Unauthenticated},
		} {
			h.Clock.Set(tc.at)
			_, err := h.verify(issued.AccessToken)
			mustBe(t, err, tc.here)
			mustBe(t, there.verify(issued.AccessToken), tc.there)
			h.mustWork(rotation.AccessToken)
		}
	})
}
