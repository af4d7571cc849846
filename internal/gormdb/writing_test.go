package gormdb_test

import (
	"testing"

	"latchkey/internal/dbtest"
)

func TestCheckWriting(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		if err := db.CheckWriting(t.Context()); err != nil {
			t.Errorf("writing works: %v", err)
		}
		dbtest.Exec(t, url, "CREATE TRIGGER broken BEFORE UPDATE ON write_checks BEGIN SELECT RAISE(ABORT, 'disk full'); END",
			"ALTER TABLE write_checks ADD CONSTRAINT broken CHECK (false) NOT VALID")
		if err := db.CheckWriting(t.Context()); err == nil {
			t.Error("writing fails, and the check does not")
		}
	})
}
