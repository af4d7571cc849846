package manifest

import (
	"cmp"
	"context"
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
	// people are all whom the file mentions: by folded address, and by id.
	people map[string]user.User
	byID   map[uuid.UUID]user.User
	// formerOwners are the owners of accounts that got another.
	formerOwners map[uuid.UUID]uuid.UUID
	events       []audit.Event
}

func newApplication(repo Repository, keys *secret.Keyring, by *auth.Principal, now time.Time) *application {
	return &application{
		repo: repo, keys: keys, by: by, now: now, people: map[string]user.User{}, byID: map[uuid.UUID]user.User{},
		formerOwners: map[uuid.UUID]uuid.UUID{},
	}
}

// apply works from what others refer to down to what refers to it: a store may
// have an app of an account further down.
func (a *application) apply(ctx context.Context, m Manifest) error {
	steps := []func() error{
		func() error { return each(m.People, func(p Person) error { return a.person(ctx, p) }) },
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

// found tells whether a look-up found something; an error other than
// fault.NotFound remains one.
func found(err error) (bool, error) {
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil, err
}

// record keeps an audit event of a change.
func (a *application) record(ctx context.Context, accountID uuid.UUID, action audit.Action, target audit.Target, details ...audit.Detail) error {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: accountID, At: a.now, Actor: audit.ActorOf(a.by.Subject()),
		Action: action, Target: target, RequestID: a.by.Origin.RequestID,
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

// set puts what is declared in the place of what is, unless it is the same or
// nothing is declared, and returns the change as a detail of the event.
func set[T ~string](name string, is *T, declared T) audit.Detail {
	if declared == "" || *is == declared {
		return audit.Detail{}
	}
	*is = declared
	return audit.Detail{Name: name, Value: string(declared)}
}

// changed says whether any of the details is one.
func changed(details ...audit.Detail) bool {
	return slices.ContainsFunc(details, func(d audit.Detail) bool { return d.Name != "" })
}

func (a *application) person(ctx context.Context, p Person) error {
	u, err := a.repo.UserByEmail(ctx, user.Fold(p.Email))
	known, err := found(err)
	if err != nil {
		return err
	}
	action := audit.UserUpdated
	if !known {
		if p.FirstName == "" || p.LastName == "" || p.Locale == "" {
			a.Add(p.Line, "nobody is known as %s yet; give first_name, last_name and locale", p.Email)
			// Somebody stands in, so that all else can be judged; nothing of it stays.
			p.FirstName, p.LastName, p.Locale = cmp.Or(p.FirstName, "?"), cmp.Or(p.LastName, "?"), cmp.Or(p.Locale, "en")
		}
		action = audit.UserCreated
		u = user.User{ID: uuid.Must(uuid.NewV7()), Email: p.Email, CreatedAt: a.now}
	}
	details := []audit.Detail{
		set("firstName", &u.FirstName, p.FirstName), set("lastName", &u.LastName, p.LastName), set("locale", &u.Locale, p.Locale),
	}
	a.people[user.Fold(p.Email)], a.byID[u.ID] = u, u
	if !changed(details...) {
		return nil
	}
	if err := a.repo.SaveUser(ctx, u); err != nil {
		return err
	}
	if err := a.repo.Touch(ctx, uuid.Nil, u.ID, a.now); err != nil {
		return err
	}
	return a.record(ctx, p.AccountID, action, audit.Target{Kind: audit.TargetUser, Key: u.ID.String(), Name: u.Email}, details...)
}

func (a *application) account(ctx context.Context, d Account) error {
	is, err := a.repo.Account(ctx, d.ID)
	known, err := found(err)
	if err != nil {
		return err
	}
	action := audit.AccountUpdated
	if !known {
		action, is = audit.AccountCreated, account.Account{ID: d.ID, CreatedAt: a.now}
	}
	owner := a.people[d.Owner]
	details := []audit.Detail{set("name", &is.Name, d.Name), setStatus(&is.Status, d.Status), a.setFeatures(&is, d.Features)}
	if is.OwnerID != owner.ID {
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
		target := audit.Target{Kind: audit.TargetAccount, Key: d.ID.String(), Name: is.Name}
		if err := a.record(ctx, d.ID, action, target, details...); err != nil {
			return err
		}
	}
	return each(append([]string{d.Owner}, d.Users...), func(email string) error { return a.addMember(ctx, d.ID, a.people[email]) })
}

// setFeatures enrols the account in what is declared, which is all of it.
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

// addMember puts a person into an account.
func (a *application) addMember(ctx context.Context, accountID uuid.UUID, u user.User) error {
	is, err := a.repo.IsMember(ctx, accountID, u.ID)
	if err != nil || is {
		return err
	}
	if err := a.repo.AddMember(ctx, accountID, u.ID, a.now); err != nil {
		return err
	}
	return a.record(ctx, accountID, audit.UserAdded, audit.Target{Kind: audit.TargetUser, Key: u.ID.String(), Name: u.Email})
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
	return a.record(ctx, accountID, action, audit.Target{Kind: audit.TargetApp, Key: strconv.FormatInt(d.ID, 10), Name: is.Name}, details...)
}
