package cli

import (
	"errors"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/provision"
)

func TestCodesAndStatuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		code   string
		status int
	}{
		{"wrong use", errors.New("unknown flag"), "USAGE", 2},
		{"our failure", failure{errors.New("no answer")}, "INTERNAL", 1},
		{"an interruption", failure{errors.Join(provision.ErrInterrupted)}, "INTERRUPTED", 1},
		{"a token that is refused", failure{fault.Errorf(fault.Unauthenticated, "No.")}, "UNAUTHENTICATED", 2},
		{"a token without a scope", failure{fault.Errorf(fault.Forbidden, "No.")}, "FORBIDDEN", 2},
		{"a busy server", failure{fault.Errorf(fault.RateLimited, "No.")}, "RATE_LIMITED", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := problems(tc.err); len(got) != 1 || got[0].Code != tc.code || exitOf(tc.err) != tc.status {
				t.Errorf("got %+v and status %d", got, exitOf(tc.err))
			}
		})
	}
}
