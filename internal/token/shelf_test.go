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

// shelf is a repository in memory: what the service asks of one, without a database. Reading is left to the embedded
// Lister, which is nil unless a test sets it.
type shelf struct {
	token.Lister

	mu      sync.Mutex
	tokens  map[uuid.UUID]token.Token
	access  map[uuid.UUID][]token.AccessToken // by API token, as they were added
	ended   []uuid.UUID                       // the access tokens that ended at once
	owner   map[secret.Digest]uuid.UUID       // the access token of each digest
	events  []audit.Event
	drafts  []token.Draft
	asked   []uuid.UUID // the ids of the last Revoke, as it got them
	only    []uuid.UUID
	failing error // what every write answers, if set
}

// errNone is worded as no service answers.
var errNone = fault.Errorf(fault.NotFound, "no row")

func newShelf() *shelf {
	return &shelf{tokens: map[uuid.UUID]token.Token{}, access: map[uuid.UUID][]token.AccessToken{}, owner: map[secret.Digest]uuid.UUID{}}
}

func (s *shelf) Insert(_ context.Context, _ auth.Actor, d token.Draft) error {
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

func (s *shelf) add(d token.AccessDraft) {
	s.access[d.Record.APITokenID] = append(s.access[d.Record.APITokenID], d.Record)
	s.owner[d.Digest.Digest] = d.Record.ID
}

func (s *shelf) Revoke(_ context.Context, _ auth.Actor, e token.Ending) (token.Ended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.only = e.IDs, e.OnlyStores
	if s.failing != nil {
		return token.Ended{}, s.failing
	}
	var unknown []uuid.UUID
	for _, id := range e.IDs {
		t, ok := s.tokens[id]
		if !ok || t.AccountID != e.AccountID || e.OnlyStores != nil && !slices.Contains(e.OnlyStores, t.StoreID) {
			unknown = append(unknown, id)
		}
	}
	if unknown != nil {
		return token.Ended{Unknown: unknown}, nil
	}
	for _, id := range e.IDs {
		if t := s.tokens[id]; t.Revocation == nil {
			t.Revocation = &e.Revocation
			s.tokens[id] = t
			s.events = append(s.events, e.Event)
		}
	}
	return token.Ended{}, nil
}

func (s *shelf) Change(_ context.Context, _ auth.Actor, accountID, id uuid.UUID, decide func(token.Token, []token.AccessToken) (token.Change, error)) error {
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

func (s *shelf) Token(_ context.Context, accountID, id uuid.UUID) (token.Token, error) {
	if t, ok := s.tokens[id]; ok && t.AccountID == accountID {
		return t, nil
	}
	return token.Token{}, errNone
}

func (s *shelf) hasEnded(a token.AccessToken) bool { return slices.Contains(s.ended, a.ID) }

// live returns the access tokens of an API token that work at the moment.
func (s *shelf) live(id uuid.UUID, at time.Time) []token.AccessToken {
	return slices.DeleteFunc(slices.Clone(s.access[id]), func(a token.AccessToken) bool {
		return s.hasEnded(a) || !a.ExpiresAt.IsZero() && !at.Before(a.ExpiresAt)
	})
}

// fataler is what *testing.T and *rapid.T have in common here.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// service is a service over the shelf whose clock shows what the pointer holds.
func service(t fataler, repo token.Repository, clock *time.Time) *token.Service {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token.NewService(repo, policy(), keys, rand.Reader, func() time.Time { return *clock })
}
