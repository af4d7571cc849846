package access

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Use is one use of an API token, a legacy API account or a session.
type Use struct {
	AccountID uuid.UUID
	TokenID   uuid.UUID
	// AccessTokenID is the ID of the access token; zero for one granted to an OAuth client.
	AccessTokenID uuid.UUID
	At            time.Time
	IP            netip.Addr
	// Legacy says that TokenID is the ID of a legacy API account, Session that it is the ID of a session.
	Legacy, Session bool
}

// UseRepository stores last uses.
type UseRepository interface {
	// SaveUses updates the last use of each API token, access token, legacy API account and session, unless the stored
	// use is later.
	SaveUses(ctx context.Context, uses []Use) error
}

// Uses collects the last use of each access token in memory and writes them in batches, so that a verification does not
// write to the database. The last use of an API token is the latest use of any of its access tokens.
type Uses struct {
	repo UseRepository
	// parts are chosen by key, so that concurrent calls of Note seldom wait for each other.
	parts [64]struct {
		mu      sync.Mutex
		pending map[uuid.UUID]*Use // by key
	}
}

// NewUses returns an empty Uses that writes to the repository.
func NewUses(repo UseRepository) *Uses { return &Uses{repo: repo} }

// key returns the ID of the access token, or of the API token if the access token's use is not stored.
func (u Use) key() uuid.UUID {
	if u.AccessTokenID != uuid.Nil {
		return u.AccessTokenID
	}
	return u.TokenID
}

// Note holds a use in memory until the next Flush. It is safe for concurrent use.
func (u *Uses) Note(use Use) {
	key := use.key()
	part := &u.parts[int(key[15])%len(u.parts)]
	part.mu.Lock()
	defer part.mu.Unlock()
	latest := part.pending[key]
	if latest == nil {
		if part.pending == nil {
			part.pending = map[uuid.UUID]*Use{}
		}
		latest = &Use{}
		part.pending[key] = latest
	}
	if use.At.After(latest.At) {
		*latest = use
	}
}

// take removes the pending uses and returns them.
func (u *Uses) take() []Use {
	var uses []Use
	for i := range u.parts {
		part := &u.parts[i]
		part.mu.Lock()
		taken := part.pending
		part.pending = nil
		part.mu.Unlock()
		for _, use := range taken {
			uses = append(uses, *use)
		}
	}
	return uses
}

// flushTime is the timeout of a flush. A flush that hangs on a dead connection or a locked row must not delay those
// after it for long: with an interval of ten seconds, a use is stored within a minute even if two flushes hang.
const flushTime = 20 * time.Second

// Flush writes the pending uses. If that fails or takes longer than flushTime, they stay pending for the next Flush.
func (u *Uses) Flush(ctx context.Context) error {
	uses := u.take()
	if len(uses) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	err := u.repo.SaveUses(ctx, uses)
	if err != nil {
		for _, use := range uses {
			u.Note(use)
		}
	}
	return err
}

// Run flushes at every interval until ctx is done, and then once more with grace as the timeout. It calls failed with
// each error.
func (u *Uses) Run(ctx context.Context, interval, grace time.Duration, failed func(error)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := u.Flush(ctx); err != nil && ctx.Err() == nil {
				failed(err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
			defer cancel()
			if err := u.Flush(last); err != nil {
				failed(err)
			}
			return
		}
	}
}
