package manifest_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/secret"
)

// Legacy API accounts are kept once; another token takes the place of the one
// before; neither is told.
func TestLegacyAccounts(t *testing.T) {
	keys, err := secret.NewKeyring(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	text := head + "    owner: {email: owner@acme.example}\n    stores:\n      - hash: acme1us\n        name: Acme US\n" +
		"        legacy_api_accounts:\n          - {username: old erp, token: " + oldToken + "}\n"
	another := strings.ToUpper(oldToken)
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		apply(t, db, acme)
		var heard []uuid.UUID
		db.OnChange(func(id uuid.UUID) { heard = append(heard, id) })
		service := manifest.NewService(db.Manifest(), keys, func() time.Time { return start })
		works := func(token string) bool {
			presented, err := secret.ParseBasic("acme1us", "old erp", token)
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.Access().Credential(t.Context(), secret.LegacyAccount, keys.BasicCandidates(presented))
			return err == nil
		}
		for _, step := range []struct {
			name, token string
			dry         bool
			want        []string
			works       [2]bool
		}{
			{"foreseen", oldToken, true, []string{"legacy_account.created old erp storeHash=acme1us"}, [2]bool{false, false}},
			{"imported", oldToken, false, []string{"legacy_account.created old erp storeHash=acme1us"}, [2]bool{true, false}},
			{"again", oldToken, false, nil, [2]bool{true, false}},
			{"another token", another, false, []string{"legacy_account.updated old erp token=replaced storeHash=acme1us"}, [2]bool{false, true}},
		} {
			events, err := service.Apply(t.Context(), &operator, parse(t, strings.Replace(text, oldToken, step.token, 1)), step.dry)
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			expect(t, told(events), step.want...)
			if got := [2]bool{works(oldToken), works(another)}; got != step.works {
				t.Errorf("%s: the tokens work: %v, want %v", step.name, got, step.works)
			}
		}
		if len(heard) == 0 || heard[len(heard)-1] != acmeID {
			t.Errorf("the changes told are of %v", heard)
		}
	})
}
