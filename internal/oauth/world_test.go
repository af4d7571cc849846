package oauth_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/feed"
	"latchkey/internal/oauth"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now, home = world.Noon, world.Origin

// fixture is an account with a store and its owner.
type fixture struct {
	*oauth.Service
	*world.Services

	t     *testing.T
	home  dbtest.World
	owner *auth.Principal
}

func eachFixture(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	world.Each(t, world.Options{}, func(t *testing.T, w *world.Services) {
		h := &fixture{Service: w.OAuth, Services: w, t: t,
			home: dbtest.Seed{Features: []scope.Feature{scope.FeatureAutomatedBilling}}.Make(t, w.DB)}
		h.owner = world.Owner(h.home)
		test(t, h)
	})
}

// issue creates an API token of the level with the scopes.
func (h *fixture) issue(level scope.Level, scopes []string, edits ...func(*token.Request)) token.Issued {
	h.t.Helper()
	req := token.Request{Owner: token.AccountOwner(h.home.Account), Name: "Nightly export", Scopes: scopes}
	if level == scope.LevelStore {
		var err error
		if req.Owner, err = token.StoreOwner(h.home.Account, h.home.Stores[0]); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, edit := range edits {
		edit(&req)
	}
	issued, err := h.Tokens.Create(h.t.Context(), h.owner, req)
	if err != nil {
		h.t.Fatal(err)
	}
	return issued
}

// client authenticates the client of an API token and fails the test if that fails.
func (h *fixture) client(i token.Issued) *auth.Principal {
	h.t.Helper()
	p, err := h.Authenticate(h.t.Context(), i.Token.ClientID, i.ClientSecret, home)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// grant grants an access token and fails the test if that fails.
func (h *fixture) grant(i token.Issued, requested string) oauth.Granted {
	h.t.Helper()
	g, err := h.Grant(h.t.Context(), h.client(i), requested)
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// look looks up an access token.
func (h *fixture) verify(s secret.Secret) (*access.Record, error) {
	return h.Verifier.Verify(h.t.Context(), s.Reveal(), home)
}

func (h *fixture) mustWork(s secret.Secret) *access.Record {
	h.t.Helper()
	r, err := h.verify(s)
	if err != nil {
		h.t.Fatalf("%s does not work: %v", s.Hint(), err)
	}
	return r
}

func (h *fixture) mustNotWork(s secret.Secret) {
	h.t.Helper()
	_, err := h.verify(s)
	mustBe(h.t, err, fault.Unauthenticated)
}

// events returns the account's events about access tokens, oldest first, without
// IDs.
func (h *fixture) events() []audit.Event {
	h.t.Helper()
	filter := audit.Filter{Actions: []audit.Action{audit.AccessTokenGranted, audit.AccessTokenRevoked}}
	found, err := h.DB.Audit().Events(h.t.Context(), h.home.Account.ID, filter, paging.Window{Size: paging.MaxSize})
	if err != nil {
		h.t.Fatal(err)
	}
	var events []audit.Event
	for _, item := range slices.Backward(found.Items) {
		item.Node.ID = uuid.Nil
		events = append(events, item.Node)
	}
	return events
}

// suspend sets the statuses of the account and its store.
func (h *fixture) suspend(accountStatus, storeStatus account.Status) {
	h.t.Helper()
	h.home.Account.Status, h.home.Stores[0].Status = accountStatus, storeStatus
	if err := h.DB.Manifest().SaveAccount(h.t.Context(), h.home.Account); err != nil {
		h.t.Fatal(err)
	}
	if err := h.DB.Manifest().SaveStore(h.t.Context(), h.home.Stores[0]); err != nil {
		h.t.Fatal(err)
	}
}

func mustBe(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	check.Equal(t, fault.KindOf(err), kind, "got %v", err)
}

// other returns a valid secret of the kind that is not stored.
func other(t testing.TB, kind secret.Kind) secret.Secret {
	t.Helper()
	s, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sibling is a verifier of another process.
type sibling struct{ verifier *access.Verifier }

// newSibling opens the database again and follows its revocation feed until the
// test ends. Its clock is behind by the duration.
func newSibling(t *testing.T, h *fixture, behind time.Duration) sibling {
	t.Helper()
	db := dbtest.Open(t, h.URL)
	var f *feed.Feed
	memory, err := access.NewCaches(100, time.Hour, func() bool { return f.IsCurrent() }, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	f = feed.New(db.FeedSource(), access.Replica{Name: "sibling"},
		feed.Subscriber{Changed: memory.Invalidate, Forget: memory.InvalidateAll}, log)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { f.Run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended; memory.Close() })
	for deadline := time.Now().Add(10 * time.Second); !f.IsCurrent(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the feed is not hearing, want it to within 10 seconds")
		}
	}
	return sibling{access.NewVerifier(access.Config{
		Repository: db.Access(), Keys: h.Keys, Catalogue: scope.Default(), Caches: memory,
		Now: func() time.Time { return h.Clock.Now().Add(-behind) },
	})}
}

func (s sibling) verify(value secret.Secret) error {
	_, err := s.verifier.Verify(context.Background(), value.Reveal(), home)
	return err
}

// mustRefuse waits until the sibling rejects the ended token, which it does after
// it receives the change.
func (s sibling) mustRefuse(t *testing.T, value secret.Secret) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); fault.KindOf(s.verify(value)) != fault.Unauthenticated; time.Sleep(
		time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("another process accepts the ended token, want it refused within 5 seconds")
		}
	}
}
