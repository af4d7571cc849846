package gormdb_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// called issues a token with a name. It expires after that many hours, unless hours is zero.
func called(t *testing.T, db *gormdb.DB, w dbtest.World, storeID uuid.UUID, name string, hours int) token.Token {
	t.Helper()
	made, _ := issue(t, db, w, storeID, func(d *token.Draft) {
		d.Token.Name = name
		d.Token.ClientID = "client" + strings.ToLower(strings.Trim(name, "ÜBER")) + rand.Text()
		if hours > 0 {
			d.Token.ExpiresAt = later(time.Duration(hours) * time.Hour)
		}
	})
	return made
}

func TestFindTokens(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{Stores: 2}.Make(t, db), dbtest.Seed{}.Make(t, db)
		for _, storeID := range []uuid.UUID{uuid.Nil, w.Stores[0].ID} {
			beta := called(t, db, w, storeID, "beta_1", 0)
			called(t, db, w, storeID, "Alpha%", 5)
			gone := called(t, db, w, storeID, "Gone", 0)
			over := called(t, db, w, storeID, "ÜBER", 1)
			keepUse(t, db, beta, later(time.Minute))
			keepUse(t, db, over, later(time.Second))
			revoke(t, db, gone)
			called(t, db, w, w.Stores[1].ID, "beta_1", 0)
			called(t, db, other, uuid.Nil, "beta_1", 0)
			q := token.Query{Now: later(2 * time.Hour)}
			every := token.Query{Now: q.Now, Filter: token.Filter{Statuses: []token.Status{token.Active, token.Expired,
				token.Revoked}}}
			for _, tc := range []struct {
				name   string
				search token.Search
				want   string
				total  int
			}{
				{"newest first", token.Search{Query: q, Sort: token.ByCreated, Descending: true}, "ÜBER Alpha% beta_1",
					3},
				{"oldest first", token.Search{Query: q, Sort: token.ByCreated}, "beta_1 Alpha% ÜBER", 3},
				{"by name", token.Search{Query: q, Sort: token.ByName}, "Alpha% beta_1 ÜBER", 3},
				{"by name backwards", token.Search{Query: q, Sort: token.ByName, Descending: true},
					"ÜBER beta_1 Alpha%", 3},
				{"least used first", token.Search{Query: q, Sort: token.ByLastUse}, "Alpha% ÜBER beta_1", 3},
				{"last used first", token.Search{Query: q, Sort: token.ByLastUse, Descending: true},
					"beta_1 ÜBER Alpha%", 3},
				{"by end", token.Search{Query: q, Sort: token.ByExpiry}, "ÜBER Alpha% beta_1", 3},
				{"by end, latest first", token.Search{Query: q, Sort: token.ByExpiry, Descending: true},
					"beta_1 Alpha% ÜBER", 3},
				{"every status", token.Search{Query: every, Sort: token.ByName}, "Alpha% beta_1 Gone ÜBER", 4},
				{"a part", token.Search{Query: every, Sort: token.ByName, Skip: 1, Size: 2}, "beta_1 Gone", 4},
				{"beyond the end", token.Search{Query: every, Sort: token.ByName, Skip: 4, Size: 2}, "", 4},
				{"in another case", token.Search{Query: q, Sort: token.ByName, Text: "ALPHA"}, "Alpha%", 1},
				{"other letters keep their case", token.Search{Query: q, Sort: token.ByName, Text: "über"}, "", 0},
				{"other letters", token.Search{Query: q, Sort: token.ByName, Text: "Über"}, "ÜBER", 1},
				{"no wildcards", token.Search{Query: q, Sort: token.ByName, Text: "a_1%"}, "", 0},
				{"an underscore", token.Search{Query: q, Sort: token.ByName, Text: "a_1"}, "beta_1", 1},
				{"a per cent sign", token.Search{Query: q, Sort: token.ByName, Text: "%"}, "Alpha%", 1},
				{"by client id", token.Search{Query: q, Sort: token.ByName, Text: "CLIENTbeta"}, "beta_1", 1},
				{"not among others'", token.Search{Query: q, Sort: token.ByName, Text: other.Account.ID.String()}, "",
					0},
			} {
				t.Run(fmt.Sprintf("%s, store %v", tc.name, storeID != uuid.Nil), func(t *testing.T) {
					if tc.search.Size == 0 {
						tc.search.Size = 10
					}
					got, err := db.Tokens().Find(t.Context(), w.Account.ID, storeID, tc.search)
					if err != nil {
						t.Fatal(err)
					}
					var names []string
					for _, each := range got.Tokens {
						names = append(names, each.Name)
					}
					if text := strings.Join(names, " "); text != tc.want || got.Total != tc.total {
						t.Errorf("found %q of %d, want %q of %d", text, got.Total, tc.want, tc.total)
					}
				})
			}
		}
	})
}

// The tokens found are complete, and only those of the owner.
func TestFoundTokensAreAsTheyWere(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2}.Make(t, db)
		var made []token.Token
		for range 3 {
			made = append(made, first(issue(t, db, w, w.Stores[0].ID, full)))
		}
		issue(t, db, w, w.Stores[1].ID, full)
		issue(t, db, w, uuid.Nil, full)
		got, err := db.Tokens().Find(t.Context(), w.Account.ID, w.Stores[0].ID,
			token.Search{Query: token.Query{Now: noon}, Sort: token.ByCreated, Size: 10})
		if err != nil {
			t.Fatal(err)
		}
		sameTokens(t, "tokens", got.Tokens, slices.Clone(made))
	})
}
