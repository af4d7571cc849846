package access_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

const storeHash, legacyToken = "acme1us", "0123456789abcdef0123456789abcdef"

// legacy keeps a record of a legacy API account.
func (g *gate) legacy(change func(*access.Record)) {
	g.t.Helper()
	r := access.Record{Principal: auth.Principal{Kind: auth.LegacyAccount, ID: uuid.New(), Name: "erp",
		AccountID: account}, StoreHash: storeHash}
	if change != nil {
		change(&r)
	}
	b, err := secret.ParseBasic(storeHash, "erp", legacyToken)
	if err != nil {
		g.t.Fatal(err)
	}
	g.repo.records[secret.LegacyAccount] = map[secret.Digest]access.Record{g.keys.DigestBasic(b).Digest: r}
}

func TestVerifyBasic(t *testing.T) {
	g := open(t)
	g.legacy(nil)
	ip := netip.MustParseAddr("192.0.2.1")
	for range 2 { // from the database, and from memory
		r, err := g.VerifyBasic(ctx, storeHash, "erp", legacyToken, auth.Origin{IP: ip})
		if err != nil || r.Principal.Kind != auth.LegacyAccount || r.StoreHash != storeHash || r.ScopeText != "" {
			t.Fatalf("VerifyBasic() = %+v, %v, want a %s of store %s without scopes",
				r, err, auth.LegacyAccount, storeHash)
		}
	}
	check.Equal(t, g.repo.queries.Load(), 1, "queries")
	if err := g.uses.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if kept := g.used.kept; len(kept) != 1 || len(kept[0]) != 1 || !kept[0][0].Legacy || kept[0][0].IP != ip {
		t.Errorf("uses: got %+v, want one batch of one legacy use from %s", kept, ip)
	}
	g.legacy(func(r *access.Record) { r.Suspended = true })
	g.caches.Invalidate(account)
	if _, err := g.VerifyBasic(ctx, storeHash, "erp", legacyToken, auth.Origin{}); !errors.Is(err,
		access.ReasonSuspended) {
		t.Errorf("suspended: got error %v, want %v", err, access.ReasonSuspended)
	}
}

func TestVerifyBasicRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, store, username, token string
		reason                       access.Reason
		queries                      int64
	}{
		{"nothing", storeHash, "", "", access.ReasonMalformed, 0},
		{"too short to be a token", storeHash, "erp", "secret", access.ReasonMalformed, 0},
		{"another token", storeHash, "erp", strings.ToUpper(legacyToken), access.ReasonUnknown, 1},
		{"another name", storeHash, "ERP", legacyToken, access.ReasonUnknown, 1},
		{"another store", "acme2eu", "erp", legacyToken, access.ReasonUnknown, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := open(t)
			g.legacy(nil)
			_, err := g.VerifyBasic(ctx, tc.store, tc.username, tc.token, auth.Origin{})
			if fault.KindOf(err) != fault.Unauthenticated || !errors.Is(err, tc.reason) ||
				err.Error() != access.ErrRefused().Error() {
				t.Errorf("VerifyBasic: got error %v, want the refusal of every client, caused by %v", err, tc.reason)
			}
			check.Equal(t, g.repo.queries.Load(), tc.queries, "queries")
		})
	}
}
