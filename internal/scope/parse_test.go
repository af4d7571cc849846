package scope_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// entry returns a resource with the lines of permissions. In the first entry, the
// first permission is on line 8.
func entry(key, level string, permissions ...string) string {
	return "  - key: " + key + "\n    name: N\n    section: S\n    level: " + level +
		"\n    description: D.\n    permissions:\n" +
		strings.Join(permissions, "\n") + "\n"
}

// allow returns a permission on one line.
func allow(name, token string, more ...string) string {
	return "      - {" + strings.Join(append([]string{"name: " + name, "scope: " + token, "description: D."}, more...),
		", ") + "}"
}

func TestParseFaults(t *testing.T) {
	const head = "resources:\n"
	read, write := allow("read-only", "x_read"), allow("modify", "x_write", "implies: [x_read]")
	plain := entry("x", "store", read)
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"is empty"}},
		{"only comments", "# nothing\n", []string{"is empty"}},
		{"no YAML", "resources: [\n", []string{"is not YAML: line 1: did not find"}},
		{"two documents", head + plain + "---\n" + head, []string{"line 9: a second document"}},
		{"list at the top", "- x\n", []string{"line 1: the catalogue has the keys resources"}},
		{"no resources", "{}", []string{`line 1: the catalogue needs "resources"`}},
		{"empty resources", "resources: []", []string{"line 1: resources must be a list with at least one element"}},
		{"resources are text", "resources: all", []string{"line 1: resources must be a list"}},
		{"unknown key at the top", head + plain + "version: 2\n", []string{`line 9: unknown key "version"`}},
		{"unknown key in a resource", head + plain + "    levels: x\n",
			[]string{`line 9: unknown key "levels"; a resource has key, name`}},
		{"unknown key in a permission", head + entry("x", "store", allow("a", "a", "implied: [b]")),
			[]string{`line 8: unknown key "implied"; a permission has`}},
		{"merge key", head + plain + "    <<: {level: account}\n", []string{`line 9: unknown key "<<"`}},
		{"key twice", head + plain + "    level: account\n", []string{`line 9: key "level" is on line 5 already`}},
		{"resource is text", head + "  - x\n", []string{"line 2: a resource has the keys"}},
		{"resource is an alias", head + strings.Replace(plain, "- key", "- &x\n    key", 1) + "  - *x\n",
			[]string{"line 10: a resource has the keys"}},
		{"permission is text", head + entry("x", "store", "      - read"),
			[]string{"line 8: a permission has the keys"}},
		{"everything missing", head + "  - {}\n", []string{
			`line 2: a resource needs "key"`, `"name"`, `"section"`, `"description"`, `"level"`, `"permissions"`}},
		{"permission without anything", head + entry("x", "store", "      - {}"), []string{
			`line 8: a permission needs "name"`, `"scope"`, `"description"`}},
		{"no permissions", head + strings.Replace(entry("x", "store"), "permissions:", "permissions: []", 1),
			[]string{"line 7: permissions must be a list"}},
		{"name is a number", head + strings.Replace(plain, "name: N", "name: 12", 1),
			[]string{"line 3: name must be text; quote it"}},
		{"name is blank", head + strings.Replace(plain, "name: N", `name: " "`, 1),
			[]string{`line 3: name " " must not be blank`}},
		{"name is a list", head + strings.Replace(plain, "name: N", "name: [N]", 1),
			[]string{"line 3: name must be text"}},
		{"unknown level", head + entry("x", "STORE", read),
			[]string{`line 5: level "STORE" is unknown; it can be account or store`}},
		{"unknown feature", head + plain + "    feature: beta\n",
			[]string{`line 9: feature "beta" is unknown; it can be automated_billing`}},
		{"key with capitals", head + entry("X", "store", read),
			[]string{`line 2: key "X" is not made of lower-case letters`}},
		{"key of many lines twice", head + plain + "resources:\n  - {}\n",
			[]string{`key "resources" is on line 1 already`}},
		{"resource twice", head + plain + entry("x", "store", allow("a", "y")),
			[]string{`line 9: resource "x" is on line 2 already`}},
		{"permission twice", head + entry("x", "store", read, allow("read-only", "y")),
			[]string{`line 9: permission "read-only" is on line 8 already`}},
		{"scope twice", head + plain + entry("y", "store", read),
			[]string{`line 15: scope "x_read" is on line 8 already`}},
		{"scope with a space", head + entry("x", "store", allow("a", `"a b"`)),
			[]string{`line 8: scope "a b" is not printable ASCII`}},
		{"scope with a quote", head + entry("x", "store", allow("a", `'a"'`)), []string{"line 8: scope"}},
		{"scope with a backslash", head + entry("x", "store", allow("a", `'a\'`)), []string{"line 8: scope"}},
		{"scope with an umlaut", head + entry("x", "store", allow("a", "ä")), []string{"line 8: scope"}},
		{"delegable is text", head + entry("x", "store", allow("a", "a", "delegable: maybe")),
			[]string{"line 8: delegable must be true or false"}},
		{"implies is text", head + entry("x", "store", read, allow("a", "a", "implies: x_read")),
			[]string{"line 9: implies must be a list"}},
		{"implies a number", head + entry("x", "store", allow("a", "a", "implies: [1]")),
			[]string{"line 8: a scope in implies must be text"}},
		{"implies an unknown scope", head + entry("x", "store", write),
			[]string{`line 8: implied scope "x_read" is not in the catalogue`}},
		{"implies twice", head + entry("x", "store", read, allow("a", "a", "implies: [x_read, x_read]")),
			[]string{`line 9: scope "x_read" is implied twice`}},
		{"implies itself", head + entry("x", "store", allow("a", "a", "implies: [a]")),
			[]string{"line 8: scopes imply each other in a circle: a → a"}},
		{"circle of three", head + entry("x", "store", allow("z", "z", "implies: [a]"), allow("a", "a", "implies: [b]"),
			allow("b", "b", "implies: [c]"), allow("c", "c", "implies: [a]")),
			[]string{"line 9: scopes imply each other in a circle: a → b → c → a"}},
		{"store scope implies account scope", head + entry("x", "store", write) + entry("y", "account", read),
			[]string{`line 8: store scope "x_write" cannot imply account scope "x_read"`}},
		{"implies past a feature", head + entry("x", "account", write) + entry("y", "account",
			read) + "    feature: automated_billing\n",
			[]string{`line 8: scope "x_write" cannot imply "x_read", which needs a feature`}},
		{"implies what is not delegable", head + entry("x", "store", write, allow("a", "x_read", "delegable: false")),
			[]string{`line 8: scope "x_write" cannot imply "x_read", which is not delegable`}},
		{"token management made delegable", head + entry("x", "account", allow("a", scope.AccountAPITokensWrite)),
			[]string{`line 8: scope "account_api_tokens_write" must have "delegable: false"`}},
		{"several, in the order of lines", head + entry("X", "shop", write) + plain, []string{
			"line 2: key", "line 5: level"}},
		{"several kinds", head + entry("x", "store", write, "      - y") + "    feature: beta\n", []string{
			"line 8: implied", "line 9: a permission", "line 10: feature"}},
		{"too large", strings.Repeat("# padding\n", 30_000), []string{"more than 262144 bytes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := scope.Parse(strings.NewReader(test.text))
			if c != nil || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("Parse() = %v, %v, want no catalogue and kind %s", c, err, fault.Invalid)
			}
			faults := fault.Flatten(err)
			if len(faults) != len(test.want) {
				t.Fatalf("faults: got %d, want %d: %v", len(faults), len(test.want), err)
			}
			for i, want := range test.want {
				if !strings.Contains(faults[i].Error(), want) {
					t.Errorf("fault %d is %q, want %q", i, faults[i], want)
				}
			}
		})
	}
}

func TestParse(t *testing.T) {
	text := "resources:\n" +
		entry("a", "account", allow("modify", "a:write", "implies: ['s!']", "delegable: false")) +
		"    feature: automated_billing\n" +
		entry("s", "store", allow("read-only", "'s!'", "delegable: true"))
	c, err := scope.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	got := c.Resources(scope.LevelAccount, []scope.Feature{billing})
	if len(got) != 2 || got[0].Key != "a" || got[0].Feature != billing || got[0].Permissions[0].Implies[0] != "s!" {
		t.Errorf("resources: got %+v, want 2, the first named a, of feature %s", got, billing)
	}
	if grant, _ := c.Lookup("a:write"); grant.Delegable || grant.Level != scope.LevelAccount {
		t.Errorf("a:write: got %+v, want it not delegable, of level %s", grant, scope.LevelAccount)
	}
	if grant, _ := c.Lookup("s!"); !grant.Delegable || grant.Level != scope.LevelStore {
		t.Errorf("s!: got %+v, want it delegable, of level %s", grant, scope.LevelStore)
	}
}

func TestParseReportsABrokenReader(t *testing.T) {
	broken := errors.New("disk failure")
	if c, err := scope.Parse(iotest.ErrReader(broken)); c != nil || !errors.Is(err, broken) {
		t.Errorf("Parse() = %v, %v, want no catalogue and the error %v", c, err, broken)
	}
}

func FuzzParse(f *testing.F) {
	builtIn, err := os.ReadFile("catalogue.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(builtIn))
	f.Add(chain)
	f.Add("resources:\n  - &a [*a]\n")
	f.Add("---\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := scope.Parse(strings.NewReader(text))
		if err != nil {
			if c != nil || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("Parse() = %v, %v, want no catalogue and kind %s", c, err, fault.Invalid)
			}
			return
		}
		holds(t, c)
	})
}

// holds checks the properties of a catalogue on which the rules of issuing depend.
func holds(t *testing.T, c *scope.Catalogue) {
	t.Helper()
	for _, r := range c.Resources(scope.LevelAccount, []scope.Feature{billing}) {
		for _, p := range r.Permissions {
			grant, found := c.Lookup(p.Scope)
			if !found || grant.Level != r.Level || grant.Feature != r.Feature {
				t.Fatalf("Lookup(%q) = %+v, want level %s and feature %q", p.Scope, grant, r.Level, r.Feature)
			}
			with := c.Expand(p.Scope)
			if !with.Equal(c.Expand(with.Names()...)) || !scope.ParseSet(with.String()).Equal(with) {
				t.Fatalf("Expand(%q) = %q, want a set that expands to itself and can be parsed again", p.Scope, with)
			}
			for _, name := range with.Names() {
				other, found := c.Lookup(name)
				if !found || grant.Level == scope.LevelStore && other.Level != scope.LevelStore ||
					other.Feature != "" && other.Feature != grant.Feature || grant.Delegable && !other.Delegable {
					t.Fatalf("%+v implies %+v, want only a scope that has its level and feature and is as delegable",
						grant, other)
				}
			}
		}
	}
}
