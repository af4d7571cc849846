package gormdb_test

import (
	"testing"

	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A database has the URL of the server that started last.
func TestPublicURL(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		for i, url := range []string{"", "http://127.0.0.1:8080", "https://keys.example", "https://keys.example"} {
			if i > 0 {
				if err := gormdb.RecordPublicURL(t.Context(), db, url); err != nil {
					t.Fatal(err)
				}
			}
			got, err := gormdb.PublicURL(t.Context(), db)
			check.Equal(t, err, nil, "error")
			check.Equal(t, got, url, "URL")
		}
	})
}
