package gormdb

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
)

// IDs in a request are locked before it is known whose they are. So a request with the ID of another account's token
// or session takes no lock that the writes of that token or session wait for.
func TestForeignIDsLockNothingOfTheirAccount(t *testing.T) {
	of := func(account, id uuid.UUID, kind auth.CredentialKind) auth.Actor {
		return auth.Actor{Credential: auth.Credential{Kind: kind, ID: id}, AccountID: account, ID: id}
	}
	ours, theirs, id := uuid.New(), uuid.New(), uuid.New()
	for _, kind := range []auth.CredentialKind{auth.AccessToken, auth.UserSession} {
		shared := map[int64]bool{}
		for _, lock := range advisoryLocksOf(of(ours, id, kind), held{}) {
			shared[lock>>1] = true
		}
		for name, h := range map[string]held{
			"tokens":   {tokensOf: theirs, tokens: []uuid.UUID{id}},
			"sessions": {sessions: []sessionKey{{AccountID: theirs, ID: id}}},
			"account":  {account: theirs},
		} {
			for _, lock := range advisoryLocksOf(of(theirs, uuid.New(), kind), h) {
				if shared[lock>>1] {
					t.Errorf("%s, %s: lock %d is one of another account's, want none", kind, name, lock>>1)
				}
			}
		}
		own := advisoryLocksOf(of(ours, uuid.New(), kind), held{tokensOf: ours, tokens: []uuid.UUID{id},
			sessions: []sessionKey{{AccountID: ours, ID: id}}})
		found := false
		for _, lock := range own {
			found = found || lock&1 == 1 && shared[lock>>1]
		}
		if !found {
			t.Errorf("%s: a revocation in the account has no exclusive lock that the actor shares, want one", kind)
		}
	}
}
