package gormdb_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// noon is the time of most events in these tests, with microseconds.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)

// all is a window larger than every list in these tests.
var all = paging.Window{Size: paging.MaxSize}

// keys is the server's keyring.
var keyring = func() *secret.Keyring {
	k, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}()

// draft returns a live token with its secret access token. With a zero store it is an account-level token.
func draft(w dbtest.World, storeID uuid.UUID, edits ...func(*token.Draft)) (token.Draft, secret.Secret) {
	kind := secret.StoreAccessToken
	if storeID == uuid.Nil {
		kind = secret.AccountAccessToken
	}
	value, clientSecret := newSecret(kind), newSecret(secret.ClientSecret)
	t := token.Token{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, StoreID: storeID, StoreHash: hashOf(w, storeID),
		Name:     "Token",
		ClientID: rand.Text(), Scopes: scope.NewSet("store_cart", "store_v2_orders_read_only"), CreatedAt: noon,
		CreatedBy: audit.Actor{Kind: audit.ActorUser, ID: w.Owner.ID, Name: w.Owner.Email},
	}
	d := token.Draft{Token: t, ClientSecret: keyring.Digest(clientSecret), MaxLive: token.DefaultMaxLive}
	for _, edit := range edits {
		edit(&d)
	}
	d.Access = accessDraft(d.Token.ID, value)
	d.Event = event(d.Token, audit.APITokenCreated)
	return d, value
}

func newSecret(kind secret.Kind) secret.Secret {
	value, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		panic(err)
	}
	return value
}

func hashOf(w dbtest.World, storeID uuid.UUID) string {
	for _, s := range w.Stores {
		if s.ID == storeID {
			return s.Hash
		}
	}
	return ""
}

func accessDraft(tokenID uuid.UUID, value secret.Secret) token.AccessDraft {
	record := token.AccessToken{ID: uuid.Must(uuid.NewV7()), APITokenID: tokenID, Hint: value.Hint(), CreatedAt: noon}
	return token.AccessDraft{Record: record, Digest: keyring.Digest(value)}
}

// event returns an event with every field set.
func event(t token.Token, action audit.Action) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: t.AccountID, At: noon, Actor: t.CreatedBy, Action: action,
		Target: audit.Target{Kind: audit.TargetAPIToken, Key: t.ID.String(), Name: t.Name}, IP: "203.0.113.7",
		RequestID: "request-1",
		Details: []audit.Detail{{Name: "scopes", Value: t.Scopes.String()},
			{Name: "hint", Value: `"quoted" & 'so on'`}},
	}
}

// issue inserts a draft.
func issue(t testing.TB, db *gormdb.DB, w dbtest.World, storeID uuid.UUID, edits ...func(*token.Draft)) (token.Token,
	secret.Secret) {
	t.Helper()
	d, value := draft(w, storeID, edits...)
	if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
		t.Fatalf("insert: %v", err)
	}
	return d.Token, value
}

// revoke revokes tokens, all of which must exist.
func revoke(t testing.TB, db *gormdb.DB, tokens ...token.Token) {
	t.Helper()
	ended, err := db.Tokens().Revoke(t.Context(), auth.NoActor("a test"), revocationOf(idsOf(tokens), tokens[0]))
	if err != nil || len(ended.Unknown) > 0 {
		t.Fatalf("Revoke() = %+v, %v, want every token known", ended, err)
	}
}

func revocation(t token.Token) token.Revocation {
	return token.Revocation{At: noon.Add(time.Minute), By: t.CreatedBy, Reason: "no longer used"}
}

// revocationOf returns the revocation of tokens by their creator.
func revocationOf(ids []uuid.UUID, by token.Token) token.RevocationDraft {
	e := token.RevocationDraft{AccountID: by.AccountID, IDs: ids, Revocation: revocation(by),
		Event: event(by, audit.APITokenRevoked)}
	e.Event.ID, e.Event.Target = uuid.Nil, audit.Target{}
	return e
}

func idsOf(tokens []token.Token) []uuid.UUID {
	ids := make([]uuid.UUID, len(tokens))
	for i, t := range tokens {
		ids[i] = t.ID
	}
	return ids
}

// mustBe fails the test unless err is of the kind.
func mustBe(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if got := fault.KindOf(err); got != kind {
		t.Fatalf("the error is %v, of kind %q; want kind %q", err, got, kind)
	}
}

// same fails the test unless got and want print the same. Equal times, sets and addresses do.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	check.Equal(t, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want), "%s", what)
}

// nodes returns a page's items without their positions.
func nodes[T any](p paging.Page[T]) []T {
	list := make([]T, len(p.Items))
	for i, item := range p.Items {
		list[i] = item.Node
	}
	return list
}

// newestFirst reverses a list in order of creation to the order of lists.
func newestFirst[T any](made []T) []T {
	list := make([]T, len(made))
	for i, m := range made {
		list[len(made)-1-i] = m
	}
	return list
}

// later returns a time after noon.
func later(d time.Duration) time.Time { return noon.Add(d) }

// within waits until done returns true, at most for limit.
func within(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %s, want it within that time", what, limit)
		}
	}
}
