package token_test

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

// memoryRepository is a repository in memory. The embedded Lister is nil unless a test sets
// it.
type memoryRepository struct {
	token.Lister

	mu         sync.Mutex
	tokens     map[uuid.UUID]token.Token
	access     map[uuid.UUID][]token.AccessToken // by API token, in order of creation
	ended      []uuid.UUID                       // access tokens that were ended
	owner      map[secret.Digest]uuid.UUID       // access token by digest
	events     []audit.Event
	drafts     []token.Draft
	revokedIDs []uuid.UUID // IDs of the last Revoke
	only       []uuid.UUID
	failing    error // returned by every write if not nil
}

// errNone has a message that no service returns.
var errNone = fault.Errorf(fault.NotFound, "no row")

func newMemoryRepository() *memoryRepository {
	return &memoryRepository{tokens: map[uuid.UUID]token.Token{}, access: map[uuid.UUID][]token.AccessToken{},
		owner: map[secret.Digest]uuid.UUID{}}
}

func (s *memoryRepository) Insert(_ context.Context, _ auth.Actor, d token.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return s.failing
	}
	s.tokens[d.Token.ID] = d.Token
	s.drafts = append(s.drafts, d)
	s.add(d.Access)
	s.events = append(s.events, d.Event)
	return nil
}

func (s *memoryRepository) add(d token.AccessDraft) {
	s.access[d.Record.APITokenID] = append(s.access[d.Record.APITokenID], d.Record)
	s.owner[d.Digest.Digest] = d.Record.ID
}

func (s *memoryRepository) Revoke(_ context.Context, _ auth.Actor, e token.RevocationDraft) (token.RevocationOutcome,
	error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revokedIDs, s.only = e.IDs, e.OnlyStores
	if s.failing != nil {
		return token.RevocationOutcome{}, s.failing
	}
	var unknown []uuid.UUID
	for _, id := range e.IDs {
		t, ok := s.tokens[id]
		if !ok || t.AccountID != e.AccountID || e.OnlyStores != nil && !slices.Contains(e.OnlyStores, t.StoreID) {
			unknown = append(unknown, id)
		}
	}
	if unknown != nil {
		return token.RevocationOutcome{Unknown: unknown}, nil
	}
	for _, id := range e.IDs {
		if t := s.tokens[id]; t.Revocation == nil {
			t.Revocation = &e.Revocation
			s.tokens[id] = t
			s.events = append(s.events, e.Event)
		}
	}
	return token.RevocationOutcome{}, nil
}

func (s *memoryRepository) Change(_ context.Context, _ auth.Actor, accountID, id uuid.UUID,
	decide func(token.Token, []token.AccessToken) (token.Change, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[id]
	if !ok || t.AccountID != accountID {
		return errNone
	}
	change, err := decide(t, slices.DeleteFunc(slices.Clone(s.access[id]), s.hasEnded))
	if err != nil {
		return err
	}
	if s.failing != nil {
		return s.failing
	}
	if change.Token != nil {
		s.tokens[id] = *change.Token
	}
	for i, a := range s.access[id] {
		if end, dated := change.Ends[a.ID]; dated {
			s.access[id][i].ExpiresAt = end
		}
	}
	s.ended = append(s.ended, change.Ended...)
	if change.Access != nil {
		s.add(*change.Access)
	}
	s.events = append(s.events, change.Event)
	return nil
}

func (s *memoryRepository) Token(_ context.Context, accountID, id uuid.UUID) (token.Token, error) {
	if t, ok := s.tokens[id]; ok && t.AccountID == accountID {
		return t, nil
	}
	return token.Token{}, errNone
}

func (s *memoryRepository) hasEnded(a token.AccessToken) bool { return slices.Contains(s.ended, a.ID) }

// live returns the access tokens of an API token that work at the time.
func (s *memoryRepository) live(id uuid.UUID, at time.Time) []token.AccessToken {
	return slices.DeleteFunc(slices.Clone(s.access[id]), func(a token.AccessToken) bool {
		return s.hasEnded(a) || !a.ExpiresAt.IsZero() && !at.Before(a.ExpiresAt)
	})
}

// fataler is implemented by *testing.T and *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// service returns a service over the repository. The pointer is its clock.
func service(t fataler, repo token.Repository, clock *time.Time) *token.Service {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token.NewService(repo, policy(), keys, rand.Reader, func() time.Time { return *clock })
}
