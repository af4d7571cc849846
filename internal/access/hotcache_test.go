package access_test

import (
	"testing"
	"testing/synctest"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// namesake returns a secret of the kind that ends as s does, and so has the same place among the familiar ones.
func (g *gate) namesake(s secret.Secret, kind secret.Kind) secret.Secret {
	g.t.Helper()
	text := s.Reveal()
	for range 1_000_000 {
		if other := g.secret(kind); other.Reveal()[len(text)-2:] == text[len(text)-2:] {
			return other
		}
	}
	g.t.Fatal("no secret ends alike, want one of a million")
	return s
}

// Secrets that share a slot are not confused.
func TestFamiliarSecretsAreToldApart(t *testing.T) {
	g := open(t)
	first := g.token(func(r *access.Record) { r.Principal.Name = "first" })
	second := g.namesake(first, secret.AccountAccessToken)
	r := access.Record{Principal: auth.Principal{Kind: auth.APIToken, Name: "second", AccountID: account}}
	g.keep(second, r)
	stranger := g.namesake(first, secret.AccountAccessToken)
	for range 3 {
		if a, b := g.verify(first).Name, g.verify(second).Name; a != "first" || b != "second" {
			t.Fatalf("names: got %q and %q, want first and second", a, b)
		}
		if _, err := g.Principal(ctx, stranger.Reveal(), auth.Origin{}); fault.KindOf(err) != fault.Unauthenticated {
			t.Fatalf("a third, unknown secret: got error %v, want kind %s", err, fault.Unauthenticated)
		}
	}
}

// A familiar key of a gateway is still none that opens the API.
func TestFamiliarSecretsKeepTheirKind(t *testing.T) {
	g := open(t)
	key := g.secret(secret.GatewayKey)
	g.keep(key, access.Record{Principal: auth.Principal{Kind: auth.Gateway}})
	for range 3 {
		if _, err := g.VerifyGateway(ctx, key.Reveal(), auth.Origin{}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Principal(ctx, key.Reveal(), auth.Origin{}); fault.KindOf(err) != fault.Unauthenticated {
			t.Fatalf("a gateway key as a token: got error %v, want kind %s", err, fault.Unauthenticated)
		}
	}
}

// Familiar or not, a secret ends at its instant.
func TestFamiliarSecretsEnd(t *testing.T) {
	g := open(t)
	s := g.token(func(r *access.Record) { r.ExpiresAt[0] = now.Add(time.Second / 2) })
	g.verify(s)
	g.clock = now.Add(time.Second/2 - 1)
	g.verify(s)
	g.clock = now.Add(time.Second / 2)
	if _, err := g.Principal(ctx, s.Reveal(), auth.Origin{}); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("at its expiration time: got error %v, want kind %s", err, fault.Unauthenticated)
	}
}

// No record becomes older than the memory's are, however often it is asked for.
func TestFamiliarSecretsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age = 10*time.Second + 500*time.Millisecond
		g := openWith(t, 1000, age)
		s := g.token(nil)
		for begun := time.Now(); time.Since(begun) < age; g.sleep(100 * time.Millisecond) {
			g.verify(s)
		}
		check.Equal(t, g.repo.queries.Load(), 1, "queries up to its age")
		g.verify(s)
		check.Equal(t, g.repo.queries.Load(), 2, "queries at its age")
		g.caches.Close()
	})
}

// A slot is free again when its secret is not used for a second.
func TestFamiliarPlacesBecomeFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		first := g.token(nil)
		second := g.namesake(first, secret.AccountAccessToken)
		g.keep(second, access.Record{Principal: auth.Principal{Kind: auth.APIToken, AccountID: account}})
		for _, tc := range []struct {
			presented, familiar secret.Secret
			after               time.Duration
		}{
			{first, first, 0},
			{second, first, 999 * time.Millisecond},
			{second, second, 2 * time.Millisecond},
			{first, second, 0},
		} {
			g.sleep(tc.after)
			g.verify(tc.presented)
			if !g.caches.Hot(tc.familiar, g.clock) {
				t.Errorf("after %v: the secret is not in the hot cache, want it there", tc.after)
			}
			if g.caches.Hot(first, g.clock) && g.caches.Hot(second, g.clock) {
				t.Errorf("after %v: both secrets are in the hot cache, want one at most", tc.after)
			}
		}
		g.caches.Close()
	})
}
