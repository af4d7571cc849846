package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	dbtest "latchkey/internal/test/db"
)

// The yardsticks write to Latchkey's own tables. These tests fail when a migration changes the tables and the
// yardsticks do not follow.

func TestRawKeepsAllRowsOfAToken(t *testing.T) {
	pgbench, err := dbtest.PostgresProgram("pgbench")
	if err != nil {
		t.Fatal(err)
	}
	dsn := dbtest.PostgresURL(t)
	db := connect(t, dsn)
	for _, statement := range worldSQL(uuid.NewString) {
		mustExec(t, db, statement)
	}
	if err := numberOwners(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	script := pgbenchScript{program: pgbench, text: rawInsert, numbers: map[string]int{"owners": 2}}
	m, err := script.run(t.Context(), t.TempDir(), dsn, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if m.perSecond <= 0 || m.p50 <= 0 || m.p99 < m.p50 {
		t.Errorf("measurement: got %+v, want a rate, and a p99 that is at least the p50", m)
	}
	tokens := count(t, db, "api_tokens")
	if tokens == 0 || tokens != count(t, db, "access_tokens") || tokens != count(t, db, "audit_events") {
		t.Errorf("got %d tokens, %d access tokens, %d events, want the same number above 0", tokens,
			count(t, db, "access_tokens"), count(t, db, "audit_events"))
	}
}

func TestRawOnSQLiteKeepsAllRowsOfAToken(t *testing.T) {
	file := strings.TrimPrefix(dbtest.SQLiteURL(t), "sqlite:")
	db, conn, err := openSQLite(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	defer func() { _ = conn.Close() }()
	for _, statement := range worldSQL(uuid.NewString) {
		statement = strings.ReplaceAll(statement, "now()", "0")
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	all, err := sqliteOwners(t.Context(), file)
	if err != nil || len(all) != 2 {
		t.Fatalf("owners %v, %v; want 2", all, err)
	}
	m, err := insertIntoSQLite(t.Context(), file, all, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if m.perSecond <= 0 || m.p50 <= 0 || m.p99 < m.p50 {
		t.Errorf("measurement: got %+v, want a rate, and a p99 that is at least the p50", m)
	}
	for _, table := range []string{"api_tokens", "access_tokens", "audit_events"} {
		var n int
		if err := conn.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n == 0 {
			t.Errorf("rows in %s: got %d, %v, want at least 1", table, n, err)
		}
	}
}

func TestCopySQLite(t *testing.T) {
	from := strings.TrimPrefix(dbtest.SQLiteURL(t), "sqlite:")
	if err := copySQLite(t.Context(), from, from+".copy"); err != nil {
		t.Fatal(err)
	}
	if all, err := sqliteOwners(t.Context(), from+".copy"); err != nil || len(all) != 0 {
		t.Errorf("owners in the copy: got %v, %v, want none", all, err)
	}
}

func TestReplaceTokensToRevoke(t *testing.T) {
	db := connect(t, dbtest.PostgresURL(t))
	statements := worldSQL(uuid.NewString)
	for _, statement := range statements {
		mustExec(t, db, statement)
	}
	var accountID string
	if err := db.QueryRow(t.Context(), "SELECT id::text FROM accounts").Scan(&accountID); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for round := range 2 {
		toRevoke, err := replaceTokensToRevoke(t.Context(), db, []account{{uuid: accountID}}, 20)
		if err != nil {
			t.Fatal(err)
		}
		if len(toRevoke) != 1 || len(toRevoke[0]) < 20 {
			t.Fatalf("round %d: tokens %v, want at least 20 of one account", round, toRevoke)
		}
		if n := count(t, db, "api_tokens"); n != len(toRevoke[0]) || n != count(t, db, "access_tokens") {
			t.Errorf("round %d: %d tokens and %d access tokens, want %d of both", round, n,
				count(t, db, "access_tokens"), len(toRevoke[0]))
		}
		for _, id := range toRevoke[0] {
			if seen[id] {
				t.Errorf("round %d: got the token %s of an earlier round, want a new one", round, id)
			}
			seen[id] = true
		}
	}
}

func TestHandAnswersAPageOfUsers(t *testing.T) {
	dsn := dbtest.PostgresURL(t)
	db := connect(t, dsn)
	for _, statement := range worldSQL(uuid.NewString) {
		mustExec(t, db, statement)
	}
	var accountID string
	if err := db.QueryRow(t.Context(), "SELECT id::text FROM accounts").Scan(&accountID); err != nil {
		t.Fatal(err)
	}
	if err := addUsers(t.Context(), db, account{uuid: accountID}); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()

	answer := httptest.NewRecorder()
	handHandler(pool).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/users/"+accountID, http.NoBody))
	var p page
	if err := json.Unmarshal(answer.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	edges := p.Data.Account.Users.Edges
	if len(edges) != listedUsers {
		t.Fatalf("%d users, want %d", len(edges), listedUsers)
	}
	newest := fmt.Sprintf("person%d@bench.example", listedUsers-1)
	if first := edges[0]; first.Cursor == "" || first.Node.Email != newest || first.Node.FirstName == "" ||
		first.Node.Locale == "" {
		t.Errorf("first user %+v, want %s with all fields", first, newest)
	}
}

func TestBareAnswersTwoHundredBytes(t *testing.T) {
	answer := httptest.NewRecorder()
	bareHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if n := answer.Body.Len(); n != 200 || !json.Valid(answer.Body.Bytes()) ||
		!strings.Contains(answer.Body.String(), bareWanted) {
		t.Errorf("bare answer: got %d bytes: %s, want 200 of JSON with %s", n, answer.Body, bareWanted)
	}
}

func TestServeYardstickRefusesWhatItDoesNotKnow(t *testing.T) {
	if err := serveYardstick(t.Context(), "golden", "127.0.0.1:0", ""); err == nil ||
		!strings.Contains(err.Error(), "golden") {
		t.Errorf("error %v, want one that names the yardstick", err)
	}
}

// worldSQL returns statements that create one user with an account and two stores, on either database.
func worldSQL(newID func() string) []string {
	person, tenant := newID(), newID()
	statements := []string{
		fmt.Sprintf("INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at) "+
			"VALUES ('%s', 'o@bench.example', 'o@bench.example', 'O', 'O', 'en', now())", person),
		fmt.Sprintf(
			"INSERT INTO accounts (id, name, owner_id, features, created_at) VALUES ('%s', 'A', '%s', '', now())",
			tenant, person),
	}
	for i := range 2 {
		statements = append(statements,
			fmt.Sprintf("INSERT INTO stores (account_id, id, hash, name, owner_id, created_at) "+
				"VALUES ('%s', '%s', 'hash%d', 'S', '%s', now())", tenant, newID(), i, person))
	}
	return statements
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

func mustExec(t *testing.T, db *pgx.Conn, statement string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func count(t *testing.T, db *pgx.Conn, table string) int {
	t.Helper()
	var n int
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A yardstick that sends less than Latchkey would not be comparable.
func TestBareAnswersAsLatchkeyDoes(t *testing.T) {
	w := httptest.NewRecorder()
	bareHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, permissionPath, http.NoBody))
	if w.Code != http.StatusNoContent || len(w.Header()) != 5 || w.Body.Len() > 0 {
		t.Errorf("bare permission: got %d %v %s, want 204 with 5 headers and no body", w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	bareHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, refusalPath, http.NoBody))
	if w.Code != http.StatusUnauthorized || len(w.Header()) != 3 || !json.Valid(w.Body.Bytes()) {
		t.Errorf("bare refusal: got %d %v %s, want 401 with 3 headers and JSON", w.Code, w.Header(), w.Body)
	}
}
