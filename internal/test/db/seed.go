package dbtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/scope"
	"latchkey/internal/user"
)

// Seed describes a test account. The zero Seed is an account with an owner, one store and no other users.
type Seed struct {
	// Features are the account's features.
	Features []scope.Feature
	// Stores is the number of stores, each owned by the account's owner. 0 means one.
	Stores int
	// StoreOwner gives the first store an owner of its own.
	StoreOwner bool
	// Users is the number of the account's users without the owners.
	Users int
	// MembersPerStore is the number of those users that are members of each store.
	MembersPerStore int
	// Apps is the number of apps that the account offers. They are installed in every store, and each member may use
	// them.
	Apps int
	// At is the creation time of everything. The zero time means a fixed day.
	At time.Time
}

// World is the result of a Seed. Lists are in the order of creation, oldest first.
type World struct {
	Account account.Account
	// Owner owns the account and, unless StoreOwner is set, every store.
	Owner user.User
	// StoreOwner owns the first store, if Seed.StoreOwner is set.
	StoreOwner user.User
	Stores     []account.Store
	// Users are the users of the account, owners first.
	Users []user.User
	// Members are the members of each store.
	Members map[uuid.UUID][]user.StoreMember
	Apps    []account.App
}

// Make saves what s describes, through the repository of manifests. Every call creates another account with unique
// names.
func (s Seed) Make(t testing.TB, db *gormdb.DB) World {
	t.Helper()
	if s.At.IsZero() {
		s.At = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	}
	if s.Stores == 0 {
		s.Stores = 1
	}
	w := s.build()
	err := db.Manifest().Atomically(t.Context(), func(r manifest.Repository) error { return w.save(t.Context(), r) })
	if err != nil {
		t.Fatalf("dbtest: seed: %v", err)
	}
	return w
}

// build builds the world in memory.
func (s Seed) build() World {
	id := uuid.Must(uuid.NewV7())
	unique := id.String()[24:] // the random part; the beginning is the time
	person := func(role string) user.User {
		return user.User{
			ID: uuid.Must(uuid.NewV7()), Email: role + "@" + unique + ".Example", FirstName: "First " + role,
			LastName: "Last " + role,
			Locale:   "en", CreatedAt: s.At, UpdatedAt: s.At,
		}
	}
	w := World{Owner: person("owner"), Members: map[uuid.UUID][]user.StoreMember{}}
	w.Account = account.Account{ID: id, Name: "Account " + unique, OwnerID: w.Owner.ID, Features: s.Features,
		Offboarding: account.KeepTokens, Leaks: account.RevokeLeaked,
		Status: account.Active, CreatedAt: s.At}
	w.Users = append(w.Users, w.Owner)
	if s.StoreOwner {
		w.StoreOwner = person("store.owner")
		w.Users = append(w.Users, w.StoreOwner)
	}
	owners := len(w.Users)
	for i := range s.Users {
		w.Users = append(w.Users, person(fmt.Sprintf("user%d", i)))
	}
	for i := range s.Apps {
		// The lower bits of the random part of the UUID give a unique number.
		number := int64(id[8]&0x3f)<<32 | int64(id[9])<<24 | int64(id[10])<<16 | int64(id[11])<<8 | int64(i)
		w.Apps = append(w.Apps, account.App{
			ID: number, Key: uuid.Must(uuid.NewV7()), AccountID: id, Name: fmt.Sprintf("App %d", i),
			Status: account.AppPublished, CreatedAt: s.At,
		})
	}
	for i := range s.Stores {
		w.addStore(i, unique, w.Users[owners:owners+s.MembersPerStore], s.At)
	}
	return w
}

func (w *World) addStore(i int, unique string, members []user.User, at time.Time) {
	st := account.Store{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, Hash: fmt.Sprintf("s%d%s", i, unique),
		Name:    fmt.Sprintf("Store %d", i),
		OwnerID: w.Owner.ID, Status: account.Active, CreatedAt: at,
	}
	if i == 0 && w.StoreOwner.ID != uuid.Nil {
		st.OwnerID = w.StoreOwner.ID
	}
	w.Stores = append(w.Stores, st)
	for _, u := range members {
		w.Members[st.ID] = append(w.Members[st.ID], user.StoreMember{User: u, Place: user.Place{
			ID: uuid.Must(uuid.NewV7()), StoreID: st.ID, Status: user.Active,
			Permissions: []string{"Add_Brands", "Add_Orders"}, UpdatedAt: at,
		}})
	}
}

// save saves the world: users before what they own, stores before their members.
func (w World) save(ctx context.Context, r manifest.Repository) error {
	var apps []int64
	steps := make([]func() error, 0, 2*len(w.Users)+4*len(w.Stores))
	step := func(f func() error) { steps = append(steps, f) }
	for _, u := range w.Users {
		step(func() error { return r.SaveUser(ctx, u) })
	}
	step(func() error { return r.SaveAccount(ctx, w.Account) })
	for _, u := range w.Users {
		step(func() error { return r.AddMember(ctx, w.Account.ID, u, u.CreatedAt) })
	}
	for _, a := range w.Apps {
		apps = append(apps, a.ID)
		step(func() error { return r.SaveApp(ctx, a) })
	}
	for _, s := range w.Stores {
		step(func() error { return r.SaveStore(ctx, s) })
		step(func() error { return r.InstallApps(ctx, w.Account.ID, s.ID, apps) })
		for _, m := range w.Members[s.ID] {
			step(func() error { return r.SaveStoreMember(ctx, w.Account.ID, m) })
			step(func() error { return r.GrantApps(ctx, w.Account.ID, m.ID, apps) })
		}
	}
	for _, f := range steps {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
