package config

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/internal/fault"
	"latchkey/internal/regularfile"
)

const (
	sqlitePrefix = "sqlite:"
	// receiptTime is the additional time of a request that waits for other servers to acknowledge a revocation,
	// including the time to send the response.
	receiptTime = 7 * time.Second
)

// Source is where settings come from. Each function returns the text of a setting by name, and whether it is set.
type Source struct {
	Flag func(name string) (string, bool)
	Env  func(name string) (string, bool)
}

// Needs holds the requirements of the command.
type Needs struct {
	// Keys reports whether the command needs the server's keys.
	Keys bool
	// Creates reports whether the command creates a missing SQLite database.
	Creates bool
	// Restores reports whether the command restores a backup into a missing SQLite database, beside its key file.
	Restores bool
	// Serves reports whether the command is the server.
	Serves bool
}

// Load reads every setting from its flag, otherwise from its variable, in the environment or in the settings file, or,
// for a secret, from the file that another variable names, otherwise from its default. An empty variable counts as not
// set. It returns fault.Invalid with every error, each naming the flag and the variable.
func Load(from Source, needs Needs) (Config, error) {
	var c Config
	from, faults := from.withFile()
	wrong := map[string]bool{}
	for _, s := range Settings() {
		text, set, err := s.text(from)
		if err != nil {
			wrong[s.Flag] = true
			faults = append(faults, fault.Errorf(fault.Invalid, "%s.", err).On(s.fileVariable()))
			continue
		}
		if s.Flag == "addr" {
			c.AddrGiven = set
		}
		if !set && text == "" {
			continue
		}
		if err := s.keep(&c, text); err != nil {
			wrong[s.Flag] = true
			faults = append(faults, fault.Errorf(fault.Invalid, "%s.", s.complaint(text, err)).On(s.name()))
		}
	}
	faults = append(faults, c.checkTogether(needs, func(flags ...string) bool {
		return !slices.ContainsFunc(flags, func(flag string) bool { return wrong[flag] })
	})...)
	return c, faults.Err()
}

// text returns the setting's text, or its default, and whether it is set.
func (s Setting) text(from Source) (text string, set bool, err error) {
	if text, set := from.Flag(s.Flag); set {
		return text, true, nil
	}
	text, _ = from.Env(s.Variable())
	if file, _ := from.Env(s.fileVariable()); s.Secret && file != "" {
		if text != "" {
			return "", false, fmt.Errorf("must not be set together with %s", s.Variable())
		}
		text, err = secretIn(file)
		return text, err == nil, err
	}
	if text != "" {
		return text, true, nil
	}
	return s.Default, false, nil
}

// maxSecret is the maximum size of a file with a secret, in bytes.
const maxSecret = 64 << 10

// secretIn returns the content of a file, without the line break at its end.
func secretIn(path string) (string, error) {
	file, _, err := regularfile.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if text == "" || len(content) > maxSecret || !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("%s must have the value as its only line", path)
	}
	return text, nil
}

func (s Setting) complaint(text string, err error) string {
	if s.private {
		return err.Error()
	}
	return err.Error() + ", not \"" + text + "\""
}

// checkTogether validates combinations of settings, each of which must be valid by itself. right reports whether all
// the named flags have valid values.
func (c *Config) checkTogether(needs Needs, right func(flags ...string) bool) fault.List {
	var faults fault.List
	if c.KeyFileGiven && c.KeyFile == "" {
		faults = append(faults, fault.Errorf(fault.Invalid, "must name a file.").On(Called("key-file")))
	}
	if file, ok := c.SQLiteFile(); ok && !c.KeyFileGiven {
		c.KeyFile = strings.TrimSuffix(file, filepath.Ext(file)) + ".key"
	}
	if _, ok := c.SQLiteFile(); !ok && needs.Keys && !c.KeyFileGiven && right("database") {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must be given with PostgreSQL: every server of one database needs the same keys. Make a file with \"latchkey key create FILE\".").On(Called("key-file")))
	}
	if _, ok := c.SQLiteFile(); ok && c.FeedDatabase != "" {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"is for PostgreSQL; SQLite needs no feed.").On(Called("feed-database")))
	}
	if c.Mail.Host != "" && c.Mail.From == "" && right("mail-from") {
		faults = append(faults, fault.Errorf(fault.Invalid, "must be given with --smtp-url.").On(Called("mail-from")))
	}
	if c.EventBridge.URL != "" && c.EventBridge.Region == "" && right("aws-events") {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must be given with --aws-events-url.").On(Called("aws-events")))
	}
	if (c.EventBridge.Region == "") != (c.EventBridge.Partner == "") && right("aws-events", "aws-events-partner") {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must be given together with --aws-events, or not at all.").On(Called("aws-events-partner")))
	}
	if c.Addr != "" && c.Addr == c.AdminAddr && !strings.HasSuffix(c.Addr, ":0") {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must not be that of the public listener.").On(Called("admin-addr")))
	}
	if c.TestClock.On && !c.TestClock.Anywhere && right("test-clock", "test-clock-anywhere", "addr", "admin-addr") &&
		!(onLoopback(c.Addr) && onLoopback(c.AdminAddr)) {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"is for tests: --addr and --admin-addr must be loopback addresses, or --test-clock-anywhere must be set.").On(
			Called("test-clock")))
	}
	if right("write-timeout", "request-timeout") && c.HTTP.WriteTimeout < c.HTTP.RequestTimeout+receiptTime {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must be at least 7s longer than --request-timeout, or no slow answer could be sent, nor the receipt of a revocation.").On(Called("write-timeout")))
	}
	if right("legacy-sunset-at", "legacy-deprecated-at") && c.Legacy.SunsetAt.Before(c.Legacy.DeprecatedAt) {
		// RFC 9745, section 4.
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must not be before --legacy-deprecated-at.").On(Called("legacy-sunset-at")))
	}
	faults = append(faults, c.checkTLS(right)...)
	return append(faults, c.SignIn.check(right)...)
}

// checkTLS validates combinations of the settings of TLS.
func (c *Config) checkTLS(right func(flags ...string) bool) fault.List {
	var faults fault.List
	add := func(flag, message string) {
		faults = append(faults, fault.Errorf(fault.Invalid, "%s", message).On(Called(flag)))
	}
	if right("tls-cert", "tls-key") && (c.TLS.Cert == "") != (c.TLS.Key == "") {
		add("tls-key", "must be given together with --tls-cert, or not at all.")
	}
	if right("tls-client-ca", "tls-cert") && c.TLS.ClientCA != "" && c.TLS.Cert == "" {
		add("tls-client-ca", "must be given with --tls-cert: only a listener with TLS asks for certificates.")
	}
	if right("tls-client-ca", "tls-gateway-certs") && c.TLS.GatewayCerts && c.TLS.ClientCA == "" {
		add("tls-gateway-certs", "must be given with --tls-client-ca, which verifies the certificates.")
	}
	if c.TLS.Cert != "" && right("public-url") && strings.HasPrefix(c.PublicURL, "http://") {
		add("public-url", "must begin with https:// where --tls-cert is given.")
	}
	return faults
}

// onLoopback reports whether only the machine itself can reach a listener at the address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, errIP := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || errIP == nil && ip.IsLoopback())
}

// check requires that users can sign in.
func (s SignIn) check(right func(flags ...string) bool) fault.List {
	var faults fault.List
	if right("oidc-issuer", "oidc-client-id") && (s.Issuer == "") != (s.ClientID == "") {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must be given together with --oidc-client-id, or not at all.").On(Called("oidc-issuer")))
	}
	if right("oidc-issuer", "password-sign-in") && !s.Passwords && s.Issuer == "" {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must be on where there is no --oidc-issuer: users without a passkey could not sign in.").On(
			Called("password-sign-in")))
	}
	return faults
}

// IsSet reports whether the setting of the flag is set explicitly.
func IsSet(from Source, flag string) bool {
	from, _ = from.withFile()
	return slices.ContainsFunc(Settings(), func(s Setting) bool {
		_, set, _ := s.text(from)
		return s.Flag == flag && set
	})
}

// Called returns the name of a flag's setting in messages: the flag and the variable.
func Called(flag string) string {
	for _, s := range Settings() {
		if s.Flag == flag {
			return s.name()
		}
	}
	return "--" + flag
}

// SQLiteFile returns the file of an SQLite database, and whether the database is SQLite.
func (c *Config) SQLiteFile() (string, bool) {
	return strings.CutPrefix(c.Database, sqlitePrefix)
}

// BaseURL returns the public URL of a server that listens on addr: PublicURL, or http or https and the address. An
// address that means all interfaces becomes localhost.
func (c *Config) BaseURL(addr string) string {
	return cmp.Or(c.PublicURL, c.urlOf(addr, "localhost"))
}

// Replica returns the name and URL of a server that listens on addr, for the servers that share its database:
// ReplicaName and ReplicaURL, or the machine's name with the port, and http or https with the address. An address that
// means all interfaces becomes the machine's name.
func (c *Config) Replica(machine, addr string) (name, url string) {
	_, port, _ := net.SplitHostPort(addr)
	return cmp.Or(c.ReplicaName, net.JoinHostPort(machine, port)), cmp.Or(c.ReplicaURL, c.urlOf(addr, machine))
}

// urlOf returns the URL of a public listener at an address. host replaces an address that means all interfaces.
func (c *Config) urlOf(addr, host string) string {
	scheme := "http://"
	if c.TLS.Cert != "" {
		scheme = "https://"
	}
	given, port, err := net.SplitHostPort(addr)
	if err != nil {
		return scheme + addr
	}
	if ip, err := netip.ParseAddr(given); given != "" && (err != nil || !ip.IsUnspecified()) {
		host = given
	}
	return scheme + net.JoinHostPort(host, port)
}
