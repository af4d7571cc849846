package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestMain runs a yardstick if the test binary is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		if err := run(); err != nil {
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if builtFolder != "" {
		_ = os.RemoveAll(builtFolder)
	}
	os.Exit(code)
}

// builtFolder is the folder of built, if there is one.
var builtFolder string

// built builds the program once for all tests, unless make test has built it, with the flags of the tests, so that the
// packages are in the build cache.
var built = sync.OnceValues(func() (binary string, err error) {
	if folder := os.Getenv("LATCHKEY_TEST_PROGRAMS"); folder != "" {
		return filepath.Join(folder, "latchkey"), nil
	}
	if builtFolder, err = os.MkdirTemp("", "latchkey-bench-"); err != nil {
		return "", err
	}
	binary = filepath.Join(builtFolder, "latchkey")
	out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "latchkey/cmd/latchkey").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// fewAccounts is enough for a test: a command of its own creates each account's webhook.
const fewAccounts = 4

// webhookSuite returns a suite with the installations for webhooks only.
func webhookSuite(t *testing.T) *suite {
	t.Helper()
	dir := t.TempDir()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{dir: dir, binary: binary, accounts: accounts()[:fewAccounts]}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []func(context.Context) error{s.prepareDatabase, s.preparePostgres, s.prepareWebhooks} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// The rows of webhooks are measured with the whole program.
func TestWebhookRows(t *testing.T) {
	const attempts = 20
	s := webhookSuite(t)
	lags, err := s.firstAttempts(t.Context(), attempts)
	if err != nil {
		t.Fatal(err)
	}
	if len(lags) != attempts || percentile(lags, 99) > 10*time.Second {
		t.Errorf("%d first attempts after %v to %v, want %d", len(lags), lags[0], lags[len(lags)-1], attempts)
	}
	t.Logf("first attempts: p50 %v, p99 %v", percentile(lags, 50), percentile(lags, 99))
	_, groups := chosen("webhook", s.contenders())
	for _, group := range groups {
		measured, err := byTurns(t.Context(), group, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range measured {
			t.Logf("%s: %.0f a second", group[i].name, m.perSecond)
			if m.perSecond <= 0 {
				t.Errorf("%s: got %+v, want a rate above 0", group[i].name, m)
			}
		}
	}
}
