package gormdb_test

import (
	"testing"

	dbtest "latchkey/internal/test/db"
)

func TestCheckWriting(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		if err := db.CheckWriting(t.Context()); err != nil {
			t.Errorf("with a working database: %v", err)
		}
		dbtest.Exec(t, url,
			"CREATE TRIGGER broken BEFORE UPDATE ON write_checks BEGIN SELECT RAISE(ABORT, 'disk full'); END",
			"ALTER TABLE write_checks ADD CONSTRAINT broken CHECK (false) NOT VALID")
		if err := db.CheckWriting(t.Context()); err == nil {
			t.Error("CheckWriting() while writing fails: got no error, want one")
		}
	})
}
