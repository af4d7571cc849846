package membership

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/user"
)

// Limits of a bulk request.
const (
	// MaxBulk is the most users in one request.
	MaxBulk = 1000
	// MaxItemStores is the most stores in one item.
	MaxItemStores = 250
)

// ProvisionRequest describes the wanted state of users in the account.
type ProvisionRequest struct {
	// Users has 1 to MaxBulk items.
	Users []ProvisionItem
	// DryRun returns the outcomes without changing anything.
	DryRun bool
	// RemoveOthers removes all other users from the account.
	RemoveOthers bool
}

// ProvisionItem is the wanted state of one user. Nil fields are left unchanged.
// Its JSON is an item of the API's input.
type ProvisionItem struct {
	// Email is the user's address, compared without case.
	Email string `json:"email"`
	// FirstName and LastName default to empty for a new member.
	FirstName *string `json:"firstName,omitempty"`
	LastName  *string `json:"lastName,omitempty"`
	// Locale defaults to "en" for a new member.
	Locale *string `json:"locale,omitempty"`
	// ExternalID is the user's ID in the account's other system; empty removes
	// it.
	ExternalID *string `json:"externalId,omitempty"`
	// Stores are stores to add the user to. The user stays a member of other
	// stores.
	Stores []account.StoreRef `json:"stores,omitempty"`
	// Role is the user's role in each of Stores. With Permissions it can only
	// be Custom. Without either, a new store membership has no permissions, and
	// an existing one keeps its own.
	Role *user.Role `json:"role,omitempty"`
	// Permissions are the user's permissions in each of Stores; nil leaves them
	// unchanged.
	Permissions []string `json:"permissions,omitzero"`
}

// ProvisionAction is the result of one item of a bulk request, as the API and
// the commands write it.
type ProvisionAction string

// The actions of a bulk request.
const (
	// Created: the user was added to the account, as pending.
	Created ProvisionAction = "CREATED"
	// Updated: the user was in the account and changed.
	Updated ProvisionAction = "UPDATED"
	// Added is in the schema of the API but is no longer returned.
	Added ProvisionAction = "ADDED"
	// Unchanged: the user already had the wanted state.
	Unchanged ProvisionAction = "UNCHANGED"
	// Removed: the user was removed from the account.
	Removed ProvisionAction = "REMOVED"
	// Failed: the item could not be applied, and changed nothing.
	Failed ProvisionAction = "FAILED"
)

// FieldChange is one changed field of a user, as the API and the commands write
// it.
type FieldChange struct {
	// Field is the item's field: "stores" for a new membership in a store, with
	// the store's hash as its value, or "stores.HASH.permissions" for the
	// permissions there.
	Field string `json:"field"`
	// Before and After are nil where there is no value.
	Before *string `json:"before"`
	After  *string `json:"after"`
}

// Outcome is the result of one item of a bulk request or of a dry run.
type Outcome struct {
	// Email is the item's address or, if the item has none, the user's. The
	// latter is empty for a principal that may not see users.
	Email string
	// Person is the user in their current state, or nil if the account has no
	// such user, as in a dry run that would create one.
	Person *user.Person
	Action ProvisionAction
	// Changes are the changed fields. Removed has none.
	Changes []FieldChange
	// Fault is the error, on a field of the request such as "users.3.email", or
	// nil.
	Fault *fault.Error
}

// provisioning is the plan for a request. write applies it.
type provisioning struct {
	// outcomes are the outcomes of the items, in their order, followed by those
	// of the other users to remove.
	outcomes []Outcome
	// leaving are the other users to remove.
	leaving []user.Person

	account account.Account
	by      *auth.Principal
	now     time.Time
	// first is the index in the request of the first of decisions.
	first     int
	hashes    map[uuid.UUID]string
	seen      map[string]int
	decisions []decision
}

// itemSlice is a part of a request's items. The slices are planned and written one
// after the other.
type itemSlice struct {
	items []ProvisionItem
	// first is the index in the request of the first of items.
	first int
	// seen maps a folded address to the first item with it in the earlier
	// slices: the seen of the last plan.
	seen map[string]int
}

// checkProvisioning checks a request before it is planned. It returns
// fault.Forbidden if the principal may not make it, and fault.Invalid for no
// users or too many.
func checkProvisioning(by *auth.Principal, req ProvisionRequest) error {
	needed := []string{scope.AccountUsersWrite}
	if req.RemoveOthers {
		needed = append(needed, scope.AccountUsersDelete)
	}
	if err := mayInBulk(by, needed...); err != nil {
		return err
	}
	return checkBulk(len(req.Users))
}

// mayInBulk returns fault.Forbidden unless the principal may change every user
// in its account: as its owner, as the operator, or as an API token with the
// scopes.
func mayInBulk(by *auth.Principal, scopes ...string) error {
	if by.OwnsAccount(by.AccountID) {
		return nil
	}
	if missing := by.Missing(scopes...); by.Kind != auth.APIToken || len(missing) > 0 {
		return auth.Denied(missing...)
	}
	return nil
}

// checkBulk returns fault.Invalid unless a request may have n users.
func checkBulk(n int) error {
	if n < 1 || n > MaxBulk {
		return fault.Errorf(fault.Invalid, "Name 1 to %d users; send the rest in further requests.",
			MaxBulk).On("users")
	}
	return nil
}

// planProvisioning compares a request that checkProvisioning accepted with the
// state of the account, in a fixed number of queries. With RemoveOthers it
// returns fault.Invalid if an item has an error, or if more than MaxBulk users
// would be removed.
func planProvisioning(ctx context.Context, c Change, by *auth.Principal, req ProvisionRequest,
	now time.Time) (*provisioning, error) {
	state, err := readState(ctx, c, by, req)
	if err != nil {
		return nil, err
	}
	p := state.decideAll(req.Users, 0, req.DryRun, now)
	if !req.RemoveOthers {
		return p, nil
	}
	if err := mustBeWhole(p.outcomes); err != nil {
		return nil, err
	}
	p.leave(state)
	return p, nil
}

// planSlice is planProvisioning for a slice of the items of a request that is
// not a dry run. It ignores RemoveOthers.
func planSlice(ctx context.Context, c Change, by *auth.Principal, slice itemSlice,
	now time.Time) (*provisioning, error) {
	state, err := readState(ctx, c, by, ProvisionRequest{Users: slice.items})
	if err != nil {
		return nil, err
	}
	maps.Copy(state.seen, slice.seen)
	return state.decideAll(slice.items, slice.first, false, now), nil
}

// decideAll decides on the items in order. The first of them has that index in
// the request.
func (s *provisionState) decideAll(items []ProvisionItem, first int, dryRun bool, now time.Time) *provisioning {
	p := &provisioning{account: s.account, by: s.by, now: now, first: first, hashes: s.hashes, seen: s.seen}
	for i, item := range items {
		d := s.decide(first+i, item)
		o := d.outcome(dryRun)
		if before, ok := p.before(i, d); ok {
			o.Person = p.outcomes[before].Person
		}
		p.decisions, p.outcomes = append(p.decisions, d), append(p.outcomes, o)
	}
	return p
}

// before returns the index of the first decision about the user of decision i,
// if that is an earlier one in this slice. Earlier slices are written already,
// so reads see their result.
func (p *provisioning) before(i int, d decision) (int, bool) {
	before := d.first - p.first
	return before, before >= 0 && before < i
}

// leave adds the removal of every user that the request does not name.
func (p *provisioning) leave(state *provisionState) {
	for _, person := range state.others {
		o := Outcome{Person: &person, Action: Removed}
		if user.MayListAll(p.by) == nil {
			o.Email = person.Email
		}
		if err := state.leaves(person); err != nil {
			o.Action, o.Fault = Failed, fault.Flatten(err)[0].On("removeOthers")
		} else {
			p.leaving = append(p.leaving, person)
		}
		p.outcomes = append(p.outcomes, o)
	}
}

// maxListedFaults is the most wrong items that an error lists.
const maxListedFaults = 50

// mustBeWhole refuses to remove other users if an item has an error: a mistyped
// address may be that of a user who would then be removed.
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
	summary := fault.Errorf(fault.Invalid,
		"%d of the named users have errors, so no user was changed or removed. Correct them, or leave removeOthers out.", len(wrong))
	return append(fault.List{summary.On("removeOthers")}, wrong[:min(len(wrong), maxListedFaults)]...)
}

// readState reads the state that the request is compared with.
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
	persons, err := c.MembersByEmail(ctx, folded)
	if err != nil {
		return nil, err
	}
	s.addPersons(persons)
	if req.RemoveOthers {
		if err := s.readOthers(ctx, c, persons); err != nil {
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

// readOthers reads the members of the account that the request does not name.
func (s *provisionState) readOthers(ctx context.Context, c Change, named []user.Person) error {
	others, err := c.OtherMembers(ctx, userIDs(named), MaxBulk+1)
	if err != nil {
		return err
	}
	if len(others) > MaxBulk {
		return fault.Errorf(fault.Invalid,
			"More than %d users would be removed. To remove that many, use account.deprovisionUsers.",
			MaxBulk).On("removeOthers")
	}
	s.others = others
	s.owned, err = c.OwnedStores(ctx, userIDs(others))
	return err
}

// mentioned returns the folded addresses, external IDs and stores that the
// items name, without duplicates.
func mentioned(items []ProvisionItem) (folded, externalIDs []string, refs []account.StoreRef) {
	named := map[any]bool{}
	first := func(thing any) bool {
		was := named[thing]
		named[thing] = true
		return !was
	}
	type external string
	for _, item := range items {
		if email := user.Fold(item.Email); first(email) {
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

// onItem returns the path of a field of item i of a request.
func onItem(i int, rest string) string {
	return strings.TrimSuffix("users."+strconv.Itoa(i)+"."+rest, ".")
}

// describe returns a set of permissions as text: the name of the role with this
// set, or all the names.
func describe(permissions []string) string {
	if r := user.RoleOf(permissions, false); r != user.Custom {
		return string(r)
	}
	return strings.Join(permissions, " ")
}
