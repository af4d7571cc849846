package signin_test

import (
	"crypto/rand"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/secret/password"
	"latchkey/internal/signin"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
)

// TestMain makes hashes of passwords cheap: the limits of guesses do not depend on their cost.
func TestMain(m *testing.M) {
	password.LowerCost()
	os.Exit(m.Run())
}

// fixture has two accounts, home and away, and their users. Its clock is simulated, so that nothing depends on how fast
// the machine is.
type fixture struct {
	*testing.T
	*world.Services

	home, away dbtest.World
	signIn     *signin.Service
	config     signin.Config
}

const phrase = "correct horse battery staple"

func eachFixture(t *testing.T, test func(*fixture), settings ...func(*signin.Config)) {
	t.Helper()
	world.Each(t, world.Options{At: time.Now()},
		func(t *testing.T, s *world.Services) { test(newFixture(t, s, settings...)) })
}

func newFixture(t *testing.T, s *world.Services, settings ...func(*signin.Config)) *fixture {
	t.Helper()
	w := &fixture{T: t, Services: s}
	w.home, w.away = dbtest.Seed{Users: 3, MembersPerStore: 1}.Make(t, s.DB), dbtest.Seed{Users: 1}.Make(t, s.DB)
	w.config = signin.Config{
		Repository: s.DB.SignIn(), Users: s.Users, PublicURL: "https://keys.example", Keys: s.Keys, Random: rand.Reader,
		Now: s.Clock.Now, Lifetime: 12 * time.Hour,
	}
	for _, set := range settings {
		set(&w.config)
	}
	w.signIn = w.service(func(*signin.Config) {})
	return w
}

// service returns another server of the same database, with other settings.
func (w *fixture) service(set func(*signin.Config)) *signin.Service {
	w.Helper()
	c := w.config
	set(&c)
	s, err := signin.NewService(c)
	w.must(err)
	return s
}

func visitor(ip string) signin.Visitor {
	return signin.Visitor{Origin: auth.Origin{IP: netip.MustParseAddr(ip)}, UserAgent: "Test"}
}

var here = visitor("192.0.2.1")

// operator returns the operator in an account.
func operator(in dbtest.World) *auth.Principal {
	by := auth.OperatorPrincipal()
	by.AccountID = in.Account.ID
	return &by
}

// owner returns a session of an account's owner.
func owner(of dbtest.World) *auth.Principal {
	by := world.Owner(of)
	by.Origin = here.Origin
	return by
}

func (w *fixture) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// wants fails the test unless err has this kind and field.
func (w *fixture) wants(err error, kind fault.Kind, field string) {
	w.Helper()
	if found := fault.Flatten(err); fault.KindOf(err) != kind || len(found) > 0 && found[0].Field != field {
		w.Errorf("got %v, want %s on %q", err, kind, field)
	}
}

// gives sets a user's password.
func (w *fixture) gives(u user.User) {
	w.Helper()
	w.must(w.signIn.SetPassword(w.Context(), operator(w.home), u.Email, secret.NewPassword(phrase)))
}

// begins starts a session of a user, and returns the principal that the
// verifier makes of its secret.
func (w *fixture) begins(u user.User, in uuid.UUID) *auth.Principal {
	w.Helper()
	_, value, err := w.signIn.Begin(w.Context(), w.proof(u), in, here)
	w.must(err)
	by, err := w.principal(value)
	w.must(err)
	return by
}

// proof returns the proof of a user who just entered their password.
func (w *fixture) proof(u user.User) signin.Proof {
	w.Helper()
	p, err := w.signIn.Proved(w.Context(), u, signin.ByPassword)
	w.must(err)
	return p
}

func (w *fixture) principal(value secret.Secret) (*auth.Principal, error) {
	v := access.NewVerifier(access.Config{Repository: w.DB.Access(), Keys: w.Keys, Catalogue: scope.Default(),
		Now: w.Clock.Now})
	return v.Principal(w.Context(), value.Reveal(), here.Origin)
}

// live returns how many live sessions a user has.
func (w *fixture) live(u user.User) int {
	w.Helper()
	all, err := w.DB.SignIn().Sessions(w.Context(), user.SessionSelection{EmailFolded: user.Fold(u.Email)},
		w.Clock.Now())
	w.must(err)
	return len(all)
}

// told returns how many events of the action are in the account's audit log.
func (w *fixture) countEvents(in dbtest.World, action audit.Action) int {
	w.Helper()
	n, err := w.DB.Audit().CountEvents(w.Context(), in.Account.ID, audit.Filter{Actions: []audit.Action{action}})
	w.must(err)
	return int(n)
}

// events returns the events of an action, newest first.
func (w *fixture) events(in dbtest.World, action audit.Action) []audit.Event {
	w.Helper()
	size := paging.MaxSize
	window, err := paging.Request{First: &size}.Window(paging.MaxSize)
	w.must(err)
	found, err := w.DB.Audit().Events(w.Context(), in.Account.ID, audit.Filter{Actions: []audit.Action{action}}, window)
	w.must(err)
	var all []audit.Event
	for _, item := range found.Items {
		all = append(all, item.Node)
	}
	return all
}

// secretIn returns the secret in the address of a link.
func secretIn(address string) string {
	return address[strings.LastIndex(address, "/")+1:]
}

func twice(text string) user.PasswordChoice {
	return user.PasswordChoice{Password: secret.NewPassword(text), Confirmation: secret.NewPassword(text)}
}
