package gormdb_test

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"

	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// migrateTo migrates an empty database to a version of the schema.
func migrateTo(t *testing.T, url string, version int64) {
	t.Helper()
	dialect, name := goose.DialectPostgres, "postgres"
	if path, is := strings.CutPrefix(url, "sqlite:"); is {
		dialect, name = goose.DialectSQLite3, "sqlite"
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := gormdb.Migrations(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(dialect, raw(t, url), files, goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
}

// shared is a person in two accounts in version 15 of the schema: one row of users, and two memberships.
type shared struct {
	person   uuid.UUID
	accounts [2]uuid.UUID
	link     secret.Secret
}

func makeShared(t *testing.T, url string) shared {
	t.Helper()
	s := shared{person: uuid.New(), accounts: [2]uuid.UUID{uuid.New(), uuid.New()}, link: newSecret(secret.OneTimeLink)}
	digest := keyring.Digest(s.link)
	values := []string{
		"{noon}", "1772625600123456", "{later}", "99999999999999999", "{digest}",
		"x'" + hex.EncodeToString(digest.Digest[:]) + "'",
	}
	if !strings.HasPrefix(url, "sqlite:") {
		values = []string{"{noon}", "'2026-03-04T12:00:00.123456Z'", "{later}", "'2999-01-01'", "{digest}",
			`'\x` + hex.EncodeToString(digest.Digest[:]) + "'"}
	}
	owner, store := uuid.NewString(), uuid.NewString()
	values = append(values, "{owner}", "'"+owner+"'", "{person}", "'"+s.person.String()+"'", "{a}",
		"'"+s.accounts[0].String()+"'",
		"{b}", "'"+s.accounts[1].String()+"'", "{store}", "'"+store+"'", "{id}", "'"+uuid.NewString()+"'", "{key}",
		"'"+string(digest.Key)+"'")
	fill := strings.NewReplacer(values...)
	for _, statement := range []string{
		`INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at) VALUES
			({owner}, 'owner@acme.example', 'owner@acme.example', 'Olga', 'Owner', 'en', {noon}), ({person}, 'Ann@Agency.example', 'ann@agency.example', 'Ann', 'Agent', 'fr', {noon})`,
		`INSERT INTO accounts (id, name, owner_id, features, created_at) VALUES ({a}, 'Acme', {owner}, '', {noon}), ({b}, 'Globex', {owner}, '', {noon})`,
		`INSERT INTO stores (account_id, id, hash, name, owner_id, created_at) VALUES ({a}, {store}, 'acme1', 'Shop', {owner}, {noon})`,
		`INSERT INTO account_users (account_id, user_id, created_at, updated_at, external_id) VALUES
			({a}, {owner}, {noon}, {noon}, NULL), ({b}, {owner}, {noon}, {noon}, NULL), ({a}, {person}, {noon}, {noon}, 'hr-1'), ({b}, {person}, {noon}, {noon}, 'x-9')`,
		`INSERT INTO store_users (account_id, id, store_id, user_id, status, permissions, updated_at) VALUES ({a}, {id}, {store}, {person}, 'ACTIVE', 'Add_Orders Edit_Orders', {noon})`,
		`INSERT INTO links (id, purpose, user_id, account_id, server, digest, digest_key, created_at, expires_at) VALUES
			({id}, 'invitation', {person}, {b}, '', {digest}, {key}, {noon}, {later})`,
	} {
		execute(t, url, fill.Replace(statement))
	}
	return s
}

// After the migration, each of two accounts that shared a person has its own record of them, with the same names, its
// own external id, places and open invitation.
func TestMigrateSharedUsers(t *testing.T) {
	eachEmpty(t, func(t *testing.T, url string) {
		migrateTo(t, url, 15)
		s := makeShared(t, url)
		db := dbtest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		known := func(i int) (found user.Person) {
			t.Helper()
			err := db.Users().Change(t.Context(), auth.NoActor("a test"), s.accounts[i], func(c user.Change) error {
				users, err := c.MembersByEmail(t.Context(), []string{"ann@agency.example"})
				if len(users) == 1 {
					found = users[0]
				}
				return err
			})
			if err != nil || found.ID != s.person || found.Pending || !found.Member ||
				found.Email != "Ann@Agency.example" {
				t.Fatalf("account %d records %+v, %v, want member %s with Ann@Agency.example", i, found, err, s.person)
			}
			return found
		}
		names := func(p user.Person) string {
			return strings.Join([]string{p.FirstName, p.LastName, p.Locale, p.ExternalID}, " ")
		}
		if a, b := names(known(0)), names(known(1)); a != "Ann Agent fr hr-1" || b != "Ann Agent fr x-9" {
			t.Errorf("names in the accounts: got %q and %q, want %q and %q",
				a, b, "Ann Agent fr hr-1", "Ann Agent fr x-9")
		}
		if places := known(0).Places; len(places) != 1 ||
			!slices.Equal(places[0].Permissions, []string{"Add_Orders", "Edit_Orders"}) ||
			places[0].Status != user.Active {
			t.Errorf("the person's memberships: got %+v, want an active one to add and edit orders", places)
		}
		if l, err := db.SignIn().Link(t.Context(), keyring.Candidates(s.link), noon); err != nil ||
			l.UserID != s.person || l.AccountID != s.accounts[1] {
			t.Errorf("the invitation: got %+v, %v, want one of %s into %s", l.Link, err, s.person, s.accounts[1])
		}

		// A change of one account's record does not change the other's.
		users := user.NewService(db.Users(), keyring, nil, time.Now)
		by := auth.OperatorPrincipal()
		by.AccountID = s.accounts[0]
		first, locale, external := "Anna", "de", "hr-2"
		if _, err := users.Update(t.Context(), &by,
			user.Update{UserID: s.person, FirstName: &first, Locale: &locale, ExternalID: &external}); err != nil {
			t.Fatal(err)
		}
		if a, b := names(known(0)), names(known(1)); a != "Anna Agent de hr-2" || b != "Ann Agent fr x-9" {
			t.Errorf("after one renamed the person, names in the accounts: got %q and %q, want %q and %q",
				a, b, "Anna Agent de hr-2", "Ann Agent fr x-9")
		}
	})
}

// The migration folds stored addresses as the program does now: of a Greek domain, earlier programs stored a form in
// which a final sigma differs from another sigma.
func TestMigrateFoldsDomains(t *testing.T) {
	eachEmpty(t, func(t *testing.T, url string) {
		migrateTo(t, url, 26)
		const typed, was = "Ann@\u03bf\u03b4\u03bf\u03c2.example", "ann@\u03bf\u03b4\u03bf\u03c3.example"
		now := "1772625600123456"
		if !strings.HasPrefix(url, "sqlite:") {
			now = "now()"
		}
		id := uuid.NewString()
		execute(t, url, "INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at) VALUES ('"+
			id+"', '"+typed+"', '"+was+"', '', '', 'en', "+now+")")
		if _, err := dbtest.Open(t, url).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		var folded string
		if err := raw(t, url).QueryRow("SELECT email_folded FROM users").Scan(&folded); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, folded, user.Fold(typed), "the folded address")
		if folded == was {
			t.Errorf("the folded address: got %q, which was stored before, want another", folded)
		}
	})
}

// Of two users of an account whose addresses fold alike since migration 34, the one with the form keeps it, and the
// other one keeps its own. A user whose form no other one has gets it.
func TestMigrateFoldsAddressesOfOneAccount(t *testing.T) {
	eachEmpty(t, func(t *testing.T, url string) {
		migrateTo(t, url, 33)
		now := "1772625600123456"
		if !strings.HasPrefix(url, "sqlite:") {
			now = "now()"
		}
		account := uuid.NewString()
		// Until then, J and a mark stayed two characters, and ẞ in a domain was folded as ß.
		stored := []struct{ typed, was, want string }{
			{"first@acme.example", "first@acme.example", "first@acme.example"},
			{"\u01f0@acme.example", "\u01f0@acme.example", "\u01f0@acme.example"},
			{"J\u030c@acme.example", "j\u030c@acme.example", "j\u030c@acme.example"},
			{"J\u030cane@acme.example", "j\u030cane@acme.example", "\u01f0ane@acme.example"},
			{"ann@fa\u1e9e.example", "ann@fa\u00df.example", "ann@fass.example"},
		}
		var ids []string
		for _, s := range stored {
			id := uuid.Must(uuid.NewV7()).String()
			ids = append(ids, id)
			execute(t, url, "INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at) VALUES ('"+
				id+"', '"+s.typed+"', '"+s.was+"', '', '', 'en', "+now+")")
		}
		execute(t, url, "INSERT INTO accounts (id, name, owner_id, features, created_at) VALUES ('"+account+"', 'Acme', '"+
			ids[0]+"', '', "+now+")")
		for i, id := range ids {
			execute(t, url, "INSERT INTO account_users (account_id, user_id, created_at, updated_at, email_folded) VALUES ('"+
				account+"', '"+id+"', "+now+", "+now+", '"+stored[i].was+"')")
		}
		if _, err := dbtest.Open(t, url).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			for _, query := range []string{
				"SELECT email_folded FROM users WHERE id = '" + id + "'",
				"SELECT email_folded FROM account_users WHERE user_id = '" + id + "'",
			} {
				var folded string
				if err := raw(t, url).QueryRow(query).Scan(&folded); err != nil {
					t.Fatal(err)
				}
				check.Equal(t, folded, stored[i].want, "the folded address of %+q, %s", stored[i].typed, query[:40])
			}
		}
	})
}
