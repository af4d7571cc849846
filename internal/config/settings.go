package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Setting describes one setting.
type Setting struct {
	// Flag is the name of the flag without its dashes.
	Flag string
	// Env is the name of the environment variable, if it does not follow from the flag (Variable).
	Env string
	// Default is the default value as text. Empty means none.
	Default string
	// Usage describes the setting in one line.
	Usage string
	// Serving reports whether only the server uses the setting. Other commands have no flag for it.
	Serving bool
	// For is what commands other than serve use the setting for. A command has flags only for its purposes.
	For Purpose
	// Group is the heading under which help and documentation list the setting.
	Group string

	// Bare reports whether the flag without a value means "on".
	Bare bool

	// keep validates text and stores its value.
	keep func(c *Config, text string) error
	// private reports whether the value must not appear in messages.
	private bool
	// Secret reports whether the value can contain a secret. It can then also be in a file, which the variable with
	// _FILE at its end names: container platforms mount secrets as files.
	Secret bool
}

// Settings returns every setting, in the order of the documentation.
func Settings() []Setting {
	return slices.Concat(
		grouped("Addresses", placeSettings()), grouped("TLS", tlsSettings()),
		grouped("Database and files", dataSettings()),
		grouped("API tokens", tokenSettings()), grouped("Requests", httpSettings()),
		grouped("Rate limits", rateSettings()), grouped("Webhooks and event sources", webhookSettings()),
		grouped("Audit log", auditSettings()), grouped("Retention", retentionSettings()),
		grouped("Billing", billingSettings()),
		grouped("Signing in", signInSettings()), grouped("Mail", mailSettings()),
		grouped("Reports of leaks", leakSettings()),
		grouped("Legacy API accounts", legacySettings()), grouped("GraphQL operations", querySettings()),
		grouped("Logs", logSettings()))
}

func grouped(group string, settings []Setting) []Setting {
	for i := range settings {
		settings[i].Group = group
	}
	return settings
}

func placeSettings() []Setting {
	return []Setting{
		{Flag: "addr", For: Links, Default: "127.0.0.1:8080", Usage: "address of the public listener, host:port",
			keep: address(func(c *Config) *string { return &c.Addr })},
		{Flag: "admin-addr", For: Probing, Default: "127.0.0.1:8081",
			Usage: "address of the admin listener (health, metrics), host:port",
			keep:  address(func(c *Config) *string { return &c.AdminAddr })},
		{Flag: "profiling", Default: "off", Bare: true, Serving: true,
			Usage: "whether the admin listener serves profiles of the process at /debug/pprof/: on or off",
			keep:  onOff(func(c *Config) *bool { return &c.Profiling })},
		{Flag: "public-url", For: Links, private: true,
			Usage: "URL of the public listener for clients (default: its address, with https:// if it has --tls-cert; other commands: the URL of the server that started last)",
			keep:  webURL(func(c *Config) *string { return &c.PublicURL })},
		{Flag: "replica-name", Serving: true,
			Usage: "name of this server among those that share its database (default: the machine's name and the port)",
			keep:  replicaName},
		{Flag: "instance-file", Serving: true,
			Usage: "file on storage that only this server uses; lets it restart without waiting on another machine after a crash (default: none)",
			keep:  file(func(c *Config) *string { return &c.InstanceFile })},
		{Flag: "replica-url", Serving: true, private: true,
			Usage: "URL of the public listener for the other servers (default: its address, with https:// if it has --tls-cert)",
			keep:  webURL(func(c *Config) *string { return &c.ReplicaURL })},
		{Flag: "trusted-proxies", Serving: true,
			Usage: "CIDRs of proxies whose X-Forwarded-For and X-Request-Id are trusted, separated by commas",
			keep:  prefixes(func(c *Config) *[]netip.Prefix { return &c.TrustedProxies })},
		{Flag: "gateway-addresses", Serving: true, Usage: "CIDRs of gateways that need no key, separated by commas",
			keep: prefixes(func(c *Config) *[]netip.Prefix { return &c.GatewayAddresses })},
		{Flag: "shutdown-delay", Default: "5s", Serving: true,
			Usage: "at shutdown, how long the server keeps serving while /readyz answers 503 (serve --demo: 0s)",
			keep:  duration(func(c *Config) *time.Duration { return &c.ShutdownDelay }, "0s", "5m")},
		{Flag: "shutdown-grace", Default: "25s", Serving: true,
			Usage: "after the delay, how long the server has to finish requests in flight and exit",
			keep:  duration(func(c *Config) *time.Duration { return &c.ShutdownGrace }, "1s", "10m")},
	}
}

func tlsSettings() []Setting {
	return []Setting{
		{Flag: "tls-cert", Serving: true,
			Usage: "file with the certificate of the public listener and those of its issuers, in PEM form; clients then use https (default: none, http)",
			keep:  file(func(c *Config) *string { return &c.TLS.Cert })},
		{Flag: "tls-key", Serving: true,
			Usage: "file with the private key of the certificate, in PEM form; required with --tls-cert",
			keep:  file(func(c *Config) *string { return &c.TLS.Key })},
		{Flag: "tls-client-ca", Serving: true,
			Usage: "file with the authorities of client certificates, in PEM form; a certificate that a client presents is then verified (default: none are asked for)",
			keep:  file(func(c *Config) *string { return &c.TLS.ClientCA })},
		{Flag: "tls-gateway-certs", Default: "off", Bare: true, Serving: true,
			Usage: "whether gateways must present a certificate of --tls-client-ca: on or off",
			keep:  onOff(func(c *Config) *bool { return &c.TLS.GatewayCerts })},
	}
}

// fileFlag is the flag of the settings file.
const fileFlag = "config"

func dataSettings() []Setting {
	return []Setting{
		{Flag: fileFlag, For: Storage,
			Usage: "file with settings, a variable and its value on each line; flags and the environment take precedence (default: none)",
			keep:  file(func(c *Config) *string { return &c.File })},
		{Flag: "database", For: Storage, Env: "LATCHKEY_DATABASE_URL", Default: "sqlite:latchkey.db",
			private: true, Secret: true, Usage: "database: sqlite:FILE or postgres://…", keep: database},
		{Flag: "feed-database", Env: "LATCHKEY_FEED_DATABASE_URL", private: true, Secret: true, Serving: true,
			Usage: "direct URL of the same database, postgres://…, if --database goes through a pooler such as pgbouncer", keep: feedDatabase},
		{Flag: "max-connections", For: Storage, Default: "16",
			Usage: "maximum number of database connections; a quarter of them is reserved for credential lookups",
			keep:  number(func(c *Config) *int { return &c.MaxConnections }, 2, 1000)},
		{Flag: "key-file", For: Storage,
			Usage: "file with the server keys (default: created beside an SQLite database; required with PostgreSQL)",
			keep:  keyFile},
		{Flag: "catalogue", For: Scopes, Usage: "file with your own catalogue of scopes (default: built in)",
			keep: file(func(c *Config) *string { return &c.Catalogue })},
		{Flag: "routes", Serving: true,
			Usage: "file with your own routes, which define the scopes for the APIs behind gateways (default: built in)",
			keep:  file(func(c *Config) *string { return &c.Routes })},
		{Flag: "cache-size", Default: "100000", Serving: true,
			Usage: "maximum number of cached credentials, and of cached stores",
			keep:  number(func(c *Config) *int { return &c.CacheSize }, 1, 100_000_000)},
		{Flag: "cache-age", Default: "5m", Serving: true,
			Usage: "maximum time for which a credential or a store is cached",
			keep:  duration(func(c *Config) *time.Duration { return &c.CacheAge }, "1s", "24h")},
		{Flag: "canary-interval", Default: "1m", Serving: true,
			Usage: "how often the canary measures the time until a revocation reaches every server; or off",
			keep:  orOff(func(c *Config) *time.Duration { return &c.CanaryInterval }, "100ms", "24h")},
		{Flag: "last-use-interval", Default: "10s", Serving: true,
			Usage: "how often last uses of tokens are written; off records none",
			keep:  orOff(func(c *Config) *time.Duration { return &c.LastUseInterval }, "1s", "1m")},
	}
}

func tokenSettings() []Setting {
	return []Setting{
		{Flag: "max-tokens-per-store", For: Issuing, Default: "50",
			Usage: "maximum number of active API tokens for one store",
			keep:  number(func(c *Config) *int { return &c.MaxTokensPerStore }, 1, 1_000_000)},
		{Flag: "max-tokens-per-account", For: Issuing, Default: "50",
			Usage: "maximum number of active account-level API tokens for one account",
			keep:  number(func(c *Config) *int { return &c.MaxTokensPerAccount }, 1, 1_000_000)},
		{Flag: "max-token-lifetime", For: Issuing,
			Usage: "maximum lifetime of a new API token; makes an expiration required (default: no limit)",
			keep:  duration(func(c *Config) *time.Duration { return &c.MaxTokenLifetime }, "1m", "87600h")},
		{Flag: "oauth-token-lifetime", Default: "1h", Serving: true,
			Usage: "lifetime of access tokens from the OAuth token endpoint",
			keep:  duration(func(c *Config) *time.Duration { return &c.OAuthTokenLifetime }, "1m", "1h")},
	}
}

func auditSettings() []Setting {
	return []Setting{
		{Flag: "audit-stream", Serving: true,
			Usage: "where to stream audit events: file:PATH, syslog://HOST:PORT or syslog+tls://HOST:PORT, the last with ?ca=FILE for authorities of your own (default: nowhere)",
			keep:  auditStream},
	}
}

func retentionSettings() []Setting {
	return []Setting{
		{Flag: "ended-retention", Default: "8760h", Serving: true,
			Usage: "how long API tokens and sessions are kept after they ended; or off, to keep them forever",
			keep:  orOff(func(c *Config) *time.Duration { return &c.EndedRetention }, "24h", "876000h")},
		{Flag: "audit-retention", Default: "off", Serving: true,
			Usage: "how long audit events are kept; or off, to keep them forever",
			keep:  orOff(func(c *Config) *time.Duration { return &c.AuditRetention }, "720h", "876000h")},
	}
}

func webhookSettings() []Setting {
	return []Setting{
		{Flag: "webhook-workers", Default: "256", Serving: true,
			Usage: "maximum number of webhook requests that this server has in flight; 0 sends none",
			keep:  number(func(c *Config) *int { return &c.Webhooks.Workers }, 0, 10_000)},
		{Flag: "webhook-allow", For: Receivers,
			Usage: "CIDRs of receivers of webhooks on your own network, separated by commas; they may have http and any port (default: only public addresses, with https; serve --demo: this machine)",
			keep:  prefixes(func(c *Config) *[]netip.Prefix { return &c.Webhooks.Allow })},
		{Flag: "max-webhooks", For: Receivers, Default: "20", Usage: "maximum number of webhooks of one account",
			keep: number(func(c *Config) *int { return &c.Webhooks.MaxPerAccount }, 1, 1000)},
		{Flag: "aws-events", Default: "off", Serving: true,
			Usage: "AWS region where apps can have event sources in Amazon EventBridge, such as eu-west-1; or off",
			keep:  awsRegion},
		{Flag: "aws-events-partner", Serving: true,
			Usage: "your name as a partner of Amazon EventBridge, such as aws.partner/example.com; required with --aws-events",
			keep:  awsPartner},
		{Flag: "aws-events-url", Serving: true, private: true,
			Usage: "URL of Amazon EventBridge (default: that of the region)",
			keep:  webURL(func(c *Config) *string { return &c.EventBridge.URL })},
	}
}

func billingSettings() []Setting {
	return []Setting{
		{Flag: "test-clock", Default: "off", Bare: true, Serving: true,
			Usage: "whether billing goes by a test clock, which is kept in the database: on, off, or the time at which it starts",
			keep:  testClock},
		{Flag: "test-clock-anywhere", Default: "off", Bare: true, Serving: true,
			Usage: "whether a server that other machines can reach may have a test clock: on or off",
			keep:  onOff(func(c *Config) *bool { return &c.TestClock.Anywhere })},
	}
}

func leakSettings() []Setting {
	return []Setting{
		{Flag: "leak-reports", Default: "on", Serving: true,
			Usage: "whether a client that has a secret can report it as leaked: on or off",
			keep:  onOff(func(c *Config) *bool { return &c.Leaks.Unsigned })},
		{Flag: "leak-report-keys", Serving: true,
			Usage: "file with the public keys of secret scanners, in the form of https://api.github.com/meta/public_keys/secret_scanning (default: none; signed reports are refused)",
			keep:  file(func(c *Config) *string { return &c.Leaks.Keys })},
	}
}

func mailSettings() []Setting {
	return []Setting{
		{Flag: "smtp-url", For: Mailing, private: true, Secret: true,
			Usage: "mail server: smtp://USER:PASSWORD@HOST:587, with STARTTLS, or smtps://…:465 (default: no mails)",
			keep:  smtpURL},
		{Flag: "mail-from", For: Mailing, Usage: "sender address of mails, such as keys@example.com; required with --smtp-url",
			keep: mailFrom},
	}
}

func httpSettings() []Setting {
	return []Setting{
		{Flag: "max-body", Default: "1048576", Serving: true, Usage: "maximum size of a request body, in bytes",
			keep: number(func(c *Config) *int { return &c.HTTP.MaxBody }, 1024, 64<<20)},
		{Flag: "max-header", Default: "16384", Serving: true, Usage: "maximum size of a request header, in bytes",
			keep: number(func(c *Config) *int { return &c.HTTP.MaxHeader }, 4096, 1<<20)},
		{Flag: "read-timeout", Default: "10s", Serving: true, Usage: "maximum time to read a request",
			keep: duration(func(c *Config) *time.Duration { return &c.HTTP.ReadTimeout }, "1s", "10m")},
		{Flag: "request-timeout", Default: "20s", Serving: true, Usage: "maximum time to handle a request",
			keep: duration(func(c *Config) *time.Duration { return &c.HTTP.RequestTimeout }, "1s", "10m")},
		{Flag: "write-timeout", Default: "40s", Serving: true,
			Usage: "maximum time from the header of a request to the end of its response",
			keep:  duration(func(c *Config) *time.Duration { return &c.HTTP.WriteTimeout }, "1s", "20m")},
		{Flag: "cors-origins", Serving: true,
			Usage: "origins of web pages that may call the Account API from a browser, such as https://admin.example.com, separated by commas (default: none)",
			keep:  origins},
		{Flag: "idle-timeout", Default: "2m", Serving: true,
			Usage: "maximum time that a connection waits for its next request",
			keep:  duration(func(c *Config) *time.Duration { return &c.HTTP.IdleTimeout }, "1s", "1h")},
		{Flag: "connections-per-address", Default: "1000", Serving: true,
			Usage: "maximum number of open connections of one client address, trusted proxies apart; 0 means no limit",
			keep:  number(func(c *Config) *int { return &c.Connections.PerAddress }, 0, 1_000_000)},
		{Flag: "open-connections", Default: "4000", Serving: true,
			Usage: "maximum number of open connections of all client addresses, trusted proxies apart; 0 means no limit",
			keep:  number(func(c *Config) *int { return &c.Connections.Total }, 0, 1_000_000)},
	}
}

func rateSettings() []Setting {
	return []Setting{
		{Flag: "rate-limits", Default: "on", Serving: true, Usage: "whether the rate limits apply: on or off",
			keep: onOff(func(c *Config) *bool { return &c.Rates.On })},
		{Flag: "token-rate", Default: "10000/30s", Serving: true,
			Usage: "requests of one API token, or of one user, in a window",
			keep:  rate(func(c *Config) *Rate { return &c.Rates.Token })},
		{Flag: "account-rate", Default: "50000/30s", Serving: true, Usage: "requests of one account in a window",
			keep: rate(func(c *Config) *Rate { return &c.Rates.Account })},
		{Flag: "failure-rate", Default: "100/1m", Serving: true,
			Usage: "failed credentials from one address in a window",
			keep:  rate(func(c *Config) *Rate { return &c.Rates.Failure })},
	}
}

func signInSettings() []Setting {
	return []Setting{
		{Flag: "password-sign-in", Default: "on", Serving: true,
			Usage: "whether users can sign in with passwords: on or off",
			keep:  onOff(func(c *Config) *bool { return &c.SignIn.Passwords })},
		{Flag: "oidc-issuer", Serving: true,
			Usage: "URL of an OpenID Connect provider where users can also sign in; it redirects to the public URL and /signin/openid/callback",
			keep:  issuer},
		{Flag: "oidc-client-id", Serving: true, Usage: "client ID of Latchkey at the provider",
			keep: oneLine(func(c *Config) *string { return &c.SignIn.ClientID }, 500)},
		{Flag: "oidc-client-secret", private: true, Secret: true, Serving: true,
			Usage: "client secret at the provider; prefer the variable, because other users of the machine see flags",
			keep:  oneLine(func(c *Config) *string { return &c.SignIn.ClientSecret }, 500)},
		{Flag: "oidc-name", Default: "OpenID Connect", Serving: true, Usage: "display name of the provider",
			keep: oneLine(func(c *Config) *string { return &c.SignIn.Name }, 50)},
		{Flag: "session-lifetime", Default: "12h", Serving: true, Usage: "lifetime of a session of the control panel",
			keep: duration(func(c *Config) *time.Duration { return &c.SessionLifetime }, "5m", "720h")},
		{Flag: "session-idle", Default: "1h", Serving: true,
			Usage: "how long a session lasts without a request; or off",
			keep:  orOff(func(c *Config) *time.Duration { return &c.SessionIdle }, "5m", "720h")},
	}
}

func legacySettings() []Setting {
	return []Setting{
		{Flag: "allow-legacy", For: LegacyAccounts, Default: "off", Bare: true,
			Usage: "whether new legacy API accounts can be created: on or off",
			keep:  onOff(func(c *Config) *bool { return &c.Legacy.Allowed })},
		{Flag: "legacy-deprecated-at", Default: "2026-01-01T00:00:00Z", Serving: true,
			Usage: "time since which legacy API accounts are deprecated",
			keep:  timestamp(func(c *Config) *time.Time { return &c.Legacy.DeprecatedAt })},
		{Flag: "legacy-sunset-at", Default: "2027-12-31T00:00:00Z", Serving: true,
			Usage: "time at which legacy API accounts are expected to stop working",
			keep:  timestamp(func(c *Config) *time.Time { return &c.Legacy.SunsetAt })},
	}
}

func querySettings() []Setting {
	return []Setting{
		{Flag: "query-depth", Default: "20", Serving: true, Usage: "maximum depth of fields in one operation",
			keep: number(func(c *Config) *int { return &c.Query.Depth }, 1, 1000)},
		{Flag: "query-complexity", Default: "50000", Serving: true,
			Usage: "maximum number of fields that one operation could return, with each list element counted",
			keep:  number(func(c *Config) *int { return &c.Query.Complexity }, 1, 10_000_000)},
		{Flag: "query-aliases", Default: "100", Serving: true, Usage: "maximum number of aliases in one document",
			keep: number(func(c *Config) *int { return &c.Query.Aliases }, 1, 100_000)},
		{Flag: "query-directives", Default: "100", Serving: true, Usage: "maximum number of directives in one document",
			keep: number(func(c *Config) *int { return &c.Query.Directives }, 1, 100_000)},
	}
}

func logSettings() []Setting {
	return []Setting{
		{Flag: "log-format", Default: "text", Serving: true, Usage: "log format: text or json", keep: logFormat},
		{Flag: "log-level", Default: "info", Serving: true,
			Usage: "minimum level that is logged: debug, info, warn or error", keep: logLevel},
	}
}

// Variable returns the name of the environment variable.
func (s Setting) Variable() string {
	if s.Env != "" {
		return s.Env
	}
	return "LATCHKEY_" + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_"))
}

// fileVariable returns the name of the environment variable that names a file with the value of a secret.
func (s Setting) fileVariable() string { return s.Variable() + "_FILE" }

// name returns the name of the setting in messages.
func (s Setting) name() string { return "--" + s.Flag + " (" + s.Variable() + ")" }
