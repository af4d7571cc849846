package config_test

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

var update = flag.Bool("update", false, "write the table of docs/settings.md anew")

// from returns a source with the flags and variables.
func from(flags, env map[string]string) config.Source {
	lookup := func(m map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { text, ok := m[name]; return text, ok }
	}
	return config.Source{Flag: lookup(flags), Env: lookup(env)}
}

func load(t *testing.T, flags, env map[string]string) config.Config {
	t.Helper()
	c, err := config.Load(from(flags, env), config.Needs{Keys: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := load(t, nil, nil)
	if c.Addr != "127.0.0.1:8080" || c.AdminAddr != "127.0.0.1:8081" {
		t.Errorf("addresses: got %s and %s, want 127.0.0.1:8080 and 127.0.0.1:8081", c.Addr, c.AdminAddr)
	}
	if file, ok := c.SQLiteFile(); !ok || file != "latchkey.db" || c.KeyFile != "latchkey.key" || c.KeyFileGiven {
		t.Errorf("database %s, key file %s, want latchkey.db and latchkey.key", file, c.KeyFile)
	}
	if c.MaxTokensPerStore != 50 || c.MaxTokensPerAccount != 50 || c.LastUseInterval != 10*time.Second ||
		c.HTTP.MaxBody != 1<<20 {
		t.Errorf("limits: got %+v, want 50 tokens per store and account, 10 seconds and 1 MiB", c)
	}
	check.Equal(t, c.BaseURL(c.Addr), "http://127.0.0.1:8080", "public URL")
}

func TestPrecedence(t *testing.T) {
	for _, tc := range []struct {
		name       string
		flags, env map[string]string
		want       string
	}{
		{"default", nil, nil, "127.0.0.1:8080"},
		{"variable over default", nil, map[string]string{"LATCHKEY_ADDR": ":1"}, ":1"},
		{"flag over variable", map[string]string{"addr": ":2"}, map[string]string{"LATCHKEY_ADDR": ":1"}, ":2"},
		{"empty variable is none", nil, map[string]string{"LATCHKEY_ADDR": ""}, "127.0.0.1:8080"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, load(t, tc.flags, tc.env).Addr, tc.want, "load(t, tc.flags, tc.env).Addr")
		})
	}
}

func TestEverySettingIsReadFromItsVariableAndFlag(t *testing.T) {
	bad := "\x00nonsense"
	// Any text is a valid file name.
	free := map[string]bool{"catalogue": true, "key-file": true, "routes": true, "instance-file": true,
		"tls-cert": true, "tls-key": true, "tls-client-ca": true, "leak-report-keys": true}
	for _, s := range config.Settings() {
		if free[s.Flag] {
			continue
		}
		t.Run(s.Flag, func(t *testing.T) {
			for _, source := range []config.Source{
				from(map[string]string{s.Flag: bad}, nil), from(nil, map[string]string{s.Variable(): bad}),
			} {
				_, err := config.Load(source, config.Needs{})
				want := fmt.Sprintf("--%s (%s): ", s.Flag, s.Variable())
				if fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got %v, want %s…", err, want)
				}
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := config.Load(from(
		map[string]string{"addr": "nowhere", "log-level": "loud", "max-body": "0"},
		map[string]string{"LATCHKEY_DATABASE_URL": "postgres://u:pass-word@h/d",
			"LATCHKEY_MAX_TOKENS_PER_STORE": "-1"}), config.Needs{Keys: true})
	var list fault.List
	if !errors.As(err, &list) || len(list) != 5 {
		t.Fatalf("want 5 faults: %v", err)
	}
	for _, want := range []string{"--addr (LATCHKEY_ADDR)", "--log-level", "--max-body", "--max-tokens-per-store",
		"--key-file (LATCHKEY_KEY_FILE)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error: got %v, want it to name %s", err, want)
		}
	}
}

func TestFaultsOfOneSetting(t *testing.T) {
	for _, tc := range []struct{ name, flag, value, want string }{
		{"port too high", "addr", "localhost:70000", "port of 0 to 65535"},
		{"no port", "admin-addr", "localhost", "host:port"},
		{"URL without scheme", "public-url", "keys.example", "URL such as"},
		{"URL with query", "public-url", "https://keys.example?x=1", "without user, query"},
		{"URL with user", "public-url", "https://a@keys.example", "without user, query"},
		{"replica's URL without scheme", "replica-url", "10.0.0.1:8080", "URL such as"},
		{"replica's name of several lines", "replica-name", "a\nb", "printable"},
		{"unknown database", "database", "mysql://root:pass-word@h/d", "sqlite:FILE"},
		{"SQLite without a file", "database", "sqlite:", "name a file"},
		{"SQLite with a line break at the end", "database", "sqlite:latchkey.db\n", "without line breaks"},
		{"SQLite with a carriage return", "database", "sqlite:latchkey.db\r", "without line breaks"},
		{"SQLite with a line break within", "database", "sqlite:latch\nkey.db", "without line breaks"},
		{"SQLite in quotes", "database", `sqlite:"latchkey.db"`, "quotes"},
		{"SQLite in single quotes", "database", "sqlite:'latchkey.db'", "quotes"},
		{"SQLite with parameters", "database", "sqlite:latchkey.db?mode=ro", "question marks"},
		{"SQLite after a space", "database", "sqlite: latchkey.db", "spaces around it"},
		{"a catalogue without a name", "catalogue", "", "name a file"},
		{"SQLite with a host", "database", "sqlite://latchkey.db", "without a host"},
		{"SQLite in memory", "database", "sqlite::memory:", "name a file"},
		{"feed of another database", "feed-database", "mysql://root:pass-word@h/d", "postgres://"},
		{"feed with SQLite", "feed-database", "postgres://root:pass-word@h/d", "SQLite needs no feed"},
		{"proxy that is a name", "trusted-proxies", "10.0.0.0/8,proxy", "CIDRs"},
		{"duration without unit", "cache-age", "5", "duration"},
		{"duration out of bounds", "last-use-interval", "5m", "from 1s to 1m"},
		{"duration or off", "last-use-interval", "never", "or off"},
		{"origin with a path", "cors-origins", "https://admin.example.com/", "without a path"},
		{"origin without a scheme", "cors-origins", "admin.example.com", "a scheme and a host"},
		{"every origin", "cors-origins", "*", "a scheme and a host"},
		{"origin of no page", "cors-origins", "null", "a scheme and a host"},
		{"origin in upper case", "cors-origins", "https://Admin.example.com", "in lower case"},
		{"origin with the default port", "cors-origins", "https://b.example:443", "without the default port"},
		{"origins with a wildcard", "cors-origins", "https://*.example.com", "without *"},
		{"origin in Unicode", "cors-origins", "https://ä.example", "ASCII form"},
		{"origin with a padded port", "cors-origins", "https://b.example:0444", "without the default port"},
		{"origin with an empty port", "cors-origins", "https://b.example:", "without the default port"},
		{"origin with no port", "cors-origins", "https://b.example:99999", "without the default port"},
		{"origin with a short address", "cors-origins", "http://127.1", "as browsers write them"},
		{"origin with a hexadecimal address", "cors-origins", "http://0x7f000001", "as browsers write them"},
		{"origin with an empty label", "cors-origins", "https://app..example", "as browsers write them"},
		{"origin with a quote", "cors-origins", "https://a\"b.example", "as browsers write them"},
		{"number with text", "query-depth", "10x", "whole number"},
		{"empty key file", "key-file", "", "name a file"},
		{"both listeners on one address", "admin-addr", "127.0.0.1:8080", "public listener"},
		{"key without a certificate", "tls-key", "tls.key", "together with --tls-cert"},
		{"client authorities without a certificate", "tls-client-ca", "ca.crt", "with --tls-cert"},
		{"certificates of gateways without authorities", "tls-gateway-certs", "on", "with --tls-client-ca"},
		{"write timeout too short", "write-timeout", "5s", "--request-timeout"},
		{"write timeout too short for receipts", "write-timeout", "26s", "--request-timeout"},
		{"rate without a window", "token-rate", "100", "100/1m"},
		{"rate without a number", "account-rate", "/1m", "100/1m"},
		{"rate of zero", "account-rate", "0/1m", "from 1 to"},
		{"rate in a window too short", "failure-rate", "1/1ms", "from 1s to 24h"},
		{"rate limits neither on nor off", "rate-limits", "yes", "on or off"},
		{"allow-legacy neither on nor off", "allow-legacy", "maybe", "on or off"},
		{"deprecation without a time", "legacy-deprecated-at", "2026-01-01", "time such as"},
		{"sunset before deprecation", "legacy-sunset-at", "2025-12-31T00:00:00Z", "--legacy-deprecated-at"},
		{"log format", "log-format", "xml", "text or json"},
		{"a relative file for audit events", "audit-stream", "file:audit.log", "absolute path"},
		{"a syslog receiver without a port", "audit-stream", "syslog://logs.example", "syslog://HOST:PORT"},
		{"authorities without TLS", "audit-stream", "syslog://logs.example:514?ca=/ca.pem", "only ca=FILE"},
		{"more webhook workers than allowed", "webhook-workers", "10001", "from 0 to 10000"},
		{"webhook receivers that are a name", "webhook-allow", "10.0.0.0/8,receiver", "CIDRs"},
		{"no webhooks", "max-webhooks", "0", "from 1 to 1000"},
		{"a region that is a URL", "aws-events", "https://eu-west-1.example", "region such as eu-west-1"},
		{"a region without a partner", "aws-events", "eu-west-1", "together with --aws-events"},
		{"a partner without a region", "aws-events-partner", "aws.partner/a", "together with --aws-events"},
		{"a partner of another form", "aws-events-partner", "example.com", "name such as aws.partner/example.com"},
		{"EventBridge's URL without a region", "aws-events-url", "http://127.0.0.1:1", "given with --aws-events-url"},
		{"provider without a client id", "oidc-issuer", "https://id.example", "together with --oidc-client-id"},
		{"client id without a provider", "oidc-client-id", "latchkey", "together with --oidc-client-id"},
		{"provider without TLS", "oidc-issuer", "http://id.example", "begin with https://"},
		{"provider on another machine without TLS", "oidc-issuer", "http://192.0.2.1", "begin with https://"},
		{"provider that is not a URL", "oidc-issuer", "id.example", "URL such as"},
		{"provider's secret of two lines", "oidc-client-secret", "pass-word\n", "on one line"},
		{"no user could sign in", "password-sign-in", "off", "could not sign in"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Load(from(map[string]string{tc.flag: tc.value}, nil), config.Needs{})
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if strings.Contains(fmt.Sprint(err), "pass-word") {
				t.Errorf("the error: got %v, want it without the password", err)
			}
		})
	}
}

// A setting that is invalid by itself is not reported again in combination with others.
func TestOneFaultForOneMistake(t *testing.T) {
	for flag, value := range map[string]string{
		"legacy-sunset-at": "x", "legacy-deprecated-at": "x", "write-timeout": "x", "request-timeout": "x",
		"database": "x", "feed-database": "x",
	} {
		_, err := config.Load(from(map[string]string{flag: value}, nil), config.Needs{Keys: true})
		if list := fault.Flatten(err); len(list) != 1 || !strings.Contains(list[0].Field, flag) {
			t.Errorf("--%s %s: got error %v, want one fault, on the flag", flag, value, err)
		}
	}
}

func TestRates(t *testing.T) {
	if c := load(t, nil, nil); !c.Rates.On ||
		c.Rates.Token != (config.Rate{Requests: 10000, Window: 30 * time.Second}) {
		t.Errorf("rates: got %+v, want them on, with 10000 per 30 seconds for a token", c.Rates)
	}
	c := load(t, map[string]string{"rate-limits": "off", "token-rate": "1/24h", "account-rate": "10000000/1s",
		"failure-rate": "7/90s"}, nil)
	want := config.Rates{
		Token:   config.Rate{Requests: 1, Window: 24 * time.Hour},
		Account: config.Rate{Requests: 10_000_000, Window: time.Second},
		Failure: config.Rate{Requests: 7, Window: 90 * time.Second},
	}
	check.Equal(t, c.Rates, want, "c.Rates")
}

func TestValues(t *testing.T) {
	c := load(t, map[string]string{
		"trusted-proxies": "10.1.2.3/8, ::ffff:192.0.2.0/120,2001:db8::1", "public-url": "https://example.com/keys/",
		"log-format": "json",
		"log-level":  "debug", "database": "sqlite:/var/lib/latchkey/data.sqlite3", "max-token-lifetime": "720h",
	}, nil)
	check.Equal(t, fmt.Sprint(c.TrustedProxies), "[10.0.0.0/8 192.0.2.0/24 2001:db8::1/128]", "proxies")
	if c.PublicURL != "https://example.com/keys" || c.BaseURL("127.0.0.1:1") != c.PublicURL {
		t.Errorf("public URL: got %s, want https://example.com/keys", c.PublicURL)
	}
	if !c.Log.JSON || c.Log.Level != slog.LevelDebug || c.KeyFile != "/var/lib/latchkey/data.key" ||
		c.MaxTokenLifetime != 720*time.Hour {
		t.Errorf("settings: got %+v, want JSON, debug, the key file beside the database and 720 hours", c)
	}
}

func TestWebhooks(t *testing.T) {
	check.Equal(t, load(t, nil, nil).Webhooks, (config.Webhooks{Workers: 256, MaxPerAccount: 20}), "the defaults")
	c := load(t, map[string]string{"webhook-workers": "0", "webhook-allow": "10.0.0.0/8, ::1", "max-webhooks": "3",
		"aws-events": "eu-west-1", "aws-events-partner": "aws.partner/example.com",
		"aws-events-url": "http://127.0.0.1:4566/"}, nil)
	check.Equal(t, c.Webhooks, (config.Webhooks{MaxPerAccount: 3, Allow: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}), "what was set")
	check.Equal(t, c.EventBridge, (config.EventBridge{Region: "eu-west-1", Partner: "aws.partner/example.com",
		URL: "http://127.0.0.1:4566"}), "EventBridge's settings")
	check.Equal(t, load(t, map[string]string{"aws-events": "off"}, nil).EventBridge, (config.EventBridge{}),
		"EventBridge's settings when it is off")
}

// A test clock needs listeners that only the machine itself can reach, or the consent of the operator.
func TestTestClock(t *testing.T) {
	check.Equal(t, load(t, nil, nil).TestClock, config.TestClock{}, "the default")
	for text, want := range map[string]config.TestClock{
		"on":                        {On: true},
		"off":                       {},
		"2026-01-31T01:00:00+01:00": {On: true, Start: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)},
	} {
		check.Equal(t, load(t, map[string]string{"test-clock": text}, nil).TestClock, want, "--test-clock=%s", text)
	}
	_, err := config.Load(from(map[string]string{"test-clock": "soon"}, nil), config.Needs{})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "must be on, off, or a time such as") {
		t.Errorf("--test-clock=soon: got %v", err)
	}
	for _, tc := range []struct {
		addr, admin string
		want        bool
	}{
		{"127.0.0.1:1", "127.0.0.1:2", true},
		{"[::1]:1", "localhost:2", true},
		{"127.8.8.8:1", "127.0.0.1:2", true},
		{":1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "0.0.0.0:2", false},
		{"10.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "host.example:2", false},
		{"[::]:1", "[::1]:2", false},
	} {
		flags := map[string]string{"test-clock": "on", "addr": tc.addr, "admin-addr": tc.admin}
		_, err := config.Load(from(flags, nil), config.Needs{})
		if allowed := err == nil; allowed != tc.want {
			t.Errorf("a test clock on %s and %s: got %v, want allowed %v", tc.addr, tc.admin, err, tc.want)
		}
		flags["test-clock-anywhere"] = "on"
		check.Equal(t, load(t, flags, nil).TestClock, config.TestClock{On: true, Anywhere: true},
			"--test-clock-anywhere")
	}
}

func TestSignIn(t *testing.T) {
	if c := load(t, nil, nil); !c.SignIn.Passwords || c.SignIn.Issuer != "" {
		t.Errorf("sign-in: got %+v, want passwords and no issuer", c.SignIn)
	}
	for _, issuer := range []string{"https://id.example/realms/a/", "http://localhost:1", "http://127.0.0.1:1",
		"http://[::1]"} {
		c := load(t, map[string]string{"oidc-issuer": issuer, "oidc-client-id": "a", "password-sign-in": "off"},
			map[string]string{"LATCHKEY_OIDC_CLIENT_SECRET": "b"})
		check.Equal(t, c.SignIn, (config.SignIn{Issuer: issuer, ClientID: "a", ClientSecret: "b",
			Name: "OpenID Connect"}), "c.SignIn")
	}
}

func TestKeyFileOfPostgreSQL(t *testing.T) {
	postgres := map[string]string{"database": "postgres://h/d"}
	if _, err := config.Load(from(postgres, nil), config.Needs{}); err != nil {
		t.Errorf("a command without keys: %v", err)
	}
	if _, err := config.Load(from(postgres, nil), config.Needs{Keys: true}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a command with keys: got error %v, want kind %s", err, fault.Invalid)
	}
	if c := load(t, postgres, map[string]string{"LATCHKEY_KEY_FILE": "/etc/keys"}); c.KeyFile != "/etc/keys" ||
		!c.KeyFileGiven {
		t.Errorf("key file: got %s, given %t, want /etc/keys, given", c.KeyFile, c.KeyFileGiven)
	}
}

func TestBaseURL(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", "0.0.0.0:80": "http://localhost:80",
		"[::]:80": "http://localhost:80",
		":8080":   "http://localhost:8080", "[::1]:1": "http://[::1]:1", "keys.example:443": "http://keys.example:443",
	} {
		t.Run(addr, func(t *testing.T) {
			check.Equal(t, new(config.Config).BaseURL(addr), want, "new(config.Config).BaseURL(addr)")
		})
	}
}

// With a certificate, URLs that are derived from an address have https.
func TestTLS(t *testing.T) {
	flags := map[string]string{"tls-cert": "tls.crt", "tls-key": "tls.key", "tls-client-ca": "ca.crt",
		"tls-gateway-certs": "on"}
	c := load(t, flags, nil)
	check.Equal(t, c.TLS, config.TLS{Cert: "tls.crt", Key: "tls.key", ClientCA: "ca.crt", GatewayCerts: true}, "TLS")
	check.Equal(t, c.BaseURL(":8443"), "https://localhost:8443", "public URL")
	_, url := c.Replica("box", ":8443")
	check.Equal(t, url, "https://box:8443", "URL for other servers")
	flags["public-url"] = "http://keys.example"
	_, err := config.Load(from(flags, nil), config.Needs{})
	if want := "--public-url (LATCHKEY_PUBLIC_URL): must begin with https://"; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("a public URL with http: got %v, want %s…", err, want)
	}
}

func TestAuditStream(t *testing.T) {
	for text, want := range map[string]config.AuditStream{
		"file:/var/log//audit.log":          {File: "/var/log/audit.log"},
		"syslog://[::1]:514":                {Address: "[::1]:514"},
		"syslog+tls://logs.example:6514":    {Address: "logs.example:6514", TLS: true},
		"syslog+tls://logs:6514?ca=/ca.pem": {Address: "logs:6514", TLS: true, CA: "/ca.pem"},
	} {
		c := load(t, map[string]string{"audit-stream": text}, nil)
		check.Equal(t, c.AuditStream, want, "the target %s", text)
		check.Equal(t, c.AuditStream.On(), true, "events are streamed")
	}
}

func TestReplica(t *testing.T) {
	for _, tc := range []struct {
		name    string
		set     config.Config
		addr    string
		is, url string
	}{
		{"one address", config.Config{}, "10.0.0.1:8080", "box:8080", "http://10.0.0.1:8080"},
		{"every address", config.Config{}, "0.0.0.0:80", "box:80", "http://box:80"},
		{"every address of IPv6", config.Config{}, "[::]:80", "box:80", "http://box:80"},
		{"set", config.Config{ReplicaName: "eu-1", ReplicaURL: "https://eu-1.example"}, ":80", "eu-1",
			"https://eu-1.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if is, url := tc.set.Replica("box", tc.addr); is != tc.is || url != tc.url {
				t.Errorf("Replica() = %s, %s, want %s, %s", is, url, tc.is, tc.url)
			}
		})
	}
}

// The table in the manual is generated from the settings: go test ./internal/config -update.
func TestDocumented(t *testing.T) {
	const path, begin, end = "../../docs/settings.md", "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
	manual, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(manual), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table, want the lines %q and %q", path, begin, end)
	}
	whole := head + begin + table() + end + tail
	if *update {
		if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if whole != string(manual) {
		t.Errorf("%s is not up to date, want it as written by: go test ./internal/config -update", path)
	}
}

// commands are the commands that use settings for each purpose, in words. A test of internal/cli compares them with the
// flags of the commands.
var commands = map[config.Purpose]string{
	0:                     "`serve`",
	config.Storage:        "all that use the database",
	config.Scopes:         "`serve`, `scope list`, `token create`, `legacy convert`",
	config.Issuing:        "`serve`, `token create`, `legacy convert`",
	config.Links:          "`serve`, `token create`, `token list`, `legacy convert`, `user invite`",
	config.Mailing:        "`serve`, `user invite`",
	config.Receivers:      "`serve`, `webhook create`",
	config.LegacyAccounts: "`serve`, `legacy create`",
	config.Probing:        "`serve`, `health`",
}

func table() string {
	var b strings.Builder
	group := ""
	for _, s := range config.Settings() {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n### %s\n\n| flag | variable | default | what it is | commands |\n|---|---|---|---|---|\n", group)
		}
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s | %s |\n", s.Flag, s.Variable(), value, s.Usage, commands[s.For])
	}
	return b.String()
}
