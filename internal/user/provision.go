package user

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// Bounds of what is done to people in bulk.
const (
	// MaxBulk is how many people one call is about at most.
	MaxBulk = 1000
	// MaxItemStores is how many stores one item names at most.
	MaxItemStores = 250
	// defaultLocale is that of people of whom nothing else is said.
	defaultLocale = "en"
)

// ProvisionRequest says who shall be in the account, and how.
type ProvisionRequest struct {
	// Users are 1 to MaxBulk people.
	Users []ProvisionItem
	// DryRun asks what would be done, and does nothing.
	DryRun bool
	// RemoveOthers takes everybody else out of the account.
	RemoveOthers bool
}

// ProvisionItem is what shall be so of one person. What is nil stays as it is.
type ProvisionItem struct {
	// Email is the person's address, compared without case.
	Email string
	// FirstName and LastName are empty for a person who comes into the account,
	// unless given.
	FirstName, LastName *string
	// Locale is "en" for a person who comes into the account, unless given.
	Locale *string
	// ExternalID is how another system knows the person; empty for not at all.
	ExternalID *string
	// Stores are those in which the person shall have a place. Their other
	// places stay.
	Stores []account.StoreRef
	// Role is what the person shall be in each of Stores; with Permissions,
	// Custom alone. Without either a new place has no permissions, and one
	// that the person has keeps its own.
	Role *Role
	// Permissions are what the person may do in each of Stores; nil is as
	// they are.
	Permissions []string
}

// ProvisionAction is what became of one person in a bulk.
type ProvisionAction string

// What can become of a person.
const (
	// Created: they came into the account, pending.
	Created ProvisionAction = "CREATED"
	// Updated: they were in the account, and something of them changed.
	Updated ProvisionAction = "UPDATED"
	// Unchanged: nothing was to be done.
	Unchanged ProvisionAction = "UNCHANGED"
	// Removed: they are out of the account.
	Removed ProvisionAction = "REMOVED"
	// Failed: it could not be done, and nothing of it was.
	Failed ProvisionAction = "FAILED"
)

// FieldChange is one thing of a person that changed.
type FieldChange struct {
	// Field is the item's field; "stores" with a store's hash for a place
	// there, "stores.HASH.permissions" for what they may do in it.
	Field string
	// Before and After are nil for what there was not, or is not any more.
	Before, After *string
}

// Outcome is what became of one person in a bulk, or would in a dry run.
type Outcome struct {
	// Email is as the item has it; of a person who was named by nothing but
	// their id, or by nothing, the person's own. To a principal that may not
	// see people it is empty then.
	Email string
	// Person is the person as they are now, nil where there is none to show:
	// whom a dry run would create or add is nobody of the account's yet.
	Person *Person
	Action ProvisionAction
	// Changes are what is not as it was, for all but Removed.
	Changes []FieldChange
	// Fault is why it failed, on a field of the request such as
	// "users.3.email"; nil otherwise.
	Fault *fault.Error
}

// Provisioning is a request that was held against the state of the account,
// and not carried out yet.
type Provisioning struct {
	// Outcomes are those of the request's items, in their order, and then
	// those of the others who are to leave.
	Outcomes []Outcome
	// Leaving are the others who leave.
	Leaving []Person

	by  *auth.Principal
	now time.Time
	// first is the number of the first of decisions in the request.
	first     int
	hashes    map[uuid.UUID]string
	seen      map[string]int
	decisions []decision
}

// Slice is some of the items of a request, each slice of which is planned and
// written after the one before it.
type Slice struct {
	Items []ProvisionItem
	// First is the number of the first of Items in the request.
	First int
	// Seen says which item of the slices before named an address first: what
	// Provisioning.Seen returned for the last of them.
	Seen map[string]int
}

// CheckProvisioning judges a request by itself and by whoever makes it. It
// returns fault.Forbidden for a principal that may not, and fault.Invalid for
// too many people or none.
func CheckProvisioning(by *auth.Principal, req ProvisionRequest) error {
	needed := []string{scope.AccountUsersWrite}
	if req.RemoveOthers {
		needed = append(needed, scope.AccountUsersDelete)
	}
	if err := MayInBulk(by, needed...); err != nil {
		return err
	}
	return CheckBulk(len(req.Users))
}

// MayInBulk returns fault.Forbidden unless the principal may change anybody in
// its account: as its owner, as the operator, or by the scopes of an API token.
func MayInBulk(by *auth.Principal, scopes ...string) error {
	if by.OwnsAccount(by.AccountID) {
		return nil
	}
	if missing := by.Missing(scopes...); by.Kind != auth.APIToken || len(missing) > 0 {
		return auth.Denied(missing...)
	}
	return nil
}

// CheckBulk returns fault.Invalid unless one request may be about n people.
func CheckBulk(n int) error {
	if n < 1 || n > MaxBulk {
		return fault.Errorf(fault.Invalid, "Name 1 to %d people; send the rest in further requests.", MaxBulk).On("users")
	}
	return nil
}

// Plan holds a request that CheckProvisioning passed against the account, by
// reads of sets alone. It returns fault.Invalid when others should leave and
// an item is wrong, or more than MaxBulk would leave.
func Plan(ctx context.Context, c Change, by *auth.Principal, req ProvisionRequest, now time.Time) (*Provisioning, error) {
	state, err := readState(ctx, c, by, req)
	if err != nil {
		return nil, err
	}
	p := state.decideAll(req.Users, 0, req.DryRun, now)
	if !req.RemoveOthers {
		return p, nil
	}
	if err := mustBeWhole(p.Outcomes); err != nil {
		return nil, err
	}
	p.leave(state)
	return p, nil
}

// PlanSlice is Plan for a slice of the items of a request that is no dry run.
// Who else is to leave is no part of it.
func PlanSlice(ctx context.Context, c Change, by *auth.Principal, slice Slice, now time.Time) (*Provisioning, error) {
	state, err := readState(ctx, c, by, ProvisionRequest{Users: slice.Items})
	if err != nil {
		return nil, err
	}
	maps.Copy(state.seen, slice.Seen)
	return state.decideAll(slice.Items, slice.First, false, now), nil
}

// Seen returns which item named an address first, for the next slice.
func (p *Provisioning) Seen() map[string]int { return p.seen }

// decideAll decides on items one after the other, the first of which has that
// number in the request.
func (s *provisionState) decideAll(items []ProvisionItem, first int, dryRun bool, now time.Time) *Provisioning {
	p := &Provisioning{by: s.by, now: now, first: first, hashes: s.hashes, seen: s.seen}
	for i, item := range items {
		d := s.decide(first+i, item)
		o := d.outcome(dryRun)
		if before, ok := p.before(i, d); ok {
			o.Person = p.Outcomes[before].Person
		}
		p.decisions, p.Outcomes = append(p.decisions, d), append(p.Outcomes, o)
	}
	return p
}

// before returns which decision was about the person of decision i first, if
// that is another one. A slice before has been written, so that what is
// known of the person is what it wrote.
func (p *Provisioning) before(i int, d decision) (int, bool) {
	before := d.first - p.first
	return before, before >= 0 && before < i
}

// leave adds everybody whom the request does not name.
func (p *Provisioning) leave(state *provisionState) {
	for _, person := range state.others {
		o := Outcome{Person: &person, Action: Removed}
		if mayInAccount(p.by, scope.AccountUsersRead) == nil {
			o.Email = person.Email
		}
		if err := state.leaves(person); err != nil {
			o.Action, o.Fault = Failed, fault.Flatten(err)[0].On("removeOthers")
		} else {
			p.Leaving = append(p.Leaving, person)
		}
		p.Outcomes = append(p.Outcomes, o)
	}
}

// mostNamed bounds how many wrong items a refusal names.
const mostNamed = 50

// mustBeWhole refuses to remove others beside an item that is wrong: what is
// mistyped there may be somebody who would be removed for it.
func mustBeWhole(outcomes []Outcome) error {
	var wrong fault.List
	for _, o := range outcomes {
		if o.Fault != nil {
			wrong = append(wrong, o.Fault)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	told := fault.Errorf(fault.Invalid, "%d of the people named are not right, so nobody was changed or removed. Correct them, or leave removeOthers out.", len(wrong))
	return append(fault.List{told.On("removeOthers")}, wrong[:min(len(wrong), mostNamed)]...)
}

// readState reads what the request is to be held against.
func readState(ctx context.Context, c Change, by *auth.Principal, req ProvisionRequest) (*provisionState, error) {
	a, err := c.Account(ctx)
	if err != nil {
		return nil, err
	}
	s := newProvisionState(by, a)
	folded, externalIDs, refs := mentioned(req.Users)
	stores, err := c.Stores(ctx, refs)
	if err != nil {
		return nil, err
	}
	s.addStores(stores)
	people, err := c.MembersByEmail(ctx, folded)
	if err != nil {
		return nil, err
	}
	s.addPeople(people)
	if req.RemoveOthers {
		if err := s.readOthers(ctx, c, people); err != nil {
			return nil, err
		}
	}
	holders, err := c.MembersByExternalID(ctx, externalIDs)
	if err != nil {
		return nil, err
	}
	s.addHolders(holders)
	return s, nil
}

// readOthers reads who is in the account and was not named.
func (s *provisionState) readOthers(ctx context.Context, c Change, named []Person) error {
	ids := make([]uuid.UUID, len(named))
	for i, p := range named {
		ids[i] = p.ID
	}
	others, err := c.OtherMembers(ctx, ids, MaxBulk+1)
	if err != nil {
		return err
	}
	if len(others) > MaxBulk {
		return fault.Errorf(fault.Invalid, "More than %d people would be removed. Remove them by account.deprovisionUsers, if that is meant.", MaxBulk).On("removeOthers")
	}
	s.others = others
	s.owned, err = c.OwnedStores(ctx, idsOf(others))
	return err
}

// mentioned returns what the items name, each once: folded addresses, external
// ids and stores.
func mentioned(items []ProvisionItem) (folded, externalIDs []string, refs []account.StoreRef) {
	named := map[any]bool{}
	first := func(thing any) bool {
		was := named[thing]
		named[thing] = true
		return !was
	}
	type external string
	for _, item := range items {
		if email := Fold(item.Email); first(email) {
			folded = append(folded, email)
		}
		if id := item.ExternalID; id != nil && *id != "" && first(external(*id)) {
			externalIDs = append(externalIDs, *id)
		}
		for _, ref := range item.Stores[:min(len(item.Stores), MaxItemStores)] {
			if first(ref) {
				refs = append(refs, ref)
			}
		}
	}
	return folded, externalIDs, refs
}

func idsOf(people []Person) []uuid.UUID {
	ids := make([]uuid.UUID, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	return ids
}

// OnItem is the path of a field of item number i in a request.
func OnItem(i int, rest string) string {
	return strings.TrimSuffix("users."+strconv.Itoa(i)+"."+rest, ".")
}

// Describe is a set of permissions as people read it: the name of the role it
// makes, or all the names.
func Describe(permissions []string) string {
	if r := RoleOf(permissions, false); r != Custom {
		return string(r)
	}
	return strings.Join(permissions, " ")
}

func sortedOnce(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }
