package dbtest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// pgbouncerConfig pools by the transaction, over fewer connections to the server than a program makes to it, so that hardly
// any two transactions of one client run on the same one.
const pgbouncerConfig = `[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 4
server_round_robin = 1
`

// PgbouncerURL starts a pgbouncer, which ends with the test, in front of a PostgreSQL database and returns the URL of the
// database through it. It hands out connections by the transaction.
func PgbouncerURL(t testing.TB, dsn string) string {
	t.Helper()
	direct, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	port, err := startPgbouncer(t, direct)
	if err != nil {
		t.Fatalf("dbtest: start pgbouncer (on Debian: apt-get install pgbouncer): %v", err)
	}
	pooled := *direct
	pooled.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return pooled.String()
}

func startPgbouncer(t testing.TB, direct *url.URL) (port int, err error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		// Debian keeps it where root alone looks.
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			return 0, err
		}
	}
	// Like PostgreSQL it refuses to run as root.
	owner, err := findPrograms()
	if err != nil {
		return 0, err
	}
	dir, err := owner.makeDir(os.TempDir())
	if err != nil {
		return 0, err
	}
	guard, err := startGuard(dir)
	if err != nil {
		return 0, errors.Join(err, os.RemoveAll(dir))
	}
	t.Cleanup(func() { _ = guard.release() })
	if port, err = freePort(); err != nil {
		return 0, err
	}
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "config")
	text := fmt.Sprintf(pgbouncerConfig, direct.Hostname(), direct.Port(), port, users)
	err = errors.Join(os.WriteFile(users, fmt.Appendf(nil, "%q \"\"\n", direct.User.Username()), 0o644), os.WriteFile(config, []byte(text), 0o644))
	if err != nil {
		return 0, err
	}
	return port, runPgbouncer(t, guard, owner.command(dir, "pgbouncer", "-q", config), program, port)
}

// runPgbouncer returns when the pooler takes connections.
func runPgbouncer(t testing.TB, guard *guard, cmd *exec.Cmd, program string, port int) error {
	cmd.Path = program
	log, err := os.Create(filepath.Join(cmd.Dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	running, err := startInstance(cmd, log)
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		if err := running.end(syscall.SIGTERM); err != nil {
			t.Errorf("dbtest: stop pgbouncer: %v", err)
		}
		_ = guard.watch(0)
	})
	if err := guard.watch(cmd.Process.Pid); err != nil {
		return err
	}
	for deadline := time.Now().Add(startTimeout); ; {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return conn.Close()
		}
		if running.gone(pollInterval) || time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("it does not listen: %s", said)
		}
	}
}
