package cli_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/leak"
)

const operatingPage = "docs/operating.md"

// Every command of docs/operating.md runs as printed, in order, in one shell, and prints what the page says. Its
// database is PostgreSQL, because the page is about two servers, and SQLite has only one.
//
// Caddy, Prometheus, PostgreSQL and Latchkey are the real programs. Paths are in a folder of the test, ports are free
// ones, and the alert fires after two seconds instead of two minutes. What a test cannot do on a machine that it shares
// has a stand-in: packages, users and systemd.
func TestOperatingGuide(t *testing.T) {
	m := newMachine(t)
	text, err := os.ReadFile("../../" + operatingPage)
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)\n```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		script.WriteString(block[1])
	}
	out, err := m.shell(t, m.adapted(t, script.String()))
	guide{wants: []string{
		`latchkey \S+ \(go`, `created \S+/etc/latchkey/server\.key`, `synchronous_commit`, `the schema is up to date`,
		`created store Northwind EU`, `\nready\nready\n`, `"https://localhost:\d+"`, `https://localhost:\d+/link/`,
		`"name": "Northwind Traders"`, `server1: 200\nserver2: 200\n`, `"name": "server1",\s+"acknowledgedAt": "2`,
		`"name": "server2",\s+"acknowledgedAt": "2`, `server1: 401\nserver2: 401\n`, `SUCCESS: \d+ rules found`,
		`=> 2 @`, `"kind": "SESSION"`, `LatchkeyServerDown.*instance="127\.0\.0\.2:\d+".*=> 1 @`, `=> 2 @`,
		`\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z\.backup\n`, `restored 1 account`, `First token +REVOKED`,
		`"type":"account\.restored"`, `answers during roll:`, `the schema is up to date`, `answers during roll:`,
	}}.check(t, out, err)
	m.checkStatuses(t, out)
	m.checkClean(t)
}

// checkStatuses checks the statuses of the requests that were sent during both restarts. On a machine that is so busy
// that its database does not answer in time, no server may have been ready, which is 503 and is logged.
func (m *machine) checkStatuses(t *testing.T, out string) {
	t.Helper()
	slow := false
	for i := range 2 {
		log, err := os.ReadFile(fmt.Sprintf("%s/log/latchkey@%d.service", m.root, i+1))
		if err != nil {
			t.Fatal(err)
		}
		slow = slow || strings.Contains(string(log), "readiness check failed")
	}
	rounds := strings.Split(out, "answers during roll:\n")
	check.Equal(t, len(rounds), 3, "parts of the output around the answers")
	for _, round := range rounds[1:] {
		succeeded := 0
		for _, s := range regexp.MustCompile(`(?m)^ +(\d+) (\d{3})$`).FindAllStringSubmatch(round, -1) {
			switch n, err := strconv.Atoi(s[1]); {
			case err != nil:
				t.Fatal(err)
			case s[2] == "200":
				succeeded = n
			case s[2] != "503" || !slow:
				t.Errorf("requests during a restart: got %d with the status %s, want only 200", n, s[2])
			}
		}
		if succeeded < 20 {
			t.Errorf("requests during a restart: got %d with the status 200, want at least 20", succeeded)
		}
	}
}

// machine stands for the machine of the page's reader.
type machine struct {
	// root is the folder that stands for /.
	root     string
	postgres *dbtest.Cluster
	// adapt replaces paths, ports and times in the commands of the page and in the files that they install.
	adapt *strings.Replacer
	// replaced are the texts that must occur in the page.
	replaced []string
	// packaged replaces the paths in the units of Debian's packages.
	packaged *strings.Replacer
	env      []string

	mu      sync.Mutex // protects what follows
	users   map[string]bool
	enabled map[string]bool
	running map[string]*service
}

// folders of the page. Beside them it uses only the home of its user.
var folders = []string{"/etc/", "/usr/local", "/var/lib/", "/var/backups/"}

func newMachine(t *testing.T) *machine {
	t.Helper()
	// PostgreSQL's user must get to its socket here, also if the tests run as root. t.TempDir is in a folder that other
	// users cannot enter.
	root, err := os.MkdirTemp("", "latchkey-machine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, folder := range append(folders, "/usr/local/bin", "/run/postgresql", "/etc/systemd/system", "/etc/caddy",
		"/etc/prometheus", "/etc/default", "/log", "/own", "/programs", "/var/lib/caddy", "/var/lib/prometheus") {
		if err := os.MkdirAll(root+folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root+"/run/postgresql", 0o777); err != nil {
		t.Fatal(err)
	}
	m := &machine{root: root, users: map[string]bool{}, enabled: map[string]bool{}, running: map[string]*service{}}
	m.postgres, err = dbtest.StartCluster(dbtest.Options{
		Settings: map[string]string{"unix_socket_directories": root + "/run/postgresql"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.postgres.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { m.end(t) })
	m.replace(t)
	m.copySources(t)
	m.writeStandIns(t)
	return m
}

// replace sets what is replaced.
func (m *machine) replace(t *testing.T) {
	t.Helper()
	var paths []string
	for _, folder := range folders {
		paths = append(paths, folder, m.root+folder)
	}
	m.packaged = strings.NewReplacer(paths...)
	public, admin := freePortOfBoth(t), freePortOfBoth(t)
	tls := strconv.Itoa(dbtest.FreePort(t))
	const option = "    skip_install_trust\n"
	pairs := []string{
		":8080", ":" + public, ":8081", ":" + admin, "health_port 8081", "health_port " + admin,
		":9090", fmt.Sprintf(":%d", dbtest.FreePort(t)), "https://localhost", "https://localhost:" + tls,
		option, option + fmt.Sprintf("    admin off\n    default_bind 127.0.0.1\n    http_port %d\n    https_port %s\n",
			dbtest.FreePort(t), tls),
		"?host=/run/postgresql", "?host=" + m.root + "/run/postgresql&port=" + m.postgresURL(t).Port(),
		"scrape_interval: 15s", "scrape_interval: 1s", "evaluation_interval: 15s", "evaluation_interval: 1s",
		"sleep 5", "sleep 0.2",
	}
	for i := 0; i < len(pairs); i += 2 {
		m.replaced = append(m.replaced, pairs[i])
	}
	m.adapt = strings.NewReplacer(append(append(pairs, "for: 2m\n", "for: 2s\n"), paths...)...)
}

// adapted replaces what m replaces in the commands of the page, and fails if a path remains that it does not know,
// since the commands remove folders.
func (m *machine) adapted(t *testing.T, script string) string {
	t.Helper()
	for _, text := range append(m.replaced, folders...) {
		if !strings.Contains(script, text) {
			t.Errorf("%s: got no %q, want it in the commands", operatingPage, text)
		}
	}
	script = m.adapt.Replace(script)
	rest := strings.NewReplacer(m.root+"/", "", "/usr/sbin/nologin", "", "/dev/null", "").Replace(script)
	if found := regexp.MustCompile(`(?:^|[\s'"=:>])/[a-z]+/\S*`).FindAllString(rest, -1); len(found) > 0 {
		t.Fatalf("%s: got the paths %q, want only those in %v", operatingPage, found, folders)
	}
	return script
}

// freePortOfBoth returns a port that is free on the addresses of both servers.
func freePortOfBoth(t *testing.T) string {
	t.Helper()
	for range 100 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(first.Addr().String())
		second, err := net.Listen("tcp", "127.0.0.2:"+port)
		_ = first.Close()
		if err == nil {
			_ = second.Close()
			return port
		}
	}
	t.Fatal("got no port that is free on 127.0.0.1 and 127.0.0.2, want one")
	return ""
}

func (m *machine) postgresURL(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(m.postgres.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// copySources makes the clone of the repository, with the files that the page installs.
func (m *machine) copySources(t *testing.T) {
	t.Helper()
	clone := m.root + "/usr/local/src/latchkey/"
	linkTo(t, "../../examples", clone+"examples")
	for _, folder := range []string{"deploy/systemd", "deploy/prometheus"} {
		if err := os.MkdirAll(clone+folder, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range filesIn(t, "../../"+folder) {
			text, err := os.ReadFile("../../" + folder + "/" + name)
			if err == nil {
				err = os.WriteFile(clone+folder+"/"+name, []byte(m.adapt.Replace(string(text))), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The stand-ins of programs. Those without a text here call m.
const (
	runuserStandIn = `[ "$1 $3" = "-u --" ] || exit 2
user=$2
shift 3
[ "$1" = latchkey ] || export PGHOST=127.0.0.1 PGPORT=%s PGUSER="$user"
exec "$@"
`
	makeStandIn = `[ "$*" = build ] && [ -d deploy ] || exit 2
mkdir -p bin
exec cp %s bin/latchkey
`
	curlStandIn = `case "$*" in
*https://go.dev/VERSION*) echo go1.26.0 ;;
*https://go.dev/dl/go1.26.0.linux-*) tar -cz --files-from /dev/null ;;
*) exec %s "$@" ;;
esac
`
	installStandIn = `while getopts Dd:m:o:g: option; do
	case $option in
	d) mode="$mode -d"; OPTIND=$((OPTIND - 1)) ;;
	m) mode="$mode -m $OPTARG" ;;
	esac
done
shift $((OPTIND - 1))
exec %s $mode "$@"
`
	chownStandIn = `[ "$1" = latchkey:latchkey ] && [ -e "$2" ] || exit 2
`
	callStandIn = `printf '%%s\n' "$@" | %s -sS --fail-with-body --max-time 120 --data-binary @- %s
`
)

func (m *machine) writeStandIns(t *testing.T) {
	t.Helper()
	folder, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	installed := func(name string) string {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	calls := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var out string
		if err == nil {
			out, err = m.call(r.URL.Path[1:], strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"))
		}
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			out += err.Error() + "\n"
		}
		fmt.Fprint(w, out)
	}))
	t.Cleanup(calls.Close)
	scripts := map[string]string{
		"runuser": fmt.Sprintf(runuserStandIn, m.postgresURL(t).Port()),
		"make":    fmt.Sprintf(makeStandIn, filepath.Join(folder, "latchkey")),
		"curl":    fmt.Sprintf(curlStandIn, installed("curl")),
		"install": fmt.Sprintf(installStandIn, installed("install")),
		"chown":   chownStandIn,
	}
	for _, name := range []string{"apt-get", "useradd", "userdel", "systemctl"} {
		scripts[name] = fmt.Sprintf(callStandIn, installed("curl"), calls.URL+"/"+name)
	}
	for name, text := range scripts {
		text = "#!/bin/sh\n" + text
		if err := os.WriteFile(m.root+"/programs/"+name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m.env = append(os.Environ(), "HOME="+m.root+"/own",
		"PATH="+m.root+"/programs:"+m.root+"/usr/local/bin:"+os.Getenv("PATH"))
}

// call does what a stand-in was called for.
func (m *machine) call(program string, args []string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := args[len(args)-1]
	switch program {
	case "apt-get":
		if args[0] != "update" && args[0] != "install" {
			return "", fmt.Errorf("apt-get %q: unexpected", args)
		}
		return "", nil
	case "useradd":
		m.users[last] = true
		return "", nil
	case "userdel":
		if !m.users[last] {
			return "", fmt.Errorf("userdel: got %q, want a user that was added", last)
		}
		delete(m.users, last)
		return "", nil
	default:
		return m.systemctl(args)
	}
}

// shell runs the commands, and returns what they print.
func (m *machine) shell(t *testing.T, script string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-euc", script)
	c.Dir, c.Env = m.root, m.env
	// A group of its own, because a loop in the background may be left if a command fails. A file, because such a loop
	// would keep a pipe open.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	file, err := os.Create(m.root + "/log/shell")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c.Stdout, c.Stderr = file, file
	err = c.Run()
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	out, readErr := os.ReadFile(file.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err != nil {
		t.Logf("the services logged:\n%s", m.logs(t))
	}
	return string(out), err
}

// logs returns the ends of the logs of all services.
func (m *machine) logs(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range filesIn(t, m.root+"/log") {
		text, err := os.ReadFile(m.root + "/log/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if name != "shell" {
			fmt.Fprintf(&all, "%s: %s\n", name, leak.Redact(string(text[max(0, len(text)-3000):])))
		}
	}
	return all.String()
}

// checkClean checks that the page's last section removed what the others had made, and that no secret was logged.
func (m *machine) checkClean(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	check.Equal(t, m.users, map[string]bool{}, "users that are left")
	check.Equal(t, m.enabled, map[string]bool{}, "services that are enabled")
	check.Equal(t, len(m.running), 0, "services that run")
	left := map[string][]string{
		"/etc/systemd/system": {}, "/etc": {"caddy", "default", "prometheus", "systemd"},
		"/var/lib": {"caddy", "prometheus"}, "/var/backups": {}, "/own": {}, "/usr/local": {"bin", "src"},
		"/usr/local/bin": {}, "/etc/prometheus": {"prometheus.yml"},
	}
	for folder, want := range left {
		check.Equal(t, filesIn(t, m.root+folder), want, "files in %s", folder)
	}
	c := exec.CommandContext(t.Context(), "psql", "-Atc",
		"SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles", m.postgres.DSN("postgres"))
	out, err := c.CombinedOutput()
	if err != nil || strings.Contains(string(out), "latchkey") {
		t.Errorf("databases and roles: got %s, %v, want none of Latchkey's", out, err)
	}
	for _, name := range filesIn(t, m.root+"/log") {
		text, err := os.ReadFile(m.root + "/log/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if found := leak.Find(text); name != "shell" && len(found) > 0 {
			t.Errorf("the log of %s: got the secrets %v, want none", name, found)
		}
	}
}
