package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Timeouts for starting and stopping the cluster.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
	pollInterval = 10 * time.Millisecond
)

// Options holds the options of a cluster.
type Options struct {
	// Durable keeps fsync and full_page_writes on, as in production, for crash tests and measurements. Otherwise they
	// are off: tests are faster, but a crash of the machine loses their data.
	Durable bool

	// Settings are additional server settings, such as {"shared_buffers": "1GB"}. They override the defaults chosen
	// here.
	Settings map[string]string
}

// Cluster is a private PostgreSQL server in a temporary directory. It listens on a free port of 127.0.0.1 and trusts
// all connections there. The server and its directory are removed by Close, and also when the process that started it
// ends in any other way. A Cluster is not safe for concurrent use.
type Cluster struct {
	server
	programs programs
	settings []string // as -c arguments
	dir      string   // holds data, the socket and the log
	port     int
	guard    *guard
	running  *instance // nil while stopped
}

// StartCluster creates a cluster and starts it. The error says what to install if PostgreSQL's programs are missing.
func StartCluster(o Options) (*Cluster, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := programs.makeDir(o.parentDir())
	if err != nil {
		return nil, err
	}
	guard, err := startGuard(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c := &Cluster{programs: programs, dir: dir, guard: guard, settings: o.arguments(dir)}
	if err := c.initialize(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Replicated returns settings for a cluster that a standby can follow.
func Replicated() map[string]string {
	return map[string]string{"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on"}
}

// StartStandby creates a hot standby that streams from c, which must be running with the settings of Replicated. name
// is its application_name, for use in c's synchronous_standby_names. Promote makes it a primary.
func (c *Cluster) StartStandby(name string) (*Cluster, error) {
	dir, err := c.programs.makeDir(filepath.Dir(c.dir))
	if err != nil {
		return nil, err
	}
	guard, err := startGuard(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &Cluster{programs: c.programs, dir: dir, guard: guard,
		settings: Options{Settings: Replicated()}.arguments(dir)}
	from := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", c.port, name)
	backup := s.programs.command(dir, "pg_basebackup", "--pgdata", s.data(), "--dbname", from, "--wal-method", "stream",
		"--checkpoint", "fast", "--write-recovery-conf", "--no-sync")
	if out, err := backup.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pg_basebackup: %w: %s", err, out), s.Close())
	}
	if err := s.startAnywhere(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Promote ends a standby's recovery. It returns when the standby accepts writes.
func (c *Cluster) Promote(ctx context.Context) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var done bool
	if err := conn.QueryRow(ctx, "SELECT pg_promote()").Scan(&done); err != nil {
		return err
	}
	if !done {
		return errors.New("the standby was not promoted in time")
	}
	return nil
}

// memoryDir is an in-memory file system on Linux.
const memoryDir = "/dev/shm"

// parentDir returns the directory in which to create the cluster's. It is in memory if the data need not be durable and
// there is room: creating a database of 300 small files takes 13 ms there and up to 300 ms on a disk.
func (o Options) parentDir() string {
	const enough = 2 << 30
	var fs syscall.Statfs_t
	if o.Durable || syscall.Statfs(memoryDir, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < enough {
		return os.TempDir()
	}
	return memoryDir
}

// arguments returns the settings as arguments for postgres.
func (o Options) arguments(dir string) []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": dir,
		"max_connections":         "500", // many packages test concurrently, some with a hundred writers
		"timezone":                "UTC",
	}
	if !o.Durable {
		for name, value := range map[string]string{
			"fsync": "off", "full_page_writes": "off", "autovacuum": "off",
			"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "256MB", // the log may be in memory
		} {
			settings[name] = value
		}
	}
	for name, value := range o.Settings {
		settings[name] = value
	}
	var args []string
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// initialize creates the data directory and starts the server on a port of its own.
func (c *Cluster) initialize() error {
	initdb := c.programs.command(c.dir, "initdb", "--pgdata", c.data(), "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return c.startAnywhere()
}

// startAnywhere starts the server on a free port.
func (c *Cluster) startAnywhere() error {
	// Another process may take the free port before the server does, so a few attempts are made.
	var err error
	for range 5 {
		if c.port, err = freePort(); err != nil {
			return err
		}
		host := net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port))
		c.url = &url.URL{Scheme: "postgres", User: url.User("postgres"), Host: host, Path: "/postgres",
			RawQuery: "sslmode=disable"}
		if err = c.start(); err == nil {
			return nil
		}
	}
	return err
}

// DSN returns the URL of one of the cluster's databases. "postgres" always exists.
func (c *Cluster) DSN(database string) string { return c.dsn(database) }

// CreateDatabase creates an empty database and returns its URL.
func (c *Cluster) CreateDatabase(ctx context.Context, name string) (string, error) {
	if err := c.createDatabase(ctx, name, "template1"); err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	return c.DSN(name), nil
}

// Stop shuts the server down in fast mode, as a restart of the service would: it rolls back transactions, closes
// connections and writes its memory to disk.
func (c *Cluster) Stop() error { return c.end(syscall.SIGINT) }

// Kill ends the server as a crash would. Changes that are not in its write-ahead log are lost. It returns when all of
// the server's processes have ended.
func (c *Cluster) Kill() error { return c.end(syscall.SIGKILL) }

// Restart starts the server again on the same port and data after Stop or Kill. A running server is stopped first. It
// returns when the server accepts connections, after crash recovery.
func (c *Cluster) Restart() error {
	if err := c.Stop(); err != nil {
		return err
	}
	return c.start()
}

// Close stops the server and removes its directory. The cluster cannot be used afterwards.
func (c *Cluster) Close() error {
	return errors.Join(c.end(syscall.SIGQUIT), c.guard.release())
}

func (c *Cluster) data() string    { return filepath.Join(c.dir, "data") }
func (c *Cluster) logPath() string { return filepath.Join(c.dir, "log") }

func (c *Cluster) end(signal syscall.Signal) error {
	if c.running == nil {
		return nil
	}
	if err := c.running.end(signal); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	c.running = nil
	return c.guard.watch(0)
}

// start runs postgres and waits until it accepts connections. If it does not, the error includes the end of its log.
func (c *Cluster) start() error {
	log, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := append([]string{"-D", c.data(), "-p", strconv.Itoa(c.port)}, c.settings...)
	if c.running, err = startInstance(c.programs.command(c.dir, "postgres", args...), log); err != nil {
		return err
	}
	if err := c.guard.watch(c.running.cmd.Process.Pid); err != nil {
		return err
	}
	if err := c.awaitReady(); err != nil {
		return errors.Join(fmt.Errorf("start PostgreSQL: %w: %s", err, c.logTail()), c.Kill())
	}
	return nil
}

func (c *Cluster) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.url.String())
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			return err
		}
		if c.running.waitEnded(pollInterval) {
			return errors.New("it ended by itself")
		}
	}
}

// logTail returns the last lines of the server's log.
func (c *Cluster) logTail() string {
	log, err := os.ReadFile(c.logPath())
	if err != nil {
		return err.Error()
	}
	const enough = 2000
	return strings.TrimSpace(string(log[max(0, len(log)-enough):]))
}

// instance is one run of postgres and its child processes.
type instance struct {
	cmd *exec.Cmd
	// alive is the read end of a pipe. Every process of the server inherits the write end and none writes to it, so it
	// reads EOF when the last of them has ended. This needs no goroutine, which a test for leaked goroutines would
	// find. Unlike waiting for the first process, it also means that shared memory has been released.
	alive *os.File
}

func startInstance(cmd *exec.Cmd, log *os.File) (*instance, error) {
	alive, inherited, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = inherited.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{inherited}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, alive.Close())
	}
	return &instance{cmd: cmd, alive: alive}, nil
}

// waitEnded waits at most d for every process of the instance to end, and reports whether they have.
func (i *instance) waitEnded(d time.Duration) bool {
	if err := i.alive.SetReadDeadline(time.Now().Add(d)); err != nil {
		return false
	}
	_, err := i.alive.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// end sends signal and waits until every process of the instance has ended.
func (i *instance) end(signal syscall.Signal) error {
	if err := i.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if !i.waitEnded(stopTimeout) {
		return fmt.Errorf("still running %s after %s", stopTimeout, signal)
	}
	// The exit status is of no use: a killed server has one too.
	_ = i.cmd.Wait()
	return i.alive.Close()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, errors.Join(err, l.Close())
	}
	n, err := strconv.Atoi(port)
	return n, errors.Join(err, l.Close())
}
