package keys_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/keys"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// fixture is a service over a database, with its principal and the published changes.
type fixture struct {
	*keys.Service
	db        *gormdb.DB
	keys      *secret.Keyring
	by        *auth.Principal
	published []uuid.UUID
}

func open(t *testing.T, db *gormdb.DB) *fixture {
	t.Helper()
	keyring, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by := auth.OperatorPrincipal()
	d := &fixture{db: db, keys: keyring, by: &by,
		Service: keys.NewService(db.Gateways(), keyring, rand.Reader, func() time.Time { return now })}
	db.OnChange(func(id uuid.UUID) { d.published = append(d.published, id) })
	return d
}

func (d *fixture) create(t *testing.T, name string) (keys.Key, secret.Secret) {
	t.Helper()
	k, value, err := d.Create(t.Context(), d.by, name)
	if err != nil {
		t.Fatal(err)
	}
	return k, value
}

func (d *fixture) credential(t *testing.T, s secret.Secret) (access.Record, error) {
	t.Helper()
	return d.db.Access().Credential(t.Context(), s.Kind(), d.keys.Candidates(s))
}

func TestCreate(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		d := open(t, db)
		k, value := d.create(t, "  the edge ")
		if k.Name != "the edge" || value.Kind() != secret.GatewayKey || k.Hint != value.Hint() ||
			!k.CreatedAt.Equal(clock.Timestamp(now)) {
			t.Errorf("Create() = %+v, want the key named %q with the hint %s", k, "the edge", value.Hint())
		}
		r, err := d.credential(t, value)
		if err != nil || r.Principal.Kind != auth.Gateway || r.Principal.ID != k.ID || r.Principal.Name != k.Name ||
			r.Revoked {
			t.Errorf("record: got %+v, %v, want a live one of gateway key %s", r, err, k.ID)
		}
		other, _ := d.create(t, "the edge")
		list, err := d.List(t.Context(), d.by)
		if err != nil || len(list) != 2 || list[0] != other || list[1] != k {
			t.Errorf("List() = %+v, %v, want %+v and %+v", list, err, other, k)
		}
	})
}

func TestNames(t *testing.T) {
	s := keys.NewService(nil, nil, rand.Reader, time.Now)
	by := auth.OperatorPrincipal()
	for _, tc := range []struct{ name, value string }{
		{"empty", ""}, {"blank", "  "}, {"too long", strings.Repeat("ü", keys.MaxName+1)}, {"two lines", "a\nb"},
		{"invalid UTF-8", "a\xff"}, {"a NUL", "a\x00b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := s.Create(t.Context(), &by, tc.value)
			if faults := fault.Flatten(err); fault.KindOf(err) != fault.Invalid || faults[0].Field != "name" {
				t.Errorf("Create: got error %v, want kind %s on name", err, fault.Invalid)
			}
		})
	}
}

func TestRevoke(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		d := open(t, db)
		k, value := d.create(t, "edge")
		_, other := d.create(t, "other")
		first, err := d.Revoke(t.Context(), d.by, k.ID)
		if err != nil || !first.RevokedAt.Equal(clock.Timestamp(now)) || len(d.published) != 1 ||
			d.published[0] != uuid.Nil {
			t.Fatalf("Revoke() = %+v, %v, published %v, want it at %v, published to all", first, err, d.published, now)
		}
		if r, err := d.credential(t, value); err != nil || !r.Revoked {
			t.Errorf("the revoked key: got %+v, %v, want it revoked", r, err)
		}
		if r, err := d.credential(t, other); err != nil || r.Revoked {
			t.Errorf("the other key: got %+v, %v, want it not revoked", r, err)
		}
		if again, err := d.Revoke(t.Context(), d.by, k.ID); err != nil || again != first {
			t.Errorf("revoked again: got %+v, %v, want %+v", again, err, first)
		}
		if _, err := d.Revoke(t.Context(), d.by, uuid.New()); fault.KindOf(err) != fault.NotFound {
			t.Errorf("an unknown key: got error %v, want kind %s", err, fault.NotFound)
		}
	})
}

func TestDelete(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		d := open(t, db)
		k, value := d.create(t, "edge")
		if err := d.Delete(t.Context(), d.by, k.ID); err != nil || len(d.published) != 1 {
			t.Fatalf("Delete() = %v, published %v, want success and one change", err, d.published)
		}
		if _, err := d.credential(t, value); fault.KindOf(err) != fault.NotFound {
			t.Errorf("the deleted key: got error %v, want kind %s", err, fault.NotFound)
		}
		if list, err := d.List(t.Context(), d.by); err != nil || len(list) != 0 {
			t.Errorf("List() = %v, %v, want none", list, err)
		}
		if err := d.Delete(t.Context(), d.by, k.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("deleted again: got error %v, want kind %s", err, fault.NotFound)
		}
	})
}

func TestOnlyTheOperator(t *testing.T) {
	s := keys.NewService(nil, nil, rand.Reader, time.Now)
	for _, by := range []*auth.Principal{{Kind: auth.APIToken}, {Kind: auth.Session, AccountOwner: true},
		{Kind: auth.Gateway}} {
		_, _, create := s.Create(t.Context(), by, "edge")
		_, list := s.List(t.Context(), by)
		_, revoke := s.Revoke(t.Context(), by, uuid.New())
		for _, err := range []error{create, list, revoke, s.Delete(t.Context(), by, uuid.New())} {
			check.Equal(t, fault.KindOf(err), fault.Forbidden, "%s: %v", by.Kind, err)
		}
	}
}
