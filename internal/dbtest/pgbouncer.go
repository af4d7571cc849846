package dbtest

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"testing"
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
auth_file = users
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
