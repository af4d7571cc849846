package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Setting is one thing that the operator can set.
type Setting struct {
	// Flag is the name of the flag without its dashes.
	Flag string
	// Env is the environment variable's where it does not follow from the
	// flag's (Variable).
	Env string
	// Default is the value unless set, as text; empty for none.
	Default string
	// Usage says in one line what it is.
	Usage string
	// Serving says that only the server uses it, so that other commands have
	// no flag for it.
	Serving bool

	// Bare says that the flag alone, without a value, means "on".
	Bare bool

	// keep checks text and keeps its value.
	keep func(c *Config, text string) error
	// private values are not repeated in messages.
	private bool
}

// Settings returns every setting, in the order of the documentation.
func Settings() []Setting {
	return slices.Concat(placeSettings(), dataSettings(), tokenSettings(), httpSettings(), rateSettings(), signInSettings(), mailSettings(), legacySettings(), querySettings(), logSettings())
}

func placeSettings() []Setting {
	return []Setting{
		{Flag: "addr", Default: "127.0.0.1:8080", Usage: "address of the public listener, host:port",
			keep: address(func(c *Config) *string { return &c.Addr })},
		{Flag: "admin-addr", Default: "127.0.0.1:8081", Serving: true, Usage: "address of the admin listener (health, metrics), host:port",
			keep: address(func(c *Config) *string { return &c.AdminAddr })},
		{Flag: "public-url", private: true, Usage: "how clients reach the public listener (default: http:// and its address)",
			keep: webURL(func(c *Config) *string { return &c.PublicURL })},
		{Flag: "replica-name", Serving: true, Usage: "what this server is called among those that share its database (default: the machine's name and the port)",
			keep: replicaName},
		{Flag: "instance-file", Serving: true,
			Usage: "file on storage of this server's own, locked while it runs, so that it starts again at once after a crash on another machine (default: none)",
			keep:  file(func(c *Config) *string { return &c.InstanceFile })},
		{Flag: "replica-url", Serving: true, private: true, Usage: "how the others reach its public listener (default: http:// and its address)",
			keep: webURL(func(c *Config) *string { return &c.ReplicaURL })},
		{Flag: "trusted-proxies", Serving: true, Usage: "CIDRs of proxies whose X-Forwarded-For and X-Request-Id are believed, separated by commas",
			keep: prefixes(func(c *Config) *[]netip.Prefix { return &c.TrustedProxies })},
		{Flag: "gateway-addresses", Serving: true, Usage: "CIDRs from which gateways may ask without a key, separated by commas",
			keep: prefixes(func(c *Config) *[]netip.Prefix { return &c.GatewayAddresses })},
		{Flag: "shutdown-delay", Default: "5s", Serving: true,
			Usage: "how long the server goes on serving at stop, not ready, until load balancers have noticed (serve --demo: 0s)",
			keep:  duration(func(c *Config) *time.Duration { return &c.ShutdownDelay }, "0s", "5m")},
		{Flag: "shutdown-grace", Default: "25s", Serving: true, Usage: "how long the server then has to finish requests in flight and to end",
			keep: duration(func(c *Config) *time.Duration { return &c.ShutdownGrace }, "1s", "10m")},
	}
}

func dataSettings() []Setting {
	return []Setting{
		{Flag: "database", Env: "LATCHKEY_DATABASE_URL", Default: "sqlite:latchkey.db", private: true,
			Usage: "database: sqlite:FILE or postgres://…", keep: database},
		{Flag: "feed-database", Env: "LATCHKEY_FEED_DATABASE_URL", private: true, Serving: true,
			Usage: "the same database's direct URL, postgres://…, when --database goes through a pooler such as pgbouncer", keep: feedDatabase},
		{Flag: "max-connections", Default: "16", Usage: "connections to the database at most, a quarter of which look-ups of credentials have for themselves",
			keep: number(func(c *Config) *int { return &c.MaxConnections }, 2, 1000)},
		{Flag: "key-file", Usage: "file of the server's keys (default: made beside an SQLite database; needed with PostgreSQL)", keep: keyFile},
		{Flag: "catalogue", Usage: "file of your own catalogue of scopes (default: built in)",
			keep: file(func(c *Config) *string { return &c.Catalogue })},
		{Flag: "routes", Serving: true, Usage: "file of your own routes: which scope the APIs behind gateways ask for (default: built in)",
			keep: file(func(c *Config) *string { return &c.Routes })},
		{Flag: "cache-size", Default: "100000", Serving: true, Usage: "credentials remembered at most, and as many stores",
			keep: number(func(c *Config) *int { return &c.CacheSize }, 1, 100_000_000)},
		{Flag: "cache-age", Default: "5m", Serving: true, Usage: "how long a credential or a store is remembered at most",
			keep: duration(func(c *Config) *time.Duration { return &c.CacheAge }, "1s", "24h")},
		{Flag: "canary-interval", Default: "1m", Serving: true, Usage: "how often it is measured how long a revocation takes to reach every server; or off",
			keep: orOff(func(c *Config) *time.Duration { return &c.CanaryInterval }, "100ms", "24h")},
		{Flag: "last-use-interval", Default: "10s", Serving: true, Usage: "how often the last uses of tokens are written; off keeps none",
			keep: orOff(func(c *Config) *time.Duration { return &c.LastUseInterval }, "1s", "1m")},
	}
}

func tokenSettings() []Setting {
	return []Setting{
		{Flag: "max-tokens-per-store", Default: "50", Usage: "live API tokens of one store at most",
			keep: number(func(c *Config) *int { return &c.MaxTokensPerStore }, 1, 1_000_000)},
		{Flag: "max-tokens-per-account", Default: "50", Usage: "live account-level API tokens of one account at most",
			keep: number(func(c *Config) *int { return &c.MaxTokensPerAccount }, 1, 1_000_000)},
		{Flag: "max-token-lifetime", Usage: "how long a new API token may live at most; makes an expiry mandatory (default: no bound)",
			keep: duration(func(c *Config) *time.Duration { return &c.MaxTokenLifetime }, "1m", "87600h")},
		{Flag: "oauth-token-lifetime", Default: "1h", Serving: true, Usage: "how long an access token of the OAuth token endpoint lives",
			keep: duration(func(c *Config) *time.Duration { return &c.OAuthTokenLifetime }, "1m", "1h")},
	}
}

func mailSettings() []Setting {
	return []Setting{
		{Flag: "session-lifetime", Default: "12h", Serving: true, Usage: "how long somebody who signs in to the control panel stays signed in",
			keep: duration(func(c *Config) *time.Duration { return &c.SessionLifetime }, "5m", "720h")},
		{Flag: "session-idle", Default: "1h", Serving: true, Usage: "how long a session works without being used; or off",
			keep: orOff(func(c *Config) *time.Duration { return &c.SessionIdle }, "5m", "720h")},
		{Flag: "smtp-url", private: true, Usage: "the server that takes mails: smtp://USER:PASSWORD@HOST:587, with STARTTLS, or smtps://…:465 (default: no mails)",
			keep: smtpURL},
		{Flag: "mail-from", Usage: "the address that mails come from, such as keys@example.com; needed with --smtp-url",
			keep: mailFrom},
	}
}

func httpSettings() []Setting {
	return []Setting{
		{Flag: "max-body", Default: "1048576", Serving: true, Usage: "largest request body, in bytes",
			keep: number(func(c *Config) *int { return &c.HTTP.MaxBody }, 1024, 64<<20)},
		{Flag: "max-header", Default: "16384", Serving: true, Usage: "largest request header, in bytes",
			keep: number(func(c *Config) *int { return &c.HTTP.MaxHeader }, 4096, 1<<20)},
		{Flag: "read-timeout", Default: "10s", Serving: true, Usage: "longest time to read a request",
			keep: duration(func(c *Config) *time.Duration { return &c.HTTP.ReadTimeout }, "1s", "10m")},
		{Flag: "request-timeout", Default: "20s", Serving: true, Usage: "longest time to work on a request",
			keep: duration(func(c *Config) *time.Duration { return &c.HTTP.RequestTimeout }, "1s", "10m")},
		{Flag: "write-timeout", Default: "40s", Serving: true, Usage: "longest time from a request's header to the end of its answer",
			keep: duration(func(c *Config) *time.Duration { return &c.HTTP.WriteTimeout }, "1s", "20m")},
		{Flag: "idle-timeout", Default: "2m", Serving: true, Usage: "how long a connection may wait for its next request",
			keep: duration(func(c *Config) *time.Duration { return &c.HTTP.IdleTimeout }, "1s", "1h")},
	}
}

func rateSettings() []Setting {
	return []Setting{
		{Flag: "rate-limits", Default: "on", Serving: true, Usage: "whether requests are limited by rate: on or off",
			keep: onOff(func(c *Config) *bool { return &c.Rates.On })},
		{Flag: "token-rate", Default: "10000/30s", Serving: true, Usage: "requests of one API token, or of one person, in a window",
			keep: rate(func(c *Config) *Rate { return &c.Rates.Token })},
		{Flag: "account-rate", Default: "50000/30s", Serving: true, Usage: "requests of one account in a window",
			keep: rate(func(c *Config) *Rate { return &c.Rates.Account })},
		{Flag: "failure-rate", Default: "100/1m", Serving: true, Usage: "credentials from one address that do not work, in a window",
			keep: rate(func(c *Config) *Rate { return &c.Rates.Failure })},
	}
}

func signInSettings() []Setting {
	return []Setting{
		{Flag: "password-sign-in", Default: "on", Serving: true, Usage: "whether people sign in with passwords: on or off",
			keep: onOff(func(c *Config) *bool { return &c.SignIn.Passwords })},
		{Flag: "oidc-issuer", Serving: true, Usage: "URL of an OpenID Connect provider where people sign in, too; it redirects to the public URL and /signin/openid/callback",
			keep: issuer},
		{Flag: "oidc-client-id", Serving: true, Usage: "what Latchkey is called at the provider",
			keep: oneLine(func(c *Config) *string { return &c.SignIn.ClientID }, 500)},
		{Flag: "oidc-client-secret", private: true, Serving: true,
			Usage: "its secret there, better given by the variable: others on the machine see flags",
			keep:  oneLine(func(c *Config) *string { return &c.SignIn.ClientSecret }, 500)},
		{Flag: "oidc-name", Default: "OpenID Connect", Serving: true, Usage: "what people call the provider",
			keep: oneLine(func(c *Config) *string { return &c.SignIn.Name }, 50)},
	}
}

func legacySettings() []Setting {
	return []Setting{
		{Flag: "allow-legacy", Default: "off", Bare: true, Usage: "whether new legacy API accounts may be made: on or off",
			keep: onOff(func(c *Config) *bool { return &c.Legacy.Allowed })},
		{Flag: "legacy-deprecated-at", Default: "2026-01-01T00:00:00Z", Serving: true, Usage: "since when legacy API accounts are deprecated",
			keep: moment(func(c *Config) *time.Time { return &c.Legacy.DeprecatedAt })},
		{Flag: "legacy-sunset-at", Default: "2027-12-31T00:00:00Z", Serving: true, Usage: "from when on legacy API accounts are expected to work no more",
			keep: moment(func(c *Config) *time.Time { return &c.Legacy.SunsetAt })},
	}
}

func querySettings() []Setting {
	return []Setting{
		{Flag: "query-depth", Default: "20", Serving: true, Usage: "levels of fields in one operation at most",
			keep: number(func(c *Config) *int { return &c.Query.Depth }, 1, 1000)},
		{Flag: "query-complexity", Default: "50000", Serving: true, Usage: "fields that one operation may make the server answer, list elements counted each",
			keep: number(func(c *Config) *int { return &c.Query.Complexity }, 1, 10_000_000)},
		{Flag: "query-aliases", Default: "100", Serving: true, Usage: "aliases in one document at most",
			keep: number(func(c *Config) *int { return &c.Query.Aliases }, 1, 100_000)},
		{Flag: "query-directives", Default: "100", Serving: true, Usage: "directives in one document at most",
			keep: number(func(c *Config) *int { return &c.Query.Directives }, 1, 100_000)},
	}
}

func logSettings() []Setting {
	return []Setting{
		{Flag: "log-format", Default: "text", Serving: true, Usage: "form of the log: text or json", keep: logFormat},
		{Flag: "log-level", Default: "info", Serving: true, Usage: "least level that is logged: debug, info, warn or error", keep: logLevel},
	}
}

// Variable returns the name of the environment variable.
func (s Setting) Variable() string {
	if s.Env != "" {
		return s.Env
	}
	return "LATCHKEY_" + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_"))
}

// name is how messages call the setting.
func (s Setting) name() string { return "--" + s.Flag + " (" + s.Variable() + ")" }
