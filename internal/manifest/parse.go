package manifest

import (
	"fmt"
	"io"
	"strconv"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/scope"
	"latchkey/internal/strictyaml"
	"latchkey/internal/user"
)

// The names of values in the file.
var (
	features   = map[string]scope.Feature{"automated_billing": scope.FeatureAutomatedBilling}
	appStati   = map[string]account.AppStatus{"draft": account.AppDraft, "published": account.AppPublished}
	stati      = map[string]user.Status{"active": user.Active, "inactive": user.Inactive}
	inBusiness = map[string]account.Status{"active": account.Active, "suspended": account.Suspended}
)

// maxSize is the maximum size of a manifest in bytes, enough for some hundred thousand users.
const maxSize = 32 << 20

// Parse reads a manifest in the format that docs/manifest.md explains. It returns fault.Invalid with every error in the
// file and its line.
func Parse(r io.Reader) (Manifest, error) {
	root, err := strictyaml.Read(r, "manifest", maxSize)
	if err != nil {
		return Manifest{}, err
	}
	p := &parser{
		people: personList{at: map[string]*mention{}}, accounts: strictyaml.Seen[uuid.UUID]{},
		stores: strictyaml.Seen[string]{}, apps: strictyaml.Seen[int64]{},
	}
	var m Manifest
	top := p.Mapping(root, "a manifest", "accounts")
	top.Required("accounts")
	list, _ := top.List("accounts")
	for _, n := range list {
		m.Accounts = append(m.Accounts, p.account(n))
	}
	m.Users = p.people.all()
	return m, p.Err()
}

// parser collects the manifest, its errors, and the line where each unique value was first used.
type parser struct {
	strictyaml.Faults
	people   personList
	accounts strictyaml.Seen[uuid.UUID]
	stores   strictyaml.Seen[string]
	apps     strictyaml.Seen[int64]
}

func (p *parser) account(n *strictyaml.Node) Account {
	m := p.Mapping(n, "an account", "uuid", "name", "status", "features", "owner", "users", "apps", "stores")
	a := Account{Line: n.Line, Name: m.Text("name", user.ValidName, nameRule),
		Status: strictyaml.Choice(m, "status", inBusiness)}
	if text := m.Text("uuid", validUUID, "is not a UUID such as 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"); text != "" {
		a.ID = uuid.MustParse(text)
		p.accounts.Again(&p.Faults, a.ID, m.LineOf("uuid"), "account "+a.ID.String())
	}
	if list, ok := m.List("features"); ok {
		a.Features = p.features(list)
	}
	if owner := m.Required("owner"); owner != nil {
		a.Owner = p.person(p.Mapping(owner, "an owner", personKeys...), a.ID)
	}
	inAccount := strictyaml.Seen[string]{}
	users, _ := m.List("users")
	for _, n := range users {
		if email := p.person(p.Mapping(n, "a user", personKeys...), a.ID); email != "" &&
			!inAccount.Again(&p.Faults, email, n.Line, "user "+email) {
			a.Users = append(a.Users, email)
		}
	}
	apps, _ := m.List("apps")
	for _, n := range apps {
		a.Apps = append(a.Apps, p.app(n))
	}
	stores, _ := m.List("stores")
	for _, n := range stores {
		a.Stores = append(a.Stores, p.store(n, a))
	}
	return a
}

func (p *parser) features(list []*strictyaml.Node) []scope.Feature {
	all := []scope.Feature{} // not nil, because the key is present
	once := strictyaml.Seen[scope.Feature]{}
	for _, n := range list {
		if f := strictyaml.Choose(&p.Faults, n, "feature", features); f != "" &&
			!once.Again(&p.Faults, f, n.Line, "feature "+n.Value) {
			all = append(all, f)
		}
	}
	return all
}

func (p *parser) app(n *strictyaml.Node) App {
	m := p.Mapping(n, "an app", "id", "name", "status")
	a := App{Line: n.Line, Name: m.Text("name", user.ValidName, nameRule),
		Status: strictyaml.Choice(m, "status", appStati)}
	if id := m.Required("id"); id != nil {
		if a.ID = p.number(id); a.ID != 0 {
			p.apps.Again(&p.Faults, a.ID, id.Line, fmt.Sprintf("app %d", a.ID))
		}
	}
	return a
}

func (p *parser) store(n *strictyaml.Node, a Account) Store {
	m := p.Mapping(n, "a store", "hash", "name", "status", "owner", "users", "apps", "legacy_api_accounts")
	s := Store{Line: n.Line, Name: m.Text("name", user.ValidStoreName, storeNameRule),
		Status: strictyaml.Choice(m, "status", inBusiness), Apps: p.appRefs(m)}
	if s.Hash = m.Text("hash", ValidHash, "is not 4 to 32 lowercase letters and digits"); s.Hash != "" {
		p.stores.Again(&p.Faults, s.Hash, m.LineOf("hash"), "store "+s.Hash)
	}
	if owner := m.Value("owner"); owner != nil {
		s.Owner = p.person(p.Mapping(owner, "an owner", personKeys...), a.ID)
	}
	inStore := strictyaml.Seen[string]{}
	users, _ := m.List("users")
	for _, n := range users {
		member := p.member(n, a.ID)
		if member.Email != "" && !inStore.Again(&p.Faults, member.Email, n.Line, "user "+member.Email) {
			s.Users = append(s.Users, member)
		}
	}
	s.LegacyAccounts = p.legacyAccounts(m, s.Hash)
	return s
}

func (p *parser) member(n *strictyaml.Node, accountID uuid.UUID) Member {
	m := p.Mapping(n, "a store's user", append([]string{"status", "permissions", "apps"}, personKeys...)...)
	member := Member{Line: n.Line, Email: p.person(m, accountID), Status: strictyaml.Choice(m, "status", stati),
		Apps: p.appRefs(m)}
	list, ok := m.List("permissions")
	if !ok {
		return member
	}
	member.Permissions = []string{}
	once := strictyaml.Seen[string]{}
	for _, n := range list {
		name := p.Text(n, "permission", user.IsPermission, "is unknown; docs/manifest.md lists all")
		if name != "" && !once.Again(&p.Faults, name, n.Line, "permission "+name) {
			member.Permissions = append(member.Permissions, name)
		}
	}
	return member
}

func (p *parser) appRefs(m strictyaml.Mapping) []AppRef {
	list, _ := m.List("apps")
	var refs []AppRef
	once := strictyaml.Seen[int64]{}
	for _, n := range list {
		if id := p.number(n); id != 0 && !once.Again(&p.Faults, id, n.Line, fmt.Sprintf("app %d", id)) {
			refs = append(refs, AppRef{Line: n.Line, ID: id})
		}
	}
	return refs
}

var nameRule, storeNameRule = lineRule(user.MaxName), lineRule(user.MaxStoreName)

func lineRule(most int) string {
	return fmt.Sprintf("is not a single line of 1 to %d characters without leading or trailing space", most)
}

// ValidHash reports whether text is a valid store hash.
func ValidHash(text string) bool { return account.ValidHash(text) }

// validUUID reports whether text is a UUID in the standard form (RFC 9562, section 4) and not the nil UUID.
func validUUID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && len(text) == 36 && id != uuid.Nil
}

// number parses the ID of an app.
func (p *parser) number(n *strictyaml.Node) int64 {
	id, err := strconv.ParseInt(n.Value, 10, 64)
	if n.ShortTag() != "!!int" || err != nil || id <= 0 || strconv.FormatInt(id, 10) != n.Value {
		p.Add(n.Line, "an app's id must be a whole number greater than 0")
		return 0
	}
	return id
}
