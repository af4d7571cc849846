package oauth_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/oauth"
	"latchkey/internal/page"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	now  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	home = auth.Origin{IP: netip.MustParseAddr("192.0.2.7"), RequestID: "request-1"}
)

// house is the service over a database with an account of one store, and the
// verifier that its tokens are for, with a memory that hears of changes.
type house struct {
	*oauth.Service
	t        *testing.T
	db       *gormdb.DB
	url      string
	world    dbtest.World
	keys     *secret.Keyring
	tokens   *token.Service
	verifier *access.Verifier
	owner    *auth.Principal
	clock    time.Time
}

func eachHouse(t *testing.T, test func(*testing.T, *house)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { test(t, newHouse(t, url)) })
}

func newHouse(t *testing.T, url string) *house {
	t.Helper()
	h := &house{t: t, url: url, db: dbtest.Open(t, url), clock: now}
	h.world = dbtest.Seed{Features: []scope.Feature{scope.FeatureAutomatedBilling}}.Make(t, h.db)
	h.owner = &auth.Principal{NoCredential: "a test",
		Kind: auth.Session, ID: h.world.Owner.ID, Name: h.world.Owner.Email, AccountID: h.world.Account.ID, AccountOwner: true, Origin: home,
	}
	var err error
	if h.keys, err = secret.NewKeyring(rand.Reader); err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return h.clock }
	policy := token.Policy{Catalogue: scope.Default(), MaxLive: map[scope.Level]int{scope.LevelAccount: 50, scope.LevelStore: 50}}
	h.tokens = token.NewService(h.db.Tokens(), policy, h.keys, rand.Reader, clock)
	memory, err := access.NewMemory(100, time.Hour, func() bool { return true }, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	h.db.OnChange(memory.Changed)
	h.verifier = access.NewVerifier(access.Config{
		Repository: h.db.Access(), Keys: h.keys, Catalogue: scope.Default(), Memory: memory, Now: clock,
	})
	h.Service = oauth.NewService(oauth.Config{
		Repository: h.db.Grants(), Catalogue: scope.Default(), Keys: h.keys, Lifetime: time.Hour, Random: rand.Reader,
		Now: clock,
	})
	return h
}

// issue creates an API token of the level with the scopes.
func (h *house) issue(level scope.Level, scopes []string, edits ...func(*token.Request)) token.Issued {
	h.t.Helper()
	req := token.Request{Owner: token.AccountOwner(h.world.Account), Name: "Nightly export", Scopes: scopes}
	if level == scope.LevelStore {
		var err error
		if req.Owner, err = token.StoreOwner(h.world.Account, h.world.Stores[0]); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, edit := range edits {
		edit(&req)
	}
	issued, err := h.tokens.Create(h.t.Context(), h.owner, req)
	if err != nil {
		h.t.Fatal(err)
	}
	return issued
}

// client authenticates as the client of an API token, which must work.
func (h *house) client(i token.Issued) *auth.Principal {
	h.t.Helper()
	p, err := h.Authenticate(h.t.Context(), i.Token.ClientID, i.ClientSecret, home)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// grant has an access token granted, which must work.
func (h *house) grant(i token.Issued, asked string) oauth.Granted {
	h.t.Helper()
	g, err := h.Grant(h.t.Context(), h.client(i), asked)
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// look looks an access token up.
func (h *house) look(s secret.Secret) (*access.Record, error) {
	return h.verifier.Look(h.t.Context(), s.Reveal(), home)
}

func (h *house) mustWork(s secret.Secret) *access.Record {
	h.t.Helper()
	r, err := h.look(s)
	if err != nil {
		h.t.Fatalf("%s does not work: %v", s.Hint(), err)
	}
	return r
}

func (h *house) mustNotWork(s secret.Secret) {
	h.t.Helper()
	_, err := h.look(s)
	mustBe(h.t, err, fault.Unauthenticated)
}

// events are the account's about access tokens, oldest first, without ids.
func (h *house) events() []audit.Event {
	h.t.Helper()
	filter := audit.Filter{Actions: []audit.Action{audit.AccessTokenGranted, audit.AccessTokenRevoked}}
	found, err := h.db.Audit().Events(h.t.Context(), h.world.Account.ID, filter, page.Window{Size: page.MaxSize})
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

// suspend suspends the account or its store, or lets both go on.
func (h *house) suspend(accountStatus, storeStatus account.Status) {
	h.t.Helper()
	h.world.Account.Status, h.world.Stores[0].Status = accountStatus, storeStatus
	if err := h.db.Manifest().SaveAccount(h.t.Context(), h.world.Account); err != nil {
		h.t.Fatal(err)
	}
	if err := h.db.Manifest().SaveStore(h.t.Context(), h.world.Stores[0]); err != nil {
		h.t.Fatal(err)
	}
}

func mustBe(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != kind {
		t.Errorf("the error is %v, want kind %q", err, kind)
	}
}

// other is a good secret of the kind that nothing is kept under.
func other(t testing.TB, kind secret.Kind) secret.Secret {
	t.Helper()
	s, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sibling is the verifier of another process.
type sibling struct{ verifier *access.Verifier }

// newSibling opens the database once more and hears its feed until the test
// ends. Its clock is behind that of the house.
func newSibling(t *testing.T, h *house, behind time.Duration) sibling {
	t.Helper()
	db := dbtest.Open(t, h.url)
	var feed *gormdb.Feed
	memory, err := access.NewMemory(100, time.Hour, func() bool { return feed.Hearing() }, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	feed = db.NewFeed(access.Replica{Name: "sibling"}, gormdb.Ears{Changed: memory.Changed, Forget: memory.Forget}, log)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { feed.Run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended; memory.Close() })
	for deadline := time.Now().Add(10 * time.Second); !feed.Hearing(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the feed is not heard")
		}
	}
	return sibling{access.NewVerifier(access.Config{
		Repository: db.Access(), Keys: h.keys, Catalogue: scope.Default(), Memory: memory, Now: func() time.Time { return h.clock.Add(-behind) },
	})}
}

func (s sibling) look(value secret.Secret) error {
	_, err := s.verifier.Look(context.Background(), value.Reveal(), home)
	return err
}

// mustRefuse waits until the sibling refuses what was ended, which takes it as
// long as to hear of it.
func (s sibling) mustRefuse(t *testing.T, value secret.Secret) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); fault.KindOf(s.look(value)) != fault.Unauthenticated; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is honoured elsewhere")
		}
	}
}
