package manifest

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/strictyaml"
	"latchkey/internal/user"
)

// application is one run over a manifest, inside its transaction.
type application struct {
	strictyaml.Faults
	repo Repository
	keys *secret.Keyring
	by   *auth.Principal
	now  time.Time
	// declared holds every user that the file mentions, by folded address. the second map holds those that are users of
	// an account, with their platform-wide identity.
	declared map[string]Person
	people   map[string]user.User
	// members holds the users of accounts that the file mentions.
	members map[mentioned]user.Person
	// formerOwners holds the previous owner of each account whose owner changed.
	formerOwners map[uuid.UUID]uuid.UUID
	events       []audit.Event
}

// mentioned identifies a user by account and folded address.
type mentioned struct {
	accountID uuid.UUID
	folded    string
}

func newApplication(repo Repository, keys *secret.Keyring, by *auth.Principal, now time.Time) *application {
	return &application{
		repo: repo, keys: keys, by: by, now: now, declared: map[string]Person{}, people: map[string]user.User{},
		members:      map[mentioned]user.Person{},
		formerOwners: map[uuid.UUID]uuid.UUID{},
	}
}

// apply creates what others refer to first, in all accounts: a store may use an app of an account further down.
func (a *application) apply(ctx context.Context, m Manifest) error {
	for _, p := range m.Users {
		a.declared[user.Fold(p.Email)] = p
	}
	steps := []func() error{
		func() error { return each(m.Accounts, func(d Account) error { return a.account(ctx, d) }) },
		func() error { return each(m.Accounts, func(d Account) error { return a.apps(ctx, d) }) },
		func() error { return each(m.Accounts, func(d Account) error { return a.stores(ctx, d) }) },
		a.Err,
	}
	return each(steps, func(step func() error) error { return step() })
}

func each[T any](all []T, do func(T) error) error {
	for _, one := range all {
		if err := do(one); err != nil {
			return err
		}
	}
	return nil
}

// found reports whether a lookup found something. Errors other than fault.NotFound are returned.
func found(err error) (bool, error) {
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil, err
}

// subject is what an event is about: the target with its data (audit.Event), which may be nil.
type subject struct {
	target audit.Target
	data   json.RawMessage
}

// record saves an audit event of a change.
func (a *application) record(ctx context.Context, accountID uuid.UUID, action audit.Action, about subject,
	details ...audit.Detail) error {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: accountID, At: a.now, Actor: audit.ActorOf(a.by.Subject()),
		Action: action, Target: about.target, Data: about.data, RequestID: a.by.Origin.RequestID,
	}
	if a.by.Origin.IP.IsValid() {
		e.IP = a.by.Origin.IP.String()
	}
	for _, d := range details {
		if d.Name != "" {
			e.Details = append(e.Details, d)
		}
	}
	a.events = append(a.events, e)
	return a.repo.Record(ctx, e)
}

// set assigns declared to *is and returns the change as a detail of the event. It does nothing if declared is empty or
// equal to *is.
func set[T ~string](name string, is *T, declared T) audit.Detail {
	if declared == "" || *is == declared {
		return audit.Detail{}
	}
	*is = declared
	return audit.Detail{Name: name, Value: string(declared)}
}

// changed reports whether any of the details is set.
func changed(details ...audit.Detail) bool {
	return slices.ContainsFunc(details, func(d audit.Detail) bool { return d.Name != "" })
}

// person returns the identity with a folded address, and creates it if there is none. What an account records about its
// user is set by member.
func (a *application) person(ctx context.Context, accountID uuid.UUID, folded string) (user.User, error) {
	if u, met := a.people[folded]; met {
		return u, nil
	}
	p := a.declared[folded]
	u, err := a.repo.UserByEmail(ctx, folded)
	known, err := found(err)
	if err != nil {
		return u, err
	}
	a.people[folded] = u
	if known {
		return u, nil
	}
	if err := user.CheckNewEmail(p.Email); err != nil {
		a.Add(p.Line, "user %s does not exist, and cannot be created. %s", p.Email, err.Message)
	}
	if p.FirstName == "" || p.LastName == "" || p.Locale == "" {
		a.Add(p.Line, "user %s does not exist; set first_name, last_name and locale", p.Email)
		// Placeholder values allow the rest of the file to be checked. The run fails, so they are never saved.
		p.FirstName, p.LastName, p.Locale = cmp.Or(p.FirstName, "?"), cmp.Or(p.LastName, "?"), cmp.Or(p.Locale, "en")
	}
	u = user.User{ID: uuid.Must(uuid.NewV7()), Email: p.Email, CreatedAt: a.now}
	details := named(&u, p)
	a.people[folded] = u
	if err := a.repo.SaveUser(ctx, u); err != nil {
		return u, err
	}
	return u, a.record(ctx, accountID, audit.UserCreated, aboutUser(user.Person{User: u}), details...)
}

// named sets the declared names of a user and returns the changes.
func named(u *user.User, p Person) []audit.Detail {
	return []audit.Detail{
		set("firstName", &u.FirstName, p.FirstName), set("lastName", &u.LastName, p.LastName),
		set("locale", &u.Locale, p.Locale),
	}
}

func aboutUser(p user.Person) subject { return subject{p.Target(), p.Data()} }

// loadMembers loads the users that an account mentions. Users of the account get the declared names, and a pending
// membership is accepted. Identities that are not in the account yet are loaded for apply to add.
func (a *application) loadMembers(ctx context.Context, d Account) error {
	folded := append([]string{d.Owner}, d.Users...)
	for _, s := range d.Stores {
		if s.Owner != "" {
			folded = append(folded, s.Owner)
		}
		for _, m := range s.Users {
			folded = append(folded, m.Email)
		}
	}
	return each(folded, func(email string) error { return a.member(ctx, mentioned{d.ID, user.Fold(email)}) })
}

// member loads one of them.
func (a *application) member(ctx context.Context, who mentioned) error {
	if _, met := a.members[who]; met {
		return nil
	}
	u, err := a.repo.Member(ctx, who.accountID, who.folded)
	known, err := found(err)
	if err != nil {
		return err
	}
	if !known {
		if u.User, err = a.person(ctx, who.accountID, who.folded); err != nil {
			return err
		}
		named(&u.User, a.declared[who.folded])
		a.members[who] = u
		return nil
	}
	details, pending := named(&u.User, a.declared[who.folded]), u.Pending
	u.Pending = false
	a.members[who] = u
	if !pending && !changed(details...) {
		return nil
	}
	if err := a.repo.SaveMember(ctx, who.accountID, u.User, a.now); err != nil {
		return err
	}
	u.UpdatedAt = a.now
	if pending {
		if err := a.record(ctx, who.accountID, audit.UserAccepted, aboutUser(u)); err != nil {
			return err
		}
	}
	if !changed(details...) {
		return nil
	}
	return a.record(ctx, who.accountID, audit.UserUpdated, aboutUser(u), details...)
}

// in returns the user with this email address in the account.
func (a *application) in(accountID uuid.UUID, email string) user.Person {
	return a.members[mentioned{accountID, user.Fold(email)}]
}

// byID returns the user with this ID in the account, if the file mentions the user.
func (a *application) byID(accountID, id uuid.UUID) (user.Person, bool) {
	for who, u := range a.members {
		if who.accountID == accountID && u.ID == id {
			return u, true
		}
	}
	return user.Person{}, false
}

func (a *application) account(ctx context.Context, d Account) error {
	is, err := a.repo.Account(ctx, d.ID)
	known, err := found(err)
	if err != nil {
		return err
	}
	action := audit.AccountUpdated
	if !known {
		action, is = audit.AccountCreated,
			account.Account{ID: d.ID, CreatedAt: a.now, Offboarding: account.KeepTokens,
				Leaks: account.RevokeLeaked}
	}
	if err := a.loadMembers(ctx, d); err != nil {
		return err
	}
	owner := a.in(d.ID, d.Owner)
	details := []audit.Detail{set("name", &is.Name, d.Name), setStatus(&is.Status, d.Status),
		a.setFeatures(&is, d.Features)}
	if is.OwnerID != owner.ID {
		a.checkOwner(owner, d.Line)
		if known {
			a.formerOwners[d.ID] = is.OwnerID
		}
		is.OwnerID = owner.ID
		details = append(details, audit.Detail{Name: "owner", Value: owner.Email})
	}
	if changed(details...) {
		if err := a.repo.SaveAccount(ctx, is); err != nil {
			return err
		}
		about := subject{audit.Target{Kind: audit.TargetAccount, Key: d.ID.String(), Name: is.Name}, is.Data()}
		if err := a.record(ctx, d.ID, action, about, details...); err != nil {
			return err
		}
	}
	return each(append([]string{d.Owner}, d.Users...),
		func(email string) error { return a.addMember(ctx, d.ID, a.in(d.ID, email)) })
}

// checkOwner reports a new owner who is deactivated. Applying a manifest leaves deactivated users deactivated.
func (a *application) checkOwner(owner user.Person, line int) {
	if owner.Deactivated() {
		a.Add(line, "user %s is deactivated in the account and cannot become an owner", owner.Email)
	}
}

// setFeatures replaces the account's features with the declared ones.
func (a *application) setFeatures(is *account.Account, declared []scope.Feature) audit.Detail {
	if declared == nil {
		return audit.Detail{}
	}
	sorted := slices.Sorted(slices.Values(declared))
	if slices.Equal(sorted, is.Features) {
		return audit.Detail{}
	}
	is.Features = sorted
	names := make([]string, len(sorted))
	for i, f := range sorted {
		names[i] = string(f)
	}
	return audit.Detail{Name: "features", Value: strings.Join(names, " ")}
}

// addMember adds a user to an account.
func (a *application) addMember(ctx context.Context, accountID uuid.UUID, u user.Person) error {
	_, err := a.repo.Member(ctx, accountID, user.Fold(u.Email))
	is, err := found(err)
	if err != nil || is {
		return err
	}
	if err := a.repo.AddMember(ctx, accountID, u.User, a.now); err != nil {
		return err
	}
	u.UpdatedAt = a.now
	return a.record(ctx, accountID, audit.UserAdded, aboutUser(u))
}

func (a *application) apps(ctx context.Context, d Account) error {
	return each(d.Apps, func(app App) error { return a.app(ctx, d.ID, app) })
}

func (a *application) app(ctx context.Context, accountID uuid.UUID, d App) error {
	is, err := a.repo.AppByID(ctx, d.ID)
	known, err := found(err)
	if err != nil {
		return err
	}
	action := audit.AppUpdated
	switch {
	case !known:
		action = audit.AppCreated
		is = account.App{ID: d.ID, Key: uuid.Must(uuid.NewV7()), AccountID: accountID, CreatedAt: a.now}
		if d.Status == "" {
			d.Status = account.AppDraft
		}
	case is.AccountID != accountID:
		a.Add(d.Line, "app %d belongs to another account, and an app cannot move", d.ID)
		return nil
	}
	details := []audit.Detail{set("name", &is.Name, d.Name), set("status", &is.Status, d.Status)}
	if !changed(details...) {
		return nil
	}
	if err := a.repo.SaveApp(ctx, is); err != nil {
		return err
	}
	about := subject{target: audit.Target{Kind: audit.TargetApp, Key: strconv.FormatInt(d.ID, 10), Name: is.Name}}
	return a.record(ctx, accountID, action, about, details...)
}
