package gormdb_test

import (
	"crypto/rand"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
)

func keyIDs(t *testing.T) []secret.KeyID {
	ring, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ring.IDs()
}

func TestAgreeOnKeys(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		ours, others, next := keyIDs(t), keyIDs(t), keyIDs(t)
		steps := []struct {
			name string
			ids  []secret.KeyID
			want fault.Kind
		}{
			{"the first keyring", ours, ""},
			{"the same again", ours, ""},
			{"a foreign keyring", others, fault.Conflict},
			{"a new key with the known one", append(next, ours...), ""},
			{"only the new key", next, ""},
			{"the foreign keyring again", others, fault.Conflict},
		}
		for _, step := range steps {
			if err := db.AgreeOnKeys(t.Context(), step.ids, time.Now()); fault.KindOf(err) != step.want {
				t.Errorf("%s: %v, want %q", step.name, err, step.want)
			}
		}
	})
}

func TestAgreeOnKeysAtOnce(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		one, two := dbtest.Open(t, url), dbtest.Open(t, url)
		ours := keyIDs(t)
		var group errgroup.Group
		for range 5 {
			group.Go(func() error { return one.AgreeOnKeys(t.Context(), ours, time.Now()) })
			group.Go(func() error { return two.AgreeOnKeys(t.Context(), ours, time.Now()) })
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
}
