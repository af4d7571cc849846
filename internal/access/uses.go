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
	// AccessTokenID is the access token that was used; zero for one that a
	// client was granted.
	AccessTokenID uuid.UUID
	At            time.Time
	IP            netip.Addr
	// Legacy says that TokenID is that of a legacy API account, and Session that
	// it is that of a session.
	Legacy, Session bool
}

// UseRepository keeps last uses.
type UseRepository interface {
	// KeepUses keeps for each API token, each of its access tokens, each legacy
	// API account and each session the use if it is later than the one kept.
	KeepUses(ctx context.Context, uses []Use) error
}

// Uses gathers the last use of each access token in memory and keeps them in
// batches, so that a verification writes nothing. The last use of an API token
// is that of its access tokens which was used last.
type Uses struct {
	repo UseRepository
	// parts are by key, so that those who note uses seldom wait for each other.
	parts [64]struct {
		mu      sync.Mutex
		pending map[uuid.UUID]*Use // by key
	}
}

// NewUses returns an empty gathering over the repository.
func NewUses(repo UseRepository) *Uses { return &Uses{repo: repo} }

// key is what a use is the last one of: the access token, and where it has
// none that is kept, the API token.
func (u Use) key() uuid.UUID {
	if u.AccessTokenID != uuid.Nil {
		return u.AccessTokenID
	}
	return u.TokenID
}

// Note remembers a use until the next Flush.
func (u *Uses) Note(use Use) {
	key := use.key()
	part := &u.parts[int(key[15])%len(u.parts)]
	part.mu.Lock()
	defer part.mu.Unlock()
	known := part.pending[key]
	if known == nil {
		if part.pending == nil {
			part.pending = map[uuid.UUID]*Use{}
		}
		known = &Use{}
		part.pending[key] = known
	}
	if use.At.After(known.At) {
		*known = use
	}
}

// take returns what was gathered, which is none of the gathering any more.
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

// flushTime is how long a flush may take. One that hangs, on a connection that
// is dead or a row that is locked, must not keep those after it waiting: with
// an interval of ten seconds, what was used is kept within a minute even if
// two of them hang.
const flushTime = 20 * time.Second

// Flush keeps what was gathered. What cannot be kept, or not in flushTime,
// stays for the next time.
func (u *Uses) Flush(ctx context.Context) error {
	uses := u.take()
	if len(uses) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	err := u.repo.KeepUses(ctx, uses)
	if err != nil {
		for _, use := range uses {
			u.Note(use)
		}
	}
	return err
}

// Run flushes at every interval until ctx ends, and once more then, within
// the time that grace allows.
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
