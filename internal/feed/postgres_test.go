package feed_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/internal/feed"
	dbtest "latchkey/internal/test/db"
)

// PostgreSQL does not JIT-compile the feed's statements: that would take longer than the feed may be silent.
func TestFeedIsNotCompiled(t *testing.T) {
	conn := connect(t, dbtest.PostgresURL(t))
	if _, err := conn.Exec(t.Context(), feed.Settings); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE) "+feed.Register,
		pgx.QueryExecModeExec, uuid.NewString(), "a", "http://127.0.0.1", "6s", "", []string{}, "")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(plan) == 0 {
		t.Fatalf("the plan: got %q, %v, want its lines", plan, err)
	}
	if text := strings.Join(plan, "\n"); strings.Contains(text, "JIT:") {
		t.Errorf("the plan is compiled, want no JIT:\n%s", text)
	}
}
