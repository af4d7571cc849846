package gormdb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/fault"
)

// programFolders are where packages of PostgreSQL install its programs if not in PATH: those of Debian, Red Hat and
// Homebrew.
var programFolders = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/libpq/bin",
	"/opt/homebrew/opt/postgresql@*/bin"}

var programVersion = regexp.MustCompile(`\(PostgreSQL\) ([0-9]+)`)

// findProgram returns the path of a program of PostgreSQL of the major version or, if there is none, of the next newer
// one that is installed. 0 is any version. It returns fault.Conflict, with what to install, if there is none.
func findProgram(ctx context.Context, name string, major int) (string, error) {
	var candidates []string
	if path, err := exec.LookPath(name); err == nil {
		candidates = append(candidates, path)
	}
	for _, pattern := range programFolders {
		found, _ := filepath.Glob(filepath.Join(pattern, name)) // the patterns are valid
		candidates = append(candidates, found...)
	}
	best, bestVersion, newest := "", 0, 0
	for _, path := range candidates {
		said, err := exec.CommandContext(ctx, path, "--version").Output()
		match := programVersion.FindSubmatch(said)
		if err != nil || match == nil {
			continue
		}
		version, _ := strconv.Atoi(string(match[1])) // the pattern has digits only
		newest = max(newest, version)
		if version >= major && (best == "" || major > 0 && version < bestVersion || major == 0 &&
			version > bestVersion) {
			best, bestVersion = path, version
		}
	}
	if best != "" {
		return best, nil
	}
	wanted, other := "", ""
	if major > 0 {
		wanted = " of version " + strconv.Itoa(major) + " or later"
	}
	if newest > 0 {
		other = fmt.Sprintf(" (the one that is installed has version %d)", newest)
	}
	return "", fault.Errorf(fault.Conflict,
		"The program %s%s was not found%s. Install PostgreSQL's client programs; on Debian: apt-get install postgresql-client-%d.",
		name, wanted, other, cmp.Or(major, 15))
}

// runProgram runs a program of PostgreSQL and returns its standard output. An error has what the program wrote to
// standard error.
func runProgram(ctx context.Context, path string, env []string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, path, args...)
	command.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	if ended := ctx.Err(); ended != nil {
		return nil, ended
	}
	var exit *exec.ExitError
	said := strings.TrimSpace(errs.String())
	if !errors.As(err, &exit) || said == "" {
		return nil, fmt.Errorf("run %s: %w", filepath.Base(path), err)
	}
	return nil, fault.Wrap(err, fault.Conflict, "%s failed: %s", filepath.Base(path), said)
}

// libpqVariables are the parameters of a URL that libpq reads from environment variables.
var libpqVariables = map[string]string{
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
	"sslcrl": "PGSSLCRL", "sslcrldir": "PGSSLCRLDIR", "sslsni": "PGSSLSNI", "sslnegotiation": "PGSSLNEGOTIATION",
	"ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
	"channel_binding": "PGCHANNELBINDING", "connect_timeout": "PGCONNECT_TIMEOUT", "krbsrvname": "PGKRBSRVNAME",
	"gssencmode": "PGGSSENCMODE", "require_auth": "PGREQUIREAUTH", "requirepeer": "PGREQUIREPEER",
	"passfile": "PGPASSFILE", "service": "PGSERVICE", "servicefile": "PGSERVICEFILE",
}

// libpqEnvironment returns the environment with which a program of PostgreSQL connects as pgx does. Nothing of it is on
// the command line, where every user of the machine could read the password.
func libpqEnvironment(config *pgx.ConnConfig) ([]string, error) {
	var hosts, ports []string
	add := func(host string, port uint16) {
		if p := strconv.Itoa(int(port)); len(hosts) == 0 || hosts[len(hosts)-1] != host || ports[len(ports)-1] != p {
			hosts, ports = append(hosts, host), append(ports, p)
		}
	}
	add(config.Host, config.Port)
	for _, other := range config.Fallbacks { // also has a host twice, with and without TLS
		add(other.Host, other.Port)
	}
	env := []string{
		"PGHOST=" + strings.Join(hosts, ","), "PGPORT=" + strings.Join(ports, ","), "PGUSER=" + config.User,
		"PGDATABASE=" + config.Database, "PGAPPNAME=latchkey backup",
	}
	if config.Password != "" {
		env = append(env, "PGPASSWORD="+config.Password)
	}
	if len(hosts) > 1 {
		env = append(env, "PGTARGETSESSIONATTRS=read-write")
	}
	if parsed, err := url.Parse(config.ConnString()); err == nil {
		parameters := parsed.Query()
		if parameters.Has("sslpassword") {
			return nil, fault.Errorf(fault.Invalid,
				"PostgreSQL's programs cannot be given sslpassword safely. Use a key without a password, or run pg_dump yourself.").On("database")
		}
		for name, variable := range libpqVariables {
			if value := parameters.Get(name); value != "" {
				env = append(env, variable+"="+value)
			}
		}
	}
	return append(env, libpqOptions(config)...), nil
}

// libpqOptions returns the settings of the session, such as search_path, which libpq takes as options.
func libpqOptions(config *pgx.ConnConfig) []string {
	var options []string
	escape := strings.NewReplacer(`\`, `\\`, " ", `\ `)
	for name, value := range config.RuntimeParams {
		switch name {
		case "application_name":
		case "options":
			options = append(options, value)
		default:
			options = append(options, "-c "+escape.Replace(name+"="+value))
		}
	}
	if len(options) == 0 {
		return nil
	}
	slices.Sort(options)
	return []string{"PGOPTIONS=" + strings.Join(options, " ")}
}
