package scim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/scim"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// memberID returns the ID of a user, which ends in the letter.
func memberID(letter rune) uuid.UUID {
	return uuid.MustParse("019fa000-0000-7000-8000-00000000000" + string(letter))
}

func memberIDs(letters string) []uuid.UUID {
	var ids []uuid.UUID
	for _, letter := range letters {
		ids = append(ids, memberID(letter))
	}
	return ids
}

// expand replaces $a to $f by IDs of users.
func expand(text string) string {
	for _, letter := range "abcdef" {
		text = strings.ReplaceAll(text, "$"+string(letter), memberID(letter).String())
	}
	return text
}

func TestPatchMembers(t *testing.T) {
	for _, tc := range []struct {
		name, operations string
		removeAll        bool
		add, remove      string
	}{
		{"add", `{"op":"Add","path":"members","value":[{"value":"$a","display":"Ann"},{"value":"$b"}]}`, false, "ab", ""},
		{"add one as an object", `{"op":"add","path":"members","value":{"value":"$a"}}`, false, "a", ""},
		{"add texts", `{"op":"add","path":"members","value":["$a","$a"]}`, false, "a", ""},
		{"add without a path", `{"op":"add","value":{"Members":[{"value":"$a"}],"id":"x","displayName":"N"}}`, false, "a", ""},
		{"add a value of the path", `{"op":"add","path":"members.value","value":"$a"}`, false, "a", ""},
		{"add what a filter selects", `{"op":"add","path":"members[value eq \"$a\"]","value":{"display":"Ann"}}`, false, "a", ""},
		{"add to what a filter selects", `{"op":"add","path":"members[value eq \"$a\"].value","value":"$b"}`, false, "b", "a"},
		{"add null", `{"op":"add","path":"members","value":null},{"op":"add","value":{"members":null}},
			{"op":"add","path":"members[value eq \"$a\"]","value":null}`, false, "", ""},
		{"replace what a filter selects by null", `{"op":"replace","path":"members[value eq \"$a\"]","value":null}`,
			false, "", "a"},
		{"add nothing", `{"op":"add","path":"members","value":[]}`, false, "", ""},
		{"remove by a list", `{"op":"Remove","path":"members","value":[{"value":"$a"},{"$ref":null,"value":"$b"}]}`, false, "", "ab"},
		{"remove by a filter", `{"op":"remove","path":"members[value eq \"$a\"]"}`, false, "", "a"},
		{"remove by a filter without quotes", `{"op":"remove","path":"members[value eq $a].value"}`, false, "", "a"},
		{"remove by a filter with or", `{"op":"remove","path":"members[value eq \"$a\" or value eq \"$b\"]"}`, false, "", "ab"},
		{"remove by a filter with the type", `{"op":"remove","path":"members[type eq \"User\" and value eq \"$a\"]"}`,
			false, "", "a"},
		{"remove none", `{"op":"remove","path":"members[type eq \"Group\" or value eq \"x\"]"}`, false, "", ""},
		{"remove what cannot be a member", `{"op":"remove","path":"members","value":[{"value":"x"}]}`, false, "", ""},
		{"remove an empty list", `{"op":"remove","path":"members","value":[]}`, false, "", ""},
		{"remove all", `{"op":"remove","path":"members"}`, true, "", ""},
		{"replace all", `{"op":"replace","path":"members","value":[{"value":"$a"},{"value":"$b"}]}`, true, "ab", ""},
		{"replace by none", `{"op":"replace","value":{"members":[]}}`, true, "", ""},
		{"replace by null", `{"op":"replace","path":"members","value":null}`, true, "", ""},
		{"replace what a filter selects", `{"op":"replace","path":"members[value eq \"$a\"]","value":{"value":"$b"}}`, false, "b", "a"},
		{"replace by the same", `{"op":"replace","path":"members[value eq \"$a\"]","value":{"value":"$a"}}`, false, "a", ""},
		{"add, then remove", `{"op":"add","path":"members","value":[{"value":"$a"},{"value":"$b"}]},
			{"op":"remove","path":"members[value eq \"$a\"]"}`, false, "b", "a"},
		{"remove, then add", `{"op":"remove","path":"members[value eq \"$a\"]"},{"op":"add","path":"members","value":[{"value":"$a"}]}`,
			false, "a", ""},
		{"replace, then remove one", `{"op":"replace","path":"members","value":["$a","$b"]},
			{"op":"remove","path":"members","value":["$b","$c"]}`, true, "a", ""},
		{"add, then remove all, then add", `{"op":"add","path":"members","value":["$a"]},{"op":"remove","path":"members"},
			{"op":"add","path":"members","value":["$b"]}`, true, "b", ""},
		{"read-only parts are ignored", `{"op":"replace","path":"members[value eq \"$a\"].display","value":"x"},
			{"op":"add","path":"members.type","value":"Group"}`, false, "", ""},
	} {
		got, err := scim.PatchGroup(operations(expand(tc.operations)))
		check.Equal(t, err, nil, "%s", tc.name)
		want := scim.MemberChange{RemoveAll: tc.removeAll, Add: memberIDs(tc.add), Remove: memberIDs(tc.remove)}
		check.Equal(t, got, scim.GroupChange{Members: want}, "%s", tc.name)
		check.Equal(t, got.Members.Removes(), tc.removeAll || tc.remove != "", "%s: Removes", tc.name)
		check.Equal(t, got.Members.Empty(), !tc.removeAll && tc.remove == "" && tc.add == "", "%s: Empty", tc.name)
	}
}

func TestPatchGroup(t *testing.T) {
	const urn = "urn:latchkey:params:scim:schemas:extension:2.0:Group"
	for _, tc := range []struct {
		name, operations string
		want             scim.GroupChange
	}{
		{"externalId", `{"op":"replace","value":{"externalId":"7","displayName":"other"}}`, scim.GroupChange{ExternalID: new("7")}},
		{"remove externalId", `{"op":"remove","path":"externalId"}`, scim.GroupChange{ExternalID: new("")}},
		{"defaultRole", `{"op":"add","path":"` + urn + `:defaultRole","value":"SALES_STAFF"}`,
			scim.GroupChange{DefaultRole: new(user.SalesStaff)}},
		{"defaultRole in the extension",
			`{"op":"add","value":{"` + strings.ToUpper(urn) + `":{"defaultRole":"Sales Manager"}}}`,
			scim.GroupChange{DefaultRole: new(user.SalesManager)}},
		{"defaultRole by the extension's path",
			`{"op":"replace","path":"` + urn + `","value":{"DefaultRole":"store_administrator"}}`,
			scim.GroupChange{DefaultRole: new(user.StoreAdministrator)}},
		{"remove defaultRole", `{"op":"remove","path":"` + urn + `:defaultRole"}`,
			scim.GroupChange{DefaultRole: new(user.Role(""))}},
		{"remove the extension", `{"op":"remove","path":"` + urn + `"}`,
			scim.GroupChange{DefaultRole: new(user.Role(""))}},
		{"defaultRole without the extension", `{"op":"add","path":"defaultRole","value":"SALES_STAFF"}`,
			scim.GroupChange{}},
	} {
		got, err := scim.PatchGroup(operations(tc.operations))
		check.Equal(t, err, nil, "%s", tc.name)
		check.Equal(t, got, tc.want, "%s", tc.name)
	}
	for _, tc := range []struct{ operations, want string }{
		{`{"op":"add","path":"` + urn + `:defaultRole","value":"STORE_OWNER"}`,
			`invalidValue: Operations[0]: There is no role "STORE_OWNER" to give to members. defaultRole is one of STORE_ADMINISTRATOR,`},
		{`{"op":"add","path":"` + urn + `:defaultRole","value":7}`,
			"invalidValue: Operations[0]: defaultRole must be text."},
		{`{"op":"add","path":"members","value":[{"value":"x"}]}`,
			`invalidValue: Operations[0]: "x" is not the id of a user.`},
		{`{"op":"add","path":"members[value eq \"x\"]","value":{}}`,
			`invalidValue: Operations[0]: "x" is not the id of a user.`},
		{`{"op":"replace","path":"members","value":[{"display":"x"}]}`, `invalidValue: Operations[0]: members must be a list of objects`},
		{`{"op":"replace","path":"members","value":[null]}`, `invalidValue: Operations[0]: members must be a list of objects`},
		{`{"op":"remove","path":"members","value":[{"value":7}]}`, `invalidValue: Operations[0]: members must be a list of objects`},
		{`{"op":"remove","path":"members","value":false}`, `invalidValue: Operations[0]: members must be a list of objects`},
		{`{"op":"remove","path":"members[display eq \"x\"]"}`, "invalidPath: Operations[0]: The path is wrong at character 9"},
		{`{"op":"remove","path":"members[value sw \"x\"]"}`, "invalidFilter: Operations[0]: Members can be selected only by their value"},
		{`{"op":"remove","path":"members[value ne \"x\"]"}`, "invalidFilter: Operations[0]: Members can be selected only by their value"},
		{`{"op":"remove","path":"members[type pr]"}`, "invalidFilter: Operations[0]: Members can be selected only by their value"},
		{`{"op":"remove","path":"members[value eq \"x\" or value pr]"}`, "invalidFilter: Operations[0]"},
	} {
		if got, err := scim.PatchGroup(operations(tc.operations)); !strings.HasPrefix(wrong(err), tc.want) {
			t.Errorf("%s: got %+v, %q, want an error that begins with %q", tc.operations, got, wrong(err), tc.want)
		}
	}
}

func TestReadGroup(t *testing.T) {
	got, err := scim.ReadGroup([]byte(expand(`{"schemas":["x"],"displayName":"Acme","externalId":null,"members":[{"value":"$a"}]}`)))
	check.Equal(t, err, nil, "a PUT")
	check.Equal(t, got, scim.GroupChange{ExternalID: new(""),
		Members: scim.MemberChange{RemoveAll: true, Add: memberIDs("a")}}, "a PUT")
	got, err = scim.ReadGroup([]byte(`{"displayName":"Acme"}`))
	check.Equal(t, err, nil, "a PUT without members")
	check.Equal(t, got, scim.GroupChange{}, "a PUT without members")

	got, err = scim.ReadGroup([]byte(encoded(t, store.Document(base))))
	check.Equal(t, err, nil, "a document that is sent back")
	check.Equal(t, got, scim.GroupChange{ExternalID: &store.ExternalID, DefaultRole: &store.DefaultRole,
		Members: scim.MemberChange{RemoveAll: true, Add: memberIDs("ab")}}, "a document that is sent back")

	name, err := scim.GroupName([]byte(`{"DisplayName":"Acme"}`))
	check.Equal(t, fmt.Sprint(name, err), "Acme<nil>", "the name of a POST")
	for _, body := range []string{`{}`, `{"displayName":7}`, `{"displayName":""}`} {
		_, err = scim.GroupName([]byte(body))
		check.Equal(t, wrong(err), "invalidValue: displayName is missing.", "%s", body)
	}
}

func TestGroupDocument(t *testing.T) {
	check.Equal(t, encoded(t, store.Document(base)), strings.ReplaceAll(`{"displayName":"Acme US","externalId":"Ext-7",
"id":"019fa000-0000-7000-8000-00000000000a","members":[
{"$ref":"https://latchkey.example/accounts/a/scim/v2/Users/019fa000-0000-7000-8000-00000000000a","display":"Ann Lee",
"type":"User","value":"019fa000-0000-7000-8000-00000000000a"},
{"$ref":"https://latchkey.example/accounts/a/scim/v2/Users/019fa000-0000-7000-8000-00000000000b","display":"ben@acme.example",
"type":"User","value":"019fa000-0000-7000-8000-00000000000b"}],
"meta":{"created":"2026-03-04T12:00:00.000000Z","lastModified":"2026-03-05T12:00:00.000005Z",
"location":"https://latchkey.example/accounts/a/scim/v2/Groups/019fa000-0000-7000-8000-00000000000a",
"resourceType":"Group","version":`+encoded(t, store.Version())+`},
"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","urn:latchkey:params:scim:schemas:extension:2.0:Group"],
"urn:latchkey:params:scim:schemas:extension:2.0:Group":{"defaultRole":"SALES_STAFF"}}`, "\n", ""), "a group")
	check.Equal(t, encoded(t, empty.Document(base)), strings.ReplaceAll(`{"displayName":"Beta",
"id":"019fa000-0000-7000-8000-00000000000b",
"meta":{"location":"https://latchkey.example/accounts/a/scim/v2/Groups/019fa000-0000-7000-8000-00000000000b",
"resourceType":"Group","version":`+encoded(t, empty.Version())+`},
"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]}`, "\n", ""), "a group without members")

	revised, without := store, store
	revised.Revision = "2"
	without.Members = nil
	if revised.Version() == store.Version() || without.Version() != store.Version() {
		t.Error("a group's version: want another one for another revision, and the same without members")
	}
}

// FuzzPatch reads texts as bodies and paths of a PATCH. It fails if reading takes too long or a change of members has a
// user twice.
func FuzzPatch(f *testing.F) {
	for _, path := range []string{`members[value eq \"$a\" or value eq $b]`, `name.givenName`,
		`emails[type eq \"work\"].value`, `urn:latchkey:params:scim:schemas:extension:2.0:Group:defaultRole`, `members.value`} {
		f.Add(expand(path), `{"op":"replace","path":"`+expand(path)+`","value":"`+expand("$a")+`"}`)
	}
	f.Add("", expand(`{"op":"Add","value":{"members":[{"value":"$a"}],"name.familyName":"x","active":"True"}},
		{"op":"remove","path":"members","value":["$a","$b"]}`))
	f.Add("externalId", strings.Repeat(`{"op":"add","path":"emails[type eq \"work\"].value","value":"x"},`, 100)+`{}`)
	f.Fuzz(func(t *testing.T, path, list string) {
		for _, body := range [][]byte{operations(list), []byte(list),
			operations(`{"op":"remove","path":` + encoded(t, path) + `}`)} {
			took := fastest(func() { checkPatch(t, body) })
			if limit := mostTime + time.Duration(len(body))*time.Microsecond; took > limit {
				t.Errorf("%q took %v, want at most %v", body, took, limit)
			}
		}
	})
}

// checkPatch reads a body as a PATCH of a user and of a group.
func checkPatch(t *testing.T, body []byte) {
	t.Helper()
	if change, err := scim.PatchUser(body); err == nil && change.UserName != nil && *change.UserName == "" {
		t.Errorf("%q: got an empty userName, want an error", body)
	}
	change, err := scim.PatchGroup(body)
	if err != nil {
		return
	}
	all := slices.Concat(change.Members.Add, change.Members.Remove)
	slices.SortFunc(all, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	if once := slices.Compact(slices.Clone(all)); len(once) != len(all) ||
		change.Members.RemoveAll && len(change.Members.Remove) > 0 {
		t.Errorf("%q: got the change %+v, want each user once", body, change.Members)
	}
}
