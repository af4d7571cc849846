package user_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

func TestCheckRemoval(t *testing.T) {
	owner, other := uuid.New(), uuid.New()
	mine, second := account.Store{Hash: "b", OwnerID: owner}, account.Store{Hash: "a", OwnerID: owner}
	theirs := account.Store{Hash: "c", OwnerID: other}
	const first = " Make another user its owner first."
	for _, c := range []struct {
		name    string
		account account.Account
		owned   []account.Store
		want    string
	}{
		{name: "who owns nothing", account: account.Account{OwnerID: other}, owned: []account.Store{theirs}},
		{name: "the account's owner", account: account.Account{OwnerID: owner},
			want: "This user owns the account." + first},
		{name: "a store's owner", account: account.Account{OwnerID: other}, owned: []account.Store{theirs, mine},
			want: "This user owns the store b." + first},
		{name: "the owner of two", account: account.Account{OwnerID: other}, owned: []account.Store{mine, second},
			want: "This user owns the stores a, b." + first},
	} {
		t.Run(c.name, func(t *testing.T) {
			conflicts(t, user.CheckRemoval(c.account, c.owned, user.Person{User: user.User{ID: owner}}), c.want)
		})
	}
	conflicts(t, user.CheckStoreOwner(mine, owner), "userId: This user owns the store b."+first)
	conflicts(t, user.CheckStoreOwner(mine, other), "")
}

// conflicts fails the test unless err is a conflict with this message, or nil
// if want is empty.
func conflicts(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if fault.KindOf(err) != fault.Conflict || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}
