package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config holds all settings, validated.
type Config struct {
	// Addr and AdminAddr are the addresses of the two listeners, as host:port.
	Addr, AdminAddr string
	// AddrGiven reports whether Addr was set explicitly.
	AddrGiven bool
	// Profiling reports whether the admin listener serves profiles of the process.
	Profiling bool
	// PublicURL is the URL of the public listener for clients, without a trailing slash. If empty, it is derived from
	// the listener's address (BaseURL).
	PublicURL string
	// ReplicaName is the name of this server among those that share its database, and ReplicaURL the URL of its public
	// listener for them, without a trailing slash. If empty, they are derived from the listener's address (Replica).
	ReplicaName, ReplicaURL string
	// InstanceFile is the file that this server keeps locked while it runs. Empty means none.
	InstanceFile string
	// File is the settings file. Empty means none.
	File string
	// Database is the URL of the database. It may contain a password and must not be printed.
	Database string
	// FeedDatabase is the direct URL of the same database if Database goes through a pooler. Empty means Database. It
	// may contain a password and must not be printed.
	FeedDatabase string
	// MaxConnections is the size of the database connection pool.
	MaxConnections int
	// KeyFile is the file of the server's keys. KeyFileGiven reports whether it was set explicitly.
	KeyFile      string
	KeyFileGiven bool
	// Catalogue is the file of the operator's own scope catalogue. Empty means the built-in one.
	Catalogue string
	// Routes is the file of the operator's own routes for the APIs behind gateways. Empty means the built-in ones.
	Routes string
	// MaxTokensPerStore and MaxTokensPerAccount limit the number of active API tokens.
	MaxTokensPerStore, MaxTokensPerAccount int
	// MaxTokenLifetime is the maximum lifetime of an API token. Zero means no limit.
	MaxTokenLifetime time.Duration
	// OAuthTokenLifetime is the lifetime of an access token issued by the OAuth token endpoint.
	OAuthTokenLifetime time.Duration
	// CacheSize and CacheAge limit the credential caches.
	CacheSize int
	CacheAge  time.Duration
	// CanaryInterval is the interval at which the revocation lag is measured. Zero disables the canary.
	CanaryInterval time.Duration
	// LastUseInterval is the interval at which last uses of tokens are written. Zero disables them.
	LastUseInterval time.Duration
	// ShutdownDelay is how long the server keeps serving, not ready, after a signal to stop.
	ShutdownDelay time.Duration
	// ShutdownGrace is how long the server then waits for requests in flight and for its own shutdown.
	ShutdownGrace time.Duration
	// TrustedProxies are the addresses whose X-Forwarded-For and X-Request-Id headers are trusted.
	TrustedProxies []netip.Prefix
	// TLS has the files of the public listener's TLS.
	TLS TLS
	// GatewayAddresses are the addresses from which gateways may call without a key.
	GatewayAddresses []netip.Prefix
	// CORSOrigins are the origins of web pages that may call the Account API from a browser.
	CORSOrigins []string
	Legacy      Legacy
	SignIn      SignIn
	HTTP        HTTP
	Connections Connections
	Rates       Rates
	Query       Query
	Log         Log
	Mail        Mail
	Webhooks    Webhooks
	AuditStream AuditStream
	// EndedRetention is how long what ended is kept, and AuditRetention how long audit events are. Zero means forever.
	EndedRetention, AuditRetention time.Duration

	TestClock   TestClock
	EventBridge EventBridge
	Leaks       Leaks
	// SessionLifetime is the maximum lifetime of a control panel session.
	SessionLifetime time.Duration
	// SessionIdle is the idle timeout of a session. Zero means none.
	SessionIdle time.Duration
}

// TLS holds the files of the public listener's TLS.
type TLS struct {
	// Cert and Key are the files of the certificate and its key. Empty means that the listener has no TLS.
	Cert, Key string
	// ClientCA is the file of the authorities of client certificates. Empty means none.
	ClientCA string
	// GatewayCerts reports whether gateways must present a certificate.
	GatewayCerts bool
}

// HTTP holds the limits of one request.
type HTTP struct {
	// MaxBody and MaxHeader are in bytes.
	MaxBody, MaxHeader int
	// ReadTimeout limits reading a request, WriteTimeout the time from its header to the end of the response,
	// IdleTimeout the wait for the next request, and RequestTimeout the processing of one request.
	ReadTimeout, WriteTimeout, IdleTimeout, RequestTimeout time.Duration
}

// Connections limits the open connections of the public listener. 0 means no limit.
type Connections struct {
	// PerAddress is the maximum of one address (of IPv6, its /64), and Total that of all, trusted proxies apart.
	PerAddress, Total int
}

// Legacy holds the settings of legacy API accounts.
type Legacy struct {
	// Allowed reports whether new ones may be created.
	Allowed bool
	// DeprecatedAt and SunsetAt are the dates in the headers of responses to legacy API accounts: since when they are
	// deprecated (RFC 9745), and when they are expected to stop working (RFC 8594). They work until they are deleted.
	DeprecatedAt, SunsetAt time.Time
}

// SignIn holds the ways to sign in to the panel.
type SignIn struct {
	// Passwords reports whether users can sign in with a password.
	Passwords bool
	// Issuer is the URL of the OpenID Connect provider. Empty means none. ClientID and ClientSecret are Latchkey's
	// credentials there, and Name is the provider's display name. The secret must not be printed.
	Issuer, ClientID, ClientSecret, Name string
}

// Rates holds the rate limits of one process.
type Rates struct {
	// On reports whether requests are limited at all.
	On bool
	// Token and Account limit the requests of one API token or user, and of a whole account. Failure limits the failed
	// authentications from one address.
	Token, Account, Failure Rate
}

// Rate is the number of requests allowed in a window.
type Rate struct {
	Requests int
	Window   time.Duration
}

// Leaks holds the settings for reports of leaked secrets.
type Leaks struct {
	// Unsigned reports whether any client that has a secret may report it.
	Unsigned bool
	// Keys is the file of the keys of secret scanners. Empty means that signed reports are refused.
	Keys string
}

// Mail holds the settings for sending mail. Without a host no mail is sent.
type Mail struct {
	Host string
	Port int
	// TLS reports whether the connection begins with TLS.
	TLS bool
	// User and Password authenticate with the mail server. The password must not be printed.
	User, Password string
	// From is the sender address of mails.
	From string
}

// Webhooks holds the settings of webhooks.
type Webhooks struct {
	// Workers is the maximum number of attempts of this process in flight. Zero means that it sends none.
	Workers int
	// Allow are the addresses that receivers may have although they are not public, over http and on any port, too.
	Allow []netip.Prefix
	// MaxPerAccount limits the number of webhooks of an account.
	MaxPerAccount int
}

// AuditStream is where the server streams audit events to. With neither a file nor an address it does not.
type AuditStream struct {
	// File is the path of a file.
	File string
	// Address is the host and port of a syslog receiver.
	Address string
	// TLS reports whether the connection to it has TLS, and CA is the file with the receiver's authorities. Empty means
	// those of the machine.
	TLS bool
	CA  string
}

// On reports whether events are streamed.
func (s AuditStream) On() bool { return s != AuditStream{} }

// TestClock holds the settings of the clock that billing goes by in tests.
type TestClock struct {
	// On reports whether billing goes by it.
	On bool
	// Start is where it starts in a database that has none. Zero means the present time.
	Start time.Time
	// Anywhere allows it on a server that other machines can reach.
	Anywhere bool
}

// EventBridge holds the settings for sending events to Amazon EventBridge.
type EventBridge struct {
	// Region is the AWS region. Empty means that nothing is sent.
	Region string
	// Partner begins the names of event sources, as "aws.partner/example.com" does. It is not empty unless Region is.
	Partner string
	// URL is the endpoint of the service, without a trailing slash. Empty means that of the region.
	URL string
}

// Query holds the limits of one GraphQL operation.
type Query struct{ Depth, Complexity, Aliases, Directives int }

// Log holds the settings of the log.
type Log struct {
	JSON  bool
	Level slog.Level
}
