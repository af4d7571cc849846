package demo_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/manifest/demo"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// The demo can be created repeatedly: the second time only the session is new.
func TestMake(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		keys, err := secret.NewKeyring(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		manifests := manifest.NewService(db.Manifest(), nil, time.Now)
		users := user.NewService(db.Users(), keys, rand.Reader, time.Now)
		signIn, err := signin.NewService(signin.Config{Repository: db.SignIn(), Keys: keys, Random: rand.Reader,
			Now: time.Now, Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		first, err := demo.Make(t.Context(), manifests, users, signIn)
		if err != nil {
			t.Fatal(err)
		}
		second, err := demo.Make(t.Context(), manifests, users, signIn)
		if err != nil {
			t.Fatal(err)
		}
		if first.AccountID != second.AccountID || first.Session.Reveal() == second.Session.Reveal() {
			t.Errorf("the second demo: account %s and the same session: %t, want account %s and another session",
				second.AccountID, first.Session.Reveal() == second.Session.Reveal(), first.AccountID)
		}
		if until := time.Until(second.ExpiresAt); until < 23*time.Hour || until > 24*time.Hour {
			t.Errorf("the session lasts %s, want nearly 24 hours", until)
		}
		page, err := db.Users().Users(t.Context(), first.AccountID, user.Filter{}, paging.Window{Size: 100})
		if err != nil || len(page.Items) != 5 {
			t.Errorf("users: got %d, %v, want 5", len(page.Items), err)
		}
	})
}

func TestWelcome(t *testing.T) {
	demo := demo.Demo{AccountName: "Acme", OwnerEmail: "owner@acme.example"}
	text := demo.Welcome("https://keys.example/")
	for _, want := range []string{"Acme", "owner@acme.example",
		"'https://keys.example/accounts/" + demo.AccountID.String() + "/graphql'"} {
		if !strings.Contains(text, want) {
			t.Errorf("Welcome() = %q, want it to contain %s", text, want)
		}
	}
	check.Equal(t, strings.Count(text, "curl "), 3, "strings.Count(text, \"curl \")")
}
