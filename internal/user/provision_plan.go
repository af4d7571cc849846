package user

import (
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// provisionState is what an item is held against: the account as the items
// before it leave it.
type provisionState struct {
	by      *auth.Principal
	account account.Account
	// stores are those of the account that the request names, by whatever
	// names them.
	stores map[account.StoreRef]account.Store
	hashes map[uuid.UUID]string
	// people are those whom the request names and the account has, by folded
	// address.
	people map[string]Person
	// holders are the folded addresses of whoever has an external id.
	holders map[string]string
	// seen is the item that was about the person first.
	seen map[string]int
	// others are who is to leave, and owned the stores of them.
	others []Person
	owned  []account.Store
}

func newProvisionState(by *auth.Principal, a account.Account) *provisionState {
	return &provisionState{
		by: by, account: a, stores: map[account.StoreRef]account.Store{}, hashes: map[uuid.UUID]string{},
		people: map[string]Person{}, holders: map[string]string{}, seen: map[string]int{},
	}
}

func (s *provisionState) addStores(stores []account.Store) {
	for _, st := range stores {
		s.stores[account.StoreRef{ID: st.ID}] = st
		s.stores[account.StoreRef{Hash: st.Hash}] = st
		s.hashes[st.ID] = st.Hash
	}
}

// addPeople notes who is in the account.
func (s *provisionState) addPeople(people []Person) {
	for _, p := range people {
		s.people[Fold(p.Email)] = p
	}
}

// addHolders notes who has an external id, but for those who leave it behind.
func (s *provisionState) addHolders(holders []Person) {
	leaving := map[uuid.UUID]bool{}
	for _, p := range s.others {
		leaving[p.ID] = s.leaves(p) == nil
	}
	for _, p := range holders {
		if !leaving[p.ID] {
			s.holders[p.ExternalID] = Fold(p.Email)
		}
	}
}

func (s *provisionState) leaves(p Person) error { return CheckRemoval(s.account, s.owned, p) }

// decision is what an item comes to.
type decision struct {
	email         string
	before, after Person
	// first is the item that was about the person first: this one, unless
	// they are named twice.
	first int
	// places are those that are new or not as they were.
	places  []Place
	action  ProvisionAction
	changes []FieldChange
	fault   *fault.Error
}

// outcome is what is told of a decision.
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

// decide holds item number i against the state, and leaves the state as it is
// when that is done.
func (s *provisionState) decide(i int, item ProvisionItem) decision {
	folded := Fold(item.Email)
	before := s.people[folded]
	d := decision{email: item.Email, before: before, after: before, action: Failed}
	first, repeated := s.seen[folded]
	if !repeated {
		s.seen[folded], first = i, i
	}
	d.first = first
	after, places, faults := s.plan(before, item)
	if len(faults) > 0 {
		d.fault = faults[0].On(OnItem(i, faults[0].Field))
		return d
	}
	changes := s.changes(before, after)
	action := actionOf(before, changes)
	if repeated && action != Unchanged {
		d.fault = fault.Errorf(fault.Conflict, "%s is about the same person, and asks for something else.", OnItem(first, "")).On(OnItem(i, "email"))
		return d
	}
	d.after, d.places, d.action, d.changes = after, places, action, changes
	s.people[folded] = after
	if before.ExternalID != after.ExternalID {
		delete(s.holders, before.ExternalID)
		s.holders[after.ExternalID] = folded // nobody asks for an empty one
	}
	return d
}

func actionOf(before Person, changes []FieldChange) ProvisionAction {
	switch {
	case !before.Member:
		return Created
	case len(changes) > 0:
		return Updated
	}
	return Unchanged
}

// plan returns the person as the item has them, and those of their places that
// change; or all that is wrong with the item, on its own fields.
func (s *provisionState) plan(before Person, item ProvisionItem) (Person, []Place, fault.List) {
	after := before
	after.Member = true
	var faults fault.List
	after.User, faults = planUser(before, item)
	if id := item.ExternalID; id != nil {
		after.ExternalID = *id
		faults = append(faults, s.checkExternalID(*id, Fold(item.Email))...)
	}
	permissions, wrong := wantedPermissions(item)
	faults = append(faults, wrong...)
	stores, wrong := s.itemStores(item)
	if faults = append(faults, wrong...); len(faults) > 0 {
		return before, nil, faults
	}
	after.Places = slices.Clone(before.Places)
	var changed []Place
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

// planUser returns what the account records of the person when the item is done.
func planUser(before Person, item ProvisionItem) (User, fault.List) {
	u := before.User
	var faults fault.List
	if !before.Member {
		u = User{Email: strings.TrimSpace(item.Email), Locale: defaultLocale, Pending: true}
		if !ValidEmail(u.Email) {
			faults = append(faults, fault.Errorf(fault.Invalid, "This is no e-mail address.").On("email"))
		}
	}
	for _, part := range []struct {
		field string
		want  *string
		to    *string
		valid func(string) bool
		rule  string
	}{
		{"firstName", item.FirstName, &u.FirstName, ValidName, "A name is one line of 1 to 100 characters without space around it."},
		{"lastName", item.LastName, &u.LastName, ValidName, "A name is one line of 1 to 100 characters without space around it."},
		{"locale", item.Locale, &u.Locale, ValidLocale, "A locale is a language tag such as en or pt-BR."},
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

// checkExternalID judges the id that the person of the folded address shall
// have.
func (s *provisionState) checkExternalID(id, folded string) fault.List {
	if id == "" {
		return nil
	}
	if !ValidName(id) {
		return fault.List{fault.Errorf(fault.Invalid, "Enter the external id on one line of at most %d characters, without space around it, or nothing to take it away.", MaxName).On("externalId")}
	}
	if holder, held := s.holders[id]; held && holder != folded {
		return fault.List{fault.Errorf(fault.Conflict, "Somebody else in this account has this external id.").On("externalId")}
	}
	return nil
}

// wantedPermissions returns what the person shall be able to do in the item's
// stores, in alphabetical order; nil is whatever they can.
func wantedPermissions(item ProvisionItem) ([]string, fault.List) {
	if item.Role == nil && item.Permissions == nil {
		return nil, nil
	}
	if len(item.Stores) == 0 {
		on := "role"
		if item.Role == nil {
			on = "permissions"
		}
		return nil, fault.List{fault.Errorf(fault.Invalid, "Name the stores that this holds for.").On(on)}
	}
	if item.Role != nil && (*item.Role != Custom || item.Permissions == nil) {
		return rolePermissions(*item.Role, item.Permissions)
	}
	wanted, err := CheckPermissions(item.Permissions)
	return append([]string{}, wanted...), fault.Flatten(err)
}

func rolePermissions(r Role, beside []string) ([]string, fault.List) {
	var text string
	switch {
	case r == StoreOwner:
		text = "Nobody is made a store's owner but by account.transferOwnership."
	case r == Custom:
		text = "Say by permissions what the role CUSTOM may do."
	case beside != nil:
		text = "Give a role or permissions, not both."
	case !slices.Contains(Roles(), r):
		text = "There is no such role."
	default:
		return r.Permissions(), nil
	}
	return nil, fault.List{fault.Errorf(fault.Invalid, "%s", text).On("role")}
}

// itemStores returns the stores that the item names, each once.
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

// noStore is the answer for a store that is not in the account. What has a
// slash is no hash, but the id of something else.
func noStore(ref account.StoreRef) *fault.Error {
	if strings.Contains(ref.Hash, "/") {
		return fault.Errorf(fault.Invalid, "This is no id of a store. Name a store by its id, bc/account/store/…, or by its hash.")
	}
	return account.ErrNoStore()
}

// planPlace returns the person's place in the store with the permissions, and
// whether that is not as it was. A store's owner has all that there is to
// have, with or without a place.
func (s *provisionState) planPlace(p Person, st account.Store, permissions []string) (Place, bool, *fault.Error) {
	place, there := p.Place(st.ID)
	if p.ID != uuid.Nil && st.OwnerID == p.ID {
		if permissions == nil || slices.Equal(permissions, Permissions()) {
			return place, false, nil
		}
		return place, false, fault.Flatten(CheckStoreOwner(st, p.ID))[0]
	}
	if permissions == nil || slices.Equal(permissions, place.Permissions) {
		if there {
			return place, false, nil
		}
	} else if err := CheckGrant(Grantable(s.by, st.ID, nil), place.Permissions, permissions); err != nil {
		return place, false, fault.Flatten(err)[0]
	}
	if !there {
		place = Place{StoreID: st.ID, Status: Active}
	}
	if permissions != nil {
		place.Permissions = permissions
	}
	return place, true, nil
}

// withPlace puts a place where the person's is in that store, or adds it.
func withPlace(places []Place, place Place) []Place {
	for i := range places {
		if places[i].StoreID == place.StoreID {
			places[i] = place
			return places
		}
	}
	return append(places, place)
}

// changes tells what of a person is not as it was. Of somebody who was not in
// the account it does not tell what was.
func (s *provisionState) changes(before, after Person) []FieldChange {
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
		was, there := before.Place(place.StoreID)
		if !there {
			note("stores", "", hash)
		}
		if !slices.Equal(was.Permissions, place.Permissions) {
			note("stores."+hash+".permissions", Describe(was.Permissions), Describe(place.Permissions))
		}
	}
	return all
}
