package password_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/secret/password"
	"latchkey/internal/test/check"
)

func TestCheck(t *testing.T) {
	const email = "Ann.Ames@acme.example"
	for _, c := range []struct {
		name, chosen, confirmation string
		want                       []string
	}{
		{name: "a sentence", chosen: "correct horse"},
		{name: "eight characters", chosen: "äöüßéñøå"},
		{name: "256 characters", chosen: varied(256)},
		{name: "anything that prints or not", chosen: " \t\x00🔑 a \u200d "},
		{name: "seven", chosen: "1234567", want: []string{"password"}},
		{name: "257", chosen: varied(257), want: []string{"password"}},
		{name: "invalid UTF-8", chosen: "12345678\xff", want: []string{"password"}},
		{name: "the address", chosen: email, want: []string{"password"}},
		{name: "the address in another case", chosen: " ann.AMES@acme.example", want: []string{"password"}},
		{name: "different confirmation", chosen: "correct horse", confirmation: "correct hörse",
			want: []string{"passwordConfirmation"}},
		{name: "everything invalid", chosen: "short", confirmation: "shorter",
			want: []string{"password", "passwordConfirmation"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.confirmation == "" {
				c.confirmation = c.chosen
			}
			var fields []string
			for _, f := range password.Check(secret.NewPassword(c.chosen), secret.NewPassword(c.confirmation), email) {
				fields = append(fields, f.Field)
			}
			check.Equal(t, fields, c.want, "errors on")
		})
	}
}

// varied returns a text of n different characters.
func varied(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteRune(rune('à' + i*i%97))
	}
	return text.String()
}

// Check rejects passwords that are easily guessed, with any text around them, and
// no others.
func TestCheckGuessable(t *testing.T) {
	names := []string{"ann-marie.ames@acme-shops.example", "Ann-Marie", "Ames", "Acme Shops", "keys.example.com"}
	for _, c := range []struct {
		why     string
		refused []string
		taken   []string
	}{
		{"common", []string{"password", "PassWord1", "Sunshine!", "iloveyou2026", "trustno1", "1qaz2wsx",
			"\uff50assword"}, []string{"sunshine over hills", "a sentence", "a long sentence"}},
		{"repeats", []string{"aaaaaaaa", "abcxabcxab", "xk9xk9xk9", strings.Repeat("no", 100)},
			[]string{"aczxaczy", "correct horse correct horse"}},
		{"sequences", []string{"abcdefgh", "87654321", "aaaabbbb", "abcd4321", "qwer4321", "asdfghjk!", "ÄÄÄabcdef",
			"xabcdefg1"}, []string{"abcd horse", "aaaargh no"}},
		{"names", []string{
			"ann-marie.ames@acme-shops.example", " ANN-marie.Ames@acme-shops.example", "annmarie2026", "Ames.Acme.26",
			"acmeshops!", "latchkey2026!", "Latchkey-Acme",
			"keys.example", "example1234567"[:12], "ann-ames",
		}, []string{"annotate it", "planning tool", "acme sells boots", "ann83719203746192"}},
	} {
		for want, list := range map[int][]string{1: c.refused, 0: c.taken} {
			for _, text := range list {
				if found := password.Check(secret.NewPassword(text), secret.NewPassword(text),
					names...); len(found) != want {
					t.Errorf("%s: Check(%q) = %v, want %d faults", c.why, text, found, want)
				}
			}
		}
	}
	if n := password.CountCommon(); n < 10_000 {
		t.Errorf("common passwords: got %d, want 10000 at least", n)
	}
}

func TestHashAndVerify(t *testing.T) {
	h := password.NewHasher(rand.Reader)
	hash, err := h.Hash(t.Context(), secret.NewPassword("correct hörse"))
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("Hash() = %s, %v, want the PHC string of Argon2id with the configured cost", hash, err)
	}
	again, err := h.Hash(t.Context(), secret.NewPassword("correct hörse"))
	if err != nil || again == hash {
		t.Errorf("hashing again: got %s, %v, want another hash", again, err)
	}
	for typed, want := range map[string]bool{
		"correct hörse": true, "correct ho\u0308rse": true, // the same characters, composed or not
		"correct horse": false, "": false, "correct hörse ": false,
	} {
		if got, err := h.Verify(t.Context(), secret.NewPassword(typed), hash); got != want || err != nil {
			t.Errorf("Verify(%q) = %t, %v, want %t", typed, got, err, want)
		}
	}
	if same, err := h.Verify(t.Context(), secret.Password{}, "correct hörse"); same || err == nil ||
		strings.Contains(err.Error(), "hörse") {
		t.Errorf("Verify for text that is not a hash = %t, %v, want false and an error without the text", same, err)
	}
	if _, err := password.NewHasher(strings.NewReader("short")).Hash(t.Context(),
		secret.NewPassword("correct horse")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Hash without randomness: got error %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// Verify uses the cost of the hash: this one is from the reference implementation.
func TestVerifyOthersHashes(t *testing.T) {
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	h := password.NewHasher(rand.Reader)
	for typed, want := range map[string]bool{"password": true, "Password": false} {
		if got, err := h.Verify(t.Context(), secret.NewPassword(typed), reference); got != want || err != nil {
			t.Errorf("Verify(%q) = %t, %v, want %t", typed, got, err, want)
		}
	}
}

// Hash waits while AtOnce others run, and stops waiting when its context is done.
func TestFewHashesAtOnce(t *testing.T) {
	entered := make(chan struct{}, 10)
	gate := password.NewGate()
	h := password.NewGatedHasher(password.NewHasher(rand.Reader), gate)
	var leave []func()
	for range password.AtOnce {
		out, err := gate.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, out)
	}
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			if _, err := h.Hash(t.Context(), secret.NewPassword("correct horse")); err != nil {
				t.Error(err)
			}
			entered <- struct{}{}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := h.Hash(ctx, secret.NewPassword("correct horse")); !errors.Is(err, context.DeadlineExceeded) ||
		len(entered) > 0 {
		t.Errorf("Hash beyond the limit: got error %v with %d more hashed, want %v and none",
			err, len(entered), context.DeadlineExceeded)
	}
	for _, out := range leave {
		out()
	}
	wait.Wait()
	check.Equal(t, len(entered), 3, "len(entered)")
}

// Callers beyond MostWaiting are rejected without waiting.
func TestMostWaiting(t *testing.T) {
	gate := password.NewGate()
	for range password.AtOnce {
		if _, err := gate.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	for range password.MostWaiting + 10 {
		go func() {
			_, err := gate.Enter(ctx)
			results <- err
		}()
	}
	for range 10 {
		if err := <-results; fault.KindOf(err) != fault.RateLimited {
			t.Errorf("a caller beyond MostWaiting: got error %v, want kind %s", err, fault.RateLimited)
		}
	}
	cancel()
	for range password.MostWaiting {
		if err := <-results; !errors.Is(err, context.Canceled) || fault.KindOf(err) != fault.RateLimited {
			t.Errorf("waiting caller: got %v, want RATE_LIMITED", err)
		}
	}
}

// All hashers of a process share one gate.
func TestHashersShareTheGate(t *testing.T) {
	var leave []func()
	for range password.AtOnce {
		out, err := password.Hashing().Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if _, err := password.NewHasher(rand.Reader).Hash(ctx, secret.NewPassword("correct horse")); !errors.Is(err,
			context.Canceled) {
			t.Errorf("Hash with a canceled context: got error %v, want %v", err, context.Canceled)
		}
	}
	for _, out := range leave {
		out()
	}
}
