package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gateway"
	"latchkey/internal/gormdb"
	"latchkey/internal/legacy"
	"latchkey/internal/mail"
	"latchkey/internal/manifest"
	"latchkey/internal/offboard"
	"latchkey/internal/once"
	"latchkey/internal/openid"
	"latchkey/internal/panel"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/setup"
	"latchkey/internal/signin"
	"latchkey/internal/storeapi"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// backend is the database and the services over it, built once.
type backend struct {
	cfg       config.Config
	db        *gormdb.DB
	log       *slog.Logger
	keys      *secret.Keyring
	catalogue *scope.Catalogue
	accounts  *account.Service
	users     *user.Service
	tokens    *token.Service
	offboard  *offboard.Service
	forms     *once.Forms
	signIn    *signin.Service
	gateways  *gateway.Service
	legacy    *legacy.Service
	manifests *manifest.Service
	setup     *setup.Service
	// counts are of what the services do to API tokens.
	counts tokenCounts
	// onAttempt hears of attempts to sign in; nil does not.
	onAttempt func(signin.Attempt)
}

// open builds the services over the database, whose schema must work with this
// program: an SQLite file that is behind is migrated, a PostgreSQL database
// only by the operator's own command. Close the backend.
func open(ctx context.Context, cfg config.Config, needs config.Needs, log *slog.Logger) (*backend, error) {
	catalogue, err := readCatalogue(cfg.Catalogue)
	if err != nil {
		return nil, err
	}
	b, err := openDatabase(ctx, cfg, needs, log)
	if err != nil {
		return nil, err
	}
	if err := b.agree(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	policy := token.Policy{
		Catalogue:   catalogue,
		MaxLive:     map[scope.Level]int{scope.LevelStore: cfg.MaxTokensPerStore, scope.LevelAccount: cfg.MaxTokensPerAccount},
		MaxLifetime: cfg.MaxTokenLifetime,
	}
	b.catalogue = catalogue
	b.accounts = account.NewService(b.db.Accounts())
	b.users = user.NewService(b.db.Users(), b.keys, rand.Reader, time.Now, cfg.BaseURL(cfg.Addr))
	b.counts = newTokenCounts()
	b.tokens = token.NewService(b.counts.tokens(b.db.Tokens()), policy, b.keys, rand.Reader, time.Now)
	b.offboard = offboard.NewService(b.counts.offboard(b.db.Offboard()), time.Now)
	b.forms = once.NewForms(b.db.SentForms(), time.Now)
	b.gateways = gateway.NewService(b.db.Gateways(), b.keys, rand.Reader, time.Now)
	b.legacy = legacy.NewService(b.db.Legacy(), b.keys, rand.Reader, time.Now, cfg.Legacy.Allowed)
	b.manifests = manifest.NewService(b.db.Manifest(), b.keys, time.Now)
	if err := b.signInAt(cfg.BaseURL(cfg.Addr)); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// signInAt makes the service that signs people in, in a panel that is reached
// by the URL.
func (b *backend) signInAt(baseURL string) (err error) {
	c := signin.Config{
		Repository: b.db.SignIn(), Users: b.users, PublicURL: baseURL, Keys: b.keys, Random: rand.Reader, Now: time.Now, Lifetime: b.cfg.SessionLifetime, Idle: b.cfg.SessionIdle,
		// Commands other than serve have neither setting.
		NoPasswords: b.cfg.SignIn.Issuer != "" && !b.cfg.SignIn.Passwords,
		Unlimited:   !b.cfg.Rates.On, OnAttempt: b.onAttempt,
		OnMailFailed: func(ctx context.Context, err error) {
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
			Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: p.ClientSecret, Name: p.Name, RedirectURL: baseURL + panel.ProviderPath, Now: time.Now,
		})
	}
	b.signIn, err = signin.NewService(c)
	b.setup = setup.NewService(b.db.Setup(), b.signIn, b.manifests)
	return err
}

// openDatabase opens the database and reads the keys that belong to it, in
// whatever state the schema is. An SQLite database has its keys whatever the
// command needs.
func openDatabase(ctx context.Context, cfg config.Config, needs config.Needs, log *slog.Logger) (*backend, error) {
	var keys *secret.Keyring
	var err error
	if usesKeys(cfg, needs) {
		if keys, err = readKeys(cfg); err != nil {
			return nil, err
		}
	}
	db, err := gormdb.Open(ctx, gormdb.Config{
		URL: cfg.Database, FeedURL: cfg.FeedDatabase, Existing: !needs.Creates, MaxConnections: cfg.MaxConnections, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return &backend{cfg: cfg, db: db, log: log, keys: keys}, nil
}

// Close ends the connections to the database.
func (b *backend) Close() error { return b.db.Close() }

// operator is whoever runs a command, acting in an account.
func operator(accountID uuid.UUID) *auth.Principal {
	by := auth.OperatorPrincipal()
	by.AccountID = accountID
	return &by
}

// there returns fault.NotFound for an account that was named by --account and
// is not there. None was named where the id is zero.
func (b *backend) there(ctx context.Context, accountID uuid.UUID) error {
	if accountID == uuid.Nil {
		return nil
	}
	_, err := b.accounts.Account(ctx, operator(accountID))
	return about("--account", err)
}

// agree returns fault.Conflict unless this program works with the schema and
// its keys belong to the database.
func (b *backend) agree(ctx context.Context) error {
	if err := b.agreeOnSchema(ctx); err != nil || b.keys == nil {
		return err
	}
	return b.db.AgreeOnKeys(ctx, b.keys.IDs(), time.Now())
}

// agreeOnSchema returns fault.Conflict for a schema that this program does not
// work with.
func (b *backend) agreeOnSchema(ctx context.Context) error {
	schema, err := b.db.Schema(ctx)
	if err != nil {
		return err
	}
	if _, embedded := b.cfg.SQLiteFile(); embedded && schema.Have < schema.Want {
		_, err := b.db.Migrate(ctx)
		return err
	}
	if schema.Newer() {
		b.log.InfoContext(ctx, "the schema is newer than this program", "version", schema.Have, "program", schema.Want, "oldest_program", schema.OldestProgram)
	}
	return schema.Check()
}

// usesKeys says whether a command reads the server's keys.
func usesKeys(cfg config.Config, needs config.Needs) bool {
	_, embedded := cfg.SQLiteFile()
	return embedded || needs.Keys
}

// makesKeys says whether the server's keys are still to be made. They are made
// only together with the SQLite database that they belong to: new ones for a
// database that exists would end every token without a word.
func makesKeys(cfg config.Config) bool {
	file, embedded := cfg.SQLiteFile()
	return embedded && !cfg.KeyFileGiven && missing(file) && !exists(cfg.KeyFile)
}

// databaseThere returns fault.Invalid for an SQLite database that is missing
// or empty where the command does not create one, or where its key file shows
// that there was one: an empty database in its place would look like a success.
func databaseThere(cfg config.Config, needs config.Needs) error {
	file, embedded := cfg.SQLiteFile()
	switch {
	case embedded && isFolder(file):
		return fault.Errorf(fault.Invalid, "%s is a folder. Name a file in it, as sqlite:%s does.", file, filepath.Join(file, "latchkey.db")).
			On(config.Called("database"))
	case !embedded || file == "" || !missing(file):
		return nil
	case !needs.Creates:
		return fault.Errorf(fault.Invalid,
			"There is no database at %s. \"latchkey serve\", \"latchkey migrate\" and \"latchkey apply\" create one; other commands and dry runs do not.", file).
			On(config.Called("database"))
	case !cfg.KeyFileGiven && exists(cfg.KeyFile) && staysMissing(file):
		return fault.Errorf(fault.Invalid,
			"The key file %s is there and its database %s is missing or empty. Put the database back, or move the key file away to begin anew.",
			cfg.KeyFile, file).On(config.Called("database"))
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// missing reports whether a file is not there, or empty.
func missing(path string) bool {
	info, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// staysMissing reports whether a file is still missing a second later: another
// command that creates the database at this moment makes the key file first.
func staysMissing(path string) bool {
	const attempts, pause = 20, 50 * time.Millisecond
	for range attempts {
		if time.Sleep(pause); !missing(path) {
			return false
		}
	}
	return true
}

// readKeys reads the server's keys, and makes them first where they are to be
// made.
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
			"The database %s is there and its key file %s is not. Without it no token works: put it back, or name it.", file, cfg.KeyFile).On(setting)
	}
	return nil, fault.Errorf(fault.Invalid, "%s", fault.Flatten(err)[0].Message).On(setting)
}

// makeKeys makes a key file; one that another process made meanwhile is as
// good.
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

// readCatalogue reads the operator's own catalogue of scopes, if there is one.
func readCatalogue(path string) (*scope.Catalogue, error) {
	if path == "" {
		return scope.Default(), nil
	}
	return readFile(config.Called("catalogue"), path, scope.Parse)
}

// readRoutes reads the operator's own routes, if there are any. They name
// scopes of the catalogue: where that cannot be read (nil), it is only found
// out whether the file is there.
func readRoutes(path string, catalogue *scope.Catalogue) (*storeapi.Table, error) {
	if path == "" {
		return storeapi.Default(), nil
	}
	return readFile(config.Called("routes"), path, func(r io.Reader) (*storeapi.Table, error) {
		if catalogue == nil {
			return storeapi.Default(), nil
		}
		return storeapi.Parse(r, catalogue)
	})
}

// readFile parses a file of the operator's that a setting names.
func readFile[T any](setting, path string, parse func(io.Reader) (*T, error)) (*T, error) {
	file, err := os.Open(path)
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

// allOn says of everything that is wrong with a file which flag named it.
// Other errors stay as they are.
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

// cannotRead says why a file of the operator's cannot be read.
func cannotRead(flag, path string, err error) error { return cannot("read", flag, path, err) }

// cannot says why something cannot be done with a file of the operator's.
func cannot(do, flag, path string, err error) error {
	reason := err
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		reason = onPath.Err
	}
	return fault.Wrap(err, fault.Invalid, "%s", fmt.Sprintf("cannot %s %s: %v", do, path, reason)).On(flag)
}
