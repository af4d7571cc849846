package manifest

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"latchkey/internal/account"
	"latchkey/internal/scope"
	"latchkey/internal/user"
)

// What the file calls things.
var (
	features   = map[string]scope.Feature{"automated_billing": scope.FeatureAutomatedBilling}
	appStati   = map[string]account.AppStatus{"draft": account.AppDraft, "published": account.AppPublished}
	stati      = map[string]user.Status{"active": user.Active, "inactive": user.Inactive}
	inBusiness = map[string]account.Status{"active": account.Active, "suspended": account.Suspended}
	hash       = regexp.MustCompile(`^[a-z0-9]{4,32}$`)
)

// maxName bounds the names of accounts, stores and apps, in characters.
const maxName = 100

// Parse reads a manifest, in the form that docs/manifest.md explains. It
// returns fault.Invalid with everything that is wrong with the file, each
// with its line.
func Parse(r io.Reader) (Manifest, error) {
	root, err := document(r)
	if err != nil {
		return Manifest{}, err
	}
	p := &parser{
		people: people{at: map[string]*mention{}}, accounts: seen[uuid.UUID]{}, stores: seen[string]{}, apps: seen[int64]{},
	}
	var m Manifest
	top := p.mapping(root, "a manifest", "accounts")
	list, given := top.list("accounts")
	if top.values != nil && top.values["accounts"] == nil {
		p.add(root.Line, "a manifest needs %q", "accounts")
	}
	if given {
		for _, n := range list {
			m.Accounts = append(m.Accounts, p.account(n))
		}
	}
	m.People = p.people.all()
	return m, p.err()
}

// parser gathers the manifest, everything wrong with it, and where things
// that can be there only once were first seen.
type parser struct {
	faults
	people   people
	accounts seen[uuid.UUID]
	stores   seen[string]
	apps     seen[int64]
}

func (p *parser) account(n *yaml.Node) Account {
	m := p.mapping(n, "an account", "uuid", "name", "status", "features", "owner", "users", "apps", "stores")
	a := Account{Line: n.Line, Name: m.text("name", true, validName, nameRule), Status: choice(m, "status", inBusiness)}
	if text := m.text("uuid", true, validUUID, "is no UUID such as 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"); text != "" {
		a.ID = uuid.MustParse(text)
		p.accounts.again(&p.faults, a.ID, m.lineOf("uuid"), "account "+a.ID.String())
	}
	if list, given := m.list("features"); given {
		a.Features = p.features(m, list)
	}
	if owner := m.values["owner"]; owner != nil {
		a.Owner = p.person(p.mapping(owner, "an owner", personKeys...), a.ID)
	} else if m.values != nil {
		p.add(n.Line, "an account needs %q", "owner")
	}
	inAccount := seen[string]{}
	users, _ := m.list("users")
	for _, n := range users {
		if email := p.person(p.mapping(n, "a user", personKeys...), a.ID); email != "" && !inAccount.again(&p.faults, email, n.Line, "user "+email) {
			a.Users = append(a.Users, email)
		}
	}
	apps, _ := m.list("apps")
	for _, n := range apps {
		a.Apps = append(a.Apps, p.app(n))
	}
	stores, _ := m.list("stores")
	for _, n := range stores {
		a.Stores = append(a.Stores, p.store(n, a))
	}
	return a
}

func (p *parser) features(m fields, list []*yaml.Node) []scope.Feature {
	all := []scope.Feature{} // given, and so not nil
	once := seen[scope.Feature]{}
	for _, n := range list {
		if f := choose(m, n, "feature", features); f != "" && !once.again(&p.faults, f, n.Line, "feature "+n.Value) {
			all = append(all, f)
		}
	}
	return all
}

func (p *parser) app(n *yaml.Node) App {
	m := p.mapping(n, "an app", "id", "name", "status")
	a := App{Line: n.Line, Name: m.text("name", true, validName, nameRule), Status: choice(m, "status", appStati)}
	if id := m.values["id"]; id != nil {
		if a.ID = p.number(id); a.ID != 0 {
			p.apps.again(&p.faults, a.ID, id.Line, fmt.Sprintf("app %d", a.ID))
		}
	} else if m.values != nil {
		p.add(n.Line, "an app needs %q", "id")
	}
	return a
}

func (p *parser) store(n *yaml.Node, a Account) Store {
	m := p.mapping(n, "a store", "hash", "name", "status", "owner", "users", "apps")
	s := Store{Line: n.Line, Name: m.text("name", true, validName, nameRule), Status: choice(m, "status", inBusiness), Apps: p.appRefs(m)}
	if s.Hash = m.text("hash", true, hash.MatchString, "is not 4 to 32 lowercase letters and digits"); s.Hash != "" {
		p.stores.again(&p.faults, s.Hash, m.lineOf("hash"), "store "+s.Hash)
	}
	if owner := m.values["owner"]; owner != nil {
		s.Owner = p.person(p.mapping(owner, "an owner", personKeys...), a.ID)
	}
	inStore := seen[string]{}
	users, _ := m.list("users")
	for _, n := range users {
		member := p.member(n, a.ID)
		if member.Email != "" && !inStore.again(&p.faults, member.Email, n.Line, "user "+member.Email) {
			s.Users = append(s.Users, member)
		}
	}
	return s
}

func (p *parser) member(n *yaml.Node, accountID uuid.UUID) Member {
	m := p.mapping(n, "a store's user", append([]string{"status", "permissions", "apps"}, personKeys...)...)
	member := Member{Line: n.Line, Email: p.person(m, accountID), Status: choice(m, "status", stati), Apps: p.appRefs(m)}
	list, given := m.list("permissions")
	if !given {
		return member
	}
	member.Permissions = []string{}
	once := seen[string]{}
	for _, n := range list {
		name := m.scalar(n, "permission", user.IsPermission, "is unknown; docs/manifest.md lists all")
		if name != "" && !once.again(&p.faults, name, n.Line, "permission "+name) {
			member.Permissions = append(member.Permissions, name)
		}
	}
	return member
}

func (p *parser) appRefs(m fields) []AppRef {
	list, _ := m.list("apps")
	var refs []AppRef
	once := seen[int64]{}
	for _, n := range list {
		if id := p.number(n); id != 0 && !once.again(&p.faults, id, n.Line, fmt.Sprintf("app %d", id)) {
			refs = append(refs, AppRef{Line: n.Line, ID: id})
		}
	}
	return refs
}

var nameRule = fmt.Sprintf("is not one line of 1 to %d characters without space around it", maxName)

func validName(text string) bool {
	n := utf8.RuneCountInString(text)
	return n >= 1 && n <= maxName && strings.TrimSpace(text) == text && !strings.ContainsFunc(text, unicode.IsControl)
}

// validUUID takes the one usual form (RFC 9562, section 4) and not the nil UUID.
func validUUID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && len(text) == 36 && id != uuid.Nil
}
