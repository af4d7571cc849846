package gormdb_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

func TestManifestReadsWhatItSaved(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 1, MembersPerStore: 1, Apps: 2,
			Features: []scope.Feature{scope.FeatureAutomatedBilling}}.Make(t, db)
		st, ctx := w.Stores[0], t.Context()
		member := w.Members[st.ID][0]
		read := func(r manifest.Repository) error {
			a, err := r.Account(ctx, w.Account.ID)
			same(t, "account", a, w.Account)
			s, err2 := r.StoreByHash(ctx, st.Hash)
			same(t, "store", s, st)
			app, err3 := r.AppByID(ctx, w.Apps[1].ID)
			same(t, "app", app, w.Apps[1])
			u, err4 := r.UserByEmail(ctx, user.Fold(w.Owner.Email))
			person := w.Owner
			person.UpdatedAt = time.Time{} // of a membership
			same(t, "user", u, person)
			m, err5 := r.StoreMember(ctx, w.Account.ID, st.ID, member.User.ID)
			same(t, "member", m, member)
			is, err6 := r.Member(ctx, w.Account.ID, user.Fold(w.Owner.Email))
			same(t, "owner", is.User, w.Owner)
			_, err7 := r.Member(ctx, uuid.New(), user.Fold(w.Owner.Email))
			check.Equal(t, fault.KindOf(err7), fault.NotFound, "elsewhere: %v", err7)
			installed, err8 := r.InstalledApps(ctx, w.Account.ID, st.ID)
			granted, err9 := r.MemberApps(ctx, w.Account.ID, member.ID)
			same(t, "apps", [][]int64{installed, granted},
				[][]int64{{w.Apps[0].ID, w.Apps[1].ID}, {w.Apps[0].ID, w.Apps[1].ID}})
			return errors.Join(err, err2, err3, err4, err5, err6, err8, err9)
		}
		t.Run("outside", func(t *testing.T) {
			if err := read(db.Manifest()); err != nil {
				t.Error(err)
			}
		})
		t.Run("inside a transaction", func(t *testing.T) {
			if err := db.Manifest().Atomically(ctx, read); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestManifestFindsNothing(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, r, ctx := dbtest.Seed{}.Make(t, db), db.Manifest(), t.Context()
		_, a := r.Account(ctx, uuid.New())
		_, s := r.StoreByHash(ctx, "none")
		_, p := r.AppByID(ctx, 1)
		_, u := r.UserByEmail(ctx, w.Owner.Email) // not folded
		_, m := r.StoreMember(ctx, w.Account.ID, w.Stores[0].ID, w.Owner.ID)
		for what, err := range map[string]error{"account": a, "store": s, "app": p, "user": u, "member": m} {
			check.Equal(t, fault.KindOf(err), fault.NotFound, "%s: %v", what, err)
		}
	})
}

func TestManifestReplaces(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 1, MembersPerStore: 1, Apps: 1}.Make(t, db)
		other := dbtest.Seed{Apps: 1}.Make(t, db)
		ctx := t.Context()
		a, st, app, u := w.Account, w.Stores[0], w.Apps[0], w.Owner
		a.Name, a.Features, a.OwnerID = "New name", []scope.Feature{"BETA"}, w.Users[1].ID
		st.Name, st.Hash, st.OwnerID = "New store", st.Hash+"x", w.Users[1].ID
		app.Name, app.Status = "New app", account.AppDraft
		u.Email, u.FirstName, u.LastName, u.Locale = "NEW@"+st.Hash, "N", "O", "de"
		m := w.Members[st.ID][0]
		m.Status, m.Permissions, m.LastLoginAt, m.UpdatedAt = user.Inactive, []string{"A"}, noon, later(time.Hour)
		err := db.Manifest().Atomically(ctx, func(r manifest.Repository) error {
			return errors.Join(r.SaveUser(ctx, u), r.SaveAccount(ctx, a), r.SaveStore(ctx, st), r.SaveApp(ctx, app),
				r.AddMember(ctx, a.ID, u, noon), r.SaveStoreMember(ctx, a.ID, m),
				r.InstallApps(ctx, a.ID, st.ID, []int64{app.ID, other.Apps[0].ID}),
				r.InstallApps(ctx, a.ID, st.ID, nil),
				r.GrantApps(ctx, a.ID, m.ID, []int64{app.ID}), r.GrantApps(ctx, a.ID, m.ID, nil))
		})
		if err != nil {
			t.Fatal(err)
		}
		gotA, err := db.Manifest().Account(ctx, a.ID)
		same(t, "account", gotA, a)
		gotS, err2 := db.Manifest().StoreByHash(ctx, st.Hash)
		same(t, "store", gotS, st)
		gotP, err3 := db.Manifest().AppByID(ctx, app.ID)
		same(t, "app", gotP, app)
		gotU, err4 := db.Manifest().UserByEmail(ctx, user.Fold(u.Email))
		u.UpdatedAt = time.Time{} // of a membership
		same(t, "user", gotU, u)
		gotM, err5 := db.Manifest().StoreMember(ctx, a.ID, st.ID, m.User.ID)
		m.Owner = true // as the store has it now
		same(t, "member", gotM, m)
		apps, err6 := db.Manifest().InstalledApps(ctx, a.ID, st.ID)
		want := []int64{app.ID, other.Apps[0].ID}
		slices.Sort(want)
		same(t, "installed", apps, want)
		if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
			t.Error(err)
		}
	})
}

func TestManifestConflicts(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{Apps: 1}.Make(t, db), dbtest.Seed{Apps: 1}.Make(t, db)
		ctx, r := t.Context(), db.Manifest()
		stolenStore, stolenApp, sameEmail := w.Stores[0], w.Apps[0], other.Owner
		stolenStore.ID, stolenStore.AccountID = uuid.Must(uuid.NewV7()), other.Account.ID
		stolenApp.AccountID, stolenApp.Key = other.Account.ID, uuid.Must(uuid.NewV7())
		sameEmail.Email = w.Owner.Email
		for what, err := range map[string]error{
			"another account's hash": r.SaveStore(ctx, stolenStore), "another account's app": r.SaveApp(ctx, stolenApp),
			"another person's address": r.SaveUser(ctx, sameEmail),
		} {
			check.Equal(t, fault.KindOf(err), fault.Conflict, "%s: %v", what, err)
		}
		for what, err := range map[string]error{
			"a store's member who is not in the account": r.SaveStoreMember(ctx, w.Account.ID, user.StoreMember{
				Place: user.Place{ID: uuid.New(), StoreID: w.Stores[0].ID, Status: user.Active, UpdatedAt: noon},
				User:  other.Owner}),
			"an app that is not there": r.InstallApps(ctx, w.Account.ID, w.Stores[0].ID, []int64{1}),
		} {
			check.Equal(t, fault.KindOf(err), fault.Internal, "%s: %v", what, err)
		}
	})
}

func TestManifestIsAtomic(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		var changes recorder
		db.OnChange(changes.changed)
		ctx, stop := t.Context(), errors.New("stop")
		work := func(r manifest.Repository) error {
			renamed, elsewhere := w.Account, other.Stores[0]
			renamed.Name, elsewhere.Name = "Renamed", "Renamed"
			return errors.Join(r.SaveAccount(ctx, renamed),
				r.Atomically(ctx, func(inner manifest.Repository) error { return inner.SaveStore(ctx, elsewhere) }))
		}
		err := db.Manifest().Atomically(ctx, func(r manifest.Repository) error { return errors.Join(work(r), stop) })
		if !errors.Is(err, stop) {
			t.Fatalf("Atomically: got error %v, want %v", err, stop)
		}
		a, err := db.Accounts().Account(ctx, w.Account.ID)
		if err != nil || a.Name != w.Account.Name {
			t.Errorf("a failed transaction left %v, %v, want the name %q", a, err, w.Account.Name)
		}
		changes.take()
		if err := db.Manifest().Atomically(ctx, work); err != nil {
			t.Fatal(err)
		}
		reported := changes.take()
		if len(reported) != 2 || !slices.Contains(reported, w.Account.ID) ||
			!slices.Contains(reported, other.Account.ID) {
			t.Errorf("reported %v, want %s and %s", reported, w.Account.ID, other.Account.ID)
		}
		if a, err := db.Accounts().Account(ctx, w.Account.ID); err != nil || a.Name != "Renamed" {
			t.Errorf("a committed transaction left %v, %v, want the name %q", a, err, "Renamed")
		}
		t.Run("a single save is reported too", func(t *testing.T) {
			if err := db.Manifest().SaveAccount(context.WithoutCancel(ctx), w.Account); err != nil {
				t.Fatal(err)
			}
			same(t, "reported", changes.take(), []uuid.UUID{w.Account.ID})
		})
	})
}
