package scim_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"latchkey/internal/scim"
	"latchkey/internal/test/check"
)

func operations(list string) []byte {
	return []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + list + `]}`)
}

func TestPatchUser(t *testing.T) {
	for _, tc := range []struct {
		name, operations string
		want             scim.UserChange
	}{
		{"a path", `{"op":"replace","path":"name.givenName","value":"Ann"}`, scim.UserChange{GivenName: new("Ann")}},
		{"any case", `{"OP":"Replace","Path":"NAME.givenname","VALUE":"Ann"}`, scim.UserChange{GivenName: new("Ann")}},
		{"without a path", `{"op":"add","value":{"userName":"a@x.example","active":false,"name":{"familyName":"Lee"}}}`,
			scim.UserChange{UserName: new("a@x.example"), Active: new(false), FamilyName: new("Lee")}},
		{"dotted keys", `{"op":"Add","value":{"name.givenName":"Ann","name.familyName":"Lee"}}`,
			scim.UserChange{GivenName: new("Ann"), FamilyName: new("Lee")}},
		{"keys with a URN", `{"op":"replace","value":{"urn:ietf:params:scim:schemas:core:2.0:User:name.givenName":"Ann",
			"urn:ietf:params:scim:schemas:core:2.0:User:active":true}}`,
			scim.UserChange{GivenName: new("Ann"), Active: new(true)}},
		{"the key is a URN", `{"op":"replace","value":{"urn:ietf:params:scim:schemas:core:2.0:User":{"name.givenName":"Ann"}}}`,
			scim.UserChange{GivenName: new("Ann")}},
		{"a path with a URN", `{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:externalId","value":"7"}`,
			scim.UserChange{ExternalID: new("7")}},
		{"parts that the value lacks stay", `{"op":"replace","path":"name","value":{"givenName":"Ann"}}`,
			scim.UserChange{GivenName: new("Ann")}},
		{"booleans as text", `{"op":"Replace","path":"active","value":"False"}`, scim.UserChange{Active: new(false)}},
		{"other texts stay texts", `{"op":"Replace","path":"name.givenName","value":"True"}`,
			scim.UserChange{GivenName: new("True")}},
		{"removed", `{"op":"remove","path":"externalId"},{"op":"remove","path":"name"}`,
			scim.UserChange{ExternalID: new(""), GivenName: new(""), FamilyName: new("")}},
		{"null removes", `{"op":"replace","value":{"externalId":null,"name":{"familyName":null},"locale":null}}`,
			scim.UserChange{ExternalID: new(""), FamilyName: new(""), Locale: new("en")}},
		{"the last operation counts", `{"op":"add","path":"externalId","value":"1"},{"op":"remove","path":"externalId"},
			{"op":"add","path":"externalId","value":"2"}`, scim.UserChange{ExternalID: new("2")}},
		{"space around names", `{"op":"add","value":{"userName":" a@x.example ","name":{"givenName":"Ann "},"externalId":" 7"}}`,
			scim.UserChange{UserName: new("a@x.example"), GivenName: new("Ann"), ExternalID: new(" 7")}},
		{"locale with an underscore", `{"op":"replace","path":"locale","value":"pt_BR"}`,
			scim.UserChange{Locale: new("pt-BR")}},
		{"preferredLanguage counts more", `{"op":"add","value":{"locale":"en-US","preferredLanguage":"de-CH,de;q=0.9","LOCALE2":"x"}},
			{"op":"add","path":"locale","value":"fr"}`, scim.UserChange{Locale: new("de-CH")}},
		{"addresses are accepted and not stored", `{"op":"add","path":"emails[type eq \"work\"].value","value":"b@x.example"},
			{"op":"replace","path":"emails[type eq \"home\"]","value":{"value":"b@x.example","primary":"True"}},
			{"op":"remove","path":"emails[type eq \"other\"]"},
			{"op":"replace","value":{"emails":[{"value":"b@x.example"}],"emails[type eq \"work\"].value":"c@x.example"}}`,
			scim.UserChange{}},
		{"read-only and unknown are ignored", `{"op":"replace","path":"id","value":"x"},{"op":"remove","path":"meta.version"},
			{"op":"add","path":"displayName","value":1},{"op":"add","path":"name.formatted","value":"A"},
			{"op":"add","path":"roles[primary eq \"True\"].value","value":"admin"},{"op":"add","path":"title","value":null},
			{"op":"add","path":"addresses[type eq \"work\" and not (x.y pr)].country","value":"DE"},
			{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"R"},
			{"op":"add","value":{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"active":false},
			"schemas":[],"meta":7,"":1,"a b":1,"http://x.example/y":{"active":false},"name..x":1,"x":{"y":[{}]},"name":{"middleName":"M"}}}`, scim.UserChange{}},
	} {
		got, err := scim.PatchUser(operations(tc.operations))
		check.Equal(t, err, nil, "%s", tc.name)
		check.Equal(t, got, tc.want, "%s", tc.name)
	}
}

// wrong is the status, type and the beginning of the detail of an error.
func wrong(err error) string {
	var e *scim.Error
	if !errors.As(err, &e) || e.Status != 400 {
		return "not a SCIM error of status 400"
	}
	return e.Type + ": " + e.Detail
}

func TestWrongPatches(t *testing.T) {
	for _, tc := range []struct{ body, want string }{
		{``, "invalidSyntax: The body is not JSON: it is wrong at byte 1."},
		{`[]`, "invalidSyntax: The body must be a JSON object."},
		{`{}`, "invalidSyntax: The body must have the list Operations"},
		{`{"Operations":{}}`, "invalidSyntax: The body must have the list Operations"},
		{`{"Operations":[]}`, "invalidSyntax: The body must have the list Operations"},
		{`{"Operations":[1]}`, "invalidSyntax: Operations[0]: An operation must be an object"},
		{`{"Operations":[{"op":"move"}]}`, "invalidSyntax: Operations[0]: The op must be add, replace or remove."},
		{`{"Operations":[{"op":"add","path":7,"value":1}]}`, "invalidPath: Operations[0]: The path must be text."},
		{`{"Operations":[{"op":"remove"}]}`, "noTarget: Operations[0]: The operation remove needs a path."},
		{`{"Operations":[{"op":"add","path":"active"}]}`, "invalidValue: Operations[0]: The operation add needs a value."},
		{`{"Operations":[{"op":"add","value":"x"}]}`, "invalidValue: Operations[0]: The value of an operation without a path"},
		{`{"Operations":[{"op":"add","path":"emails[","value":"x"}]}`,
			"invalidPath: Operations[0]: The path is wrong at character 8: an attribute is missing."},
		{`{"Operations":[{"op":"add","path":"title[type eq]","value":"x"}]}`, "invalidPath: Operations[0]"},
		{`{"Operations":[{"op":"add","path":"userName eq 1","value":"x"}]}`, "invalidPath: Operations[0]"},
		{`{"Operations":[{"op":"add","path":"name..givenName","value":"x"}]}`, "invalidPath: Operations[0]"},
		{`{"Operations":[{"op":"add","path":"emails[type pr].","value":"x"}]}`, "invalidPath: Operations[0]"},
		{`{"Operations":[{"op":"add","value":{"emails[type":1}}]}`, "invalidPath: Operations[0]"},
		{`{"Operations":[{"op":"add","path":"active","value":"yes"}]}`, "invalidValue: Operations[0]: active must be true or false."},
		{`{"Operations":[{"op":"add","path":"active","value":1}]}`, "invalidValue: Operations[0]: active must be true or false."},
		{`{"Operations":[{"op":"remove","path":"active"}]}`, "mutability: Operations[0]: active cannot be removed."},
		{`{"Operations":[{"op":"add","value":{"active":true}},{"op":"add","path":"active","value":null}]}`,
			"mutability: Operations[1]: active cannot be removed."},
		{`{"Operations":[{"op":"remove","path":"userName"}]}`, "invalidValue: Operations[0]: userName cannot be empty"},
		{`{"Operations":[{"op":"add","path":"userName","value":" "}]}`, "invalidValue: Operations[0]: userName cannot be empty"},
		{`{"Operations":[{"op":"add","path":"externalId","value":7}]}`, "invalidValue: Operations[0]: externalId must be text."},
		{`{"Operations":[{"op":"add","path":"name","value":"Ann"}]}`,
			"invalidValue: Operations[0]: name must be an object"},
		{`{"Operations":[{"op":"add","path":"name.givenName","value":{"x":1}}]}`, "invalidValue: Operations[0]: name.givenName must be text."},
		{`{"Operations":[` + strings.Repeat(`{"op":"add","value":{}},`, 1000) + `{}]}`,
			"tooMany: Send at most 1000 operations"},
	} {
		got, err := scim.PatchUser([]byte(tc.body))
		if !strings.HasPrefix(wrong(err), tc.want) {
			t.Errorf("%.90s: got %+v, %q, want an error that begins with %q", tc.body, got, wrong(err), tc.want)
		}
	}
}

func TestReadUser(t *testing.T) {
	got, err := scim.ReadUser([]byte(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"x","UserName":"a@x.example",
		"externalId":"7","name":{"formatted":"Ann Lee","givenName":"Ann","familyName":null},"displayName":"A","active":"true",
		"emails":[{"primary":true,"type":"work","value":"b@x.example"}],"groups":[],"locale":"de","password":"secret",
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"R"},"meta":{"resourceType":"User"}}`))
	check.Equal(t, err, nil, "a whole user")
	check.Equal(t, got, scim.UserChange{UserName: new("a@x.example"), ExternalID: new("7"), GivenName: new("Ann"),
		FamilyName: new(""), Active: new(true), Locale: new("de")}, "a whole user")

	for _, tc := range []struct{ body, want string }{
		{`{"name":{"givenName":"Ann"}}`, "invalidValue: userName is missing: it is the user's email address."},
		{`{"userName":null}`, "invalidValue: userName cannot be empty"},
		{`{"userName":["a"]}`, "invalidValue: userName must be text."},
		{`{"userName":"a","active":null}`, "mutability: active cannot be removed."},
		{`{"userName":"a","USERNAME":"b"}`, `invalidSyntax: An object has "USERNAME" twice.`},
		{`{"userName":"a","emails":[{"value":"a","Value":"b"}]}`, `invalidSyntax: An object has "Value" twice.`},
		{`{"userName":"a"}}`, "invalidSyntax: The body has text after its JSON object."},
		{`{"userName":"a"`, "invalidSyntax: The body is not JSON"},
		{`{"userName":"a",}`, "invalidSyntax: The body is not JSON"},
		{"{\"userName\":\"\xff\"}", "invalidSyntax: The body is not in UTF-8."},
		{`{"x":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`,
			"invalidSyntax: The body is nested too deep."},
		{`{"x":[` + strings.Repeat("0,", 250_000) + `0]}`, "tooMany: The body has more than 250000 values."},
	} {
		if _, err := scim.ReadUser([]byte(tc.body)); !strings.HasPrefix(wrong(err), tc.want) {
			t.Errorf("%.90s: got %q, want an error that begins with %q", tc.body, wrong(err), tc.want)
		}
	}
}

// encoded returns a document as JSON, with the names in alphabetical order.
func encoded(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const base = "https://latchkey.example/accounts/a/scim/v2"

func TestUserDocument(t *testing.T) {
	check.Equal(t, encoded(t, ann.Document(base)), strings.ReplaceAll(`{"active":true,"displayName":"Ann Lee",
"emails":[{"primary":true,"type":"work","value":"Ann.Lee@Acme.example"}],"externalId":"Ext-7",
"id":"019fa000-0000-7000-8000-00000000000a","locale":"de",
"meta":{"created":"2026-03-04T12:00:00.000000Z","lastModified":"2026-03-05T12:00:00.000005Z",
"location":"https://latchkey.example/accounts/a/scim/v2/Users/019fa000-0000-7000-8000-00000000000a",
"resourceType":"User","version":`+encoded(t, ann.Version())+`},
"name":{"familyName":"Lee","formatted":"Ann Lee","givenName":"Ann"},"preferredLanguage":"de",
"roles":[{"display":"Sales Staff, Acme US","type":"acme1us","value":"SALES_STAFF"}],
"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"Ann.Lee@Acme.example"}`, "\n", ""), "a user")
	check.Equal(t, encoded(t, bare.Document(base)), strings.ReplaceAll(`{"active":false,"displayName":"ben@acme.example",
"emails":[{"primary":true,"type":"work","value":"ben@acme.example"}],"id":"019fa000-0000-7000-8000-00000000000b",
"meta":{"created":"2026-03-04T12:00:00.000000Z","lastModified":"2026-03-04T12:00:00.000000Z",
"location":"https://latchkey.example/accounts/a/scim/v2/Users/019fa000-0000-7000-8000-00000000000b",
"resourceType":"User","version":`+encoded(t, bare.Version())+`},
"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ben@acme.example"}`, "\n", ""),
		"a user with only an address")
}

// A document that is sent back changes nothing.
func TestUserDocumentIsReadAsItIs(t *testing.T) {
	got, err := scim.ReadUser([]byte(encoded(t, ann.Document(base))))
	check.Equal(t, err, nil, "read a document")
	check.Equal(t, got, scim.UserChange{UserName: &ann.UserName, ExternalID: &ann.ExternalID, GivenName: &ann.GivenName,
		FamilyName: &ann.FamilyName, Locale: &ann.Locale, Active: &ann.Active}, "read a document")
}

func TestVersions(t *testing.T) {
	changed := map[string]scim.User{}
	change := func(what string, f func(*scim.User)) {
		u := ann
		f(&u)
		changed[what] = u
	}
	change("userName", func(u *scim.User) { u.UserName += "x" })
	change("externalId", func(u *scim.User) { u.ExternalID = "" })
	change("givenName", func(u *scim.User) { u.GivenName, u.FamilyName = "AnnL", "ee" })
	change("locale", func(u *scim.User) { u.Locale = "fr" })
	change("active", func(u *scim.User) { u.Active = false })
	change("roles", func(u *scim.User) { u.Roles = nil })
	change("lastModified", func(u *scim.User) { u.LastModified = u.Created })
	versions := map[string]string{ann.Version(): "unchanged"}
	for what, u := range changed {
		version := u.Version()
		if !strings.HasPrefix(version, `W/"`) || versions[version] != "" {
			t.Errorf("the version after a change of %s is %s, that of %q, want another weak one", what, version, versions[version])
		}
		versions[version] = what
	}
	version := ann.Version()
	for header, want := range map[string]bool{
		version: true, "*": true, `"other", ` + version: true, strings.TrimPrefix(version, "W/"): true,
		`W/"other"`: false, "": false,
	} {
		check.Equal(t, scim.MatchesTag(header, version), want, "MatchesTag(%s)", header)
	}
}
