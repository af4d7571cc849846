package cli_test

import (
	"testing"

	dbtest "latchkey/internal/test/db"
)

// A server that can read but not write is not ready, and reports the reason.
func TestReadinessTriesToWrite(t *testing.T) {
	keepRace(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		s := serve(t, environment(t, url))
		s.shows(t, "/readyz", `{"ready":true`)
		dbtest.Exec(t, url,
			"CREATE TRIGGER full_disk BEFORE UPDATE ON write_checks BEGIN SELECT RAISE(ABORT, 'disk full'); END",
			"ALTER TABLE write_checks ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
		s.shows(t, "/readyz", `{"name":"writing","ok":false`)
		s.shows(t, "/readyz", `{"name":"database","ok":true`)
		dbtest.Exec(t, url, "DROP TRIGGER full_disk", "ALTER TABLE write_checks DROP CONSTRAINT full_disk")
		s.shows(t, "/readyz", `{"ready":true`)
	})
}
