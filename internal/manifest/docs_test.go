package manifest_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// The example in the manual is a valid manifest, and its list of permissions is complete.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		if made := apply(t, db, example); len(made) != 15 {
			t.Errorf("events of the manual's example: got %d, want 15: %v", len(made), made)
		}
	})
	_, list, found := strings.Cut(string(text), "## Permissions\n")
	listed := regexp.MustCompile("`([A-Za-z_]+)`").FindAllString(list, -1)
	for i := range listed {
		listed[i] = strings.Trim(listed[i], "`")
	}
	if !found || !slices.Equal(listed, user.Permissions()) {
		t.Errorf("permissions in the manual: got %d, want the %d that exist", len(listed), len(user.Permissions()))
	}
}
