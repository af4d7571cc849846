package config

import (
	"cmp"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"latchkey/internal/fault"
)

const (
	sqlitePrefix = "sqlite:"
	// receiptTime is how much longer a request may take that waits for the
	// other servers, with time to send the answer.
	receiptTime = 7 * time.Second
)

// Source is where settings come from. Each function returns the text set
// under a name, and whether it is set at all.
type Source struct {
	Flag func(name string) (string, bool)
	Env  func(name string) (string, bool)
}

// Needs says what the command at hand cannot do without.
type Needs struct {
	// Keys are the server's keys.
	Keys bool
	// Creates says that the command creates an SQLite database that is missing.
	Creates bool
}

// Load reads every setting: from its flag, otherwise from its variable,
// otherwise the default. A variable that is set to nothing is not set. It
// returns fault.Invalid with every fault, each naming flag and variable.
func Load(from Source, needs Needs) (Config, error) {
	var c Config
	var faults fault.List
	wrong := map[string]bool{}
	for _, s := range Settings() {
		text, set := s.text(from)
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

// text returns what the setting is set to, or its default, and whether it is
// set.
func (s Setting) text(from Source) (string, bool) {
	if text, set := from.Flag(s.Flag); set {
		return text, true
	}
	if text, set := from.Env(s.Variable()); set && text != "" {
		return text, true
	}
	return s.Default, false
}

func (s Setting) complaint(text string, err error) string {
	if s.private {
		return err.Error()
	}
	return err.Error() + ", not \"" + text + "\""
}

// checkTogether judges what no setting can be judged on alone, where each of
// those concerned is right by itself: of one that is not, nothing was kept.
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
		faults = append(faults, fault.Errorf(fault.Invalid, "is for PostgreSQL; SQLite needs no feed.").On(Called("feed-database")))
	}
	if c.Mail.Host != "" && c.Mail.From == "" && right("mail-from") {
		faults = append(faults, fault.Errorf(fault.Invalid, "must be given with --smtp-url.").On(Called("mail-from")))
	}
	if c.Addr != "" && c.Addr == c.AdminAddr && !strings.HasSuffix(c.Addr, ":0") {
		faults = append(faults, fault.Errorf(fault.Invalid, "must not be that of the public listener.").On(Called("admin-addr")))
	}
	if right("write-timeout", "request-timeout") && c.HTTP.WriteTimeout < c.HTTP.RequestTimeout+receiptTime {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must be at least 7s longer than --request-timeout, or no slow answer could be sent, nor the receipt of a revocation.").On(Called("write-timeout")))
	}
	if right("legacy-sunset-at", "legacy-deprecated-at") && c.Legacy.SunsetAt.Before(c.Legacy.DeprecatedAt) {
		// RFC 9745, section 4.
		faults = append(faults, fault.Errorf(fault.Invalid, "must not be before --legacy-deprecated-at.").On(Called("legacy-sunset-at")))
	}
	return append(faults, c.SignIn.check(right)...)
}

// check judges how people sign in: somebody must be able to.
func (s SignIn) check(right func(flags ...string) bool) fault.List {
	var faults fault.List
	if right("oidc-issuer", "oidc-client-id") && (s.Issuer == "") != (s.ClientID == "") {
		faults = append(faults, fault.Errorf(fault.Invalid, "must be given together with --oidc-client-id, or not at all.").On(Called("oidc-issuer")))
	}
	if right("oidc-issuer", "password-sign-in") && !s.Passwords && s.Issuer == "" {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"must be on where there is no --oidc-issuer: those who have no passkey yet could not sign in.").On(Called("password-sign-in")))
	}
	return faults
}

// IsSet reports whether the setting of that flag is set, and not the default.
func IsSet(from Source, flag string) bool {
	return slices.ContainsFunc(Settings(), func(s Setting) bool {
		_, set := s.text(from)
		return s.Flag == flag && set
	})
}

// Called is how messages call the setting of that flag: by the flag and the
// variable.
func Called(flag string) string {
	for _, s := range Settings() {
		if s.Flag == flag {
			return s.name()
		}
	}
	return "--" + flag
}

// SQLiteFile returns the file of an SQLite database, and whether the database
// is one.
func (c *Config) SQLiteFile() (string, bool) {
	return strings.CutPrefix(c.Database, sqlitePrefix)
}

// BaseURL returns the public URL of a server that listens on addr: the one
// that was set, otherwise http and the address, as localhost when that means
// every address of the machine.
func (c *Config) BaseURL(addr string) string {
	return cmp.Or(c.PublicURL, httpURL(addr, "localhost"))
}

// Replica returns the name and the URL of a server that listens on addr of a
// machine, among those that share its database: those that were set, otherwise
// the machine's name and the port, and http and the address, as that of the
// machine when it means every address there.
func (c *Config) Replica(machine, addr string) (name, url string) {
	_, port, _ := net.SplitHostPort(addr)
	return cmp.Or(c.ReplicaName, net.JoinHostPort(machine, port)), cmp.Or(c.ReplicaURL, httpURL(addr, machine))
}

// httpURL makes a URL of an address, in which host stands for every address of
// the machine.
func httpURL(addr, host string) string {
	given, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr
	}
	if ip, err := netip.ParseAddr(given); given != "" && (err != nil || !ip.IsUnspecified()) {
		host = given
	}
	return "http://" + net.JoinHostPort(host, port)
}
