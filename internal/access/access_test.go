package access_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

func TestVerify(t *testing.T) {
	shop := uuid.New()
	for _, tc := range []struct {
		name   string
		kind   secret.Kind
		record access.Record
	}{
		{"an account-level token", secret.AccountAccessToken, access.Record{Principal: auth.Principal{
			Kind: auth.APIToken, ID: uuid.New(), Name: "CI", AccountID: account,
			Scopes: scope.NewSet(scope.AccountUsersRead)}}},
		{"a store-level token", secret.StoreAccessToken, access.Record{Principal: auth.Principal{
			Kind: auth.APIToken, ID: uuid.New(), Name: "POS", AccountID: account, StoreID: shop,
			Scopes: scope.NewSet("store_cart")}}},
		{"a store owner's session", secret.UserSession, access.Record{Principal: auth.Principal{
			Kind: auth.Session, ID: uuid.New(), Name: "eu@acme.example", AccountID: account,
			OwnedStores: []uuid.UUID{shop}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := open(t)
			s := g.secret(tc.kind)
			g.keep(s, tc.record)
			origin := auth.Origin{IP: netip.MustParseAddr("192.0.2.1"), RequestID: "r1"}
			for range 3 {
				p, err := g.Principal(ctx, s.Reveal(), origin)
				if err != nil {
					t.Fatal(err)
				}
				want := tc.record.Principal
				if p.Kind != want.Kind || p.ID != want.ID || p.Name != want.Name || p.AccountID != account ||
					p.StoreID != want.StoreID ||
					!p.Scopes.Equal(want.Scopes) || !slices.Equal(p.OwnedStores, want.OwnedStores) ||
					p.Origin != origin {
					t.Errorf("got %+v, want %+v", p, want)
				}
			}
			check.Equal(t, g.repo.queries.Load(), 1, "queries")
		})
	}
}

// Every refusal has the same message; its cause has the reason and the ID of the principal, but never the
// credential.
func TestRefusals(t *testing.T) {
	expired := func(i int) func(*access.Record) {
		return func(r *access.Record) { r.ExpiresAt[i] = now }
	}
	var met []access.Reason
	someone := uuid.New()
	owned := func(change func(*access.Record)) func(*gate) string {
		return func(g *gate) string {
			return g.token(func(r *access.Record) { r.Principal.ID = someone; change(r) }).Reveal()
		}
	}
	for _, tc := range []struct {
		name    string
		present func(*gate) string
		reason  string
		queries int64
	}{
		{"nothing", func(*gate) string { return "" }, "malformed", 0},
		{"a password", func(*gate) string { return "hunter2" }, "malformed", 0},
		{"a mistyped secret", func(g *gate) string {
			s := []byte(g.token(nil).Reveal())
			s[20] ^= 1
			return string(s)
		}, "malformed", 0},
		{"a secret with a space after it", func(g *gate) string { return g.token(nil).Reveal() + " " }, "malformed", 0},
		{"a secret that was never kept", func(g *gate) string { return g.secret(secret.StoreAccessToken).Reveal() },
			"unknown", 1},
		{"a session that was never kept", func(g *gate) string { return g.secret(secret.UserSession).Reveal() },
			"unknown", 1},
		{"a client secret", func(g *gate) string { return g.secret(secret.ClientSecret).Reveal() }, "wrong kind", 0},
		{"a gateway's key", func(g *gate) string { return g.secret(secret.GatewayKey).Reveal() }, "wrong kind", 0},
		{"a token whose account or store is suspended", owned(func(r *access.Record) { r.Suspended = true }),
			"suspended", 1},
		{"a revoked token", owned(func(r *access.Record) { r.Revoked = true }), "revoked or ended", 1},
		{"an access token at its end", owned(expired(0)), "expired", 1},
		{"an API token at its end", owned(expired(1)), "expired", 1},
		{"an idle session", func(g *gate) string {
			g.setIdle(time.Minute)
			s := g.secret(secret.UserSession)
			g.keep(s, access.Record{Principal: auth.Principal{Kind: auth.Session, ID: someone},
				LastUsedAt: now.Add(-time.Hour)})
			return s.Reveal()
		}, "idle", 2},
		{"an address outside", owned(func(r *access.Record) {
			r.Principal.AllowedIPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}),
			"address not allowed", 1},
		{"revoked, expired and from outside", owned(func(r *access.Record) {
			r.Revoked, r.ExpiresAt = true, [2]time.Time{now, now}
			r.Principal.AllowedIPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}), "revoked or ended", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := open(t)
			presented := tc.present(g)
			p, err := g.Principal(ctx, presented, auth.Origin{IP: netip.MustParseAddr("192.0.2.1")})
			if p != nil || fault.KindOf(err) != fault.Unauthenticated || err.Error() != access.ErrRefused().Error() {
				t.Errorf("got %v, %v, want %v", p, err, access.ErrRefused())
			}
			var why *access.Refusal
			if !errors.As(err, &why) || why.Reason != access.Reason(tc.reason) {
				t.Fatalf("the cause of %v is %v, want %q", err, why, tc.reason)
			}
			if strings.Contains(tc.name, "revoked") && why.PrincipalID != someone {
				t.Errorf("the cause names %s, want %s", why.PrincipalID, someone)
			}
			if len(presented) > 8 && strings.Contains(fmt.Sprintf("%+v", why), presented[4:]) {
				t.Errorf("the cause: got %+v, want it without the credential", why)
			}
			met = append(met, why.Reason)
			check.Equal(t, g.repo.queries.Load(), tc.queries, "queries")
			_ = g.uses.Flush(ctx)
			if len(g.used.kept) > 0 {
				t.Errorf("uses kept of a refusal: got %d, want none", len(g.used.kept))
			}
		})
	}
	for _, reason := range access.Reasons() {
		if !slices.Contains(met, reason) {
			t.Errorf("no case is refused for %q, want one for each reason", reason)
		}
	}
}

func TestRepositoryFails(t *testing.T) {
	g := open(t)
	s := g.token(nil)
	broken := errors.New("connection reset by peer")
	g.repo.failing = broken
	if _, err := g.Principal(ctx, s.Reveal(), auth.Origin{}); !errors.Is(err, broken) ||
		fault.KindOf(err) != fault.Internal {
		t.Errorf("got %v, want the failure: no answer is not a refusal", err)
	}
	g.repo.failing = nil
	g.verify(s)
}

// Memory honours every end at its exact instant and every address anew: neither needs a question to the database.
func TestEndsAndAddressesFromMemory(t *testing.T) {
	g := open(t)
	end := now.Add(time.Hour)
	s := g.token(func(r *access.Record) {
		r.ExpiresAt = [2]time.Time{end, end.Add(time.Hour)}
		r.Principal.AllowedIPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("2001:db8::/32")}
	})
	for _, tc := range []struct {
		name  string
		clock time.Time
		ip    netip.Addr
		works bool
	}{
		{"within", now, netip.MustParseAddr("10.1.2.3"), true},
		{"within, of the other family", now, netip.MustParseAddr("2001:db8::1"), true},
		{"within, mapped to IPv6", now, netip.MustParseAddr("::ffff:10.1.2.3"), true},
		{"within, with a zone", now, netip.MustParseAddr("2001:db8::1%eth0"), true},
		{"outside", now, netip.MustParseAddr("11.0.0.0"), false},
		{"outside, mapped to IPv6", now, netip.MustParseAddr("::ffff:11.0.0.0"), false},
		{"from nowhere", now, netip.Addr{}, false},
		{"just before the expiration", end.Add(-1), netip.MustParseAddr("10.1.2.3"), true},
		{"at the end", end, netip.MustParseAddr("10.1.2.3"), false},
		{"after the end", end.Add(1), netip.MustParseAddr("10.1.2.3"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g.clock = tc.clock
			_, err := g.Principal(ctx, s.Reveal(), auth.Origin{IP: tc.ip})
			if (err == nil) != tc.works {
				t.Errorf("got %v, want it to work: %v", err, tc.works)
			}
		})
	}
	check.Equal(t, g.repo.queries.Load(), 1, "queries")
}

// What a credential may do follows from the account's features at every look-up.
func TestFeaturesAndScopes(t *testing.T) {
	beta := []scope.Feature{scope.FeatureAutomatedBilling}
	billing := scope.NewSet(scope.AccountRead, scope.AccountCheckoutsRead, scope.AccountCheckoutsCreate)
	for _, tc := range []struct {
		name     string
		kind     secret.Kind
		record   access.Record
		has, not []string
	}{
		{"a token keeps the beta's scopes in an enrolled account", secret.AccountAccessToken,
			access.Record{Principal: auth.Principal{Kind: auth.APIToken, Scopes: billing}, Features: beta},
			billing.Names(), nil},
		{"and loses them when the account leaves", secret.AccountAccessToken,
			access.Record{Principal: auth.Principal{Kind: auth.APIToken, Scopes: billing}},
			[]string{scope.AccountRead}, []string{scope.AccountCheckoutsRead, scope.AccountCheckoutsCreate}},
		{"an account's owner holds what the account sees", secret.UserSession,
			access.Record{Principal: auth.Principal{Kind: auth.Session, AccountOwner: true}},
			[]string{scope.AccountRead, scope.AccountAPITokensWrite, "store_cart"},
			[]string{scope.AccountCheckoutsRead}},
		{"the beta's scopes too, once enrolled", secret.UserSession,
			access.Record{Principal: auth.Principal{Kind: auth.Session, AccountOwner: true}, Features: beta},
			[]string{scope.AccountRead, scope.AccountCheckoutsRead}, nil},
		{"a store's owner holds no scope of the account", secret.UserSession,
			access.Record{Principal: auth.Principal{Kind: auth.Session, OwnedStores: []uuid.UUID{uuid.New()}},
				Features: beta},
			nil, []string{scope.AccountRead, scope.AccountAPITokensRead}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := open(t)
			s := g.secret(tc.kind)
			g.keep(s, tc.record)
			p := g.verify(s)
			for _, name := range tc.has {
				if !p.Scopes.Has(name) {
					t.Errorf("scopes: got %v, want it to have %s", p.Scopes, name)
				}
			}
			for _, name := range tc.not {
				if p.Scopes.Has(name) {
					t.Errorf("scopes: got %v, want it not to have %s", p.Scopes, name)
				}
			}
		})
	}
}

// A principal is the request's own: what is done to it does not reach the next request.
func TestPrincipalsAreNotShared(t *testing.T) {
	g := open(t)
	s := g.token(nil)
	first := g.verify(s)
	first.Name, first.AccountID, first.AccountOwner = "changed", uuid.New(), true
	if second := g.verify(s); second.Name != "CI" || second.AccountID != account || second.AccountOwner {
		t.Errorf("the second principal: got %+v, want it as it was before the first was changed", second)
	}
}

func TestVerifyWithoutMemoryAndUses(t *testing.T) {
	g := open(t)
	s := g.token(nil)
	bare := access.NewVerifier(access.Config{Repository: g.repo, Keys: g.keys, Catalogue: scope.Default(),
		Now: func() time.Time { return now }})
	for range 3 {
		if _, err := bare.Principal(ctx, s.Reveal(), auth.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	check.Equal(t, g.repo.queries.Load(), 3, "queries")
}

// An inspection verifies a token like Verify and records no use.
func TestInspect(t *testing.T) {
	g := open(t)
	s := g.token(nil)
	r, err := g.Inspect(ctx, s.Reveal(), auth.Origin{})
	if err != nil || r.Principal.Kind != auth.APIToken {
		t.Fatalf("Inspect() = %+v, %v, want a principal of kind %s", r, err, auth.APIToken)
	}
	if err := g.uses.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, len(g.used.kept), 0, "recorded uses")
	g.verify(s)
	if err := g.uses.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, len(g.used.kept), 1, "recorded uses after a verification")
}
