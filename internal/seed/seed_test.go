package seed_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/page"
	"latchkey/internal/secret"
	"latchkey/internal/seed"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// The demo can be made again and again: the second time only a session is new.
func TestMake(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		keys, err := secret.NewKeyring(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		manifests := manifest.NewService(db.Manifest(), nil, time.Now)
		users := user.NewService(db.Users(), keys, rand.Reader, time.Now)
		signIn, err := signin.NewService(signin.Config{Repository: db.SignIn(), Keys: keys, Random: rand.Reader, Now: time.Now, Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		first, err := seed.Make(t.Context(), manifests, users, signIn)
		if err != nil {
			t.Fatal(err)
		}
		second, err := seed.Make(t.Context(), manifests, users, signIn)
		if err != nil {
			t.Fatal(err)
		}
		if first.AccountID != second.AccountID || first.Session.Reveal() == second.Session.Reveal() {
			t.Error("the second demo is another, or its session is not")
		}
		if until := time.Until(second.ExpiresAt); until < 23*time.Hour || until > 24*time.Hour {
			t.Errorf("the session lasts %s", until)
		}
		people, err := db.Users().Users(t.Context(), first.AccountID, user.Filter{}, page.Window{Size: 100})
		if err != nil || len(people.Items) != 5 {
			t.Errorf("%d people, %v", len(people.Items), err)
		}
	})
}

func TestWelcome(t *testing.T) {
	demo := seed.Demo{AccountName: "Acme", OwnerEmail: "owner@acme.example"}
	text := demo.Welcome("https://keys.example/")
	for _, want := range []string{"Acme", "owner@acme.example", "'https://keys.example/accounts/" + demo.AccountID.String() + "/graphql'"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing is said of %s", want)
		}
	}
	if n := strings.Count(text, "curl "); n != 3 {
		t.Errorf("%d commands", n)
	}
}
