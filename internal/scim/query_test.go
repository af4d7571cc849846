package scim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/scim"
	"latchkey/internal/test/check"
)

func TestReadQuery(t *testing.T) {
	for _, tc := range []struct {
		query string
		want  scim.Search
	}{
		{"", scim.Search{Start: 1, Count: 200}},
		{"startIndex=0&count=0", scim.Search{Start: 1, Count: 0}},
		{"startIndex=-5&count=-1", scim.Search{Start: 1, Count: 0}},
		{"startIndex=7&count=201", scim.Search{Start: 7, Count: 200}},
		{"startIndex=99999999999999999999&count=99999999999999999999", scim.Search{Start: 1<<31 - 1, Count: 200}},
		{"STARTINDEX=7&Count=3&sortBy=userName&sortOrder=descending", scim.Search{Start: 7, Count: 3}},
		{"startIndex=&count=", scim.Search{Start: 1, Count: 200}},
		{"Filter=userName+eq+%22a%22", scim.Search{Filter: new(`userName eq "a"`), Start: 1, Count: 200}},
		{"filter=", scim.Search{Filter: new(""), Start: 1, Count: 200}},
		{"attributes=userName,%20name.givenName,&attributes=x&excludedAttributes=members",
			scim.Search{Start: 1, Count: 200, Attributes: []string{"userName", "name.givenName", "x"},
				Excluded: []string{"members"}}},
	} {
		got, err := scim.ReadQuery(tc.query)
		check.Equal(t, err, nil, "%s", tc.query)
		check.Equal(t, got, tc.want, "%s", tc.query)
	}
	for query, want := range map[string]string{
		"count=ten":            "invalidValue: count must be a whole number.",
		"startIndex=1.5":       "invalidValue: startIndex must be a whole number.",
		"filter=a%2":           "invalidSyntax: The query of the address is not encoded correctly.",
		"filter=a;b":           "invalidSyntax: The query of the address is not encoded correctly.",
		"filter=a&FILTER=b":    "invalidFilter: There is more than one filter.",
		"filter=a&x=1&filter=": "invalidFilter: There is more than one filter.",
	} {
		_, err := scim.ReadQuery(query)
		check.Equal(t, wrong(err), want, "%s", query)
	}
}

func TestReadSearch(t *testing.T) {
	got, err := scim.ReadSearch([]byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
		"attributes":["displayName","userName"],"excludedAttributes":"name, emails","filter":"active pr","startIndex":2,"COUNT":10,
		"sortBy":"userName"}`))
	check.Equal(t, err, nil, "a search")
	check.Equal(t, got, scim.Search{Filter: new("active pr"), Start: 2, Count: 10,
		Attributes: []string{"displayName", "userName"}, Excluded: []string{"name", "emails"}}, "a search")
	got, err = scim.ReadSearch([]byte(`{"filter":null,"count":null,"attributes":null}`))
	check.Equal(t, err, nil, "a search of everything")
	check.Equal(t, got, scim.Search{Start: 1, Count: 200}, "a search of everything")
	for body, want := range map[string]string{
		`{"filter":7}`:          "invalidFilter: The filter must be text.",
		`{"count":true}`:        "invalidValue: count must be a whole number.",
		`{"startIndex":1e9}`:    "invalidValue: startIndex must be a whole number.",
		`{"attributes":7}`:      "invalidValue: attributes must be a list of texts.",
		`{"attributes":[[]]}`:   "invalidValue: attributes must be a list of texts.",
		`{"count":1,"Count":2}`: `invalidSyntax: An object has "Count" twice.`,
	} {
		_, err := scim.ReadSearch([]byte(body))
		check.Equal(t, wrong(err), want, "%s", body)
	}
}

func TestConditionOfASearch(t *testing.T) {
	condition, err := scim.Search{}.Condition(scim.Users)
	check.Equal(t, fmt.Sprint(condition, err), "<nil> <nil>", "without a filter")
	condition, err = scim.Search{Filter: new("active pr")}.Condition(scim.Users)
	check.Equal(t, fmt.Sprint(condition != nil, err), "true <nil>", "with a filter")
	_, err = scim.Search{Filter: new("")}.Condition(scim.Users)
	check.Equal(t, wrong(err), "invalidFilter: The filter is wrong at character 1: an attribute is missing.", "an empty filter")
}

func TestProjection(t *testing.T) {
	user, group := ann.Document(base), store.Document(base)
	for _, tc := range []struct {
		of                   *scim.ResourceType
		attributes, excluded string
		want                 string // the attributes and parts, as selected expects them
	}{
		{scim.Users, "userName", "", "id schemas userName"},
		{scim.Users, "USERNAME,unknown,title.x", "", "id schemas userName"},
		{scim.Users, "unknown", "", "id schemas"},
		{scim.Users, "name", "", "id name(familyName formatted givenName) schemas"},
		{scim.Users, "name.givenName,emails.value", "", "emails(value) id name(givenName) schemas"},
		{scim.Users, "emails.unknown", "", "id schemas"},
		{scim.Users, "urn:ietf:params:scim:schemas:core:2.0:User:userName", "", "id schemas userName"},
		{scim.Users, "emails[type%20eq%20%22home%22],name[x].givenName", "",
			"emails(primary type value) id name(givenName) schemas"},
		{scim.Users, "emails],userName[", "", "id schemas"},
		{scim.Users, "", "id,schemas,meta,roles,emails,name.formatted,locale,preferredLanguage,active",
			"displayName externalId id name(familyName givenName) schemas userName"},
		{scim.Users, "name,userName", "name.formatted,userName", "id name(familyName givenName) schemas"},
		{scim.Users, "meta", "meta.created,meta.lastModified,meta.location,meta.resourceType,meta.version", "id schemas"},
		{scim.Groups, "", "members,meta",
			"displayName externalId id schemas urn:latchkey:params:scim:schemas:extension:2.0:Group(defaultRole)"},
		{scim.Groups, "members.value", "", "id members(value) schemas"},
		{scim.Groups, "urn:latchkey:params:scim:schemas:extension:2.0:Group", "",
			"id schemas urn:latchkey:params:scim:schemas:extension:2.0:Group(defaultRole)"},
		{scim.Groups, "urn:latchkey:params:scim:schemas:extension:2.0:group:DefaultRole", "",
			"id schemas urn:latchkey:params:scim:schemas:extension:2.0:Group(defaultRole)"},
		{scim.Groups, "urn:ietf:params:scim:schemas:core:2.0:Group", "meta,members",
			"displayName externalId id schemas"},
		{scim.Groups, "", "urn:latchkey:params:scim:schemas:extension:2.0:Group,members,meta", "displayName externalId id schemas"},
	} {
		document := user
		if tc.of == scim.Groups {
			document = group
		}
		search, err := scim.ReadQuery("attributes=" + tc.attributes + "&excludedAttributes=" + tc.excluded)
		check.Equal(t, err, nil, "attributes %q without %q", tc.attributes, tc.excluded)
		projection := search.Projection(tc.of)
		check.Equal(t, selected(projection.Apply(document)), tc.want, "attributes %q without %q", tc.attributes,
			tc.excluded)
		if tc.of == scim.Groups {
			check.Equal(t, projection.Has("members"), strings.Contains(tc.want, "members"),
				"attributes %q without %q: members", tc.attributes, tc.excluded)
		}
	}
	check.Equal(t, scim.Search{}.Projection(scim.Users).Apply(user), user, "no selection")
}

// selected returns the names in a document, in alphabetical order, with those of parts in parentheses.
func selected(d scim.Document) string {
	var names []string
	for name, value := range d {
		switch v := value.(type) {
		case scim.Document:
			name += "(" + selected(v) + ")"
		case []scim.Document:
			name += "(" + selected(v[0]) + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestListResponse(t *testing.T) {
	check.Equal(t, encoded(t, scim.ListResponse(1000, 7, []scim.Document{{"id": "x"}})),
		`{"Resources":[{"id":"x"}],"itemsPerPage":1,"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],`+
			`"startIndex":7,"totalResults":1000}`, "a page")
	check.Equal(t, encoded(t, scim.ListResponse(0, 1, nil)),
		`{"Resources":[],"itemsPerPage":0,"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],`+
			`"startIndex":1,"totalResults":0}`, "an empty page")
}

func TestErrorOf(t *testing.T) {
	conflict := fault.Errorf(fault.Conflict, "Taken.")
	for _, tc := range []struct {
		err  error
		want string
	}{
		{scim.ErrStale, `"detail":"The resource was changed after it was read. Read it again, then send the change with its ` +
			`new version.","schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"412"`},
		{fault.Errorf(fault.Invalid, "Wrong.").On("email"),
			`"detail":"Wrong.","schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"scimType":"invalidValue","status":"400"`},
		{fault.List{fault.Errorf(fault.Invalid, "One."), fault.Errorf(fault.Invalid, "Two.")},
			`"detail":"One. Two.","schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"scimType":"invalidValue","status":"400"`},
		{conflict, `"detail":"Taken.","schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409"`},
		{fmt.Errorf("create: %w", conflict.On("externalId")),
			`"detail":"Taken.","schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"scimType":"uniqueness","status":"409"`},
		{errors.New("disk is gone"), `"detail":"Something went wrong on our side. Try again. If it keeps failing, report the ` +
			`request id.","schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"500"`},
	} {
		check.Equal(t, encoded(t, scim.ErrorOf(tc.err)), "{"+tc.want+"}", "%v", tc.err)
	}
	for kind, want := range map[fault.Kind]int{fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404,
		fault.RateLimited: 429, fault.LimitReached: 409, fault.ComplexityLimit: 400, fault.Internal: 500} {
		check.Equal(t, scim.ErrorOf(fault.Errorf(kind, "x")).Status, want, "the status of %s", kind)
	}
	check.Equal(t, scim.ErrorOf(fmt.Errorf("read: %w", fault.ErrUnavailable)).Status, 503,
		"the database cannot be reached")
	check.Equal(t, scim.ErrNameTaken("Acme").Status, 409, "the name of a group is taken")
}
