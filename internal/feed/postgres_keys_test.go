package feed_test

import (
	"errors"
	"slices"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/feed"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
)

// A server refuses to start if a running server lacks the key that it issues under, or issues under a key that it
// lacks. A key is replaced in three rolling steps.
func TestJoinChecksKeys(t *testing.T) {
	old, next := newKeyring().IDs(), newKeyring().IDs()
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
		{"a replica without keys", nil, next, ""},
		{"the new one is put first immediately", old, promoted, fault.Conflict},
		{"only the new one", old, next, fault.Conflict},
		{"only the old one, too late", promoted, old, fault.Conflict},
		{"the old one is removed too early", both, next, fault.Conflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			execute(t, url, "DELETE FROM replicas")
			replica := func(name string, ids []secret.KeyID) *feed.Feed {
				f := newFeed(dbtest.Open(t, url), name, discarding)
				f.UseKeys(ids)
				return f
			}
			if err := replica("a", tc.running).Join(t.Context()); err != nil {
				t.Fatal(err)
			}
			b := replica("b", tc.ours)
			err := b.Join(t.Context())
			var refused *fault.Error
			if fault.KindOf(err) != tc.want || errors.As(err, &refused) && refused.Field != "--key-file" {
				t.Errorf("Join: got error %v, want kind %q, on --key-file", err, tc.want)
			}
			list, listErr := b.Replicas(t.Context())
			if registered := len(list) == 2; listErr != nil || err == nil && !registered {
				t.Errorf("replicas: got %v, %v, want both if the second has joined", list, listErr)
			}
		})
	}
}
