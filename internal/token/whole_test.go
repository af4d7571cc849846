package token_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
)

// A change whose event cannot be written is no change: not a row differs afterwards, no secret is answered, and the
// failure says nothing of its cause (mission: promise 5).
func TestNoChangeWithoutItsEvent(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		deeds := h.deeds()
		dbtest.Exec(t, h.url, "CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no events today'); END",
			"ALTER TABLE audit_events ADD CONSTRAINT no_events_today CHECK (false) NOT VALID")
		before := dbtest.Dump(t, h.url)
		for name, deed := range deeds {
			t.Run(name, func(t *testing.T) {
				value, err := deed(t.Context())
				if fault.KindOf(err) != fault.Internal || value.Reveal() != "" {
					t.Errorf("answered %v", err)
				}
				if shown := fault.Flatten(err)[0].Error(); strings.Contains(shown, "events") {
					t.Errorf("shown: %s", shown)
				}
				if after := dbtest.Dump(t, h.url); after != before {
					t.Errorf("something was kept:\n%s\nwas\n%s", after, before)
				}
			})
		}
	})
}

// A request that is given up, at whatever moment, leaves a whole change with its events or nothing.
func TestGivenUpAtEveryStatement(t *testing.T) {
	for deed, events := range map[string]int{"create, account level": 1, "create, store level": 1, "update": 1, "rotate": 1, "revoke": 3} {
		t.Run(deed, func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) {
				var giveUp atomic.Pointer[func()]
				h := newHouse(t, url, func(string) {
					if f := giveUp.Load(); f != nil {
						(*f)()
					}
				})
				for at := 0; ; at++ {
					try := h.deeds()[deed] // on fresh tokens
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
					changed, logged := after != before, strings.Count(after, "audit_events ")-strings.Count(before, "audit_events ")
					if changed != (logged > 0) || changed && logged != events || err == nil && !changed {
						t.Fatalf("given up at statement %d: %v; changed: %v, with %d events", at, err, changed, logged)
					}
					if statements <= at {
						return // it ran to its end
					}
				}
			})
		})
	}
}
