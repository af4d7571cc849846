package gormdb_test

import (
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
)

// A server does not start beside one that lacks the key that it issues under, nor beside one that issues under a key that
// it lacks; a key is changed in three rolling steps.
func TestJoinChecksKeys(t *testing.T) {
	old, next := keyIDs(t), keyIDs(t)
	both, promoted := slices.Concat(old, next), slices.Concat(next, old)
	url := dbtest.PostgresURL(t)
	for _, tc := range []struct {
		name          string
		running, ours []secret.KeyID
		want          fault.Kind
	}{
		{"the same key", old, old, ""},
		{"the new one is added", old, both, ""},
		{"the new one is put first", both, promoted, ""},
		{"the old one is removed", promoted, next, ""},
		{"one that does not say", nil, next, ""},
		{"the new one is put first at once", old, promoted, fault.Conflict},
		{"the new one alone", old, next, fault.Conflict},
		{"the old one alone, too late", promoted, old, fault.Conflict},
		{"the old one is removed too early", both, next, fault.Conflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			execute(t, url, "DELETE FROM replicas")
			feed := func(name string, ids []secret.KeyID) *gormdb.Feed {
				f := dbtest.Open(t, url).NewFeed(access.Replica{Name: name}, gormdb.Ears{Changed: func(uuid.UUID) {}, Forget: func() {}}, slog.New(slog.DiscardHandler))
				f.UseKeys(ids)
				return f
			}
			if err := feed("a", tc.running).Join(t.Context()); err != nil {
				t.Fatal(err)
			}
			b := feed("b", tc.ours)
			err := b.Join(t.Context())
			var refused *fault.Error
			if fault.KindOf(err) != tc.want || errors.As(err, &refused) && refused.Field != "--key-file" {
				t.Errorf("got %v", err)
			}
			list, listErr := b.Replicas(t.Context())
			if registered := len(list) == 2; listErr != nil || err == nil && !registered {
				t.Errorf("the list is %v, %v", list, listErr)
			}
		})
	}
}
