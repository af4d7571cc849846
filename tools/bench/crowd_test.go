package main

import (
	"testing"

	"github.com/google/uuid"

	dbtest "latchkey/internal/test/db"
)

// The crowd is added to the count of existing users, and sorts by its numbers.
func TestAddCrowd(t *testing.T) {
	dsn := dbtest.PostgresURL(t)
	db := connect(t, dsn)
	for _, statement := range worldSQL(uuid.NewString) {
		mustExec(t, db, statement)
	}
	var id, newest string
	var before, after, there int
	if err := db.QueryRow(t.Context(), "SELECT id::text, user_count FROM accounts").Scan(&id, &before); err != nil {
		t.Fatal(err)
	}
	if err := addCrowd(t.Context(), dsn, account{uuid: id}, 300); err != nil {
		t.Fatal(err)
	}
	err := db.QueryRow(t.Context(), `SELECT a.user_count, (SELECT count(*) FROM account_users), (SELECT email FROM users WHERE email LIKE 'crowd%' ORDER BY id DESC LIMIT 1)
		FROM accounts AS a`).Scan(&after, &there, &newest)
	if err != nil || after != before+300 || there != after || newest != "crowd300@bench.example" {
		t.Errorf("the account counts %d users and has %d, the newest is %s, %v, want %d, %d, crowd300@bench.example",
			after, there, newest, err, before+300, before+300)
	}
}
