package gormdb_test

import (
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	"latchkey/internal/oauth"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// With many rows, frequent statements use an index and do not scan a table.
func TestPlans(t *testing.T) {
	url := dbtest.PostgresURL(t)
	var last string
	db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(sql string) { last = sql }})
	w := dbtest.Seed{}.Make(t, db)
	crowd(t, db, url, w, 5_000)
	conn := connect(t, url)

	value := newSecret(secret.StoreAccessToken)
	kept := keyring.Digest(value)
	digest := kept.Digest[:]
	middle := uuid.MustParse("01900000-0000-7000-8000-0000000009c4")
	filtered := func(f user.Filter, window paging.Window) func() error {
		return func() error { _, err := db.Users().Users(t.Context(), w.Account.ID, f, window); return err }
	}
	for _, tc := range []struct {
		name  string
		run   func() error
		args  []any
		index []string
	}{
		{"a digest", func() error {
			_, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(value))
			return ignore(err)
		},
			[]any{digest}, []string{"access_tokens_digest_key", "api_tokens_pkey"}},
		{"a batch of digests", func() error {
			_, err := db.Access().Credential(t.Context(), secret.StoreAccessToken,
				append(keyring.Candidates(value), kept, kept))
			return ignore(err)
		},
			[]any{digest, digest, digest, digest, digest, digest, digest, digest},
			[]string{"access_tokens_digest_key", "api_tokens_pkey"}},
		{"a session", func() error {
			_, err := db.Access().Credential(t.Context(), secret.UserSession, keyring.Candidates(value))
			return ignore(err)
		},
			[]any{digest}, []string{"sessions_digest_key"}},
		{"a granted access token", func() error {
			_, err := db.Access().Credential(t.Context(), secret.OAuthAccessToken, keyring.Candidates(value))
			return ignore(err)
		},
			[]any{digest}, []string{"access_grants_digest_key", "api_tokens_pkey"}},
		{"a client secret", func() error {
			_, err := db.Access().Credential(t.Context(), secret.ClientSecret, keyring.Candidates(value))
			return ignore(err)
		},
			[]any{digest}, []string{"api_tokens_client_secret"}},
		{"a client", func() error { _, err := db.Grants().Client(t.Context(), "client1"); return ignore(err) },
			[]any{"client1"}, []string{"api_tokens_client_id_key"}},
		{"a page of users at depth", func() error {
			_, err := db.Users().Users(t.Context(), w.Account.ID, user.Filter{},
				paging.Window{Size: 50, After: &middle})
			return err
		}, []any{w.Account.ID, middle}, []string{"account_users_pkey", "users_pkey"}},
		{"the last page of users", func() error {
			_, err := db.Users().Users(t.Context(), w.Account.ID, user.Filter{},
				paging.Window{Size: 50, Backward: true})
			return err
		}, []any{w.Account.ID}, []string{"account_users_pkey", "users_pkey"}},
		{"a page of a store's users at depth",
			filtered(user.Filter{StoreID: w.Stores[0].ID}, paging.Window{Size: 50, After: &middle}),
			[]any{w.Account.ID, w.Stores[0].ID, middle},
			[]string{"Index Only Scan Backward using store_users_account_id_store_id_user_id_key", "users_pkey"}},
		{"users of some addresses", filtered(user.Filter{Emails: []string{"a", "b"}}, paging.Window{Size: 50}),
			[]any{w.Account.ID, "a", "b"}, []string{"account_users_address", "users_pkey"}},
		{"users of some external ids", filtered(user.Filter{ExternalIDs: []string{"a", "b"}}, paging.Window{Size: 50}),
			[]any{w.Account.ID, "a", "b"}, []string{"account_users_external", "users_pkey"}},
		{"users who changed of late", filtered(user.Filter{UpdatedAfter: noon}, paging.Window{Size: 50}),
			[]any{w.Account.ID, noon.AddDate(100, 0, 0)}, []string{"account_users_updated", "users_pkey"}},
		{"users without stores", filtered(user.Filter{WithoutStores: true}, paging.Window{Size: 50}),
			[]any{w.Account.ID}, []string{"account_users_pkey", "users_pkey"}},
		{"places of users", func() error {
			_, err := db.Users().UserPlaces(t.Context(), w.Account.ID, []uuid.UUID{middle, w.Owner.ID}, nil,
				paging.Window{Size: 10})
			return err
		}, []any{w.Account.ID, middle, w.Owner.ID, 11}, []string{"store_users_person"}},
		{"a page of tokens", func() error {
			_, err := db.Tokens().AccountTokens(t.Context(), w.Account.ID, token.Query{Now: noon},
				paging.Window{Size: 10, After: &middle})
			return err
		}, []any{w.Account.ID, middle, 11}, []string{"Index Scan Backward using api_tokens"}},
		{"a search for tokens", func() error {
			_, err := db.Tokens().Find(t.Context(), w.Account.ID, uuid.Nil,
				token.Search{Query: token.Query{Now: noon}, Text: "o", Sort: token.ByName, Size: 25})
			return err
		}, []any{w.Account.ID, "o", "o", 25}, []string{"api_tokens_"}},
		{"a search that finds none of a store's tokens", func() error {
			_, err := db.Tokens().Find(t.Context(), w.Account.ID, w.Stores[0].ID,
				token.Search{Query: token.Query{Now: noon}, Sort: token.ByLastUse, Size: 25})
			return err
		}, []any{w.Account.ID, w.Stores[0].ID}, []string{"api_tokens_"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.run(); err != nil {
				t.Fatal(err)
			}
			plan := explain(t, conn, last, tc.args...)
			for _, index := range tc.index {
				if !strings.Contains(plan, index) {
					t.Errorf("the plan: want it to use %s, got\n%s", index, plan)
				}
			}
			for _, table := range []string{"access_tokens", "access_grants", "api_tokens", "users", "account_users",
				"store_users"} {
				if strings.Contains(plan, "Seq Scan on "+table) {
					t.Errorf("the plan: want no scan of %s, got\n%s", table, plan)
				}
			}
		})
	}
}

// ignore discards the error of finding nothing: only the statement matters.
func ignore(error) error { return nil }

// crowd inserts users and tokens into the account, and rows of other accounts into the tables.
func crowd(t testing.TB, db *gormdb.DB, url string, w dbtest.World, n int) {
	t.Helper()
	other := dbtest.Seed{}.Make(t, db)
	conn := connect(t, url)
	fill := strings.NewReplacer(
		"OWNER", "CASE WHEN n % 20 = 0 THEN '"+w.Account.ID.String()+"'::uuid ELSE '"+other.Account.ID.String()+
			"'::uuid END",
		"STORE", "CASE WHEN n % 20 = 0 THEN '"+w.Stores[0].ID.String()+"'::uuid ELSE '"+other.Stores[0].ID.String()+
			"'::uuid END",
		"KEY", `('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`,
		"MANY", fmt.Sprintf("generate_series(1, %d) AS n", n),
	)
	for _, statement := range []string{
		`INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at)
			SELECT KEY, 'crowd' || n || '@Acme.example', 'crowd' || n || '@acme.example', 'First', 'Last', 'en', now() FROM MANY`,
		`INSERT INTO account_users (account_id, user_id, created_at) SELECT OWNER, KEY, now() FROM MANY`,
		`INSERT INTO store_users (account_id, id, store_id, user_id, status, permissions, updated_at)
			SELECT OWNER, KEY, STORE, KEY, 'ACTIVE', '', now() FROM MANY`,
		`UPDATE account_users SET external_id = user_id::text`,
		`INSERT INTO api_tokens (account_id, id, name, client_id, client_secret_digest, client_secret_key, scopes, allowed_ip_ranges,
				created_at, created_by_kind, created_by_name, revoked_at)
			SELECT OWNER, KEY, 'Token', 'client' || n, '', 'k', 'store_cart', '', now(), 'OPERATOR', 'operator', CASE WHEN n % 3 = 0 THEN now() END
			FROM MANY`,
		`INSERT INTO access_tokens (account_id, api_token_id, id, digest, digest_key, hint, created_at)
			SELECT OWNER, KEY, KEY, sha256(n::text::bytea), 'k', 'lka_…', now() FROM MANY`,
		`INSERT INTO access_grants (account_id, api_token_id, id, digest, digest_key, hint, scopes, created_at, expires_at)
			SELECT OWNER, KEY, KEY, sha256(n::text::bytea), 'k', 'lko_…', '', now(), now() FROM MANY`,
		`INSERT INTO sessions (account_id, id, user_id, digest, digest_key, created_at, expires_at)
			SELECT OWNER, KEY, KEY, sha256(n::text::bytea), 'k', now(), now() FROM MANY`,
		`ANALYZE`,
	} {
		if _, err := conn.Exec(t.Context(), fill.Replace(statement)); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func explain(t *testing.T, conn *pgx.Conn, statement string, args ...any) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "EXPLAIN "+statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// SQLite plans without knowing the number of rows. It must still use an index for everything, and for the live tokens
// of an owner the index of those.
func TestSQLitePlans(t *testing.T) {
	url := dbtest.SQLiteURL(t)
	var statements []string
	db := dbtest.OpenWith(t, gormdb.Config{URL: url,
		OnStatement: func(sql string) { statements = append(statements, sql) }})
	w := dbtest.Seed{Users: 1, MembersPerStore: 1, Apps: 1}.Make(t, db)
	made, value := issue(t, db, w, w.Stores[0].ID)
	issue(t, db, w, uuid.Nil)
	_, session := startSession(t, db, w, w.Owner)
	for _, storeID := range []uuid.UUID{uuid.Nil, w.Stores[0].ID} {
		for _, sort := range []token.Sort{token.ByCreated, token.ByName, token.ByLastUse, token.ByExpiry} {
			if _, err := db.Tokens().Find(t.Context(), w.Account.ID, storeID,
				token.Search{Query: token.Query{Now: noon}, Text: "o", Sort: sort, Size: 5}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := db.SentForms().Claim(t.Context(), auth.NoActor("a test"), w.Account.ID, uuid.New(), noon,
		noon); err != nil {
		t.Fatal(err)
	}
	keepUse(t, db, made, noon)
	for name, list := range lists(db, dbtest.World{Account: w.Account, Stores: append(w.Stores, w.Stores...),
		Members: w.Members}) {
		for _, window := range []paging.Window{{Size: 5, After: &made.ID}, {Size: 5, Backward: true}} {
			if _, _, err := list(t.Context(), window); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	_, tokenErr := db.Access().Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(value))
	_, sessionErr := db.Access().Credential(t.Context(), secret.UserSession, keyring.Candidates(session))
	_, ownerErr := db.Users().Memberships(t.Context(), user.Fold(w.Owner.Email))
	if err := errors.Join(tokenErr, sessionErr, ownerErr); err != nil {
		t.Fatal(err)
	}
	draft, granted := grantDraft(made, noon, 10)
	draft.ExpiresAt = noon // the next insert prunes it
	next, _ := grantDraft(made, later(time.Hour), 10)
	end := oauth.Revocation{AccountID: made.AccountID, TokenID: made.ID, Kind: secret.OAuthAccessToken,
		Candidates: keyring.Candidates(granted), At: noon, Event: event(made, audit.AccessTokenRevoked)}
	durable := end
	durable.Kind, durable.Candidates, durable.Event.ID = secret.StoreAccessToken, keyring.Candidates(value), uuid.New()
	_, clientErr := db.Grants().Client(t.Context(), made.ClientID)
	_, grantErr := db.Access().Credential(t.Context(), secret.OAuthAccessToken, keyring.Candidates(granted))
	if err := errors.Join(clientErr, ignore(grantErr), db.Grants().Grant(t.Context(), auth.NoActor("a test"), draft),
		db.Grants().Grant(t.Context(), auth.NoActor("a test"), next),
		db.Grants().Revoke(t.Context(), auth.NoActor("a test"), end),
		db.Grants().Revoke(t.Context(), auth.NoActor("a test"), durable)); err != nil {
		t.Fatal(err)
	}
	revoke(t, db, made)
	connection, counted := raw(t, url), false
	anything := make([]any, 100) // a plan does not depend on the values
	for _, statement := range statements {
		plan := queryPlan(t, connection, statement, anything)
		for _, walk := range walked.FindAllStringSubmatch(plan, -1) {
			if walk[1] == "ranked" || walk[1] == "json_each" {
				continue // reads no table
			}
			t.Errorf("%s\nscans a table, want none scanned: %s", statement, plan)
		}
		if strings.HasPrefix(statement, "SELECT count(*) FROM api_tokens") {
			counted = true
			if !strings.Contains(plan, "api_tokens_live (account_id=? AND store_id=?)") {
				t.Errorf("%s\nhas the plan %s\nwant it to use api_tokens_live", statement, plan)
			}
		}
	}
	if !counted {
		t.Error("the statement that counts live tokens was not seen, want it seen")
	}
}

// walked matches the tables that a plan scans.
var walked = regexp.MustCompile(`SCAN (\w+)`)

func queryPlan(t *testing.T, db *sql.DB, statement string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(step + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
