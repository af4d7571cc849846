package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/keys"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/gormdb"
	"latchkey/internal/legacy"
	"latchkey/internal/manifest"
	"latchkey/internal/manifest/setup"
	"latchkey/internal/membership"
	"latchkey/internal/panel"
	"latchkey/internal/regularfile"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/signin/mail"
	"latchkey/internal/signin/openid"
	"latchkey/internal/token"
	"latchkey/internal/tracing"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
	"latchkey/internal/webhook/deliver/egress"
)

// backend is the database and its services, built once per run.
type backend struct {
	cfg config.Config
	// baseURL is the URL at which clients reach the server. baseURLKnown is false
	// if it is only assumed.
	baseURL      string
	baseURLKnown bool
	db           *gormdb.DB
	log          *slog.Logger
	keys         *secret.Keyring
	catalogue    *scope.Catalogue
	accounts     *account.Service
	users        *user.Service
	tokens       *token.Service
	memberships  *membership.Service
	webhooks     *webhook.Service
	events       *webhook.Events
	forms        *formtoken.FormTokens
	signIn       *signin.Service
	gateways     *keys.Service
	legacy       *legacy.Service
	manifests    *manifest.Service
	setup        *setup.Service
	billing      *billing.Service
	// runner bills what is due.
	runner *billing.Runner
	// publisher sends events to Amazon EventBridge; nil if it is not configured.
	publisher deliver.Publisher
	// counts counts the changes of API tokens, and failures what failed in the background.
	counts   tokenCounts
	failures failureCounts
	// onAttempt is called for each sign-in attempt; nil to ignore them.
	onAttempt func(context.Context, signin.Attempt)
	// traces exports the server's traces; nil for other commands.
	traces *tracing.Tracing
}

// open builds the services on the database. The schema must work with this
// program: an older SQLite database is migrated, a PostgreSQL database only by
// latchkey migrate. The caller must close the backend.
func open(ctx context.Context, cfg config.Config, needs config.Needs, log *slog.Logger) (*backend, error) {
	return openTraced(ctx, cfg, needs, log, nil)
}

// openTraced is open for the server, whose statements are recorded in its traces.
func openTraced(ctx context.Context, cfg config.Config, needs config.Needs, log *slog.Logger,
	traces *tracing.Tracing) (*backend, error) {
	catalogue, err := readCatalogue(cfg.Catalogue)
	if err != nil {
		return nil, err
	}
	catalogue = catalogue.Copy() // a reload replaces the content
	b, err := openDatabase(ctx, cfg, needs, log, traces.Provider())
	if err != nil {
		return nil, err
	}
	if err := b.checkCompatible(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := b.findBaseURL(ctx, needs); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	policy := token.Policy{
		Catalogue: catalogue,
		MaxLive: map[scope.Level]int{scope.LevelStore: cfg.MaxTokensPerStore,
			scope.LevelAccount: cfg.MaxTokensPerAccount},
		MaxLifetime: cfg.MaxTokenLifetime,
	}
	b.catalogue, b.traces = catalogue, traces
	b.accounts = account.NewService(b.db.Accounts())
	b.users = user.NewService(b.db.Users(), b.keys, rand.Reader, clock.System, b.baseURL)
	b.counts, b.failures = newTokenCounts(), newFailureCounts()
	b.tokens = token.NewService(b.counts.tokens(b.db.Tokens()), policy, b.keys, rand.Reader, clock.System)
	b.memberships = membership.NewService(b.counts.memberships(b.db.Memberships()), clock.System)
	b.webhooks = webhook.NewService(webhook.Config{
		Repository: b.db.Webhooks(), Keys: b.keys, Random: rand.Reader, Now: clock.System,
		CheckURL: egress.New(cfg.Webhooks.Allow, net.DefaultResolver).Check, Max: cfg.Webhooks.MaxPerAccount,
	})
	b.events = webhook.NewEvents(b.db.Log())
	b.billing = billing.NewService(billing.Config{
		Repository: gormdb.Billing(b.db), Accounts: b.db.Accounts(), Now: clock.System,
	})
	b.runner = newRunner(b, gormdb.Ledger(b.db))
	b.forms = formtoken.NewFormTokens(b.db.SentForms(), clock.System)
	b.gateways = keys.NewService(b.db.Gateways(), b.keys, rand.Reader, clock.System)
	b.legacy = legacy.NewService(b.db.Legacy(), b.keys, rand.Reader, clock.System, cfg.Legacy.Allowed)
	b.manifests = manifest.NewService(b.db.Manifest(), b.keys, clock.System)
	if err := b.signInAt(b.baseURL); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// findBaseURL finds the URL at which clients reach the server: from the
// settings, or for other commands from the server that started last.
func (b *backend) findBaseURL(ctx context.Context, needs config.Needs) error {
	b.baseURL, b.baseURLKnown = b.cfg.BaseURL(b.cfg.Addr), true
	if needs.Serves || b.cfg.PublicURL != "" {
		return nil
	}
	recorded, err := gormdb.PublicURL(ctx, b.db)
	if recorded != "" {
		b.baseURL = recorded
	} else {
		b.baseURLKnown = b.cfg.AddrGiven
	}
	return err
}

// adviseOnURL prints that the URL in a result is only assumed.
func (p *program) adviseOnURL(b *backend) {
	if !b.baseURLKnown {
		p.say("%s is assumed to be the server's URL: no server has used this database yet; set --public-url or LATCHKEY_PUBLIC_URL",
			b.baseURL)
	}
}

// signInAt creates the sign-in service for a panel at baseURL.
func (b *backend) signInAt(baseURL string) (err error) {
	c := signin.Config{
		Repository: b.db.SignIn(), Users: b.users, PublicURL: baseURL, Keys: b.keys, Random: rand.Reader,
		Now: clock.System, Lifetime: b.cfg.SessionLifetime, Idle: b.cfg.SessionIdle,
		// Only serve has these settings.
		NoPasswords: b.cfg.SignIn.Issuer != "" && !b.cfg.SignIn.Passwords,
		Unlimited:   !b.cfg.Rates.On, OnAttempt: b.onAttempt,
		OnMailFailed: func(ctx context.Context, err error) {
			b.failures.mails.Inc()
			b.log.ErrorContext(ctx, "a mail could not be sent", "error", err)
		},
		OnEventsFailed: func(ctx context.Context, err error) {
			b.log.ErrorContext(ctx, "events about failed sign-ins could not be written", "error", err)
		},
	}
	if b.cfg.Mail.Host != "" {
		c.Mail = mail.New(mail.Config(b.cfg.Mail))
	}
	if p := b.cfg.SignIn; p.Issuer != "" {
		c.Provider = openid.New(openid.Config{
			Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: p.ClientSecret, Name: p.Name,
			RedirectURL: baseURL + panel.ProviderPath, Now: clock.System,
		})
	}
	b.signIn, err = signin.NewService(c)
	b.setup = setup.NewService(b.db.Setup(), b.signIn, b.manifests)
	return err
}

// openDatabase opens the database, in any state of its schema, and reads the
// server keys. For an SQLite database it always reads the keys. traces may be nil.
func openDatabase(ctx context.Context, cfg config.Config, needs config.Needs, log *slog.Logger,
	traces trace.TracerProvider) (*backend, error) {
	var keys *secret.Keyring
	var err error
	if usesKeys(cfg, needs) {
		if keys, err = readKeys(cfg); err != nil {
			return nil, err
		}
	}
	db, err := gormdb.Open(ctx, gormdb.Config{
		URL: cfg.Database, FeedURL: cfg.FeedDatabase, Existing: !needs.Creates, MaxConnections: cfg.MaxConnections,
		Log: log, Traces: traces,
	})
	if err != nil {
		return nil, err
	}
	return &backend{cfg: cfg, db: db, log: log, keys: keys}, nil
}

// Close closes the connections to the database.
func (b *backend) Close() error { return b.db.Close() }

// operator returns the principal that runs commands, acting in an account.
func operator(accountID uuid.UUID) *auth.Principal {
	by := auth.OperatorPrincipal()
	by.AccountID = accountID
	return &by
}

// requireAccount returns fault.NotFound if the account of --account does not exist. A
// zero id means that the flag was not set.
func (b *backend) requireAccount(ctx context.Context, accountID uuid.UUID) error {
	if accountID == uuid.Nil {
		return nil
	}
	_, err := b.accounts.Account(ctx, operator(accountID))
	return about("--account", err)
}

// checkCompatible returns fault.Conflict if this program does not work with the schema,
// or if its keys belong to another database.
func (b *backend) checkCompatible(ctx context.Context) error {
	if err := b.checkSchema(ctx); err != nil {
		return err
	}
	if err := b.db.AgreeOnEra(ctx); err != nil || b.keys == nil {
		return err
	}
	if err := b.db.AgreeOnKeys(ctx, b.keys.IDs(), clock.Timestamp(clock.System())); err != nil {
		return err
	}
	return b.beginChains(ctx)
}

// checkSchema returns fault.Conflict if this program does not work with the
// schema.
func (b *backend) checkSchema(ctx context.Context) error {
	schema, err := b.db.Schema(ctx)
	if err != nil {
		return err
	}
	if _, embedded := b.cfg.SQLiteFile(); embedded && schema.Have < schema.Want {
		_, err := b.db.Migrate(ctx)
		return err
	}
	if schema.Newer() {
		b.log.InfoContext(ctx, "the schema is newer than this program", "version", schema.Have, "program", schema.Want,
			"oldest_program", schema.OldestProgram)
	}
	return schema.Check()
}

// usesKeys reports whether a command reads the server keys. A command that may write the first events reads them if
// there is a key file, to begin the audit chains.
func usesKeys(cfg config.Config, needs config.Needs) bool {
	_, embedded := cfg.SQLiteFile()
	return embedded || needs.Keys || needs.Creates && cfg.KeyFileGiven && exists(cfg.KeyFile)
}

// makesKeys reports whether the server keys must be created. They are created
// only together with the SQLite database that they belong to: new keys for an
// existing database would silently invalidate every token.
func makesKeys(cfg config.Config) bool {
	file, embedded := cfg.SQLiteFile()
	return embedded && !cfg.KeyFileGiven && missing(file) && !exists(cfg.KeyFile)
}

// checkDatabaseFile returns fault.Invalid if an SQLite database is missing or empty
// and the command does not create one, or if its key file exists. In that case
// requireAccount was a database, and creating an empty one would hide its loss.
func checkDatabaseFile(cfg config.Config, needs config.Needs) error {
	file, embedded := cfg.SQLiteFile()
	switch {
	case embedded && isFolder(file):
		return fault.Errorf(fault.Invalid, "%s is a directory. Name a file in it, such as sqlite:%s.", file,
			filepath.Join(file, "latchkey.db")).
			On(config.Called("database"))
	case !embedded || file == "" || !missing(file):
		return nil
	case needs.Restores && !exists(cfg.KeyFile):
		return fault.Errorf(fault.Invalid,
			"There is no key file at %s. Restore that of the backup first, or set --key-file: no token works without it.", cfg.KeyFile).
			On(config.Called("key-file"))
	case needs.Restores:
		return nil
	case !needs.Creates:
		return fault.Errorf(fault.Invalid,
			"There is no database at %s. Pass the server's database with --database or LATCHKEY_DATABASE_URL. \"latchkey serve\", \"latchkey migrate\" and \"latchkey apply\" create one; other commands and dry runs do not.", file).
			On(config.Called("database"))
	case !cfg.KeyFileGiven && exists(cfg.KeyFile) && staysMissing(file):
		return fault.Errorf(fault.Invalid,
			"The key file %s exists, but its database %s is missing or empty. Restore the database, or move the key file away to start over.",
			cfg.KeyFile, file).On(config.Called("database"))
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// missing reports whether a file does not exist or is empty.
func missing(path string) bool {
	info, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// staysMissing reports whether a file is still missing a second later. A
// command that is just creating the database creates the key file first.
func staysMissing(path string) bool {
	const attempts, pause = 20, 50 * time.Millisecond
	for range attempts {
		if time.Sleep(pause); !missing(path) {
			return false
		}
	}
	return true
}

// readKeys reads the server keys. It creates them first if makesKeys says so.
func readKeys(cfg config.Config) (*secret.Keyring, error) {
	if makesKeys(cfg) {
		if err := makeKeys(cfg.KeyFile); err != nil {
			return nil, err
		}
	}
	setting := config.Called("key-file")
	keys, err := secret.ReadKeyring(cfg.KeyFile)
	if fault.KindOf(err) != fault.NotFound {
		return keys, allOn(setting, err)
	}
	if file, embedded := cfg.SQLiteFile(); embedded && !cfg.KeyFileGiven {
		return nil, fault.Errorf(fault.Invalid,
			"The database %s exists, but its key file %s does not. No token works without it: restore it, or set --key-file.", file, cfg.KeyFile).On(setting)
	}
	return nil, fault.Errorf(fault.Invalid, "%s", fault.Flatten(err)[0].Message).On(setting)
}

// makeKeys creates a key file. It succeeds if another process just created one.
func makeKeys(path string) error {
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		return err
	}
	if err := keys.WriteNew(path); err != nil && fault.KindOf(err) != fault.Conflict {
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// readCatalogue reads the scope catalog of the operator, or returns the default
// one.
func readCatalogue(path string) (*scope.Catalogue, error) {
	if path == "" {
		return scope.Default(), nil
	}
	return readFile(config.Called("catalogue"), path, scope.Parse)
}

// readRoutes reads the routes of the operator, or returns the default ones.
// Routes name scopes of the catalog: if the catalog is invalid (nil), only the
// existence of the file is checked.
func readRoutes(path string, catalogue *scope.Catalogue) (*routes.Table, error) {
	if path == "" {
		return routes.Default(), nil
	}
	return readFile(config.Called("routes"), path, func(r io.Reader) (*routes.Table, error) {
		if catalogue == nil {
			return routes.Default(), nil
		}
		return routes.Parse(r, catalogue)
	})
}

// readFile parses a file that a setting names.
func readFile[T any](setting, path string, parse func(io.Reader) (*T, error)) (*T, error) {
	file, _, err := regularfile.Open(path)
	if err != nil {
		return nil, cannotRead(setting, path, err)
	}
	defer file.Close()
	parsed, err := parse(file)
	if fault.KindOf(err) == fault.Internal {
		return nil, cannotRead(setting, path, err)
	}
	return parsed, allOn(setting, err)
}

// allOn sets the flag of all faults of a fault.Invalid error. It returns other
// errors unchanged.
func allOn(flag string, err error) error {
	if fault.KindOf(err) != fault.Invalid {
		return err
	}
	var faults fault.List
	for _, f := range fault.Flatten(err) {
		faults = append(faults, f.On(flag))
	}
	return faults.Err()
}

// cannotRead returns the error for a file that cannot be read.
func cannotRead(flag, path string, err error) error { return cannot("read", flag, path, err) }

// cannot returns the error for a file operation.
func cannot(do, flag, path string, err error) error {
	reason := err
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		reason = onPath.Err
	}
	return fault.Wrap(err, fault.Invalid, "%s", fmt.Sprintf("cannot %s %s: %v", do, path, reason)).On(flag)
}
