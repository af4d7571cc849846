package gormdb_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
)

// Whoever asks at the same time as others is told of its own credential alone, and all of them together ask the database
// less often than one by one.
func TestLookUpsTogether(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		var statements atomic.Int64
		var hold atomic.Bool
		held := make(chan struct{})
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(string) {
			statements.Add(1)
			if hold.Load() {
				<-held
			}
		}})
		w := dbtest.Seed{}.Make(t, db)
		const kinds = 12
		var ids [kinds]uuid.UUID
		var values [kinds]secret.Secret
		for i := range kinds {
			made, value := issue(t, db, w, uuid.Nil)
			ids[i], values[i] = made.ID, value
		}
		all := db.Access()
		const askers, times = 48, 25
		var wait sync.WaitGroup
		for asker := range askers {
			wait.Go(func() {
				for n := range times {
					i := (asker + n) % (kinds + 1)
					if i == kinds {
						_, err := all.Credential(t.Context(), secret.StoreAccessToken, keys.Candidates(newSecret(secret.StoreAccessToken)))
						if fault.KindOf(err) != fault.NotFound {
							t.Errorf("one that is not kept: %v", err)
						}
						continue
					}
					record, err := all.Credential(t.Context(), secret.StoreAccessToken, keys.Candidates(values[i]))
					if err != nil || record.Principal.ID != ids[i] {
						t.Errorf("got %s, %v, want %s", record.Principal.ID, err, ids[i])
					}
				}
			})
		}
		wait.Wait()

		hold.Store(true)
		statements.Store(0)
		for asker := range askers {
			wait.Go(func() {
				if _, err := all.Credential(t.Context(), secret.StoreAccessToken, keys.Candidates(values[asker%kinds])); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(200 * time.Millisecond) // in which they come while the first are under way
		hold.Store(false)
		close(held)
		wait.Wait()
		if n := statements.Load(); n > askers/2 {
			t.Errorf("%d look-ups took %d statements", askers, n)
		}

		statements.Store(0)
		if _, err := all.Credential(t.Context(), secret.StoreAccessToken, keys.Candidates(values[0])); err != nil || statements.Load() != 1 {
			t.Errorf("one alone: %v, %d statements", err, statements.Load())
		}
	})
}

// More server keys than digests go into one statement are no reason to miss a credential.
func TestLookUpUnderManyKeys(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		made, value := issue(t, db, w, uuid.Nil)
		for _, before := range []int{1, 7, 8, 20} {
			candidates := make([]secret.KeyedDigest, before)
			for i := range candidates {
				candidates[i] = keys.Digest(newSecret(secret.StoreAccessToken))
			}
			record, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, append(candidates, keys.Candidates(value)...))
			if err != nil || record.Principal.ID != made.ID {
				t.Errorf("behind %d others: %v, %v", before, record.Principal.ID, err)
			}
		}
	})
}

// Who goes away does not wait for the others, nor they for it.
func TestLookUpGivenUp(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		held := make(chan struct{})
		var hold atomic.Bool
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(string) {
			if hold.Load() {
				<-held
			}
		}})
		w := dbtest.Seed{}.Make(t, db)
		_, value := issue(t, db, w, uuid.Nil)
		all := db.Access()
		hold.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		stayed := make(chan error, 1)
		go func() {
			_, err := all.Credential(t.Context(), secret.StoreAccessToken, keys.Candidates(value))
			stayed <- err
		}()
		if _, err := all.Credential(ctx, secret.StoreAccessToken, keys.Candidates(value)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(held)
		if err := <-stayed; err != nil {
			t.Errorf("who stayed: %v", err)
		}
	})
}
