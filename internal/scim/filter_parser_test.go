package scim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	filter "github.com/scim2/filter-parser/v2"
	"pgregory.net/rapid"

	"latchkey/internal/scim"
)

// Filters that both parsers accept mean the same. The other parser's syntax tree is evaluated over documents, by the
// rules of RFC 7644, section 3.4.2.2, written here for a second time.
func TestFiltersMeanWhatAnotherParserReads(t *testing.T) {
	documents := map[*scim.ResourceType][]struct {
		document any
		values   scim.Values
	}{
		scim.Users: {{decoded(t, ann.Document(base)), ann.Values()}, {decoded(t, bare.Document(base)), bare.Values()}},
		scim.Groups: {{decoded(t, store.Document(base)), store.Values()},
			{decoded(t, empty.Document(base)), empty.Values()}},
	}
	compared, matched := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		of := scim.Users
		if rapid.Bool().Draw(t, "groups") {
			of = scim.Groups
		}
		for range 10 {
			text := randomFilter(t, of)
			condition, err := scim.ParseFilter(of, text)
			expression, otherErr := filter.ParseFilter([]byte(text))
			if err != nil || otherErr != nil {
				continue
			}
			for _, d := range documents[of] {
				got, want := condition.Matches(d.values), meets(d.document, expression)
				if got != want {
					t.Fatalf("%s: got %v, want %v as the other parser reads it, for %v", text, got, want, d.document)
				}
				if compared++; want {
					matched++
				}
			}
		}
	})
	if compared < 500 || matched < 100 || compared-matched < 100 {
		t.Errorf("compared %d results, %d of which are true: want more of both", compared, matched)
	}
}

func decoded(t *testing.T, d scim.Document) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(encoded(t, d)), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// randomFilter returns a filter, which is often wrong: an attribute can have an operator that it does not allow, and a
// word can be left out or doubled.
func randomFilter(t *rapid.T, of *scim.ResourceType) string {
	words := randomTerm(t, of, 3)
	if at := rapid.IntRange(0, 5*len(words)).Draw(t, "broken"); at < len(words) {
		if rapid.Bool().Draw(t, "left out") {
			words = slices.Delete(words, at, at+1)
		} else {
			words = slices.Insert(words, at, words[at])
		}
	}
	return strings.Join(words, "")
}

// randomTerm returns the words and spaces of a condition.
func randomTerm(t *rapid.T, of *scim.ResourceType, depth int) []string {
	if depth == 0 {
		return randomComparison(t, of)
	}
	switch rapid.IntRange(0, 4).Draw(t, "term") {
	case 0:
		return slices.Concat([]string{"(", randomSpace(t)}, randomTerm(t, of, depth-1), []string{randomSpace(t), ")"})
	case 1:
		not := []string{randomCase(t, "not"), randomSpace(t), "("}
		return slices.Concat(not, randomTerm(t, of, depth-1), []string{")"})
	case 2, 3:
		join := randomCase(t, rapid.SampledFrom([]string{"and", "or"}).Draw(t, "join"))
		return slices.Concat(randomTerm(t, of, depth-1), []string{" ", join, " "}, randomTerm(t, of, depth-1))
	}
	return randomComparison(t, of)
}

func randomSpace(t *rapid.T) string { return rapid.SampledFrom([]string{"", "", " "}).Draw(t, "space") }

// randomCase returns the word, in the same or another case.
func randomCase(t *rapid.T, word string) string {
	cases := []string{word, strings.ToUpper(word), strings.ToUpper(word[:1]) + word[1:]}
	return rapid.SampledFrom(cases).Draw(t, "case")
}

// randomComparison returns the words of a comparison, or of a condition in brackets.
func randomComparison(t *rapid.T, of *scim.ResourceType) []string {
	list, multi, urn := userComparisons, "emails", "urn:ietf:params:scim:schemas:core:2.0:User:"
	if of == scim.Groups {
		list, multi, urn = groupComparisons, "members", "urn:ietf:params:scim:schemas:core:2.0:Group:"
	}
	c := rapid.SampledFrom(list).Draw(t, "comparison")
	op := randomCase(t, rapid.SampledFrom(operators).Draw(t, "operator"))
	values := []string{c.value, c.value, c.value, `"a"`, `""`, "null", "true", `"\u0041nn"`, "7"}
	value := rapid.SampledFrom(values).Draw(t, "value")
	path := randomCase(t, c.path)
	if sub, is := strings.CutPrefix(c.path, multi+"."); is && rapid.Bool().Draw(t, "brackets") {
		return []string{randomCase(t, multi), "[", sub, " ", op, " ", value, "]"}
	}
	if !strings.Contains(path, ":") && rapid.IntRange(0, 4).Draw(t, "URN") == 0 {
		path = urn + path
	}
	if strings.EqualFold(op, "pr") {
		return []string{path, " ", op}
	}
	return []string{path, " ", op, " ", value}
}

// meets evaluates the other parser's expression for a JSON value.
func meets(d any, e filter.Expression) bool {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		if e.Operator == filter.AND {
			return meets(d, e.Left) && meets(d, e.Right)
		}
		return meets(d, e.Left) || meets(d, e.Right)
	case *filter.NotExpression:
		return !meets(d, e.Expression)
	case *filter.ValuePath:
		return slices.ContainsFunc(valuesAt(d, e.AttributePath.AttributeName),
			func(v any) bool { return meets(v, e.ValueFilter) })
	case *filter.AttributeExpression:
		return meetsComparison(d, e)
	}
	panic(fmt.Sprintf("an unknown expression: %T", e))
}

func meetsComparison(d any, e *filter.AttributeExpression) bool {
	name := e.AttributePath.AttributeName
	values := valuesAt(d, name)
	sub := e.AttributePath.SubAttributeName()
	members := strings.EqualFold(name, "members")
	if sub == "" && e.Operator != filter.PR && (members || strings.EqualFold(name, "emails")) {
		sub = "value"
	}
	if sub != "" {
		values = valuesAt(d, name, sub)
	}
	value := "null"
	if e.CompareValue != nil {
		value = fmt.Sprint(e.CompareValue)
		if text, is := e.CompareValue.(string); is {
			_ = json.Unmarshal([]byte(`"`+text+`"`), &value) // the parser leaves the escapes
		}
	}
	path := strings.ToLower(strings.Trim(name+"."+sub, "."))
	exact := slices.Contains([]string{"id", "externalid", "meta.resourcetype"}, path)
	switch {
	case e.Operator == filter.PR:
		return len(values) > 0
	case e.CompareValue == nil || value == "":
		return meetsNothing(values, e.Operator, members)
	case e.Operator == filter.NE && len(values) == 0:
		return !members
	}
	return slices.ContainsFunc(values, func(v any) bool { return holds(fmt.Sprint(v), e.Operator, value, exact) })
}

// meetsNothing compares with null, or with an empty text, which every text contains and is greater than.
func meetsNothing(values []any, op filter.CompareOperator, members bool) bool {
	switch op {
	case filter.EQ:
		return len(values) == 0 && !members
	case filter.LT, filter.LE:
		return false
	default:
		return len(values) > 0
	}
}

// valuesAt returns the values of the attribute of a JSON value at a path, those of a list one by one.
func valuesAt(d any, path ...string) []any {
	switch v := d.(type) {
	case []any:
		var all []any
		for _, each := range v {
			all = append(all, valuesAt(each, path...)...)
		}
		return all
	case map[string]any:
		if len(path) == 0 {
			return []any{d}
		}
		for name, of := range v {
			if strings.EqualFold(name, path[0]) {
				return valuesAt(of, path[1:]...)
			}
		}
		return nil
	}
	if len(path) > 0 {
		return nil
	}
	return []any{d}
}

func holds(is string, op filter.CompareOperator, value string, exact bool) bool {
	if at, err := time.Parse(time.RFC3339, is); err == nil {
		other, err := time.Parse(time.RFC3339, value)
		if err != nil {
			other, _ = time.Parse("2006-01-02T15:04:05", value)
		}
		is, value = fmt.Sprintf("%020d", at.UnixMicro()), fmt.Sprintf("%020d", other.UnixMicro())
	} else if !exact {
		is, value = strings.ToLower(is), strings.ToLower(value)
		if !slices.Contains([]filter.CompareOperator{filter.CO, filter.SW, filter.EW}, op) {
			value = strings.TrimSpace(value) // around an address
		}
	}
	switch op {
	case filter.EQ:
		return is == value
	case filter.NE:
		return is != value
	case filter.CO:
		return strings.Contains(is, value)
	case filter.SW:
		return strings.HasPrefix(is, value)
	case filter.EW:
		return strings.HasSuffix(is, value)
	case filter.GT:
		return is > value
	case filter.GE:
		return is >= value
	case filter.LT:
		return is < value
	default:
		return is <= value
	}
}
