package dbtest_test

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

func TestClusterSettings(t *testing.T) {
	tests := []struct {
		name    string
		options dbtest.Options
		want    map[string]string
	}{
		{name: "fast", options: dbtest.Options{}, want: map[string]string{"fsync": "off"}},
		{name: "durable", options: dbtest.Options{Durable: true}, want: map[string]string{
			"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}},
		{name: "given", options: dbtest.Options{Settings: map[string]string{"work_mem": "5MB", "fsync": "on"}},
			want: map[string]string{"work_mem": "5MB", "fsync": "on"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := connect(t, startCluster(t, test.options).DSN("postgres"))
			for setting, want := range test.want {
				check.Equal(t, queryString(t, conn, "SHOW "+setting), want, "%s", setting)
			}
		})
	}
}

func TestClusterKeepsWhatWasCommitted(t *testing.T) {
	tests := []struct {
		name string
		end  func(*dbtest.Cluster) error
	}{
		{name: "stop", end: (*dbtest.Cluster).Stop},
		{name: "crash", end: (*dbtest.Cluster).Kill},
		{name: "restart alone", end: func(*dbtest.Cluster) error { return nil }},
	}
	cluster := startCluster(t, dbtest.Options{Durable: true})
	dsn, err := cluster.CreateDatabase(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, connect(t, dsn), "CREATE TABLE marker (name text)")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := connect(t, dsn)
			mustExec(t, before, "INSERT INTO marker VALUES ('"+test.name+"')")
			if err := test.end(cluster); err != nil {
				t.Fatal(err)
			}
			if err := cluster.Restart(); err != nil {
				t.Fatal(err)
			}
			if err := before.Ping(t.Context()); err == nil {
				t.Error("a connection after the restart: got an answer, want an error")
			}
			check.Equal(t, queryString(t, connect(t, dsn), "SELECT count(*) FROM marker WHERE name = '"+test.name+"'"),
				"1", "rows after the restart")
		})
	}
}

func TestClosedClusterLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cluster, err := dbtest.StartCluster(dbtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, cluster.DSN("postgres"))
	dir := queryString(t, conn, "SHOW data_directory")
	if err := cluster.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory after Close: got %v, want %v", err, fs.ErrNotExist)
	}
	assertUnreachable(t, cluster.DSN("postgres"))
}

func TestClusterReportsStartError(t *testing.T) {
	cluster, err := dbtest.StartCluster(dbtest.Options{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil {
		_ = cluster.Close()
		t.Fatal("StartCluster with an unknown setting: got no error, want one")
	}
	if want := "no_such_setting"; !strings.Contains(err.Error(), want) {
		t.Errorf("error: got %q, want %s in it", err, want)
	}
}

func startCluster(t *testing.T, options dbtest.Options) *dbtest.Cluster {
	t.Helper()
	cluster, err := dbtest.StartCluster(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

func assertUnreachable(t *testing.T, dsn string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", u.Host); err == nil {
		_ = conn.Close()
		t.Errorf("got a server that listens on %s, want none", u.Host)
	}
}
