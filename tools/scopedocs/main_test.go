package main

import (
	"os"
	"testing"

	"latchkey/internal/scope"
)

// docs/scopes.md is what the generator writes.
func TestCurrent(t *testing.T) {
	text, err := os.ReadFile("../../docs/scopes.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != page(scope.Default()) {
		t.Error("docs/scopes.md is not up to date, want it as written by: make generate")
	}
}
