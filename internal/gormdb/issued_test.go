package gormdb_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// createdBy makes the token issuer the creator of a draft.
func createdBy(issuer token.Token) func(*token.Draft) {
	return func(d *token.Draft) {
		d.Token.CreatedBy = audit.Actor{Kind: audit.ActorAPIToken, ID: issuer.ID, Name: issuer.Name}
	}
}

// rotate adds an access token to a token, which the other token sees, and revokes the previous ones if ended is set.
func rotate(t *testing.T, db *gormdb.DB, rotated, by token.Token, ended bool) {
	t.Helper()
	added := accessDraft(rotated.ID, newSecret(secret.AccountAccessToken))
	added.SeenByToken = by.ID
	err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), rotated.AccountID, rotated.ID,
		func(_ token.Token, existing []token.AccessToken) (token.Change, error) {
			c := token.Change{Access: &added, Event: event(rotated, audit.APITokenRotated)}
			for _, x := range existing {
				if ended {
					c.Ended = append(c.Ended, x.ID)
				}
			}
			return c, nil
		})
	if err != nil {
		t.Fatal(err)
	}
}

func TestIssuedBy(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		elsewhere := dbtest.Seed{}.Make(t, db)
		root, _ := issue(t, db, w, uuid.Nil)
		child, _ := issue(t, db, w, uuid.Nil, createdBy(root))
		grandchild, _ := issue(t, db, w, w.Stores[0].ID, createdBy(child))
		rotated, _ := issue(t, db, w, uuid.Nil)
		rotatedSince, _ := issue(t, db, w, uuid.Nil)
		stranger, _ := issue(t, db, w, uuid.Nil)
		issue(t, db, w, uuid.Nil, createdBy(stranger))
		issue(t, db, elsewhere, uuid.Nil, createdBy(root))
		rotate(t, db, rotated, grandchild, false)
		rotate(t, db, rotatedSince, root, false)
		rotate(t, db, rotatedSince, stranger, true)
		rotate(t, db, root, child, false) // a cycle
		revoke(t, db, child)

		for _, tc := range []struct {
			name string
			of   []token.Token
			want []token.Token
		}{
			{"at every depth, through a revoked one", []token.Token{root}, []token.Token{child, grandchild, rotated}},
			{"from the middle, around the cycle", []token.Token{child}, []token.Token{root, grandchild, rotated}},
			{"of several, without themselves", []token.Token{root, child}, []token.Token{grandchild, rotated}},
			{"of one that issued none", []token.Token{rotated}, nil},
			{"of none", nil, nil},
		} {
			got, err := db.Tokens().IssuedBy(t.Context(), w.Account.ID, idsOf(tc.of), noon)
			if err != nil {
				t.Fatal(err)
			}
			want := idsOf(tc.want)
			slices.SortFunc(want, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
			same(t, tc.name, idsOf(got), want)
		}
	})
}

// A user who received an access token can rotate its API token several times. The user then knows the newest access
// token, and the tokens that were issued with each of them.
func TestTokensKnownThroughRotations(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		own, _ := issue(t, db, w, uuid.Nil, func(d *token.Draft) {
			d.Token.CreatedBy = audit.Actor{Kind: audit.ActorOperator, Name: "operator"}
		})
		seen := accessDraft(own.ID, newSecret(secret.AccountAccessToken))
		seen.SeenBy = w.Owner.ID
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), own.AccountID, own.ID,
			func(token.Token, []token.AccessToken) (token.Change, error) {
				return token.Change{Access: &seen, Event: event(own, audit.APITokenRotated)}, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		rotate(t, db, own, own, true)
		rotate(t, db, own, own, true)
		child, _ := issue(t, db, w, uuid.Nil, createdBy(own))
		rotate(t, db, child, own, true)
		check.Equal(t, knownTo(t, db, w, w.Owner.ID), 2, "the owner, who saw the first access token, knows")
	})
}

// A server whose clock is behind issues a token before its issuer was created, by the recorded times. The user who
// knows the issuer knows the token.
func TestTokensKnownThroughOtherClocks(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		own, _ := issue(t, db, w, uuid.Nil)
		for _, apart := range []time.Duration{-2 * time.Second, -2 * time.Minute} {
			issue(t, db, w, uuid.Nil, createdBy(own), func(d *token.Draft) {
				d.Token.CreatedAt = d.Token.CreatedAt.Add(apart)
			})
		}
		check.Equal(t, knownTo(t, db, w, w.Owner.ID), 2, "the owner knows, without the one of two minutes before")
	})
}

// A user knows the tokens that their token issued, also after their token was revoked.
func TestTokensKnownThroughTokens(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		own, _ := issue(t, db, w, uuid.Nil)
		issued, _ := issue(t, db, w, uuid.Nil, createdBy(own))
		issue(t, db, w, uuid.Nil, createdBy(issued))
		issue(t, db, w, uuid.Nil, createdBy(own), func(d *token.Draft) { d.Token.ExpiresAt = later(-time.Second) })
		revoke(t, db, own)
		check.Equal(t, knownTo(t, db, w, w.Owner.ID), 2, "the owner knows")
	})
}
