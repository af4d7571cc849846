package signin_test

import (
	"crypto/rand"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/page"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// world is two accounts, home and away, and those who sign in to them.
type world struct {
	*testing.T

	db         *gormdb.DB
	home, away dbtest.World
	keys       *secret.Keyring
	users      *user.Service
	signIn     *signin.Service
	config     signin.Config
	// began is when the test did, and passed how long ago that is, in nanoseconds.
	began  time.Time
	passed atomic.Int64
}

const phrase = "correct horse battery staple"

func eachWorld(t *testing.T, test func(*world), settings ...func(*signin.Config)) {
	t.Helper()
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) { test(newWorld(t, db, settings...)) })
}

func newWorld(t *testing.T, db *gormdb.DB, settings ...func(*signin.Config)) *world {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, db: db, keys: keys, began: time.Now()}
	w.home, w.away = dbtest.Seed{Users: 3, MembersPerStore: 1}.Make(t, db), dbtest.Seed{Users: 1}.Make(t, db)
	w.users = user.NewService(db.Users(), keys, rand.Reader, w.now)
	c := signin.Config{
		Repository: db.SignIn(), Users: w.users, PublicURL: "https://keys.example", Keys: keys, Random: rand.Reader, Now: w.now, Lifetime: 12 * time.Hour,
	}
	for _, set := range settings {
		set(&c)
	}
	w.config = c
	w.signIn = w.service(func(*signin.Config) {})
	return w
}

// service is another server of the same database, with other settings.
func (w *world) service(set func(*signin.Config)) *signin.Service {
	w.Helper()
	c := w.config
	set(&c)
	s, err := signin.NewService(c)
	w.must(err)
	return s
}

// now stands still until a test lets time pass, so that nothing depends on how fast the machine is.
func (w *world) now() time.Time { return w.began.Add(time.Duration(w.passed.Load())) }

func (w *world) passes(d time.Duration) { w.passed.Add(int64(d)) }

func visitor(ip string) signin.Visitor {
	return signin.Visitor{Origin: auth.Origin{IP: netip.MustParseAddr(ip)}, UserAgent: "Test"}
}

var here = visitor("192.0.2.1")

// operator acts in an account.
func operator(in dbtest.World) *auth.Principal {
	by := auth.OperatorPrincipal()
	by.AccountID = in.Account.ID
	return &by
}

// owner is a session of an account's owner.
func owner(of dbtest.World) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: of.Owner.ID, Name: of.Owner.Email, AccountID: of.Account.ID, AccountOwner: true, Origin: here.Origin}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// wants fails the test for an error of another kind, or on another field.
func (w *world) wants(err error, kind fault.Kind, field string) {
	w.Helper()
	if found := fault.Flatten(err); fault.KindOf(err) != kind || len(found) > 0 && found[0].Field != field {
		w.Errorf("got %v, want %s on %q", err, kind, field)
	}
}

// gives gives a person a password.
func (w *world) gives(u user.User) {
	w.Helper()
	w.must(w.signIn.GivePassword(w.Context(), operator(w.home), u.Email, secret.NewPassword(phrase)))
}

// begins starts a session of a person, and returns the principal that the
// verifier makes of its secret.
func (w *world) begins(u user.User, in uuid.UUID) *auth.Principal {
	w.Helper()
	_, value, err := w.signIn.Begin(w.Context(), w.proof(u), in, here)
	w.must(err)
	by, err := w.look(value)
	w.must(err)
	return by
}

// proof is that of a user who just entered their password.
func (w *world) proof(u user.User) signin.Proof {
	w.Helper()
	p, err := w.signIn.Proved(w.Context(), u, signin.ByPassword)
	w.must(err)
	return p
}

func (w *world) look(value secret.Secret) (*auth.Principal, error) {
	v := access.NewVerifier(access.Config{Repository: w.db.Access(), Keys: w.keys, Catalogue: scope.Default(), Now: w.now})
	return v.Verify(w.Context(), value.Reveal(), here.Origin)
}

// live is how many sessions of a person are.
func (w *world) live(u user.User) int {
	w.Helper()
	all, err := w.db.SignIn().Sessions(w.Context(), user.SessionSelection{EmailFolded: user.Fold(u.Email)}, w.now())
	w.must(err)
	return len(all)
}

// told is how often an account's log tells of an action.
func (w *world) told(in dbtest.World, action audit.Action) int {
	w.Helper()
	n, err := w.db.Audit().CountEvents(w.Context(), in.Account.ID, audit.Filter{Actions: []audit.Action{action}})
	w.must(err)
	return int(n)
}

// events are those of an action, newest first.
func (w *world) events(in dbtest.World, action audit.Action) []audit.Event {
	w.Helper()
	size := page.MaxSize
	window, err := page.Request{First: &size}.Window(page.MaxSize)
	w.must(err)
	found, err := w.db.Audit().Events(w.Context(), in.Account.ID, audit.Filter{Actions: []audit.Action{action}}, window)
	w.must(err)
	var all []audit.Event
	for _, item := range found.Items {
		all = append(all, item.Node)
	}
	return all
}

// secretIn is the part of an address that is a link's secret.
func secretIn(address string) string {
	return address[strings.LastIndex(address, "/")+1:]
}

func twice(text string) user.PasswordChoice {
	return user.PasswordChoice{Password: secret.NewPassword(text), Confirmation: secret.NewPassword(text)}
}
