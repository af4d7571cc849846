package scim_test

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/scim"
	"latchkey/internal/test/check"
)

// patchCase is a resource and operations on it.
type patchCase struct {
	Resource   map[string]any   `json:"resource"`
	Operations []map[string]any `json:"operations"`

	group bool
}

// A PATCH of a random resource has the effect that the npm package scim-patch computes, on the attributes that clients
// can change. The operations are those on which both agree what they mean: the package treats the case of names as
// different, and an object name without a path as all of the name.
func TestPatchesDoWhatAnotherImplementationDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(7644, 352))
	cases := make([]patchCase, 3000)
	for i := range cases {
		cases[i] = randomUserCase(random)
		if i%2 == 1 {
			cases[i] = randomGroupCase(random)
		}
	}
	results := scimPatch(t, cases)
	compared := 0
	for i, c := range cases {
		if results[i] == nil {
			continue
		}
		body := []byte(encoded(t, map[string]any{"Operations": c.Operations}))
		var got map[string]any
		if c.group {
			change, err := scim.PatchGroup(body)
			if err != nil {
				continue
			}
			got = patchedGroup(c.Resource, change)
		} else {
			change, err := scim.PatchUser(body)
			if err != nil {
				continue
			}
			got = patchedUser(c.Resource, change)
		}
		compared++
		check.Equal(t, got, changeable(results[i], c.group), "%s after %s", encoded(t, c.Resource), body)
	}
	if compared < len(cases)/2 {
		t.Errorf("compared %d of %d cases, want at least half", compared, len(cases))
	}
}

// scimPatch runs the package.
func scimPatch(t *testing.T, cases []patchCase) []map[string]any {
	t.Helper()
	const folder = "testdata/patch"
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "scim-patch")); err != nil {
		install := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		install.Dir = folder
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("this needs Node and its npm, and the packages in %s: %v\n%s", folder, err, out)
		}
	}
	file := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(file, []byte(encoded(t, cases)), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("node", "patch.mjs")
	run.Dir = folder
	run.Env = append(os.Environ(), "CASES="+file)
	out, err := run.Output()
	var results []map[string]any
	if err != nil || json.Unmarshal(out, &results) != nil || len(results) != len(cases) {
		t.Fatalf("node patch.mjs: %v, %d results of %d\n%.500s", err, len(results), len(cases), out)
	}
	return results
}

func pick[T any](random *rand.Rand, of ...T) T { return of[random.IntN(len(of))] }

// operation returns an operation, without the path or the value if it is empty.
func operation(op, path string, value any) map[string]any {
	o := map[string]any{"op": op}
	if path != "" {
		o["path"] = path
	}
	if value != nil {
		o["value"] = value
	}
	return o
}

const coreUser = "urn:ietf:params:scim:schemas:core:2.0:User:"

func randomUserCase(random *rand.Rand) patchCase {
	c := patchCase{Resource: map[string]any{
		"userName": "ann@x.example", "active": random.IntN(2) == 0,
		"emails": []any{map[string]any{"value": "ann@x.example", "type": "work", "primary": true}},
	}}
	if random.IntN(2) == 0 {
		c.Resource["name"] = map[string]any{"givenName": "Ann", "familyName": "Lee"}
		c.Resource["externalId"] = "7"
	}
	for range 1 + random.IntN(4) {
		c.Operations = append(c.Operations, randomUserOperation(random))
	}
	return c
}

func randomUserOperation(random *rand.Rand) map[string]any {
	text := pick(random, "A", "b@x.example", "C1", "Müller", "true")
	op := pick(random, "add", "Add", "replace", "Replace")
	prefix := pick(random, "", coreUser)
	switch random.IntN(8) {
	case 0:
		return operation(pick(random, "remove", "Remove"), prefix+pick(random, "externalId", "name.givenName", "name",
			"locale", "title", "name.familyName", `emails[type eq "work"]`), nil)
	case 1:
		return operation(op, prefix+pick(random, "name.givenName", "name.familyName"), text)
	case 2:
		return operation(op, pick(random, "userName", "externalId"), text)
	case 3:
		return operation(op, prefix+"active", pick[any](random, true, false, "True", "False"))
	case 4:
		return operation(op, `emails[type eq "`+pick(random, "work", "home")+`"].value`, text)
	case 5:
		return operation(op, "name", map[string]any{pick(random, "givenName", "familyName"): text})
	case 6:
		return operation(op, "", map[string]any{
			pick(random, "name.givenName", coreUser+"name.familyName", "externalId", "title"): text,
			pick(random, "active", coreUser+"active"):                                         random.IntN(2) == 0,
		})
	default:
		return operation(op, "", map[string]any{
			"name": map[string]any{"givenName": text, "familyName": "L"}, "locale": "de", "nickName": text,
		})
	}
}

const extensionRole = "urn:latchkey:params:scim:schemas:extension:2.0:Group:defaultRole"

func randomGroupCase(random *rand.Rand) patchCase {
	c := patchCase{group: true, Resource: map[string]any{"displayName": "Acme", "externalId": "7"}}
	c.Resource["members"] = randomMembers(random, 1+random.IntN(4))
	for range 1 + random.IntN(4) {
		c.Operations = append(c.Operations, randomGroupOperation(random))
	}
	return c
}

func randomMembers(random *rand.Rand, n int) []any {
	list := []any{}
	for _, i := range random.Perm(6)[:n] {
		list = append(list, map[string]any{"value": memberID(rune('a' + i)).String()})
	}
	return list
}

func randomGroupOperation(random *rand.Rand) map[string]any {
	op := pick(random, "add", "Add", "replace", "Replace")
	id := memberID(pick(random, 'a', 'b', 'c', 'd')).String()
	selected := `members[value eq "` + id + `"]`
	switch random.IntN(9) {
	case 0:
		return operation(op, "members", randomMembers(random, random.IntN(4)))
	case 1:
		return operation("add", "members", randomMembers(random, 1)[0])
	case 2:
		return operation(op, "", map[string]any{"members": randomMembers(random, random.IntN(4)), "displayName": "N"})
	case 3:
		return operation(pick(random, "remove", "Remove"), "members", randomMembers(random, random.IntN(4)))
	case 4:
		return operation("remove", selected, nil)
	case 5:
		return operation("remove", pick(random, "members", "externalId", extensionRole), nil)
	case 6:
		return operation(op, extensionRole, pick(random, "SALES_STAFF", "SALES_MANAGER"))
	case 7:
		return operation(op, selected+".value", memberID(pick(random, 'c', 'd', 'e')).String())
	default:
		return operation(op, "externalId", pick(random, "8", "9"))
	}
}

// changeable returns the attributes of a resource that clients can change. What is null, or a text that is empty, is
// left out.
func changeable(resource map[string]any, group bool) map[string]any {
	kept := map[string]any{}
	keep := func(name string, value any) {
		if value != nil && value != "" {
			kept[name] = value
		}
	}
	keep("externalId", resource["externalId"])
	if group {
		extension, _ := resource[strings.TrimSuffix(extensionRole, ":defaultRole")].(map[string]any)
		keep("defaultRole", extension["defaultRole"])
		kept["members"] = idsOf(resource)
		return kept
	}
	name, _ := resource["name"].(map[string]any)
	keep("userName", resource["userName"])
	keep("givenName", name["givenName"])
	keep("familyName", name["familyName"])
	keep("active", resource["active"])
	if text, is := kept["active"].(string); is {
		kept["active"] = text == "True"
	}
	if kept["locale"] = "en"; resource["locale"] != nil {
		kept["locale"] = resource["locale"]
	}
	return kept
}

// idsOf returns the IDs of a group's members, sorted.
func idsOf(resource map[string]any) []string {
	ids := []string{}
	members, list := resource["members"].([]any)
	if one := resource["members"]; !list && one != nil { // the package adds an object to nothing without making a list
		members = []any{one}
	}
	for _, m := range members {
		of, _ := m.(map[string]any)
		id, _ := of["value"].(string)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func patchedUser(resource map[string]any, change scim.UserChange) map[string]any {
	after := changeable(resource, false)
	for name, value := range map[string]*string{"userName": change.UserName, "externalId": change.ExternalID,
		"givenName": change.GivenName, "familyName": change.FamilyName, "locale": change.Locale} {
		setOrDelete(after, name, value)
	}
	if change.Active != nil {
		after["active"] = *change.Active
	}
	return after
}

func patchedGroup(resource map[string]any, change scim.GroupChange) map[string]any {
	after := changeable(resource, true)
	setOrDelete(after, "externalId", change.ExternalID)
	if change.DefaultRole != nil {
		role := string(*change.DefaultRole)
		setOrDelete(after, "defaultRole", &role)
	}
	var members []string
	for _, id := range idsOf(resource) {
		if !change.Members.RemoveAll && !slices.Contains(change.Members.Remove, uuid.MustParse(id)) {
			members = append(members, id)
		}
	}
	for _, id := range change.Members.Add {
		members = append(members, id.String())
	}
	slices.SortFunc(members, cmp.Compare)
	after["members"] = slices.Compact(members)
	return after
}

// setOrDelete sets the attribute, unless value is nil. An empty value removes it.
func setOrDelete(of map[string]any, name string, value *string) {
	switch {
	case value == nil:
	case *value == "":
		delete(of, name)
	default:
		of[name] = *value
	}
}
