package dbtest_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

func TestPostgresDSNIsFreshAndDropped(t *testing.T) {
	other := connect(t, dbtest.PostgresDSN(t))
	var name string
	t.Run("first", func(t *testing.T) {
		conn := connect(t, dbtest.PostgresDSN(t))
		name = queryString(t, conn, "SELECT current_database()::text")
		mustExec(t, conn, "CREATE TABLE marker (id int)")
	})
	check.Equal(t, queryString(t, other, "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"), "0",
		"the database outlived its test")
	t.Run("second", func(t *testing.T) {
		conn := connect(t, dbtest.PostgresDSN(t))
		check.Equal(t, queryString(t, conn, "SELECT to_regclass('marker') IS NULL"), "true",
			"the table of another test is here")
	})
}

func TestPostgresFromPreparesOnceAndCopies(t *testing.T) {
	var prepared atomic.Int32
	key := "TestPostgresFrom " + queryString(t, connect(t, dbtest.PostgresDSN(t)), "SELECT gen_random_uuid()::text")
	prepare := func(dsn string) error {
		prepared.Add(1)
		return execute(dsn, "CREATE TABLE marker (id int)")
	}
	t.Run("many at once", func(t *testing.T) {
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				conn := connect(t, dbtest.PostgresFrom(t, key, prepare))
				check.Equal(t, queryString(t, conn, "SELECT count(*)::text FROM marker"), "0",
					"queryString(t, conn, \"SELECT count(*)::text FROM marker\")")
				mustExec(t, conn, "INSERT INTO marker VALUES (1)")
			})
		}
	})
	check.Equal(t, prepared.Load(), 1, "prepared")
}

func TestFailedPreparationIsNotKept(t *testing.T) {
	key := "TestFailedPreparation " + queryString(t, connect(t, dbtest.PostgresDSN(t)),
		"SELECT gen_random_uuid()::text")
	failed := recordFailure(func(t testing.TB) {
		dbtest.PostgresFrom(t, key, func(dsn string) error {
			return errors.Join(execute(dsn, "CREATE TABLE half (id int)"), errors.New("disk on fire"))
		})
	})
	if failed == "" {
		t.Fatal("PostgresFrom: got no failure, want the error of prepare")
	}
	conn := connect(t, dbtest.PostgresFrom(t, key, func(dsn string) error {
		return execute(dsn, "CREATE TABLE whole (id int)")
	}))
	check.Equal(t, queryString(t, conn, "SELECT to_regclass('half') IS NULL AND to_regclass('whole') IS NOT NULL"),
		"true", "the incomplete template was used")
}

// recordFailure runs f with a testing.TB whose Fatalf ends f only, and returns the failure's message.
func recordFailure(f func(t testing.TB)) string {
	var r failureRecorder
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f(&r)
	}()
	<-done
	return r.message
}

type failureRecorder struct {
	testing.TB // nil: methods that are not defined below must not be called
	message    string
}

func (r *failureRecorder) Helper()                  {}
func (r *failureRecorder) Context() context.Context { return context.Background() }
func (r *failureRecorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	panic(r.message)
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func mustExec(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func queryString(t *testing.T, conn *pgx.Conn, query string) string {
	t.Helper()
	var value any
	if err := conn.QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return fmt.Sprint(value)
}

func execute(dsn, statement string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}
