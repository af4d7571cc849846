package gateway_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gateway"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// desk is a service over a database, with whom it answers to and the changes
// that were told.
type desk struct {
	*gateway.Service
	db   *gormdb.DB
	keys *secret.Keyring
	by   *auth.Principal
	told []uuid.UUID
}

func open(t *testing.T, db *gormdb.DB) *desk {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by := auth.OperatorPrincipal()
	d := &desk{db: db, keys: keys, by: &by, Service: gateway.NewService(db.Gateways(), keys, rand.Reader, func() time.Time { return now })}
	db.OnChange(func(id uuid.UUID) { d.told = append(d.told, id) })
	return d
}

func (d *desk) create(t *testing.T, name string) (gateway.Key, secret.Secret) {
	t.Helper()
	k, value, err := d.Create(t.Context(), d.by, name)
	if err != nil {
		t.Fatal(err)
	}
	return k, value
}

func (d *desk) credential(t *testing.T, s secret.Secret) (access.Record, error) {
	t.Helper()
	return d.db.Access().Credential(t.Context(), s.Kind(), d.keys.Candidates(s))
}

func TestCreate(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		d := open(t, db)
		k, value := d.create(t, "  the edge ")
		if k.Name != "the edge" || value.Kind() != secret.GatewayKey || k.Hint != value.Hint() || !k.CreatedAt.Equal(now.Truncate(time.Microsecond)) {
			t.Errorf("made %+v", k)
		}
		r, err := d.credential(t, value)
		if err != nil || r.Principal.Kind != auth.Gateway || r.Principal.ID != k.ID || r.Principal.Name != k.Name || r.Ended {
			t.Errorf("verified as %+v, %v", r, err)
		}
		other, _ := d.create(t, "the edge")
		list, err := d.List(t.Context(), d.by)
		if err != nil || len(list) != 2 || list[0] != other || list[1] != k {
			t.Errorf("listed %+v, %v", list, err)
		}
	})
}

func TestNames(t *testing.T) {
	s := gateway.NewService(nil, nil, rand.Reader, time.Now)
	by := auth.OperatorPrincipal()
	for _, tc := range []struct{ name, value string }{
		{"empty", ""}, {"blank", "  "}, {"too long", strings.Repeat("ü", gateway.MaxName+1)}, {"two lines", "a\nb"}, {"no text", "a\xff"}, {"a NUL", "a\x00b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := s.Create(t.Context(), &by, tc.value)
			if faults := fault.Flatten(err); fault.KindOf(err) != fault.Invalid || faults[0].Field != "name" {
				t.Errorf("got %v", err)
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
		if err != nil || !first.RevokedAt.Equal(now.Truncate(time.Microsecond)) || len(d.told) != 1 || d.told[0] != uuid.Nil {
			t.Fatalf("revoked %+v, %v; told %v", first, err, d.told)
		}
		if r, err := d.credential(t, value); err != nil || !r.Ended {
			t.Errorf("the revoked key is %+v, %v", r, err)
		}
		if r, err := d.credential(t, other); err != nil || r.Ended {
			t.Errorf("the other key is %+v, %v", r, err)
		}
		if again, err := d.Revoke(t.Context(), d.by, k.ID); err != nil || again != first {
			t.Errorf("revoked again: %+v, %v", again, err)
		}
		if _, err := d.Revoke(t.Context(), d.by, uuid.New()); fault.KindOf(err) != fault.NotFound {
			t.Errorf("one that is not there: %v", err)
		}
	})
}

func TestDelete(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		d := open(t, db)
		k, value := d.create(t, "edge")
		if err := d.Delete(t.Context(), d.by, k.ID); err != nil || len(d.told) != 1 {
			t.Fatalf("%v; told %v", err, d.told)
		}
		if _, err := d.credential(t, value); fault.KindOf(err) != fault.NotFound {
			t.Errorf("the deleted key: %v", err)
		}
		if list, err := d.List(t.Context(), d.by); err != nil || len(list) != 0 {
			t.Errorf("listed %v, %v", list, err)
		}
		if err := d.Delete(t.Context(), d.by, k.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("deleted again: %v", err)
		}
	})
}

func TestOnlyTheOperator(t *testing.T) {
	s := gateway.NewService(nil, nil, rand.Reader, time.Now)
	for _, by := range []*auth.Principal{{Kind: auth.APIToken}, {Kind: auth.Session, AccountOwner: true}, {Kind: auth.Gateway}} {
		_, _, create := s.Create(t.Context(), by, "edge")
		_, list := s.List(t.Context(), by)
		_, revoke := s.Revoke(t.Context(), by, uuid.New())
		for _, err := range []error{create, list, revoke, s.Delete(t.Context(), by, uuid.New())} {
			if fault.KindOf(err) != fault.Forbidden {
				t.Errorf("%s: %v", by.Kind, err)
			}
		}
	}
}
