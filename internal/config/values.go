package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The functions here return the keep function of a Setting. Their errors say what a valid value is; the caller adds the
// setting's name.

func address(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, text string) error {
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return errors.New("must be host:port, such as 127.0.0.1:8080")
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return errors.New("must end in a port of 0 to 65535")
		}
		*field(c) = text
		return nil
	}
}

func file(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, text string) error {
		if text == "" {
			return errors.New("must name a file")
		}
		*field(c) = text
		return nil
	}
}

func number(field func(*Config) *int, least, most int) func(*Config, string) error {
	return func(c *Config, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		*field(c) = n
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least, most string) func(*Config, string) error {
	lower, _ := time.ParseDuration(least)
	upper, _ := time.ParseDuration(most)
	return func(c *Config, text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < lower || d > upper {
			return fmt.Errorf("must be a duration from %s to %s, written like these", least, most)
		}
		*field(c) = d
		return nil
	}
}

// orOff accepts a duration, or "off" or "0", which are zero.
func orOff(field func(*Config) *time.Duration, least, most string) func(*Config, string) error {
	keep := duration(field, least, most)
	return func(c *Config, text string) error {
		if text == "off" || text == "0" {
			*field(c) = 0
			return nil
		}
		if err := keep(c, text); err != nil {
			return fmt.Errorf("%w, or off", err)
		}
		return nil
	}
}

func onOff(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, text string) error {
		*field(c) = text == "on"
		if text != "on" && text != "off" {
			return errors.New("must be on or off")
		}
		return nil
	}
}

func timestamp(field func(*Config) *time.Time) func(*Config, string) error {
	return func(c *Config, text string) error {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil || t.Year() < 1970 || t.Year() > 9999 {
			return errors.New("must be a time such as 2027-12-31T00:00:00Z")
		}
		*field(c) = t.UTC()
		return nil
	}
}

func testClock(c *Config, text string) error {
	c.TestClock.On = text != "off"
	if text == "on" || text == "off" {
		return nil
	}
	if timestamp(func(c *Config) *time.Time { return &c.TestClock.Start })(c, text) != nil {
		return errors.New("must be on, off, or a time such as 2026-01-31T00:00:00Z")
	}
	return nil
}

// rate parses a number of requests and a window, as in 100/1m.
func rate(field func(*Config) *Rate) func(*Config, string) error {
	const mostRequests, leastWindow, mostWindow = 10_000_000, time.Second, 24 * time.Hour
	return func(c *Config, text string) error {
		count, window, _ := strings.Cut(text, "/")
		n, err := strconv.Atoi(count)
		d, errWindow := time.ParseDuration(window)
		if err != nil || errWindow != nil || n < 1 || n > mostRequests || d < leastWindow || d > mostWindow {
			return errors.New(
				"must be a number of requests from 1 to 10000000, a slash, and a window from 1s to 24h, such as 100/1m")
		}
		*field(c) = Rate{n, d}
		return nil
	}
}

// origins reads origins as browsers send them (RFC 6454, section 6.1).
func origins(c *Config, text string) error {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		u, err := url.Parse(part)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
			u.Scheme+"://"+u.Host != part {
			return errors.New("must be origins separated by commas, each a scheme and a host without a path, such as https://admin.example.com")
		}
		if strings.ContainsFunc(u.Host, func(r rune) bool { return r == '*' || r > unicode.MaxASCII }) {
			return errors.New("must name each host in full, without *, and one in Unicode in its ASCII form (xn--)")
		}
		if !isHost(u.Hostname()) {
			return errors.New("must name each host by a domain name or an IP address as browsers write them")
		}
		if part != strings.ToLower(part) || !isPort(u) {
			return errors.New("must be origins as browsers send them: in lower case, without the default port, and with any other one as a plain number")
		}
		all = append(all, part)
	}
	c.CORSOrigins = all
	return nil
}

var (
	domainName = regexp.MustCompile(`^(?i)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)
	// numberLabel is a last label that makes browsers take a host for an IPv4 address (URL Standard, "Host parsing").
	numberLabel = regexp.MustCompile(`(?i)(^|\.)([0-9]+|0x[0-9a-f]*)$`)
)

// isHost reports whether browsers write a host like that in an origin.
func isHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String() == strings.ToLower(host)
	}
	return domainName.MatchString(host) && !numberLabel.MatchString(host)
}

// isPort reports whether browsers write the port of u, if there is one, like that in an origin.
func isPort(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == port && !(n == 80 && u.Scheme == "http") &&
		!(n == 443 && u.Scheme == "https")
}

func prefixes(field func(*Config) *[]netip.Prefix) func(*Config, string) error {
	return func(c *Config, text string) error {
		var all []netip.Prefix
		for part := range strings.SplitSeq(text, ",") {
			prefix, err := parsePrefix(strings.TrimSpace(part))
			if err != nil {
				return errors.New("must be CIDRs separated by commas, such as 10.0.0.0/8,2001:db8::/32")
			}
			all = append(all, prefix)
		}
		*field(c) = all
		return nil
	}
}

// parsePrefix parses a CIDR or a single address. IPv4-mapped IPv6 addresses become IPv4, like the peer addresses that
// they are compared with.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.WithZone("").Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}

func webURL(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, text string) error {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("must be a URL such as https://keys.example.com")
		}
		if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
			return errors.New("must be a URL without user, query and fragment")
		}
		*field(c) = strings.TrimRight(text, "/")
		return nil
	}
}

var regionForm = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)

// awsRegion accepts the name of a region, or off.
func awsRegion(c *Config, text string) error {
	c.EventBridge.Region = ""
	if text == "off" {
		return nil
	}
	if !regionForm.MatchString(text) {
		return errors.New("must be a region such as eu-west-1, or off")
	}
	c.EventBridge.Region = text
	return nil
}

var partnerForm = regexp.MustCompile(`^aws\.partner/[A-Za-z0-9._-]{1,100}$`)

func awsPartner(c *Config, text string) error {
	if !partnerForm.MatchString(text) {
		return errors.New("must be a name such as aws.partner/example.com")
	}
	c.EventBridge.Partner = text
	return nil
}

func replicaName(c *Config, text string) error {
	const longest = 100
	if text == "" || len(text) > longest || strings.ContainsFunc(text,
		func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("must be 1 to %d bytes of printable text", longest)
	}
	c.ReplicaName = text
	return nil
}

// issuer requires https, as issuers must have (OpenID Connect Discovery, section 3), except for a provider on this
// machine, for trials. The URL is stored unchanged, because the provider's tokens repeat it exactly.
func issuer(c *Config, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.ForceQuery || u.Fragment != "" {
		return errors.New("must be a URL such as https://id.example.com, without user, query and fragment")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" &&
		(err != nil || !ip.IsLoopback()) {
		return errors.New("must begin with https:// unless the provider is on this machine")
	}
	c.SignIn.Issuer = text
	return nil
}

// oneLine accepts up to most printable characters.
func oneLine(field func(*Config) *string, most int) func(*Config, string) error {
	return func(c *Config, text string) error {
		if utf8.RuneCountInString(text) > most || strings.TrimSpace(text) != text ||
			strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("must be at most %d characters on one line", most)
		}
		*field(c) = text
		return nil
	}
}

// database checks only the form; the driver checks the rest. The messages do not repeat the URL, which may contain a
// password.
func database(c *Config, text string) error {
	c.Database = text
	if file, ok := strings.CutPrefix(text, sqlitePrefix); ok {
		return sqliteFile(file)
	}
	if isPostgres(text) {
		return nil
	}
	return errors.New("must be sqlite:FILE or a URL postgres://…")
}

// sqliteFile refuses names that are probably mistakes in a script or a settings file, because they would name another,
// empty database.
func sqliteFile(file string) error {
	switch {
	case file == "" || file == ":memory:":
		return errors.New("must name a file, as sqlite:latchkey.db does")
	case strings.TrimSpace(file) != file || strings.ContainsAny(file, "\"'`?") ||
		strings.ContainsFunc(file, unicode.IsControl):
		return errors.New(
			"must name a file without line breaks, other control characters, quotes, question marks and spaces around it")
	case strings.HasPrefix(file, "//"):
		return errors.New("must name a file without a host, as sqlite:latchkey.db or sqlite:/var/lib/latchkey.db does")
	}
	return nil
}

func feedDatabase(c *Config, text string) error {
	if !isPostgres(text) {
		return errors.New("must be a URL postgres://…")
	}
	c.FeedDatabase = text
	return nil
}

func isPostgres(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql")
}

func keyFile(c *Config, text string) error {
	c.KeyFile, c.KeyFileGiven = text, true
	return nil
}

func logFormat(c *Config, text string) error {
	c.Log.JSON = text == "json"
	if text != "json" && text != "text" {
		return errors.New("must be text or json")
	}
	return nil
}

func logLevel(c *Config, text string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"error": slog.LevelError}
	level, known := levels[text]
	if !known {
		return errors.New("must be debug, info, warn or error")
	}
	c.Log.Level = level
	return nil
}

// smtpURL parses the mail server's URL. The messages do not repeat the URL, which may contain a password.
func smtpURL(c *Config, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be a URL such as smtp://USER:PASSWORD@HOST:587, its user and password percent-encoded")
	}
	c.Mail.Host, c.Mail.TLS, c.Mail.Port = u.Hostname(), u.Scheme == "smtps", 587
	if c.Mail.TLS {
		c.Mail.Port = 465
	}
	if u.Port() != "" {
		if c.Mail.Port, err = strconv.Atoi(u.Port()); err != nil || c.Mail.Port < 1 || c.Mail.Port > 65535 {
			return errors.New("must have a port of 1 to 65535")
		}
	}
	c.Mail.User = u.User.Username()
	c.Mail.Password, _ = u.User.Password()
	return nil
}

func mailFrom(c *Config, text string) error {
	if _, err := mail.ParseAddress(text); err != nil {
		return errors.New("must be an email address, such as keys@example.com")
	}
	c.Mail.From = text
	return nil
}

func auditStream(c *Config, text string) error {
	if path, is := strings.CutPrefix(text, "file:"); is && filepath.IsAbs(path) {
		c.AuditStream = AuditStream{File: filepath.Clean(path)}
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "syslog" && u.Scheme != "syslog+tls" || u.Hostname() == "" || u.Port() == "" ||
		u.User != nil || u.Path != "" || u.Fragment != "" {
		return errors.New("must be file: and an absolute path, or syslog://HOST:PORT or syslog+tls://HOST:PORT")
	}
	s := AuditStream{Address: u.Host, TLS: u.Scheme == "syslog+tls"}
	switch query := u.Query(); {
	case len(query) == 0 && !u.ForceQuery:
	case len(query) == 1 && s.TLS && query.Get("ca") != "":
		s.CA = query.Get("ca")
	default:
		return errors.New("may have only ca=FILE after the question mark, with syslog+tls")
	}
	c.AuditStream = s
	return nil
}
