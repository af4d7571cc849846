package gormdb_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

func userLister(db *gormdb.DB, accountID uuid.UUID) func(context.Context, paging.Window) (paging.Page[user.User],
	error) {
	return func(ctx context.Context, w paging.Window) (paging.Page[user.User], error) {
		return db.Users().Users(ctx, accountID, user.Filter{}, w)
	}
}

func storeUserLister(db *gormdb.DB, accountID uuid.UUID, stores []uuid.UUID) func(context.Context,
	paging.Window) (map[uuid.UUID]paging.Page[user.StoreMember], error) {
	return func(ctx context.Context, w paging.Window) (map[uuid.UUID]paging.Page[user.StoreMember], error) {
		return db.Users().StoreUsers(ctx, accountID, stores, w)
	}
}

func TestUsers(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 4}.Make(t, db)
		other := dbtest.Seed{}.Make(t, db)
		ctx, repo := t.Context(), db.Users()

		got, err := repo.Users(ctx, w.Account.ID, user.Filter{}, all)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "users", nodes(got), newestFirst(w.Users))
		if n, err := repo.CountUsers(ctx, w.Account.ID, user.Filter{}); err != nil || n != int64(len(w.Users)) {
			t.Errorf("CountUsers() = %d, %v, want %d", n, err, len(w.Users))
		}

		members, err := repo.MembersByID(ctx, w.Account.ID, []uuid.UUID{w.Users[2].ID, other.Owner.ID})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "members by id", members, map[uuid.UUID]user.User{w.Users[2].ID: w.Users[2]})

		users, err := repo.UsersByID(ctx, w.Account.ID, []uuid.UUID{w.Owner.ID, other.Owner.ID, uuid.New()})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "users of any account", users,
			map[uuid.UUID]user.User{w.Owner.ID: w.Owner, other.Owner.ID: other.Owner})
	})
}

func TestStoreUsers(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 3, Users: 3, MembersPerStore: 3}.Make(t, db)
		other := dbtest.Seed{Users: 1, MembersPerStore: 1}.Make(t, db)
		stores := []uuid.UUID{w.Stores[0].ID, w.Stores[2].ID, other.Stores[0].ID}
		gone := w.Members[stores[0]][1]
		gone.Status, gone.Permissions, gone.LastLoginAt, gone.UpdatedAt = user.Inactive, nil, noon, later(time.Second)
		if err := db.Manifest().SaveStoreMember(t.Context(), w.Account.ID, gone); err != nil {
			t.Fatal(err)
		}
		w.Members[stores[0]][1] = gone

		pages, err := db.Users().StoreUsers(t.Context(), w.Account.ID, stores, all)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range stores {
			want := newestFirst(w.Members[id])
			same(t, "members", nodes(pages[id]), want)
		}
		counts, err := db.Users().CountStoreUsers(t.Context(), w.Account.ID, stores)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "counts", counts, map[uuid.UUID]int64{stores[0]: 3, stores[1]: 3})
	})
}

func TestMemberships(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 1, StoreOwner: true}.Make(t, db)
		second := dbtest.Seed{}.Make(t, db)
		if err := db.Manifest().AddMember(t.Context(), second.Account.ID, w.Users[2], noon); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name string
			u    user.User
			want []uuid.UUID
		}{
			{"an owner", w.Owner, []uuid.UUID{w.Account.ID}},
			{"a store's owner", w.StoreOwner, []uuid.UUID{w.Account.ID}},
			{"a user in two accounts", w.Users[2], []uuid.UUID{w.Account.ID, second.Account.ID}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				got, err := db.Users().Memberships(t.Context(), user.Fold(tc.u.Email))
				if err != nil {
					t.Fatal(err)
				}
				slices.SortFunc(tc.want, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
				want := make([]user.AccountUser, len(tc.want))
				for i, id := range tc.want {
					want[i] = user.AccountUser{AccountID: id, User: tc.u}
					if id == second.Account.ID {
						want[i].User.UpdatedAt = noon
					}
				}
				same(t, "memberships", got, want)
			})
		}
		if none, err := db.Users().Memberships(t.Context(), "nobody@example.com"); err != nil || len(none) > 0 {
			t.Errorf("Memberships() of an unknown address = %v, %v, want none", none, err)
		}
	})
}

// startSession starts a session of an hour.
func startSession(t testing.TB, db *gormdb.DB, w dbtest.World, u user.User) (user.Session, secret.Secret) {
	t.Helper()
	return startSessionUntil(t, db, w, u, later(time.Hour))
}

func startSessionUntil(t testing.TB, db *gormdb.DB, w dbtest.World, u user.User, end time.Time) (user.Session,
	secret.Secret) {
	t.Helper()
	value := newSecret(secret.UserSession)
	s := user.Session{ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, UserID: u.ID, Email: u.Email,
		CreatedAt: noon, ExpiresAt: end}
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, At: noon,
		Actor:  audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
		Action: audit.SessionStarted, Target: audit.Target{Kind: audit.TargetSession, Key: s.ID.String(),
			Name: u.Email},
	}
	if err := db.Users().StartSession(t.Context(), auth.NoActor("a test"), s, keyring.Digest(value), e,
		audit.Event{}); err != nil {
		t.Fatal(err)
	}
	return s, value
}

func TestStartSession(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		s, value := startSession(t, db, w, w.Owner)
		record, err := db.Access().Credential(t.Context(), secret.UserSession, keyring.Candidates(value))
		if err != nil || record.Principal.SessionID != s.ID {
			t.Errorf("Credential() = %v, %v, want session %s", record, err, s.ID)
		}
		events, err := db.Audit().Events(t.Context(), w.Account.ID, audit.Filter{}, all)
		if err != nil || len(events.Items) != 1 || events.Items[0].Node.Target.Key != s.ID.String() {
			t.Errorf("Events() = %v, %v, want one of session %s", events, err, s.ID)
		}
		t.Run("an existing digest changes nothing", func(t *testing.T) {
			again := user.Session{ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, UserID: w.Owner.ID,
				Email: w.Owner.Email, CreatedAt: noon, ExpiresAt: noon}
			e := events.Items[0].Node
			e.ID = uuid.Must(uuid.NewV7())
			mustBe(t, db.Users().StartSession(t.Context(), auth.NoActor("a test"), again, keyring.Digest(value), e,
				audit.Event{}), fault.Conflict)
			if n, err := db.Audit().CountEvents(t.Context(), w.Account.ID, audit.Filter{}); err != nil || n != 1 {
				t.Errorf("CountEvents() = %d, %v, want 1", n, err)
			}
		})
	})
}
