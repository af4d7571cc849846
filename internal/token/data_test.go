package token_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// The largest token fits in the 20 kB of data that a webhook's request may have.
func TestDataOfTheLargestToken(t *testing.T) {
	name := strings.Repeat("<", 100) // encoded as six bytes each
	actor := audit.Actor{Kind: audit.ActorUser, ID: uuid.New(), Name: strings.Repeat("a", 254)}
	largest := token.Token{
		ID: uuid.New(), AccountID: uuid.New(), StoreID: uuid.New(), StoreHash: strings.Repeat("a", 32), Name: name,
		ClientID: strings.Repeat("a", 31), CreatedAt: now, CreatedBy: actor, ExpiresAt: now, LastUsedAt: now,
		LastUsedIP: netip.MustParseAddr("2001:db8:1111:2222:3333:4444:5555:6666"),
		Revocation: &token.Revocation{At: now, By: actor, Reason: strings.Repeat("<", token.MaxReason)},
	}
	var scopes []string
	for _, r := range scope.Default().Resources(scope.LevelAccount, []scope.Feature{scope.FeatureAutomatedBilling}) {
		for _, p := range r.Permissions {
			scopes = append(scopes, p.Scope)
		}
	}
	largest.Scopes = scope.NewSet(scopes...)
	for range token.MaxIPRanges {
		largest.AllowedIPRanges = append(largest.AllowedIPRanges,
			netip.MustParsePrefix("2001:db8:1111:2222:3333:4444:5555:6666/128"))
	}
	if size := len(largest.Data(now.Add(time.Hour))); size > 20_000 {
		t.Errorf("the data has %d bytes, want at most 20000", size)
	}
}
