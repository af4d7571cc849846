package gormdb

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/internal/fault"
)

// hostTimeout is the default timeout for connecting to one of several hosts: one that does not answer must leave time
// for the others.
const hostTimeout = time.Second

// onlyPrimary restricts connections to a primary, also behind a proxy and with several hosts, and closes a connection
// that turns out to be read-only. It returns fault.Invalid on the field for a URL that requests a standby.
func onlyPrimary(config *pgx.ConnConfig, connString, field string) error {
	var parameters url.Values
	if u, err := url.Parse(connString); err == nil {
		parameters = u.Query()
	}
	switch parameters.Get("target_session_attrs") {
	case "read-only", "standby", "prefer-standby":
		return fault.Errorf(fault.Invalid,
			"target_session_attrs asks for a standby, which honours revoked tokens while it lags. "+
				"Leave it out: Latchkey uses the primary only.").On(field)
	}
	config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	config.OnPgError = func(_ *pgconn.PgConn, e *pgconn.PgError) bool {
		return !strings.EqualFold(e.Severity, "FATAL") && e.Code != pgReadOnly
	}
	if severalHosts(config) && parameters.Get("connect_timeout") == "" {
		config.ConnectTimeout = hostTimeout
	}
	return nil
}

func severalHosts(config *pgx.ConnConfig) bool {
	for _, other := range config.Fallbacks {
		if other.Host != config.Host || other.Port != config.Port {
			return true
		}
	}
	return false
}

// requireDurableCommits refuses a database that answers before a commit is durable: a revoked token could work again
// after a crash, and heartbeats would prove nothing.
func requireDurableCommits(ctx context.Context, conn *pgx.Conn) error {
	var setting string
	err := conn.QueryRow(ctx, "SELECT current_setting('synchronous_commit')",
		pgx.QueryExecModeSimpleProtocol).Scan(&setting)
	if err == nil && setting == "off" {
		return invalidDatabase(
			"This database has synchronous_commit off: after a crash, tokens that were revoked would work again. " +
				"Turn it on, which is PostgreSQL's own default.")
	}
	return err
}
