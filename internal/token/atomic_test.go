package token_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
)

// A change whose event cannot be written is rolled back: no row changes, no secret
// is returned, and the error does not reveal its cause (docs/promises.md: 5).
func TestNoChangeWithoutItsEvent(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		actions := h.actions()
		dbtest.Exec(t, h.URL,
			"CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no events today'); END",
			"ALTER TABLE audit_events ADD CONSTRAINT no_events_today CHECK (false) NOT VALID")
		before := dbtest.Dump(t, h.URL)
		for name, action := range actions {
			t.Run(name, func(t *testing.T) {
				value, err := action(t.Context())
				if fault.KindOf(err) != fault.Internal || value.Reveal() != "" {
					t.Errorf("the action: error %v, want an internal error and no secret", err)
				}
				if shown := fault.Flatten(err)[0].Error(); strings.Contains(shown, "events") {
					t.Errorf("the message: got %q, want it without the cause", shown)
				}
				check.Equal(t, dbtest.Dump(t, h.URL), before, "the database")
			})
		}
	})
}

// A request that is canceled at any time makes a complete change with its events,
// or none.
func TestCanceledAtEveryStatement(t *testing.T) {
	for action, events := range map[string]int{"create, account level": 1, "create, store level": 1, "update": 1,
		"rotate": 1, "revoke": 3} {
		t.Run(action, func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) {
				var giveUp atomic.Pointer[func()]
				h := newFixture(t, world.New(t, url, world.Options{OnStatement: func(string) {
					if f := giveUp.Load(); f != nil {
						(*f)()
					}
				}}))
				for at := 0; ; at++ {
					try := h.actions()[action] // on new tokens
					before := dbtest.Dump(t, url)
					ctx, cancel := context.WithCancel(t.Context())
					statements := 0
					giveUp.Store(new(func() {
						if statements++; statements > at {
							cancel()
						}
					}))
					_, err := try(ctx)
					giveUp.Store(nil)
					cancel()
					after := dbtest.Dump(t, url)
					changed, logged := after != before,
						strings.Count(after, "audit_events ")-strings.Count(before, "audit_events ")
					if changed != (logged > 0) || changed && logged != events || err == nil && !changed {
						t.Fatalf("canceled at statement %d: error %v, changed %v, %d events; want all %d, or no change and an error",
							at, err, changed, logged, events)
					}
					if statements <= at {
						return // all statements ran
					}
				}
			})
		})
	}
}
