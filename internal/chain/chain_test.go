package chain_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/chain"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

func newKeys(t *testing.T) *secret.Keyring {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// A signature covers every field.
func TestSignatures(t *testing.T) {
	keys := newKeys(t)
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	head := chain.Head{AccountID: uuid.New(), SealedAt: at}
	head.Append(chain.Record{Event: audit.Event{ID: uuid.New(), At: at}})
	head.Sign(keys)
	checkpoint := chain.Checkpoint{AccountID: head.AccountID, Number: 1, Hash: head.Hash, At: at}
	checkpoint.Sign(keys)
	totals := chain.NewTotals(keys, at, 1)
	position := chain.Position{Epoch: uuid.New(), Target: "file:a", Place: 7}
	position.Sign(keys)
	if !head.Signed(keys) || !checkpoint.Signed(keys) || !totals.Signed(keys) || !position.Signed(keys) {
		t.Fatal("got a signature that is refused, want all to be accepted")
	}
	if other := newKeys(t); head.Signed(other) || checkpoint.Signed(other) || totals.Signed(other) ||
		position.Signed(other) {
		t.Error("got a signature that another key accepts, want none")
	}
	for name, change := range map[string]func(*chain.Head){
		"account": func(h *chain.Head) { h.AccountID = uuid.New() }, "number": func(h *chain.Head) { h.Number++ },
		"hash":          func(h *chain.Head) { h.Hash[0]++ },
		"time":          func(h *chain.Head) { h.SealedAt = at.Add(time.Microsecond) },
		"signed number": func(h *chain.Head) { h.SignedNumber++ },
		"signed time":   func(h *chain.Head) { h.SignedAt = at },
	} {
		changed := head
		change(&changed)
		check.Equal(t, changed.Signed(keys), false, "a head with another %s is signed", name)
	}
	for name, change := range map[string]func(*chain.Checkpoint){
		"account": func(c *chain.Checkpoint) { c.AccountID = uuid.New() },
		"number":  func(c *chain.Checkpoint) { c.Number++ }, "hash": func(c *chain.Checkpoint) { c.Hash[0]++ },
		"time":   func(c *chain.Checkpoint) { c.At = at.Add(time.Microsecond) },
		"pruned": func(c *chain.Checkpoint) { c.Pruned = true }, "previous": func(c *chain.Checkpoint) { c.Previous++ },
	} {
		changed := checkpoint
		change(&changed)
		check.Equal(t, changed.Signed(keys), false, "a checkpoint with another %s is signed", name)
	}
	for name, change := range map[string]func(*chain.Totals){
		"epoch": func(t *chain.Totals) { t.Epoch = uuid.New() }, "events": func(t *chain.Totals) { t.Events++ },
		"begun":   func(t *chain.Totals) { t.BegunAt = at.Add(time.Microsecond) },
		"version": func(t *chain.Totals) { t.Version++ }, "restarts": func(t *chain.Totals) { t.Restarts = 0 },
		"sum": func(t *chain.Totals) { t.Sum[0]++ }, "nonce": func(t *chain.Totals) { t.Nonce[0]++ },
		"mark": func(t *chain.Totals) { t.Mark = secret.KeyedDigest{} },
	} {
		changed := totals
		change(&changed)
		check.Equal(t, changed.Signed(keys), false, "totals with another %s are signed", name)
	}
	for name, change := range map[string]func(*chain.Position){
		"epoch": func(p *chain.Position) { p.Epoch = uuid.New() }, "place": func(p *chain.Position) { p.Place++ },
		"target": func(p *chain.Position) { p.Target = "file:b" },
	} {
		changed := position
		change(&changed)
		check.Equal(t, changed.Signed(keys), false, "a position with another %s is signed", name)
	}
}

// The text that is hashed tells fields apart: a character that moves from one to the next gives another hash.
func TestFieldsAreToldApart(t *testing.T) {
	hash := func(e audit.Event) chain.Hash {
		var head chain.Head
		return head.Append(chain.Record{Event: e}).Hash
	}
	seen := map[chain.Hash]bool{}
	events := []audit.Event{
		{Actor: audit.Actor{Name: "ab"}}, {Actor: audit.Actor{Name: "a"}, Action: "b"}, {Action: "ab"},
		{Target: audit.Target{Key: "ab"}}, {Target: audit.Target{Key: "a", Name: "b"}},
		{Details: []audit.Detail{{Name: "a", Value: "b"}}}, {Details: []audit.Detail{{Name: "ab"}}},
		{Details: []audit.Detail{{Name: "a"}, {Name: "b"}}}, {IP: "a", RequestID: "b"}, {IP: "ab"},
	}
	for _, e := range events {
		seen[hash(e)] = true
	}
	check.Equal(t, len(seen), len(events), "the number of different hashes")
}

// calls counts the calls of a sealer, whose first batches are full.
type calls struct {
	chain.Repository

	mu                        sync.Mutex
	full, sealed, checkpoints int
	totals                    chain.Totals
}

func (c *calls) Seal(context.Context, *secret.Keyring, chain.Totals, time.Time, int) (chain.Sealed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed++
	return chain.Sealed{Events: 1, More: c.sealed <= c.full, Totals: c.totals}, nil
}

func (c *calls) Heads(context.Context, func(chain.Totals, chain.Head)) (chain.Totals, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totals, nil
}

func (c *calls) Renew(context.Context, *secret.Keyring, int) (int, error) { return 0, nil }

func (c *calls) Checkpoint(_ context.Context, _ *secret.Keyring, at, since time.Time, _ int) ([]chain.Checkpoint,
	error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checkpoints++
	if at.Sub(since) > chain.CheckpointInterval {
		return nil, context.Canceled
	}
	return []chain.Checkpoint{{}}, nil
}

// A sealer seals what is committed until no more is left, again and again, and looks for heads without a checkpoint.
func TestSealerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeys(t)
		repo := &calls{full: 3, totals: chain.NewTotals(keys, time.Now(), 0)}
		events := 0
		s := chain.NewSealer(repo, keys, time.Now, slog.New(slog.DiscardHandler), func(n int) { events += n })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s.Run(ctx)
		if repo.sealed < 7000 || events != repo.sealed {
			t.Errorf("got %d batches and %d events, want two each second", repo.sealed, events)
		}
		if repo.checkpoints < 11 || repo.checkpoints > 13 {
			t.Errorf("got %d searches for checkpoints within an hour, want one in five minutes", repo.checkpoints)
		}
	})
}

// While the chains are broken a sealer seals nothing, says so and since when, and it continues once they are mended.
func TestSealerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeys(t)
		repo := &calls{totals: chain.NewTotals(keys, time.Now(), 0)}
		good := repo.totals
		repo.totals.Events = 1
		s := chain.NewSealer(repo, keys, time.Now, slog.New(slog.DiscardHandler), func(int) {})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		go s.Run(ctx)
		time.Sleep(10 * time.Minute)
		repo.mu.Lock()
		if !s.Broken() || !s.Failing().Equal(began) || repo.sealed+repo.checkpoints > 0 {
			t.Errorf("got broken %t since %s, %d batches, want true since %s and none", s.Broken(), s.Failing(), repo.sealed, began)
		}
		repo.totals = good
		repo.mu.Unlock()
		time.Sleep(2 * time.Minute)
		repo.mu.Lock()
		defer repo.mu.Unlock()
		if s.Broken() || !s.Failing().IsZero() || repo.sealed == 0 || repo.checkpoints == 0 {
			t.Errorf("got broken %t since %s, %d batches, want sealing", s.Broken(), s.Failing(), repo.sealed)
		}
	})
}

// Nobody sees from two sums what a head adds to them, and the order of changes does not matter.
func TestSums(t *testing.T) {
	keys := newKeys(t)
	heads := make([]chain.Head, 50)
	totals := chain.NewTotals(keys, time.Now(), 0)
	seen := map[chain.Sum]bool{totals.Sum: true}
	change := func(work func(*chain.Ledger)) {
		t.Helper()
		l, err := totals.Open(keys)
		if err != nil {
			t.Fatal(err)
		}
		work(l)
		totals = l.Sign()
		check.Equal(t, seen[totals.Sum], false, "a sum comes again")
		seen[totals.Sum] = true
	}
	count := func(list []chain.Head) error {
		l, err := totals.Open(keys)
		if err != nil {
			t.Fatal(err)
		}
		all := l.Recount()
		for _, h := range list {
			all.Add(h)
		}
		return all.Err()
	}
	for i := range 200 {
		at := i % len(heads)
		before := heads[at]
		change(func(l *chain.Ledger) {
			heads[at].AccountID = uuid.UUID{1, byte(at)}
			l.Append(&heads[at], chain.Record{Event: audit.Event{ID: uuid.New()}})
			heads[at].Sign(keys)
			l.Replace(before, heads[at])
		})
	}
	old := slices.Clone(heads)
	change(func(*chain.Ledger) {}) // the same heads have another sum
	if err := count(heads); err != nil {
		t.Errorf("got %v, want all heads to be bound", err)
	}
	if err := count(heads[1:]); !chain.IsBroken(err) {
		t.Errorf("without a head: got %v, want Broken", err)
	}
	old[3].SealedAt = time.Now()
	old[3].Sign(keys)
	if err := count(old); !chain.IsBroken(err) {
		t.Errorf("with another head: got %v, want Broken", err)
	}
}
