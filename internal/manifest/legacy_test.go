package manifest_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A legacy API account is saved once. A new token replaces the old one. Neither appears in an event.
func TestLegacyAccounts(t *testing.T) {
	keys, err := secret.NewKeyring(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	text := head +
		"    owner: {email: owner@acme.example}\n    stores:\n      - hash: acme1us\n        name: Acme US\n" +
		"        legacy_api_accounts:\n          - {username: old erp, token: " + oldToken + "}\n"
	newToken := strings.ToUpper(oldToken)
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
			{"dry run", oldToken, true, []string{"legacy_account.created old erp storeHash=acme1us"},
				[2]bool{false, false}},
			{"imported", oldToken, false, []string{"legacy_account.created old erp storeHash=acme1us"},
				[2]bool{true, false}},
			{"again", oldToken, false, nil, [2]bool{true, false}},
			{"another token", newToken, false,
				[]string{"legacy_account.updated old erp token=replaced storeHash=acme1us"}, [2]bool{false, true}},
		} {
			events, err := service.Apply(t.Context(), &operator,
				parse(t, strings.Replace(text, oldToken, step.token, 1)), step.dry)
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			expect(t, eventTexts(events), step.want...)
			check.Equal(t, [2]bool{works(oldToken), works(newToken)}, step.works, "%s: the tokens work", step.name)
		}
		if len(heard) == 0 || heard[len(heard)-1] != acmeID {
			t.Errorf("notified of changes to %v, want the last to be %s", heard, acmeID)
		}
	})
}
