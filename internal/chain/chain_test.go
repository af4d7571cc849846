package chain_test

import (
	"context"
	"crypto/rand"
	"log/slog"
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
	totals := chain.Totals{Events: 1}
	totals.Sign(keys)
	if !head.Signed(keys) || !checkpoint.Signed(keys) || !totals.Signed(keys) {
		t.Fatal("got a signature that is refused, want all to be accepted")
	}
	if other := newKeys(t); head.Signed(other) || checkpoint.Signed(other) || totals.Signed(other) {
		t.Error("got a signature that another key accepts, want none")
	}
	for name, change := range map[string]func(*chain.Head){
		"account": func(h *chain.Head) { h.AccountID = uuid.New() }, "number": func(h *chain.Head) { h.Number++ },
		"hash": func(h *chain.Head) { h.Hash[0]++ },
		"time": func(h *chain.Head) { h.SealedAt = at.Add(time.Microsecond) },
	} {
		changed := head
		change(&changed)
		check.Equal(t, changed.Signed(keys), false, "a head with another %s is signed", name)
	}
	for name, change := range map[string]func(*chain.Checkpoint){
		"account": func(c *chain.Checkpoint) { c.AccountID = uuid.New() },
		"number":  func(c *chain.Checkpoint) { c.Number++ }, "hash": func(c *chain.Checkpoint) { c.Hash[0]++ },
		"time":   func(c *chain.Checkpoint) { c.At = at.Add(time.Microsecond) },
		"pruned": func(c *chain.Checkpoint) { c.Pruned = true },
	} {
		changed := checkpoint
		change(&changed)
		check.Equal(t, changed.Signed(keys), false, "a checkpoint with another %s is signed", name)
	}
	for _, changed := range []chain.Totals{{Events: 2, Mark: totals.Mark}, {Events: 1, Restarts: 1, Mark: totals.Mark},
		{Events: 1}} {
		check.Equal(t, changed.Signed(keys), false, "changed totals are signed: %+v", changed)
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

	full, sealed, checkpoints int
}

func (c *calls) Seal(context.Context, *secret.Keyring, time.Time, int) (chain.Sealed, error) {
	c.sealed++
	return chain.Sealed{Events: 1, More: c.sealed <= c.full, Restarted: []uuid.UUID{{}}, TotalsRestarted: true}, nil
}

func (c *calls) Checkpoint(_ context.Context, _ *secret.Keyring, at, since time.Time, _ int) ([]chain.Checkpoint,
	error) {
	c.checkpoints++
	if at.Sub(since) > chain.CheckpointInterval {
		return nil, context.Canceled
	}
	return []chain.Checkpoint{{}}, nil
}

// A sealer seals what is committed until no more is left, again and again, and looks for heads without a checkpoint.
func TestSealerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := &calls{full: 3}
		events := 0
		s := chain.NewSealer(repo, newKeys(t), time.Now, slog.New(slog.DiscardHandler), func(n int) { events += n })
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
