package auth_test

import (
	"testing"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

func TestReadOnly(t *testing.T) {
	if err := auth.MayWrite(t.Context()); err != nil {
		t.Errorf("an ordinary context refuses: %v", err)
	}
	refusal := fault.Errorf(fault.Forbidden, "Not now.")
	if err := auth.MayWrite(auth.ReadOnly(t.Context(), refusal)); err != refusal {
		t.Errorf("refuses with %v", err)
	}
}
