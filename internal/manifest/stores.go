package manifest

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/user"
)

func (a *application) stores(ctx context.Context, d Account) error {
	return each(d.Stores, func(s Store) error { return a.store(ctx, d, s) })
}

func (a *application) store(ctx context.Context, d Account, s Store) error {
	is, err := a.repo.StoreByHash(ctx, s.Hash)
	known, err := found(err)
	if err != nil {
		return err
	}
	action := audit.StoreUpdated
	switch {
	case !known:
		action, is = audit.StoreCreated, account.Store{ID: uuid.Must(uuid.NewV7()), AccountID: d.ID, Hash: s.Hash,
			CreatedAt: a.now}
	case is.AccountID != d.ID:
		a.Add(s.Line, "store %s belongs to another account, and a store cannot move", s.Hash)
		return nil
	}
	former, before := is.OwnerID, is.Status
	details := []audit.Detail{set("name", &is.Name, s.Name), setStatus(&is.Status, s.Status),
		a.setStoreOwner(&is, d, s)}
	if known && is.Status == account.Suspended && before != account.Suspended {
		action = audit.StoreSuspended
	}
	if changed(details...) {
		if err := a.repo.SaveStore(ctx, is); err != nil {
			return err
		}
		if err := a.touchOwners(ctx, is, former); err != nil {
			return err
		}
		if err := a.record(ctx, d.ID, action, aboutStore(is), append(details, storeHash(is))...); err != nil {
			return err
		}
	}
	if err := a.install(ctx, is, s.Apps); err != nil {
		return err
	}
	if err := a.storeUsers(ctx, is, s.Users); err != nil {
		return err
	}
	return each(s.LegacyAccounts, func(l LegacyAccount) error { return a.legacyAccount(ctx, is, l) })
}

// touchOwners touches the former and the new owner of a store, because their roles there change.
func (a *application) touchOwners(ctx context.Context, s account.Store, former uuid.UUID) error {
	if former == uuid.Nil || s.OwnerID == former {
		return nil
	}
	return each([]uuid.UUID{former, s.OwnerID},
		func(id uuid.UUID) error { return a.repo.Touch(ctx, s.AccountID, id, a.now) })
}

// setStatus sets the status of an account or a store. A new one is active by default.
func setStatus(is *account.Status, declared account.Status) audit.Detail {
	if *is == "" {
		*is = account.Active
	}
	return set("status", is, declared)
}

// setStoreOwner sets the owner of a store to the declared one. If none is declared, a new store gets the account's
// owner, and an existing store keeps its owner unless that is the account's former owner.
func (a *application) setStoreOwner(is *account.Store, d Account, s Store) audit.Detail {
	former, moved := a.formerOwners[d.ID]
	owner := is.OwnerID
	switch {
	case s.Owner != "":
		owner = a.in(d.ID, s.Owner).ID
	case owner == uuid.Nil, moved && owner == former:
		owner = a.in(d.ID, d.Owner).ID
	}
	if owner == is.OwnerID {
		return audit.Detail{}
	}
	is.OwnerID = owner
	next := a.in(d.ID, cmp.Or(s.Owner, d.Owner))
	a.checkOwner(next, s.Line)
	return audit.Detail{Name: "owner", Value: next.Email}
}

func aboutStore(s account.Store) subject {
	return subject{audit.Target{Kind: audit.TargetStore, Key: s.ID.String(), Name: s.Name}, s.Data()}
}

func aboutMember(s account.Store, m user.StoreMember) subject {
	m.Owner = s.OwnerID == m.User.ID
	return subject{m.Target(s.Hash), m.Data(s.Hash)}
}

func storeHash(s account.Store) audit.Detail { return audit.Detail{Name: "storeHash", Value: s.Hash} }

// install adds apps to a store.
func (a *application) install(ctx context.Context, s account.Store, refs []AppRef) error {
	if len(refs) == 0 {
		return nil
	}
	installed, err := a.repo.InstalledApps(ctx, s.AccountID, s.ID)
	if err != nil {
		return err
	}
	var added []int64
	for _, ref := range refs {
		exists, err := a.appExists(ctx, ref)
		if err != nil {
			return err
		}
		if exists && !slices.Contains(installed, ref.ID) {
			added = append(added, ref.ID)
		}
	}
	if len(added) == 0 {
		return nil
	}
	if err := a.repo.InstallApps(ctx, s.AccountID, s.ID, added); err != nil {
		return err
	}
	return a.record(ctx, s.AccountID, audit.StoreUpdated, aboutStore(s), numbers("installedApps", added), storeHash(s))
}

func (a *application) appExists(ctx context.Context, ref AppRef) (bool, error) {
	_, err := a.repo.AppByID(ctx, ref.ID)
	exists, err := found(err)
	if err == nil && !exists {
		a.Add(ref.Line, "app %d does not exist", ref.ID)
	}
	return exists, err
}

func numbers(name string, ids []int64) audit.Detail {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.FormatInt(id, 10)
	}
	return audit.Detail{Name: name, Value: strings.Join(texts, " ")}
}

// storeUsers adds the declared users and the owner to a store.
func (a *application) storeUsers(ctx context.Context, s account.Store, declared []Member) error {
	listed := false
	for _, m := range declared {
		u := a.in(s.AccountID, m.Email)
		if u.ID == s.OwnerID {
			listed = true
			if m.Status == user.Inactive || m.Permissions != nil {
				a.Add(m.Line,
					"user %s is the store's owner, who is active and has every permission; leave status and permissions out", m.Email)
				continue
			}
			m.Status, m.Permissions = user.Active, user.Permissions()
		}
		if err := a.storeUser(ctx, s, u, m); err != nil {
			return err
		}
	}
	owner, mentioned := a.byID(s.AccountID, s.OwnerID)
	if listed || !mentioned {
		return nil
	}
	return a.storeUser(ctx, s, owner, Member{Status: user.Active, Permissions: user.Permissions()})
}

// storeUser saves a user's membership in a store.
func (a *application) storeUser(ctx context.Context, s account.Store, u user.Person, m Member) error {
	if err := a.addMember(ctx, s.AccountID, u); err != nil {
		return err
	}
	is, err := a.repo.StoreMember(ctx, s.AccountID, s.ID, u.ID)
	known, err := found(err)
	if err != nil {
		return err
	}
	action := audit.StoreUserUpdated
	if !known {
		action = audit.StoreUserAdded
		is = user.StoreMember{Place: user.Place{ID: uuid.Must(uuid.NewV7()), StoreID: s.ID}, User: u.User}
		m.Status = cmp.Or(m.Status, user.Active)
	}
	details := []audit.Detail{set("status", &is.Status, m.Status), setPermissions(&is, m.Permissions)}
	if !known || changed(details...) {
		is.UpdatedAt = a.now
		if err := a.repo.SaveStoreMember(ctx, s.AccountID, is); err != nil {
			return err
		}
		if err := a.repo.Touch(ctx, s.AccountID, u.ID, a.now); err != nil {
			return err
		}
		if err := a.record(ctx, s.AccountID, action, aboutMember(s, is), append(details, storeHash(s))...); err != nil {
			return err
		}
	}
	return a.grant(ctx, s, is, m.Apps)
}

// setPermissions replaces a member's permissions with the declared ones.
func setPermissions(is *user.StoreMember, declared []string) audit.Detail {
	sorted := slices.Sorted(slices.Values(declared))
	if declared == nil || slices.Equal(sorted, is.Permissions) {
		return audit.Detail{}
	}
	is.Permissions = sorted
	value := strings.Join(sorted, " ")
	if len(sorted) == len(user.Permissions()) {
		value = "all"
	}
	return audit.Detail{Name: "permissions", Value: value}
}

// grant allows a member to use apps, which must be installed in the store.
func (a *application) grant(ctx context.Context, s account.Store, m user.StoreMember, refs []AppRef) error {
	if len(refs) == 0 {
		return nil
	}
	installed, err := a.repo.InstalledApps(ctx, s.AccountID, s.ID)
	if err != nil {
		return err
	}
	granted, err := a.repo.MemberApps(ctx, s.AccountID, m.ID)
	if err != nil {
		return err
	}
	var added []int64
	for _, ref := range refs {
		switch {
		case !slices.Contains(installed, ref.ID):
			a.Add(ref.Line, "app %d is not installed in store %s", ref.ID, s.Hash)
		case !slices.Contains(granted, ref.ID):
			added = append(added, ref.ID)
		}
	}
	if len(added) == 0 {
		return nil
	}
	if err := a.repo.GrantApps(ctx, s.AccountID, m.ID, added); err != nil {
		return err
	}
	if err := a.repo.Touch(ctx, s.AccountID, m.User.ID, a.now); err != nil {
		return err
	}
	return a.record(ctx, s.AccountID, audit.StoreUserUpdated, aboutMember(s, m), numbers("apps", added), storeHash(s))
}
