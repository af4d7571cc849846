package membership

import (
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// provisionState is the state of the account after the items so far.
type provisionState struct {
	by      *auth.Principal
	account account.Account
	// stores are the account's stores that the request names, under both ID and
	// hash.
	stores map[account.StoreRef]account.Store
	hashes map[uuid.UUID]string
	// persons has the members that the request names, by folded address.
	persons map[string]user.Person
	// holders maps an external ID to the folded address of the user who has it.
	holders map[string]string
	// seen maps a folded address to the index of its first item.
	seen map[string]int
	// others are the users to remove, and owned the stores that they own.
	others []user.Person
	owned  []account.Store
}

func newProvisionState(by *auth.Principal, a account.Account) *provisionState {
	return &provisionState{
		by: by, account: a, stores: map[account.StoreRef]account.Store{}, hashes: map[uuid.UUID]string{},
		persons: map[string]user.Person{}, holders: map[string]string{}, seen: map[string]int{},
	}
}

func (s *provisionState) addStores(stores []account.Store) {
	for _, st := range stores {
		s.stores[account.StoreRef{ID: st.ID}] = st
		s.stores[account.StoreRef{Hash: st.Hash}] = st
		s.hashes[st.ID] = st.Hash
	}
}

// addPersons adds members of the account.
func (s *provisionState) addPersons(persons []user.Person) {
	for _, p := range persons {
		s.persons[user.Fold(p.Email)] = p
	}
}

// addHolders adds the users who have an external ID, except those who will be
// removed.
func (s *provisionState) addHolders(holders []user.Person) {
	leaving := map[uuid.UUID]bool{}
	for _, p := range s.others {
		leaving[p.ID] = s.leaves(p) == nil
	}
	for _, p := range holders {
		if !leaving[p.ID] {
			s.holders[p.ExternalID] = user.Fold(p.Email)
		}
	}
}

func (s *provisionState) leaves(p user.Person) error { return user.CheckRemoval(s.account, s.owned, p) }

// decision is the planned result of one item.
type decision struct {
	email         string
	before, after user.Person
	// first is the index of the first item about the user. It is this one,
	// unless the user is named twice.
	first int
	// places are the new and changed store memberships.
	places  []user.Place
	action  ProvisionAction
	changes []FieldChange
	fault   *fault.Error
}

// outcome returns the decision as the caller sees it.
func (d decision) outcome(dryRun bool) Outcome {
	o := Outcome{Email: d.email, Action: d.action, Changes: d.changes, Fault: d.fault}
	switch {
	case d.before.Member && (d.action == Failed || dryRun):
		o.Person = &d.before
	case d.before.Member:
		o.Person = &d.after
	}
	return o
}

// decide plans item i and applies the plan to the state.
func (s *provisionState) decide(i int, item ProvisionItem) decision {
	folded := user.Fold(item.Email)
	before := s.persons[folded]
	d := decision{email: item.Email, before: before, after: before, action: Failed}
	first, repeated := s.seen[folded]
	if !repeated {
		s.seen[folded], first = i, i
	}
	d.first = first
	after, places, faults := s.plan(before, item)
	if len(faults) > 0 {
		d.fault = faults[0].On(onItem(i, faults[0].Field))
		return d
	}
	changes := s.changes(before, after)
	action := actionOf(before, changes)
	if repeated && action != Unchanged {
		d.fault = fault.Errorf(fault.Conflict, "%s is for the same user and has other values.",
			onItem(first, "")).On(onItem(i, "email"))
		return d
	}
	d.after, d.places, d.action, d.changes = after, places, action, changes
	s.persons[folded] = after
	if before.ExternalID != after.ExternalID {
		delete(s.holders, before.ExternalID)
		s.holders[after.ExternalID] = folded // empty is never looked up
	}
	return d
}

func actionOf(before user.Person, changes []FieldChange) ProvisionAction {
	switch {
	case !before.Member:
		return Created
	case len(changes) > 0:
		return Updated
	}
	return Unchanged
}

// plan returns the user after the item, and the store memberships that change,
// or all errors of the item, on its own fields.
func (s *provisionState) plan(before user.Person, item ProvisionItem) (user.Person, []user.Place, fault.List) {
	after := before
	after.Member = true
	var faults fault.List
	after.User, faults = planUser(before, item)
	if id := item.ExternalID; id != nil {
		after.ExternalID = *id
		faults = append(faults, s.checkExternalID(*id, user.Fold(item.Email))...)
	}
	if len(user.Differences(before, after)) > 0 {
		faults = append(faults, fault.Flatten(user.CheckByHand(s.by, before))...)
	}
	permissions, wrong := wantedPermissions(item)
	faults = append(faults, wrong...)
	stores, wrong := s.itemStores(item)
	if faults = append(faults, wrong...); len(faults) > 0 {
		return before, nil, faults
	}
	after.Places = slices.Clone(before.Places)
	var changed []user.Place
	for _, st := range stores {
		place, is, err := s.planPlace(before, st, permissions)
		if err != nil {
			on := "role"
			if item.Permissions != nil {
				on = "permissions"
			}
			faults = append(faults, err.On(on))
			continue
		}
		if is {
			after.Places, changed = withPlace(after.Places, place), append(changed, place)
		}
	}
	return after, changed, faults
}

// planUser returns the account's record of the user after the item.
func planUser(before user.Person, item ProvisionItem) (user.User, fault.List) {
	u := before.User
	var faults fault.List
	if !before.Member {
		u = user.User{Email: strings.TrimSpace(item.Email), Locale: user.DefaultLocale, Pending: true}
		if err := user.CheckNewEmail(u.Email); err != nil {
			faults = append(faults, err)
		}
	}
	for _, part := range []struct {
		field string
		want  *string
		to    *string
		valid func(string) bool
		rule  string
	}{
		{"firstName", item.FirstName, &u.FirstName, user.ValidName,
			"A name is one line of 1 to 100 characters without space around it."},
		{"lastName", item.LastName, &u.LastName, user.ValidName,
			"A name is one line of 1 to 100 characters without space around it."},
		{"locale", item.Locale, &u.Locale, user.ValidLocale, "A locale is a language tag such as en or pt-BR."},
	} {
		switch {
		case part.want == nil || *part.want == *part.to && before.Member:
		case !part.valid(*part.want):
			faults = append(faults, fault.Errorf(fault.Invalid, "%s", part.rule).On(part.field))
		default:
			*part.to = *part.want
		}
	}
	return u, faults
}

// checkExternalID checks the external ID for the user with the folded address.
func (s *provisionState) checkExternalID(id, folded string) fault.List {
	if id == "" {
		return nil
	}
	if !user.ValidName(id) {
		return fault.List{fault.Errorf(fault.Invalid,
			"Enter the external id on one line of at most %d characters, without space around it, or leave it empty to remove it.", user.MaxName).On("externalId")}
	}
	if holder, held := s.holders[id]; held && holder != folded {
		return fault.List{fault.Errorf(fault.Conflict,
			"Another user in this account has this external id.").On("externalId")}
	}
	return nil
}

// wantedPermissions returns the permissions that the item gives the user in its
// stores, in alphabetical order; nil leaves them unchanged.
func wantedPermissions(item ProvisionItem) ([]string, fault.List) {
	if item.Role == nil && item.Permissions == nil {
		return nil, nil
	}
	if len(item.Stores) == 0 {
		on := "role"
		if item.Role == nil {
			on = "permissions"
		}
		return nil, fault.List{fault.Errorf(fault.Invalid, "Enter the stores that this applies to.").On(on)}
	}
	if item.Role != nil && (*item.Role != user.Custom || item.Permissions == nil) {
		return rolePermissions(*item.Role, item.Permissions)
	}
	wanted, err := user.CheckPermissions(item.Permissions)
	return append([]string{}, wanted...), fault.Flatten(err)
}

func rolePermissions(r user.Role, beside []string) ([]string, fault.List) {
	var text string
	switch {
	case r == user.StoreOwner:
		text = "Use account.transferOwnership to change the owner of a store."
	case r == user.Custom:
		text = "The role CUSTOM needs permissions."
	case beside != nil:
		text = "Give a role or permissions, not both."
	case !slices.Contains(user.Roles(), r):
		text = "There is no such role."
	default:
		return r.Permissions(), nil
	}
	return nil, fault.List{fault.Errorf(fault.Invalid, "%s", text).On("role")}
}

// itemStores returns the stores that the item names, without duplicates.
func (s *provisionState) itemStores(item ProvisionItem) ([]account.Store, fault.List) {
	if len(item.Stores) > MaxItemStores {
		return nil, fault.List{fault.Errorf(fault.Invalid, "Name at most %d stores.", MaxItemStores).On("stores")}
	}
	var faults fault.List
	stores := make([]account.Store, 0, len(item.Stores))
	for i, ref := range item.Stores {
		st, known := s.stores[ref]
		if !known {
			faults = append(faults, noStore(ref).On("stores."+strconv.Itoa(i)))
			continue
		}
		if !slices.ContainsFunc(stores, func(other account.Store) bool { return other.ID == st.ID }) {
			stores = append(stores, st)
		}
	}
	return stores, faults
}

// noStore is the error for a store that is not in the account. A value with a
// slash is not a hash, but the ID of another kind of object.
func noStore(ref account.StoreRef) *fault.Error {
	if strings.Contains(ref.Hash, "/") {
		return fault.Errorf(fault.Invalid,
			"This is not the id of a store. Name a store by its id, %sstore/…, or by its hash.", account.IDPrefix)
	}
	return account.ErrNoStore()
}

// planPlace returns the user's membership in the store with the permissions,
// and reports whether it changes. A store's owner has all permissions, with or
// without a membership.
func (s *provisionState) planPlace(p user.Person, st account.Store,
	permissions []string) (user.Place, bool, *fault.Error) {
	place, ok := p.Place(st.ID)
	if p.ID != uuid.Nil && st.OwnerID == p.ID {
		if permissions == nil || slices.Equal(permissions, user.Permissions()) {
			return place, false, nil
		}
		return place, false, fault.Flatten(user.CheckStoreOwner(st, p.ID))[0]
	}
	if permissions == nil || slices.Equal(permissions, place.Permissions) {
		if ok {
			return place, false, nil
		}
	} else if err := user.CheckGrant(user.Grantable(s.by, st.ID, nil), place.Permissions, permissions); err != nil {
		return place, false, fault.Flatten(err)[0]
	}
	if !ok {
		place = user.Place{StoreID: st.ID, Status: user.Active}
	}
	if permissions != nil {
		place.Permissions = permissions
	}
	return place, true, nil
}

// withPlace replaces the membership in the same store, or appends it.
func withPlace(places []user.Place, place user.Place) []user.Place {
	for i := range places {
		if places[i].StoreID == place.StoreID {
			places[i] = place
			return places
		}
	}
	return append(places, place)
}

// changes returns the fields in which the two differ. For a user who was not in
// the account, Before is always nil.
func (s *provisionState) changes(before, after user.Person) []FieldChange {
	var all []FieldChange
	note := func(what, was, is string) {
		if was == is {
			return
		}
		c := FieldChange{Field: what}
		if was != "" && before.Member {
			c.Before = &was
		}
		if is != "" {
			c.After = &is
		}
		all = append(all, c)
	}
	note("firstName", before.FirstName, after.FirstName)
	note("lastName", before.LastName, after.LastName)
	note("locale", before.Locale, after.Locale)
	note("externalId", before.ExternalID, after.ExternalID)
	for _, place := range after.Places {
		hash := s.hashes[place.StoreID]
		was, ok := before.Place(place.StoreID)
		if !ok {
			note("stores", "", hash)
		}
		if !slices.Equal(was.Permissions, place.Permissions) {
			note("stores."+hash+".permissions", describe(was.Permissions), describe(place.Permissions))
		}
	}
	return all
}
