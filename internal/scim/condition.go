package scim

import (
	"slices"
	"strings"
	"time"
)

// Field is a value of a resource that filters compare.
type Field string

// The fields. MemberID is in groups only, UserName, the names and Active are in users only. The addresses of a user are
// one, so emails.value is UserName.
const (
	ID            Field = "id"
	UserName      Field = "userName"
	ExternalID    Field = "externalId"
	GivenName     Field = "name.givenName"
	FamilyName    Field = "name.familyName"
	FormattedName Field = "name.formatted"
	DisplayName   Field = "displayName"
	Active        Field = "active"
	Created       Field = "meta.created"
	LastModified  Field = "meta.lastModified"
	MemberID      Field = "members.value"
)

// Op is the operator of a Comparison.
type Op string

// The operators. Other operators of filters are expressed with Not.
const (
	Present        Op = "pr"
	Equal          Op = "eq"
	Contains       Op = "co"
	StartsWith     Op = "sw"
	EndsWith       Op = "ew"
	Greater        Op = "gt"
	GreaterOrEqual Op = "ge"
	Less           Op = "lt"
	LessOrEqual    Op = "le"
)

// Condition is a filter in its normal form, made of And, Or, Not, AnyMember and Comparison. It has two truth values: a
// comparison with a value that the resource does not have is false, and Not of it is true.
type Condition interface {
	// Matches reports whether a resource with the values meets the condition.
	Matches(Values) bool
}

// Values returns the values of one resource's field, in the form of Comparison.Value. Fields without a value, and
// those with an empty text, have none. MemberID can have several, the other fields at most one. A Values is not safe
// for concurrent use.
type Values func(Field) []string

// once returns the values that compute returns for each field, which it calls once. A filter can compare one field many
// times, and folding a text takes longer than comparing it.
func once(compute Values) Values {
	known := map[Field][]string{}
	return func(f Field) []string {
		values, ok := known[f]
		if !ok {
			values = compute(f)
			known[f] = values
		}
		return values
	}
}

// And is true if all its conditions are. An empty And is true.
type And []Condition

// Or is true if one of its conditions is. An empty Or is false.
type Or []Condition

// Not is true if its condition is not.
type Not struct{ Condition Condition }

// AnyMember is true for a group if one of its members meets the condition, which compares MemberID only.
type AnyMember struct{ Condition Condition }

// Comparison compares a field with a value. It is false if the resource has no value. In SQL, a column that is null or
// empty must therefore be excluded, also for Less and LessOrEqual.
type Comparison struct {
	Field Field
	Op    Op
	// Value is what the field is compared with. It is never empty, except for Present, which has none. It is:
	//
	//   - for UserName: the form that user.Fold returns for Equal and for the order, and user.FoldText for a part;
	//     the address is compared as user.Fold returns it
	//   - for ID and ExternalID: the text, compared exactly
	//   - for names, DisplayName and MemberID: the form that user.FoldText returns, of both sides
	//   - for Active: "true" or "false"
	//   - for Created and LastModified: see Time
	//
	// Texts have the order of their bytes in UTF-8.
	Value string
}

// Time returns the value of a comparison of Created or LastModified, in the form of clock.Timestamp.
func (c Comparison) Time() time.Time {
	at, _ := time.Parse(timeForm, c.Value) // the parser wrote it
	return at
}

// Matches reports whether all conditions match.
func (a And) Matches(v Values) bool {
	return !slices.ContainsFunc(a, func(c Condition) bool { return !c.Matches(v) })
}

// Matches reports whether one of the conditions matches.
func (o Or) Matches(v Values) bool {
	return slices.ContainsFunc(o, func(c Condition) bool { return c.Matches(v) })
}

// Matches reports whether the condition does not match.
func (n Not) Matches(v Values) bool { return !n.Condition.Matches(v) }

// Matches reports whether a member matches.
func (m AnyMember) Matches(v Values) bool {
	return slices.ContainsFunc(v(MemberID), func(id string) bool {
		return m.Condition.Matches(func(Field) []string { return []string{id} })
	})
}

// Matches reports whether a value of the field meets the comparison.
func (c Comparison) Matches(v Values) bool { return slices.ContainsFunc(v(c.Field), c.holds) }

func (c Comparison) holds(is string) bool {
	if is == "" {
		return false
	}
	switch c.Op {
	case Present:
		return true
	case Equal:
		return is == c.Value
	case Contains:
		return strings.Contains(is, c.Value)
	case StartsWith:
		return strings.HasPrefix(is, c.Value)
	case EndsWith:
		return strings.HasSuffix(is, c.Value)
	case Greater:
		return is > c.Value
	case GreaterOrEqual:
		return is >= c.Value
	case Less:
		return is < c.Value
	default:
		return is <= c.Value
	}
}

// part reports whether the operator compares a part of the text.
func (o Op) part() bool { return o == Contains || o == StartsWith || o == EndsWith }
