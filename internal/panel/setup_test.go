package panel_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// eachEmpty runs test on a separate server with an empty database of each kind.
func eachEmpty(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { test(t, startEmpty(t, url)) })
}

func startEmpty(t *testing.T, database string, settings ...string) *server {
	t.Helper()
	s := start(t, database, []string{"serve", "--output", "json"}, settings)
	s.URL, _, _ = strings.Cut(s.SetupURL, "/setup/")
	return s
}

// setup returns the path of the page that creates the first account.
func (s *server) setup() string { return strings.TrimPrefix(s.SetupURL, s.URL) }

// business is the form of a first account.
func business(changes ...string) []string {
	return append(changes, "accountName", "Acme Retail", "storeName", "Acme US", "storeHash", "", "firstName", "Ada",
		"lastName", "Owner",
		"email", "ada@acme.example", "password", "correct horse battery", "passwordConfirmation",
		"correct horse battery")
}

func TestSetup(t *testing.T) {
	eachEmpty(t, func(t *testing.T, s *server) {
		v := s.visitor()
		v.open("/").wants(http.StatusOK, "There is no account yet.")
		page := v.open(s.setup()).wants(http.StatusOK, "Create the first account")
		page = v.submit(page, "Create the account and sign in", "accountName", "", "storeName", "Acme US", "storeHash",
			"NO", "email", "ada", "firstName", "Ada", "password", "tiny").
			wants(http.StatusUnprocessableEntity, "Enter the name of the account: one line of at most 100 characters").
			wants(http.StatusUnprocessableEntity, "Write 4 to 32 lowercase letters and digits").
			wants(http.StatusUnprocessableEntity, "This is not an email address.").
			wants(http.StatusUnprocessableEntity, "Use 8 to 256 characters.").lacks("tiny")
		if got := len(page.forms()); got != 1 || page.forms()[0].values.Get("storeName") != "Acme US" {
			t.Errorf("after errors: got %d forms, %s, want one with the entered values", got, page.text())
		}
		to := v.submit(page, "Create the account and sign in", business()...).header.Get("Location")
		if !strings.HasPrefix(to, "/accounts/") {
			t.Fatalf("location after the setup: got %q, want a page of the account", to)
		}
		v.open("/accounts").wants(http.StatusOK, "Acme Retail")
		v.open(to+"stores").wants(http.StatusOK, "acmeus")
		logged := v.get(to+"audit").wants(http.StatusOK,
			"The user who opened the setup link created the account Acme Retail").wants(http.StatusOK, v.from)
		logged.lacks("The operator created").lacks("Command line")
		v.get(linkCalled(t, v.get(to+"audit?action=store.created"), "All events by this actor")).wants(http.StatusOK,
			"created the store Acme US")
		v.open(s.setup()).wants(http.StatusNotFound, "This link is not valid")
		s.visitor().open("/").lacks("There is no account yet.")
		s.visitor().post("/signin", "email", "ada@acme.example", "password", "correct horse battery").goes(to)
		if logged := s.log.String(); strings.Contains(logged, strings.TrimPrefix(s.setup(), "/setup/")) {
			t.Error("the log: got the secret of the link, want it absent")
		}
	})
}

// The setup link is invalid once an account exists, however it was created.
func TestSetupEndsWithAnAccount(t *testing.T) {
	eachEmpty(t, func(t *testing.T, s *server) {
		v := s.visitor()
		page := v.open(s.setup())
		s.apply(
			"accounts:\n  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01\n    name: Other\n    owner: {email: o@other.example, first_name: O, last_name: O, locale: en}\n")
		v.submit(page, "Create the account and sign in", business()...).wants(http.StatusNotFound,
			"This link is not valid")
		v.open(s.setup()).wants(http.StatusNotFound, "sign in")
	})
}

// Several servers of one database offer the setup; only one succeeds.
func TestSetupOnSeveralServers(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		key := "LATCHKEY_KEY_FILE=" + t.TempDir() + "/shared.key"
		servers := []*server{startEmpty(t, url, key)}
		if strings.HasPrefix(url, "postgres") {
			servers = append(servers, startEmpty(t, url, key), startEmpty(t, url, key))
		}
		visitors := make([]*visitor, 4)
		for i := range visitors {
			visitors[i] = servers[i%len(servers)].visitor()
		}
		var made atomic.Int64
		var all sync.WaitGroup
		for i, v := range visitors {
			all.Go(func() {
				other := business("storeHash", fmt.Sprintf("acme%dus", i), "email",
					fmt.Sprintf("ada%d@acme.example", i))
				if v.post(servers[i%len(servers)].setup(), other...).status == http.StatusSeeOther {
					made.Add(1)
				}
			})
		}
		all.Wait()
		check.Equal(t, made.Load(), 1, "accounts that were set up")
		for _, s := range servers {
			s.visitor().open(s.setup()).wants(http.StatusNotFound, "This link is not valid")
		}
	})
}
