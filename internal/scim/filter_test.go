package scim_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/scim"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

var (
	annID = uuid.MustParse("019fa000-0000-7000-8000-00000000000a")
	benID = uuid.MustParse("019fa000-0000-7000-8000-00000000000b")
	// ann has every attribute.
	ann = scim.User{
		ID: annID, UserName: "Ann.Lee@Acme.example", ExternalID: "Ext-7", GivenName: "Ann", FamilyName: "Lee",
		Locale: "de", Active: true,
		Roles:        []scim.StoreRole{{Hash: "acme1us", Name: "Acme US", Role: user.SalesStaff}},
		Created:      time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC),
		LastModified: time.Date(2026, 3, 5, 12, 0, 0, 5000, time.UTC),
	}
	// bare has only what every user has.
	bare = scim.User{ID: benID, UserName: "ben@acme.example", Created: ann.Created, LastModified: ann.Created}

	// store has every attribute, and empty only those that every group has.
	store = scim.Group{
		ID: annID, DisplayName: "Acme US", ExternalID: "Ext-7", DefaultRole: user.SalesStaff, Created: ann.Created,
		LastModified: ann.LastModified,
		Members:      []scim.Member{{ID: annID, Display: "Ann Lee"}, {ID: benID, Display: "ben@acme.example"}},
	}
	empty = scim.Group{ID: benID, DisplayName: "Beta"}
)

// operators are the operators of filters, in the order of the columns of comparisons.
var operators = []string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}

// comparison says how one attribute compares with one value by each operator.
type comparison struct {
	path, value string
	// full and lacking have a letter for each operator: y if ann, or bare, matches, n if not, and - if the comparison
	// is refused.
	full, lacking string
}

const refused = "----------"

var userComparisons = []comparison{
	//                                                          enc s e g g l l p      enc s e g g l l p
	{"id", `"019fa000-0000-7000-8000-00000000000a"`, "ynyyynynyy", "nynnnyynny"},
	{"ID", `"019FA000-0000-7000-8000-00000000000A"`, "nynnnyynny", "nynnnyynny"},
	{"externalId", `"Ext-7"`, "ynyyynynyy", "nynnnnnnnn"},
	{"externalId", `"ext-7"`, "nynnnnnyyy", "nynnnnnnnn"},
	{"externalId", `"xt"`, "nyynnnnyyy", "nynnnnnnnn"},
	{"userName", `"ann.lee@ACME.example"`, "ynyyynynyy", "nynnnyynny"},
	{"username", `"ANN"`, "nyyynyynny", "nynnnyynny"},
	{"userName", `"acme.EXAMPLE"`, "nyynyyynny", "nyynyyynny"},
	{"userName", `" ann.lee@acme.example "`, "ynnnnnynyy", "nynnnyynny"},
	{"urn:ietf:params:scim:schemas:core:2.0:User:userName", `"c"`, "nyynnnnyyy", "nyynnnnyyy"},
	{"name", `"Ann"`, "---------y", "---------n"},
	{"name.givenName", `"ANN"`, "ynyyynynyy", "nynnnnnnnn"},
	{"name.givenName", `"nn"`, "nyynynnyyy", "nynnnnnnnn"},
	{"name.givenName", `"a"`, "nyyynyynny", "nynnnnnnnn"},
	{"NAME.FAMILYNAME", `"lee"`, "ynyyynynyy", "nynnnnnnnn"},
	{"name.formatted", `"ann lee"`, "ynyyynynyy", "nynnnnnnnn"},
	{"name.formatted", `"n l"`, "nyynnnnyyy", "nynnnnnnnn"},
	{"displayName", `"ann lee"`, "ynyyynynyy", "nynnnyynny"},
	{"displayName", `"ben@acme.example"`, "nynnnnnyyy", "ynyyynynyy"},
	{"active", `true`, "yn-------y", "ny-------y"},
	{"active", `false`, "ny-------y", "yn-------y"},
	{"active", `"True"`, "yn-------y", "ny-------y"},
	{"active", `"yes"`, "---------y", "---------y"},
	{"emails", `"ann.lee@acme.example"`, "ynyyynynyy", "nynnnyynny"},
	{"emails.value", `"ann.lee@acme.example"`, "ynyyynynyy", "nynnnyynny"},
	{"emails.type", `"WORK"`, "ynyyynynyy", "ynyyynynyy"},
	{"emails.type", `"home"`, "nynnnyynny", "nynnnyynny"},
	{"emails.primary", `true`, "yn-------y", "yn-------y"},
	{"emails.primary", `false`, "ny-------y", "ny-------y"},
	{"meta", `"x"`, "---------y", "---------y"},
	{"meta.resourceType", `"User"`, "ynyyynynyy", "ynyyynynyy"},
	{"meta.created", `"2026-03-04T12:00:00Z"`, "yn---nynyy", "yn---nynyy"},
	{"meta.created", `"2026-03-04T11:59:59Z"`, "ny---yynny", "ny---yynny"},
	{"meta.lastModified", `"2026-03-05T13:00:00.000005+01:00"`, "yn---nynyy", "ny---nnyyy"},
	{"meta.lastModified", `"2026-03-05T12:00:00.0000059"`, "yn---nynyy", "ny---nnyyy"},
	{"meta.lastModified", `"2026-03-05"`, "---------y", "---------y"},
	{"userName", `""`, "nyyyyyynny", "nyyyyyynny"},
	{"externalId", `""`, "nyyyyyynny", "ynnnnnnnnn"},
	{"externalId", `null`, "ny-------y", "yn-------n"},
	{"active", `null`, "ny-------y", "ny-------y"},
	{"schemas", `"x"`, refused, refused},
	{"locale", `"de"`, refused, refused},
	{"preferredLanguage", `"de"`, refused, refused},
	{"roles", `"x"`, refused, refused},
	{"roles.value", `"x"`, refused, refused},
	{"roles.display", `"x"`, refused, refused},
	{"roles.type", `"x"`, refused, refused},
	{"meta.location", `"x"`, refused, refused},
	{"meta.version", `"x"`, refused, refused},
	{"title", `"x"`, refused, refused},
	{"emails.display", `"x"`, refused, refused},
	{"userName.value", `"x"`, refused, refused},
	{"members.value", `"x"`, refused, refused},
	{"urn:ietf:params:scim:schemas:core:2.0:User", `"x"`, refused, refused},
	{"urn:ietf:params:scim:schemas:core:2.0:Group:displayName", `"x"`, refused, refused},
	{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", `"x"`, refused, refused},
}

var groupComparisons = []comparison{
	{"id", `"019fa000-0000-7000-8000-00000000000a"`, "ynyyynynyy", "nynnnyynny"},
	{"externalId", `"Ext-7"`, "ynyyynynyy", "nynnnnnnnn"},
	{"displayName", `"acme us"`, "ynyyynynyy", "nynnnyynny"},
	{"displayName", `"e"`, "nyynnnnyyy", "nyynnnnyyy"},
	{"members", `"019fa000-0000-7000-8000-00000000000a"`, "yyyyyyynyy", "nnnnnnnnnn"},
	{"members.value", `"019FA000-0000-7000-8000-00000000000A"`, "yyyyyyynyy", "nnnnnnnnnn"},
	{"members.value", `"019fa000-0000-7000-8000-00000000000b"`, "yyyyynyyyy", "nnnnnnnnnn"},
	{"members.value", `"019fa000-0000-7000-8000-00000000000c"`, "nynnnnnyyy", "nnnnnnnnnn"},
	{"members.type", `"User"`, "ynyyynynyy", "nnnnnnnnnn"},
	{"meta", `"x"`, "---------y", "---------y"},
	{"meta.resourceType", `"group"`, "nynnnnnyyy", "nynnnnnyyy"},
	{"meta.created", `"2026-03-04T12:00:00Z"`, "yn---nynyy", "ny---nnnnn"},
	{"meta.lastModified", `"2026-03-04T12:00:00Z"`, "ny---yynny", "ny---nnnnn"},
	{"schemas", `"x"`, refused, refused},
	{"members.$ref", `"x"`, refused, refused},
	{"members.display", `"x"`, refused, refused},
	{"meta.location", `"x"`, refused, refused},
	{"meta.version", `"x"`, refused, refused},
	{"userName", `"x"`, refused, refused},
	{"urn:latchkey:params:scim:schemas:extension:2.0:Group:defaultRole", `"SALES_STAFF"`, refused, refused},
}

func TestComparisons(t *testing.T) {
	for _, of := range []struct {
		resources     *scim.ResourceType
		full, lacking scim.Values
		comparisons   []comparison
	}{
		{scim.Users, ann.Values(), bare.Values(), userComparisons},
		{scim.Groups, store.Values(), empty.Values(), groupComparisons},
	} {
		for _, c := range of.comparisons {
			var full, lacking string
			for _, op := range operators {
				text := c.path + " " + op + " " + c.value
				if op == "pr" {
					text = c.path + " pr"
				}
				full += result(of.resources, text, of.full)
				lacking += result(of.resources, text, of.lacking)
			}
			check.Equal(t, full+" "+lacking, c.full+" "+c.lacking, "%s: %s compared with %s by %v",
				of.resources.Name, c.path, c.value, operators)
		}
	}
}

// result parses and evaluates a filter: y or n, or - if it is refused as it must be.
func result(of *scim.ResourceType, text string, values scim.Values) string {
	condition, err := scim.ParseFilter(of, text)
	var wrong *scim.Error
	switch {
	case errors.As(err, &wrong) && wrong.Status == 400 && wrong.Type == "invalidFilter" && condition == nil:
		return "-"
	case err != nil:
		return err.Error()
	case condition.Matches(values):
		return "y"
	}
	return "n"
}

// Every attribute of the published schemas is in the table of comparisons.
func TestComparisonsAreComplete(t *testing.T) {
	compared := map[string]bool{}
	for _, c := range append(userComparisons, groupComparisons...) {
		compared[strings.ToLower(c.path)] = true
	}
	for _, schema := range scim.Schemas("") {
		prefix := ""
		if id, _ := schema["id"].(string); strings.Contains(id, "extension") {
			prefix = id + ":"
		}
		attributes, _ := schema["attributes"].([]scim.Attribute)
		for _, a := range attributes {
			paths := []string{prefix + a.Name}
			for _, sub := range a.SubAttributes {
				paths = append(paths, a.Name+"."+sub.Name)
			}
			for _, path := range paths {
				if !compared[strings.ToLower(path)] {
					t.Errorf("no comparison of %s, want one for each attribute of %v", path, schema["id"])
				}
			}
		}
	}
}

func TestFilters(t *testing.T) {
	for _, tc := range []struct{ filter, want string }{
		{`userName eq "ann.lee@acme.example" and active eq true`, "y"},
		{`userName eq "ann.lee@acme.example" and active eq false`, "n"},
		{`active eq false or userName sw "ann"`, "y"},
		{`active eq false or active eq true and userName sw "ben"`, "n"},
		{`(active eq false or active eq true) and userName sw "ann"`, "y"},
		{`active eq true or active eq true and userName sw "ben"`, "y"},
		{`not (userName sw "ann") or active pr`, "y"},
		{`not (userName sw "ann" or active pr)`, "n"},
		{`NOT(userName sw "ben") AND(active PR)`, "y"},
		{`not (not (active eq true))`, "y"},
		{`  userName   EQ   "ann.lee@acme.example"  `, "y"},
		{`emails[type eq "work"].value eq "ann.lee@acme.example"`, "y"},
		{`emails[type eq "home"].value eq "ann.lee@acme.example"`, "n"},
		{`emails[type eq "work"].value pr`, "y"},
		{`emails[type eq "work"].value pr and displayName pr`, "y"},
		{`emails[type eq "work" and value co "@ACME.example"]`, "y"},
		{`emails[type eq "home" or primary eq true]`, "y"},
		{`emails[not (type eq "work")]`, "n"},
		{`emails [ type eq work ] and active pr`, "y"},
		{`urn:ietf:params:scim:schemas:core:2.0:user:emails[value sw "ann"]`, "y"},
		{`userName eq ann.lee@acme.example`, "y"},
		{`(userName eq ann.lee@acme.example)`, "y"},
		{`emails[value eq ann.lee@acme.example]`, "y"},
		{`externalId eq Ext-7 and active eq True`, "y"},
		{`externalId eq "null"`, "n"},
		{`externalId ne "null"`, "y"},
		{`userName eq "\u0061nn.lee@acme.example"`, "y"},
		{`displayName eq "Ann \"Lee\""`, "n"},
	} {
		check.Equal(t, result(scim.Users, tc.filter, ann.Values()), tc.want, "%s", tc.filter)
	}
	for _, tc := range []struct{ filter, want string }{
		{`id eq "019fa000-0000-7000-8000-00000000000a" and members eq "019fa000-0000-7000-8000-00000000000b"`, "y"},
		{`members[value eq "019fa000-0000-7000-8000-00000000000b"]`, "y"},
		{`members[value eq "019fa000-0000-7000-8000-00000000000b"].value ew "a"`, "n"},
		{`members[value ew "a" and value ew "b"]`, "n"},
		{`members.value ew "a" and members.value ew "b"`, "y"},
		{`not (members.value ew "a")`, "n"},
		{`members[type eq "User"]`, "y"},
	} {
		check.Equal(t, result(scim.Groups, tc.filter, store.Values()), tc.want, "%s", tc.filter)
	}
	check.Equal(t, result(scim.Groups, `members[type eq "User"]`, empty.Values()), "n", "a group without members")
}

func TestWrongFilters(t *testing.T) {
	for _, tc := range []struct{ filter, want string }{
		{``, "The filter is wrong at character 1: an attribute is missing."},
		{`   `, "at character 4: an attribute is missing."},
		{`userName`, "at character 9: an operator is missing, such as eq."},
		{`userName eq`, "at character 12: a value is missing."},
		{`userName eq "ann`, "at character 13: the closing quote is missing."},
		{`userName eq "ann\"`, "at character 13: the closing quote is missing."},
		{`userName eq "a\x"`, "at character 13: the value is not a JSON string."},
		{`userName eq"ann"`, "at character 12: a space is missing."},
		{`userName like "ann"`, "at character 10: an operator is missing, such as eq."},
		{`userName eq "ann" active pr`, "at character 19: the text before is complete: join expressions with and, or."},
		{`userName eq "ann" and`, "at character 22: an attribute is missing."},
		{`"ann" eq userName`, "at character 1: an attribute is missing."},
		{`(active pr`, "at character 11: a closing parenthesis is missing."},
		{`active pr)`, "at character 10: the text before is complete"},
		{`not active pr`, "at character 5: an operator is missing, such as eq."},
		{`emails[type eq "work"`, "at character 22: a closing bracket is missing."},
		{`emails[]`, "at character 8: an attribute is missing."},
		{`emails[emails[type pr]]`, "at character 14: brackets are in brackets."},
		{`emails[type eq "work"].display eq "x"`, "at character 24: there is no attribute display."},
		{`emails[kind eq "work"]`, "at character 8: there is no attribute kind."},
		{`userName[value pr]`, "at character 1: userName has no values that can be selected."},
		{`é eq "x"`, "at character 1: an attribute is missing."},
		{`displayName eq "é" and title pr`, "at character 24: there is no attribute title."},
		{`name eq "Ann"`, "at character 1: name has parts: compare one of them, such as name.givenName."},
		{`active gt true`, "at character 1: active cannot be compared with gt."},
		{`active eq maybe`, "at character 1: active is compared with true or false."},
		{`meta.created gt "yesterday"`, "at character 1: meta.created is compared with a time such as 2026-03-04T12:00:00Z."},
		{`locale eq "de"`, "at character 1: locale cannot be in a filter."},
		{`userName gt null`, "at character 1: userName can be compared with null only by eq and ne."},
		{"userName eq \"\xff\"", "The filter is not in UTF-8."},
		{strings.Repeat(`(`, 21) + `active pr` + strings.Repeat(`)`, 21),
			"at character 21: parentheses are nested too deep."},
		{strings.Repeat(`active pr or `, 200) + `active pr`, "at character 2601: there are too many comparisons."},
		{`userName eq "` + strings.Repeat("a", scim.MaxFilter) + `"`, "The filter has more than 8192 bytes."},
	} {
		condition, err := scim.ParseFilter(scim.Users, tc.filter)
		if err == nil || !strings.Contains(err.Error(), tc.want) || condition != nil {
			t.Errorf("%.80s: got %v, %v, want an error with %q", tc.filter, condition, err, tc.want)
		}
	}
	for _, filter := range []string{
		strings.Repeat(`(`, 20) + `active pr` + strings.Repeat(`)`, 20),
		strings.Repeat(`(active pr) and `, 199) + `active pr`,
		strings.Repeat(`active pr or `, 199) + `active pr`,
		`displayName ne "` + strings.Repeat("a", scim.MaxFilter-17) + `"`,
	} {
		check.Equal(t, result(scim.Users, filter, ann.Values()), "y", "the largest filter: %.60s", filter)
	}
}

// The normal form is what package gormdb translates to SQL.
func TestNormalForm(t *testing.T) {
	active := scim.Comparison{Field: scim.Active, Op: scim.Equal, Value: "true"}
	for _, tc := range []struct {
		of     *scim.ResourceType
		filter string
		want   scim.Condition
	}{
		{scim.Users, `userName eq "Ann@BÜCHER.example"`,
			scim.Comparison{Field: scim.UserName, Op: scim.Equal, Value: "ann@bücher.example"}},
		{scim.Users, `emails[type eq "work"].value eq "Ann@acme.example"`,
			scim.Comparison{Field: scim.UserName, Op: scim.Equal, Value: "ann@acme.example"}},
		{scim.Users, `externalId ne "X" or not (name pr)`, scim.Or{
			scim.Not{Condition: scim.Comparison{Field: scim.ExternalID, Op: scim.Equal, Value: "X"}},
			scim.Not{Condition: scim.Or{
				scim.Comparison{Field: scim.GivenName, Op: scim.Present},
				scim.Comparison{Field: scim.FamilyName, Op: scim.Present},
				scim.Comparison{Field: scim.FormattedName, Op: scim.Present},
			}},
		}},
		{scim.Users, `emails.type eq "home"`, scim.Or{}},
		{scim.Users, `emails.type eq "home" or active eq true and emails.primary eq true`, active},
		{scim.Users, `emails.type eq "home" and active eq true`, scim.Or{}},
		{scim.Users, `emails.type eq "work" or active eq true`, scim.And{}},
		{scim.Users, `not (emails.type eq "home") and not (not (active eq true))`, active},
		{scim.Users, `not (emails.type eq "work") or not (emails.type pr and emails.primary pr)`, scim.Or{}},
		{scim.Users, `id pr and (active eq true and (externalId pr and userName pr))`, scim.And{
			scim.Comparison{Field: scim.ID, Op: scim.Present}, active,
			scim.Comparison{Field: scim.ExternalID, Op: scim.Present},
			scim.Comparison{Field: scim.UserName, Op: scim.Present}}},
		{scim.Users, `not (active eq true or (id pr or active eq true))`, scim.Not{Condition: scim.Or{active,
			scim.Comparison{Field: scim.ID, Op: scim.Present}, active}}},
		{scim.Users, `externalId lt ""`, scim.Or{}},
		{scim.Groups, `members[type eq "Group"]`, scim.Or{}},
		{scim.Groups, `members ne "A"`, scim.AnyMember{Condition: scim.Not{
			Condition: scim.Comparison{Field: scim.MemberID, Op: scim.Equal, Value: "a"}}}},
	} {
		got, err := scim.ParseFilter(tc.of, tc.filter)
		check.Equal(t, err, nil, "%s", tc.filter)
		check.Equal(t, got, tc.want, "%s", tc.filter)
	}
	got, err := scim.ParseFilter(scim.Users, `meta.created gt "2026-03-04T13:00:00.1234567+01:00"`)
	want := time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)
	if c, is := got.(scim.Comparison); err != nil || !is || !c.Time().Equal(want) {
		t.Errorf("a comparison of a time: got %v, %v, want %v", got, err, want)
	}
}

func TestKey(t *testing.T) {
	for filter, want := range map[string]scim.Field{
		`userName eq "a@x.example"`:                                scim.UserName,
		`active eq true and (displayName pr or externalId eq "7")`: "",
		`active eq true and externalId eq "7"`:                     scim.ExternalID,
		`(id eq "7" and active eq true) and name pr`:               scim.ID,
		`emails[type eq "work"].value eq "a@x.example"`:            scim.UserName,
		`userName sw "a" and displayName eq "Ann"`:                 "",
		`userName eq "a@x.example" or active eq true`:              "",
		`not (userName eq "a@x.example")`:                          "",
	} {
		condition, err := scim.ParseFilter(scim.Users, filter)
		check.Equal(t, err, nil, "%s", filter)
		key, found := scim.Key(condition)
		if !found {
			key = scim.Comparison{}
		}
		check.Equal(t, key.Field, want, "%s", filter)
	}
}

// mostTime is how long reading and evaluating a filter may take.
const mostTime = 10 * time.Millisecond

// FuzzFilter reads texts as filters. It fails if reading or evaluating one takes too long, or if a filter and its
// negation have the same result.
func FuzzFilter(f *testing.F) {
	for _, c := range append(userComparisons, groupComparisons...) {
		f.Add(c.path + " eq " + c.value)
		f.Add(fmt.Sprintf("not (%s sw %s) and %s pr", c.path, c.value, c.path))
	}
	f.Add(`emails[type eq "work"].value eq "ann.lee@acme.example" or members[value eq "x"]`)
	f.Add(strings.Repeat(`(`, 20) + `active pr` + strings.Repeat(`)`, 20))
	f.Add(strings.Repeat(`displayName co "a" or `, 199) + `active pr`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, of := range []*scim.ResourceType{scim.Users, scim.Groups} {
			values := []scim.Values{ann.Values(), bare.Values()}
			if of == scim.Groups {
				values = []scim.Values{store.Values(), empty.Values()}
			}
			took := fastest(func() {
				if condition, err := scim.ParseFilter(of, text); err == nil {
					condition.Matches(values[0])
				}
			})
			if took > mostTime {
				t.Errorf("%q took %v, want at most %v", text, took, mostTime)
			}
			for _, v := range values {
				checkNegation(t, of, text, v)
			}
		}
	})
}

// fastest returns the least time that some runs took, since other programs run, too.
func fastest(run func()) time.Duration {
	least := time.Hour
	for range 5 {
		start := time.Now()
		run()
		if least = min(least, time.Since(start)); least < mostTime {
			break
		}
	}
	return least
}

// checkNegation checks that the negation of a filter has the other result.
func checkNegation(t *testing.T, of *scim.ResourceType, text string, v scim.Values) {
	t.Helper()
	got := result(of, text, v)
	if got == "-" {
		return
	}
	// The negation is refused if it is longer or deeper than a filter may be.
	not := result(of, "not ("+text+")", v)
	if want := map[string]string{"y": "n", "n": "y"}[got]; want == "" || not != want && not != "-" {
		t.Errorf("%s: %q has the result %q and its negation %q, want the opposite", of.Name, text, got, not)
	}
}
