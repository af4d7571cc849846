package token_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// Every action on tokens of both levels, by a user with each permission, in the
// token's store and in another. A store's tokens can be changed with CreateTokens,
// listed with ListTokens and revoked with DeleteTokens. No store permission applies
// to tokens of the account.
func TestActionsByPermission(t *testing.T) {
	needs := map[string]auth.Permission{
		"create": auth.CreateTokens, "update": auth.CreateTokens, "rotate": auth.CreateTokens,
		"get": auth.ListTokens, "list": auth.ListTokens, "revoke": auth.DeleteTokens,
		"find": auth.ListTokens, "room": auth.ListTokens | auth.CreateTokens, "may issue": auth.CreateTokens,
		"may revoke": auth.DeleteTokens,
	}
	held := map[string]auth.Permission{
		"nothing":         auth.NoPermission,
		"all about users": auth.AddUsers | auth.EditUsers | auth.DeleteUsers | auth.ManageUsers,
		"create":          auth.CreateTokens, "list": auth.ListTokens, "delete": auth.DeleteTokens,
		"all": auth.CreateTokens | auth.ListTokens | auth.DeleteTokens,
	}
	eachFixture(t, func(t *testing.T, h *fixture) {
		for _, level := range levels {
			for i, st := range h.home.Stores {
				for name, may := range held {
					by := &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: uuid.New(), Name: "staff",
						AccountID: h.home.Account.ID, Places: []auth.Place{{StoreID: st.ID, May: may}}}
					for action, err := range h.try(t, by, level) {
						// The tokens are the first store's.
						if want := level == scope.LevelStore && i == 0 && may&needs[action] != 0; (err == nil) != want {
							t.Errorf("%s, %s level, by a user with %s in store %d: error %v, want it allowed: %t",
								action, level, name, i, err, want)
						}
					}
				}
			}
		}
	})
}

// try runs every action on a new token of the level.
func (h *fixture) try(t *testing.T, by *auth.Principal, level scope.Level) map[string]error {
	t.Helper()
	at := h.create(h.request(level)).Token
	renamed := "Renamed"
	_, created := h.Create(t.Context(), by, h.request(level))
	_, updated := h.Update(t.Context(), by, token.Update{ID: at.ID, Name: &renamed})
	_, rotated := h.Rotate(t.Context(), by, at.ID, nil)
	_, got := h.Get(t.Context(), by, at.ID)
	_, revoked := h.Revoke(t.Context(), by, token.RevokeRequest{IDs: []uuid.UUID{at.ID}})
	o := h.request(level).Owner
	_, found := h.Find(t.Context(), by, o, token.Search{})
	_, room := h.Capacity(t.Context(), by, o)
	errs := map[string]error{
		"find": found, "room": room, "may issue": h.MayIssue(by, o), "may revoke": token.MayRevoke(by, o),
		"create": created, "update": updated, "rotate": rotated, "get": got, "revoke": revoked,
	}
	if level == scope.LevelStore {
		errs["list"] = token.MayList(by, at.AccountID, at.StoreID)
	}
	if _, err := h.Revoke(t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{at.ID}}); err != nil {
		t.Fatal(err)
	}
	return errs
}
