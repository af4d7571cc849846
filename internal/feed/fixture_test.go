package feed_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/feed"
	"latchkey/internal/gormdb"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// lease is how long the feed may receive nothing before it is not current any more.
const lease = 2 * time.Second

// noon is the time of most events in these tests, with microseconds.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)

// discarding is a subscriber that ignores every change.
var discarding = feed.Subscriber{Changed: func(uuid.UUID) {}, Forget: func() {}}

// newFeed returns a feed of a replica with a name. It does not run yet.
func newFeed(db *gormdb.DB, name string, subscriber feed.Subscriber) *feed.Feed {
	return feed.New(db.FeedSource(), access.Replica{Name: name}, subscriber, slog.New(slog.DiscardHandler))
}

// recorder records the ids that a feed reports.
type recorder struct {
	mu       sync.Mutex
	reported []uuid.UUID
}

func (r *recorder) changed(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reported = append(r.reported, id)
}

func (r *recorder) take() []uuid.UUID {
	r.mu.Lock()
	defer r.mu.Unlock()
	reported := r.reported
	r.reported = nil
	return reported
}

func (r *recorder) has(id uuid.UUID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.reported, id)
}

// within waits until done returns true, at most for limit.
func within(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %s, want it within that time", what, limit)
		}
	}
}

// mustBe fails the test unless err is of the kind.
func mustBe(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if got := fault.KindOf(err); got != kind {
		t.Fatalf("the error is %v, of kind %q; want kind %q", err, got, kind)
	}
}

// connect opens a connection to PostgreSQL without gormdb.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// execute runs a statement on a PostgreSQL database.
func execute(t testing.TB, url, statement string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_, err = conn.Exec(t.Context(), statement, args...)
		err = errors.Join(err, conn.Close(context.Background()))
	}
	if err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}

func newKeyring() *secret.Keyring {
	k, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

var keyring = newKeyring()

// draft returns an account-level token with its secret access token.
func draft(w dbtest.World) (token.Draft, secret.Secret) {
	var values [2]secret.Secret
	for i, kind := range []secret.Kind{secret.AccountAccessToken, secret.ClientSecret} {
		var err error
		if values[i], err = secret.Generate(rand.Reader, kind); err != nil {
			panic(err)
		}
	}
	t := token.Token{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, Name: "Token", ClientID: rand.Text(),
		Scopes: scope.NewSet("store_cart"), CreatedAt: noon,
		CreatedBy: audit.Actor{Kind: audit.ActorUser, ID: w.Owner.ID, Name: w.Owner.Email},
	}
	return token.Draft{
		Token: t, ClientSecret: keyring.Digest(values[1]), MaxLive: token.DefaultMaxLive,
		Event: event(t, audit.APITokenCreated),
		Access: token.AccessDraft{
			Record: token.AccessToken{ID: uuid.Must(uuid.NewV7()), APITokenID: t.ID, Hint: values[0].Hint(),
				CreatedAt: noon},
			Digest: keyring.Digest(values[0]),
		},
	}, values[0]
}

func event(t token.Token, action audit.Action) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: t.AccountID, At: noon, Actor: t.CreatedBy, Action: action,
		Target: audit.Target{Kind: audit.TargetAPIToken, Key: t.ID.String(), Name: t.Name},
	}
}

// issue inserts an account-level token.
func issue(t testing.TB, db *gormdb.DB, w dbtest.World) (token.Token, secret.Secret) {
	t.Helper()
	d, value := draft(w)
	if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
		t.Fatalf("insert: %v", err)
	}
	return d.Token, value
}

// revocation returns the revocation of tokens of one account by their creator.
func revocation(of token.Token, ids ...uuid.UUID) token.RevocationDraft {
	e := token.RevocationDraft{
		AccountID: of.AccountID, IDs: ids, Event: event(of, audit.APITokenRevoked),
		Revocation: token.Revocation{At: noon.Add(time.Minute), By: of.CreatedBy, Reason: "no longer used"},
	}
	e.Event.ID, e.Event.Target = uuid.Nil, audit.Target{}
	return e
}

// revoke revokes tokens of one account, all of which must exist.
func revoke(t testing.TB, db *gormdb.DB, tokens ...token.Token) {
	t.Helper()
	ids := make([]uuid.UUID, len(tokens))
	for i, made := range tokens {
		ids[i] = made.ID
	}
	ended, err := db.Tokens().Revoke(t.Context(), auth.NoActor("a test"), revocation(tokens[0], ids...))
	if err != nil || len(ended.Unknown) > 0 {
		t.Fatalf("Revoke() = %+v, %v, want every token known", ended, err)
	}
}

// startSession starts a session of the owner.
func startSession(t testing.TB, db *gormdb.DB, w dbtest.World) user.Session {
	t.Helper()
	value, err := secret.Generate(rand.Reader, secret.UserSession)
	if err != nil {
		t.Fatal(err)
	}
	s := user.Session{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, UserID: w.Owner.ID, Email: w.Owner.Email,
		CreatedAt: noon, ExpiresAt: noon.Add(time.Hour),
	}
	started := sessionEvent(s, audit.SessionStarted)
	if err := db.Users().StartSession(t.Context(), auth.NoActor("a test"), s, keyring.Digest(value), started,
		audit.Event{}); err != nil {
		t.Fatal(err)
	}
	return s
}

func sessionEvent(s user.Session, action audit.Action) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: s.AccountID, At: noon,
		Actor:  audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
		Action: action, Target: audit.Target{Kind: audit.TargetSession, Key: s.ID.String(), Name: s.Email},
	}
}
