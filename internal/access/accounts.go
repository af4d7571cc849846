package access

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
)

// place is a store and the account that it is of, and placeName how somebody
// names it.
type place struct {
	account account.Account
	store   account.Store
}

type placeName struct {
	account uuid.UUID
	ref     account.StoreRef
}

func (n placeName) text() string { return n.account.String() + n.ref.ID.String() + n.ref.Hash }

func (p *place) changesWith() [2]uuid.UUID { return [2]uuid.UUID{p.account.ID, p.account.ID} }

// Accounts returns the repository with the memory before its look-up of one
// store: whoever issues a token names one, and to judge the request takes no
// more than whoever asks was judged by, which is from memory, too. That the
// store is still there is seen to where the token is kept.
func (m *Memory) Accounts(r account.Repository) account.Repository { return &remembering{r, m} }

type remembering struct {
	account.Repository
	memory *Memory
}

// Store returns the account's store together with the account.
func (r *remembering) Store(ctx context.Context, accountID uuid.UUID, ref account.StoreRef) (account.Account, account.Store, error) {
	if ref.ID == uuid.Nil {
		if !account.ValidHash(ref.Hash) {
			return account.Account{}, account.Store{}, account.ErrNoStore() // see Verifier.Store
		}
		ref.Hash = strings.Clone(ref.Hash)
	}
	asked := false
	read := func() (*place, error) {
		asked = true
		a, s, err := r.Repository.Store(ctx, accountID, ref)
		return &place{a, s}, err
	}
	found, err := r.memory.places.recall(placeName{accountID, ref}, read)
	if fault.KindOf(err) == fault.NotFound && !asked {
		// Whoever tries, has the store added and tries again is not put off.
		found, err = read()
	}
	if err != nil {
		return account.Account{}, account.Store{}, err
	}
	return found.account, found.store, nil
}
