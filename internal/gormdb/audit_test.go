package gormdb_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
)

func TestEvents(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		robot, sequences := uuid.New(), map[string]int64{}
		record := func(minutes int, action audit.Action, actor audit.Actor, target string,
			details ...audit.Detail) audit.Event {
			e := audit.Event{
				ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, At: later(time.Duration(minutes) * time.Minute),
				Actor: actor, Action: action,
				Target:  audit.Target{Kind: audit.TargetStore, Key: target, Name: "Store «" + target + "»"},
				Details: details,
			}
			if err := db.Manifest().Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			e.Version, e.Data = 1, []byte("{}")
			sequences[target]++
			e.Sequence = sequences[target]
			return e
		}
		operator := audit.Actor{Kind: audit.ActorOperator, Name: "operator"}
		program := audit.Actor{Kind: audit.ActorAPIToken, ID: robot, Name: "CI"}
		a := record(0, audit.StoreCreated, operator, "x", audit.Detail{Name: "b", Value: "2"},
			audit.Detail{Name: "a", Value: "1"}, audit.Detail{Name: "b", Value: `"\u0000<é>`})
		b := record(1, audit.StoreUpdated, program, "x")
		c := record(2, audit.StoreUpdated, program, "y")
		foreign := a
		foreign.AccountID, foreign.ID = other.Account.ID, uuid.Must(uuid.NewV7())
		if err := db.Manifest().Record(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name   string
			filter audit.Filter
			want   []audit.Event
		}{
			{"all", audit.Filter{}, []audit.Event{c, b, a}},
			{"an action", audit.Filter{Actions: []audit.Action{audit.StoreCreated}}, []audit.Event{a}},
			{"actions", audit.Filter{Actions: []audit.Action{audit.StoreCreated, audit.StoreUpdated}},
				[]audit.Event{c, b, a}},
			{"an action without events", audit.Filter{Actions: []audit.Action{"none"}}, nil},
			{"an actor", audit.Filter{ActorID: &robot}, []audit.Event{c, b}},
			{"the zero UUID as the actor", audit.Filter{ActorID: &uuid.Nil}, nil},
			{"a target", audit.Filter{TargetKey: "x"}, []audit.Event{b, a}},
			{"after, exclusive", audit.Filter{After: noon}, []audit.Event{c, b}},
			{"before, exclusive", audit.Filter{Before: later(2 * time.Minute)}, []audit.Event{b, a}},
			{"all at once", audit.Filter{Actions: []audit.Action{audit.StoreUpdated}, ActorID: &robot, TargetKey: "x",
				After: noon, Before: later(time.Hour)}, []audit.Event{b}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				got, err := db.Audit().Events(t.Context(), w.Account.ID, tc.filter, all)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "events", nodes(got), tc.want)
				if n, err := db.Audit().CountEvents(t.Context(), w.Account.ID, tc.filter); err != nil ||
					n != int64(len(tc.want)) {
					t.Errorf("CountEvents() = %d, %v, want %d", n, err, len(tc.want))
				}
			})
		}
	})
}
