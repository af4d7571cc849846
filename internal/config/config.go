package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is all settings, each checked.
type Config struct {
	// Addr and AdminAddr are where the two listeners listen, as host:port.
	Addr, AdminAddr string
	// PublicURL is how clients reach the public listener, without a slash at
	// its end; empty when it follows from the address listened on (BaseURL).
	PublicURL string
	// ReplicaName is how this server is called among those that share its
	// database, and ReplicaURL how they reach its public listener, without a
	// slash at its end; empty where they follow from the address listened on
	// (Replica).
	ReplicaName, ReplicaURL string
	// InstanceFile is the file that this server keeps locked while it runs; empty
	// for none.
	InstanceFile string
	// Database is the URL of the database. It may hold a password: it must
	// not be printed.
	Database string
	// FeedDatabase is the direct URL of the same database, as private, for a
	// Database that is reached through a pooler; empty for Database itself.
	FeedDatabase string
	// MaxConnections is the size of the pool of connections to the database.
	MaxConnections int
	// KeyFile is the file of the server's keys; KeyFileGiven says that the
	// operator named it.
	KeyFile      string
	KeyFileGiven bool
	// Catalogue is the file of the operator's own catalogue of scopes; empty
	// for the built-in one.
	Catalogue string
	// Routes is the file of the operator's own routes of the APIs behind
	// gateways; empty for the built-in ones.
	Routes string
	// MaxTokensPerStore and MaxTokensPerAccount bound the live API tokens.
	MaxTokensPerStore, MaxTokensPerAccount int
	// MaxTokenLifetime is the longest an API token may live; zero sets no
	// bound.
	MaxTokenLifetime time.Duration
	// OAuthTokenLifetime is how long an access token of the OAuth token
	// endpoint lives.
	OAuthTokenLifetime time.Duration
	// CacheSize and CacheAge bound what is remembered of credentials.
	CacheSize int
	CacheAge  time.Duration
	// CanaryInterval is how often the lag of revocations is measured; zero
	// measures nothing.
	CanaryInterval time.Duration
	// LastUseInterval is how often the last uses of tokens are kept; zero keeps
	// none.
	LastUseInterval time.Duration
	// ShutdownDelay is how long the server goes on serving at stop, not ready.
	ShutdownDelay time.Duration
	// ShutdownGrace is how long the server then has to finish the requests in
	// flight and to end.
	ShutdownGrace time.Duration
	// TrustedProxies are the addresses whose X-Forwarded-For and X-Request-Id
	// are believed.
	TrustedProxies []netip.Prefix
	// GatewayAddresses are those from which gateways ask without a key.
	GatewayAddresses []netip.Prefix
	Legacy           Legacy
	SignIn           SignIn
	HTTP             HTTP
	Rates            Rates
	Query            Query
	Log              Log
	Mail             Mail
	// SessionLifetime is how long somebody who signs in to the control panel
	// stays signed in.
	SessionLifetime time.Duration
	// SessionIdle is after how long without a use a session ends; zero is never.
	SessionIdle time.Duration
}

// HTTP bounds what one request may take.
type HTTP struct {
	// MaxBody and MaxHeader are in bytes.
	MaxBody, MaxHeader int
	// ReadTimeout bounds the reading of a request, WriteTimeout everything
	// from its header to the end of the answer, IdleTimeout the wait for the
	// next one, and RequestTimeout the work on one request.
	ReadTimeout, WriteTimeout, IdleTimeout, RequestTimeout time.Duration
}

// Legacy is how legacy API accounts are dealt with.
type Legacy struct {
	// Allowed says that new ones may be made.
	Allowed bool
	// DeprecatedAt and SunsetAt are what answers made for them say: since when
	// they are deprecated (RFC 9745), and from when on they are expected to
	// work no more (RFC 8594). They work until they are deleted.
	DeprecatedAt, SunsetAt time.Time
}

// SignIn is how people sign in to the panel.
type SignIn struct {
	// Passwords says that they can with a password.
	Passwords bool
	// Issuer is the OpenID Connect provider's; empty for none. ClientID and
	// ClientSecret are what Latchkey is there, and Name is what people call it.
	// The secret must not be printed.
	Issuer, ClientID, ClientSecret, Name string
}

// Rates are how often requests may be made of one process.
type Rates struct {
	// On says that requests are counted at all.
	On bool
	// Token and Account are for the requests of one API token or person, and
	// of all in one account; Failure is for the failed authentications of one
	// address.
	Token, Account, Failure Rate
}

// Rate is how many requests are allowed in a window.
type Rate struct {
	Requests int
	Window   time.Duration
}

// Mail is how mails are sent; without a host none are.
type Mail struct {
	Host string
	Port int
	// TLS says that the connection begins with TLS.
	TLS bool
	// User and Password are what to sign in with. The password must not be
	// printed.
	User, Password string
	// From is the address that mails come from.
	From string
}

// Query bounds what one GraphQL operation may ask.
type Query struct{ Depth, Complexity, Aliases, Directives int }

// Log says how logs are written.
type Log struct {
	JSON  bool
	Level slog.Level
}
