package dbtest

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"testing"
)

// pgbouncerConfig uses transaction pooling with fewer server connections than client connections, so that consecutive
// transactions of a client rarely run on the same connection.
const pgbouncerConfig = `[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = users
pool_mode = transaction
default_pool_size = 4
server_round_robin = 1
`

// PgbouncerURL starts a pgbouncer with transaction pooling in front of a PostgreSQL database, and returns the URL of
// the database through it. The pgbouncer ends with the test.
func PgbouncerURL(t testing.TB, dsn string) string {
	t.Helper()
	direct, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	port := FreePort(t)
	Daemon{
		Program: "pgbouncer", Package: "pgbouncer", Args: []string{"-q", "config"}, Port: port,
		Files: map[string]string{
			"users":  fmt.Sprintf("%q \"\"\n", direct.User.Username()),
			"config": fmt.Sprintf(pgbouncerConfig, direct.Hostname(), direct.Port(), port),
		},
	}.Start(t)
	pooled := *direct
	pooled.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return pooled.String()
}
