package cli

import (
	"errors"
	"testing"

	"latchkey/internal/bulk/run"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

func TestCodesAndStatuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		code   string
		status int
	}{
		{"usage error", errors.New("unknown flag"), "USAGE", 2},
		{"internal error", failure{errors.New("no answer")}, "INTERNAL", 1},
		{"interrupted job", failure{errors.Join(run.ErrInterrupted)}, "INTERRUPTED", 1},
		{"refused token", failure{fault.Errorf(fault.Unauthenticated, "No.")}, "UNAUTHENTICATED", 2},
		{"missing scope", failure{fault.Errorf(fault.Forbidden, "No.")}, "FORBIDDEN", 2},
		{"busy server", failure{fault.Errorf(fault.RateLimited, "No.")}, "RATE_LIMITED", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := problems(tc.err); len(got) != 1 || got[0].Code != tc.code || exitOf(tc.err) != tc.status {
				t.Errorf("got %+v and status %d, want the code %s and status %d", got, exitOf(tc.err), tc.code,
					tc.status)
			}
		})
	}
}

// Texts of a file cannot control the terminal.
func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"ann@acme.example": "ann@acme.example", "jörg@acme.example": "jörg@acme.example",
		"\x1b[31mred": `"\x1b[31mred"`, "a\rb": `"a\rb"`, "\u202eback": `"\u202eback"`,
	} {
		check.Equal(t, shown(text), want, "what is shown of %q", text)
	}
}
