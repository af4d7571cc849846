package gormdb_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// Each concurrent look-up returns only its own credential, and together they need fewer statements than look-ups.
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
						_, err := all.Credential(t.Context(), secret.StoreAccessToken,
							keyring.Candidates(newSecret(secret.StoreAccessToken)))
						check.Equal(t, fault.KindOf(err), fault.NotFound, "a credential that does not exist: %v", err)
						continue
					}
					record, err := all.Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(values[i]))
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
				if _, err := all.Credential(t.Context(), secret.StoreAccessToken,
					keyring.Candidates(values[asker%kinds])); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(200 * time.Millisecond) // the look-ups queue up while the first are running
		hold.Store(false)
		close(held)
		wait.Wait()
		if n := statements.Load(); n > askers/2 {
			t.Errorf("%d look-ups took %d statements, want %d at most", askers, n, askers/2)
		}

		statements.Store(0)
		if _, err := all.Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(values[0])); err != nil ||
			statements.Load() != 1 {
			t.Errorf("a single look-up: %v, %d statements, want success in 1", err, statements.Load())
		}
	})
}

// A credential is found even with more server keys than one statement has digests.
func TestLookUpUnderManyKeys(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		made, value := issue(t, db, w, uuid.Nil)
		for _, before := range []int{1, 7, 8, 20} {
			candidates := make([]secret.KeyedDigest, before)
			for i := range candidates {
				candidates[i] = keyring.Digest(newSecret(secret.StoreAccessToken))
			}
			record, err := db.Access().Credential(t.Context(), secret.StoreAccessToken,
				append(candidates, keyring.Candidates(value)...))
			if err != nil || record.Principal.ID != made.ID {
				t.Errorf("behind %d others: got %v, %v, want %v", before, record.Principal.ID, err, made.ID)
			}
		}
	})
}

// A caller that gives up returns immediately and does not affect the others.
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
			_, err := all.Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(value))
			stayed <- err
		}()
		if _, err := all.Credential(ctx, secret.StoreAccessToken, keyring.Candidates(value)); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Errorf("Credential: got error %v, want %v", err, context.DeadlineExceeded)
		}
		close(held)
		if err := <-stayed; err != nil {
			t.Errorf("the caller that waited: %v", err)
		}
	})
}
