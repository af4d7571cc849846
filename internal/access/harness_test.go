package access_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ctx     = context.Background()
	now     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	account = uuid.New()
)

// table is a repository in memory. It finds by digest, as the database does, and counts how often it is asked.
type table struct {
	mu      sync.Mutex
	records map[secret.Kind]map[secret.Digest]access.Record
	stores  map[string]access.Store
	queries atomic.Int64
	// reading, if set, is called between reading a record and returning it.
	reading func()
	failing error
}

func newTable() *table {
	return &table{records: map[secret.Kind]map[secret.Digest]access.Record{}, stores: map[string]access.Store{}}
}

func (r *table) find(from map[secret.Digest]access.Record, candidates []secret.KeyedDigest) (access.Record, error) {
	r.queries.Add(1)
	r.mu.Lock()
	record, err := access.Record{}, error(fault.Errorf(fault.NotFound, "none"))
	for _, c := range candidates {
		if found, ok := from[c.Digest]; ok {
			record, err = found, nil
		}
	}
	if r.failing != nil {
		err = r.failing
	}
	r.mu.Unlock()
	if r.reading != nil {
		r.reading()
	}
	return record, err
}

func (r *table) Credential(_ context.Context, kind secret.Kind, candidates []secret.KeyedDigest) (access.Record,
	error) {
	return r.find(r.records[kind], candidates)
}

func (r *table) Store(_ context.Context, hash string) (access.Store, error) {
	r.queries.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.stores[hash]
	if !ok {
		return s, fault.Errorf(fault.NotFound, "none")
	}
	return s, nil
}

// gate is a verifier with all that surrounds it.
type gate struct {
	*access.Verifier
	t            testing.TB
	repo         *table
	keys         *secret.Keyring
	caches       *access.Caches
	uses         *access.Uses
	used         *useTable
	clock        time.Time
	unsubscribed atomic.Bool
}

// open returns a gate with a memory of a thousand records.
func open(t testing.TB) *gate { return openWith(t, 1000, time.Hour) }

func openWith(t testing.TB, size int, age time.Duration) *gate {
	t.Helper()
	g := &gate{t: t, repo: newTable(), used: &useTable{}, clock: now}
	var err error
	if g.keys, err = secret.NewKeyring(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if g.caches, err = access.NewCaches(size, age, func() bool { return !g.unsubscribed.Load() },
		time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.caches.Close)
	g.uses = access.NewUses(g.used)
	g.Verifier = access.NewVerifier(access.Config{
		Repository: g.repo, Keys: g.keys, Catalogue: scope.Default(), Caches: g.caches, Uses: g.uses,
		Now: func() time.Time { return g.clock },
	})
	return g
}

// secret generates one of the kind.
func (g *gate) secret(kind secret.Kind) secret.Secret {
	g.t.Helper()
	s, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// keep puts a record under a secret, where its kind belongs.
func (g *gate) keep(s secret.Secret, r access.Record) {
	g.repo.mu.Lock()
	defer g.repo.mu.Unlock()
	if g.repo.records[s.Kind()] == nil {
		g.repo.records[s.Kind()] = map[secret.Digest]access.Record{}
	}
	g.repo.records[s.Kind()][g.keys.Digest(s).Digest] = r
}

// token keeps a record of an API token of the account and returns its secret.
func (g *gate) token(change func(*access.Record)) secret.Secret {
	r := access.Record{Principal: auth.Principal{
		Kind: auth.APIToken, ID: uuid.New(), Name: "CI", AccountID: account,
		Scopes: scope.NewSet(scope.AccountUsersRead),
	}}
	if change != nil {
		change(&r)
	}
	s := g.secret(secret.AccountAccessToken)
	g.keep(s, r)
	return s
}

// sleep lets time pass, for the memory and for the verifier.
func (g *gate) sleep(d time.Duration) {
	time.Sleep(d)
	g.clock = g.clock.Add(d)
}

// verify verifies a secret that must work.
func (g *gate) verify(s secret.Secret) *auth.Principal {
	g.t.Helper()
	p, err := g.Principal(ctx, s.Reveal(), auth.Origin{})
	if err != nil {
		g.t.Fatalf("refused: %v, for %v", err, errors.Unwrap(err))
	}
	return p
}
