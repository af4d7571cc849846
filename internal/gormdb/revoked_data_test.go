package gormdb_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// The event of a revoked token has the data that package token makes, also where a statement makes it.
func TestDataOfRevokedTokens(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		robot := audit.Actor{Kind: audit.ActorAPIToken, ID: uuid.New(), Name: `"CI" <&> \ ü`}
		full := func(d *token.Draft) {
			d.Token.Name = `Nightly "export" <&> ü`
			d.Token.CreatedBy = robot
			d.Token.CreatedAt = noon.Truncate(time.Second) // without a fraction
			d.Token.ExpiresAt = later(90*time.Minute + 100*time.Millisecond)
			d.Token.ChargeLimit = auth.ChargeLimit{Minor: 100_05, Currency: "USD"}
			d.Token.AllowedIPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
				netip.MustParsePrefix("2001:db8::/32")}
		}
		bare := func(d *token.Draft) {
			d.Token.Scopes = scope.NewSet("store_cart")
			d.Token.CreatedBy = audit.Actor{Kind: audit.ActorOperator, Name: "operator"}
		}
		for _, tc := range []struct {
			name   string
			store  uuid.UUID
			edit   func(*token.Draft)
			by     audit.Actor
			reason string
		}{
			{"of a store, by its user", w.Stores[0].ID, func(*token.Draft) {},
				audit.Actor{Kind: audit.ActorUser, ID: w.Owner.ID, Name: w.Owner.Email}, "left"},
			{"of a store, every field", w.Stores[0].ID, full, robot, "said \"no\"\nand left"},
			{"of the account, every field", uuid.Nil, full, robot, ""},
			{"of the account, by the operator", uuid.Nil, bare,
				audit.Actor{Kind: audit.ActorOperator, Name: "operator"}, ""},
		} {
			t.Run(tc.name, func(t *testing.T) {
				made, _ := issue(t, db, w, tc.store, tc.edit)
				e := revocationOf([]uuid.UUID{made.ID}, made)
				e.Revocation.By, e.Revocation.Reason = tc.by, tc.reason
				if ended, err := db.Tokens().Revoke(t.Context(), byTest, e); err != nil || len(ended.Unknown) > 0 {
					t.Fatalf("revoke: got %v, %v; want all revoked", ended, err)
				}
				dbtest.AwaitLog(t, db, w.Account.ID)
				f := audit.LogFilter{SubjectKind: audit.TargetAPIToken, SubjectKey: made.ID.String(),
					Types: []audit.Type{"api_token.revoked"}}
				page, err := db.Log().Log(t.Context(), w.Account.ID, f, audit.LogWindow{Size: paging.MaxSize})
				if err != nil || len(page.Items) != 1 {
					t.Fatalf("the log: got %v, %v; want one event", page.Items, err)
				}
				got, want := object(t, page.Items[0].Node.Data), object(t, e.EventOf(made).Data)
				check.Equal(t, got, want, "the data of the event")
			})
		}
	})
}

// object decodes a JSON object.
func object(t *testing.T, text json.RawMessage) map[string]any {
	t.Helper()
	var decoded map[string]any
	if err := json.Unmarshal(text, &decoded); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return decoded
}
