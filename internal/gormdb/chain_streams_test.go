package gormdb_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/chain"
	"latchkey/internal/chain/stream"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A stream's place outlives its lease, which one server has at a time.
func TestAuditStreams(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		issue(t, db, w, uuid.Nil)
		sealAll(t, db)
		events, err := gormdb.Chain(db).Sealed(t.Context(), chain.Filter{}, 0, 100)
		must(t, err)
		streams, first, second := gormdb.AuditStreams(db, keyring), uuid.New(), uuid.New()
		lease := func(holder uuid.UUID, wantPlace int64, want bool) {
			t.Helper()
			at, err := streams.Lease(t.Context(), "target", holder, time.Minute)
			must(t, err)
			check.Equal(t, at.Ours, want, "the lease is ours")
			check.Equal(t, at.Place, wantPlace, "the place")
		}
		last := int64(len(events))
		lease(first, last, true) // a new target begins at the end
		lease(second, 0, false)
		for holder, want := range map[uuid.UUID]bool{first: true, second: false} {
			saved, err := streams.Save(t.Context(), "target", holder, last-2)
			must(t, err)
			check.Equal(t, saved, want, "the place was stored")
		}
		lease(first, last-2, true)
		must(t, streams.Release(t.Context(), "target", second))
		lease(second, 0, false)
		must(t, streams.Release(t.Context(), "target", first))
		lease(second, last-2, true)
	})
}

// A position that is not signed is reported, and the stream begins at the first event, so that none is missed.
func TestChangedStreamBeginsAgain(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		issue(t, db, w, uuid.Nil)
		sealAll(t, db)
		streams, holder := gormdb.AuditStreams(db, keyring), uuid.New()
		at, err := streams.Lease(t.Context(), "target", holder, time.Minute)
		must(t, err)
		check.Equal(t, at.New && at.Ours && !at.Changed, true, "the target is new")
		const forward = "UPDATE audit_streams SET place = place + 1000"
		dbtest.Exec(t, url, forward, forward)
		for _, changed := range []bool{true, false} {
			at, err = streams.Lease(t.Context(), "target", holder, time.Minute)
			must(t, err)
			check.Equal(t, at, stream.Leased{Ours: true, Changed: changed}, "the lease")
			_, err = streams.Save(t.Context(), "target", holder, 0)
			must(t, err)
		}
	})
}
