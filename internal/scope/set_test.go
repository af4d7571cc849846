package scope_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/internal/scope"
)

// names draws scope names of a small alphabet, so that they often coincide.
func names(label string) func(*rapid.T) []string {
	return func(t *rapid.T) []string {
		return rapid.SliceOfN(rapid.StringMatching(`[ab!~]{1,3}`), 0, 12).Draw(t, label)
	}
}

func TestSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := names("names")(t)
		before := slices.Clone(given)
		s := scope.NewSet(given...)
		want := slices.Compact(slices.Sorted(slices.Values(given)))
		if !slices.Equal(s.Names(), want) || s.Len() != len(want) {
			t.Fatalf("names %q, length %d", s.Names(), s.Len())
		}
		if !slices.Equal(given, before) {
			t.Fatalf("the names given were changed into %q", given)
		}
		if !s.HasAll(given...) || s.Missing(given...) != nil {
			t.Fatalf("%q is not in the set", s.Missing(given...))
		}
		for _, probe := range names("probes")(t) {
			if s.Has(probe) != slices.Contains(given, probe) {
				t.Fatalf("Has(%q) is %v", probe, s.Has(probe))
			}
		}
	})
}

func TestSetComparesWithAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := names("a")(t), names("b")(t)
		sa, sb := scope.NewSet(a...), scope.NewSet(b...)
		missing := sa.Missing(b...)
		for _, name := range b {
			if slices.Contains(missing, name) == slices.Contains(a, name) {
				t.Fatalf("missing are %q", missing)
			}
		}
		if sa.Contains(sb) != (len(missing) == 0) || sa.HasAll(b...) != (len(missing) == 0) {
			t.Fatalf("Contains is %v with %q missing", sa.Contains(sb), missing)
		}
		both := sa.Intersect(sb)
		for _, name := range slices.Concat(a, b) {
			if both.Has(name) != (sa.Has(name) && sb.Has(name)) {
				t.Fatalf("both hold %q", both)
			}
		}
		if !sa.Contains(both) || !sb.Contains(both) || !sa.Equal(scope.NewSet(a...)) {
			t.Fatalf("both hold %q", both)
		}
		if sa.Equal(sb) != (sa.Contains(sb) && sb.Contains(sa)) {
			t.Fatalf("Equal is %v", sa.Equal(sb))
		}
	})
}

func TestSetSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scope.NewSet(names("names")(t)...)
		if got := scope.ParseSet(s.String()); !got.Equal(s) {
			t.Fatalf("%q was read back as %q", s, got)
		}
	})
}

func TestParseSet(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"spaces alone", "   ", ""},
		{"one", "account_read", "account_read"},
		{"out of order and twice", "b a b", "a b"},
		{"too many spaces", " a   b ", "a b"},
		{"a tab is no separator", "a\tb", "a\tb"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := scope.ParseSet(test.text).String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestZeroSetIsEmpty(t *testing.T) {
	var zero scope.Set
	if zero.Len() != 0 || zero.Has("") || zero.Has("a") || !zero.HasAll() || zero.String() != "" {
		t.Errorf("%d scopes: %q", zero.Len(), zero)
	}
	if !zero.Equal(scope.NewSet()) || !zero.Equal(scope.NewSet("")) || !zero.Contains(zero) {
		t.Error("the zero set differs from an empty one")
	}
	if got := zero.Names(); got == nil || len(got) != 0 {
		t.Errorf("names are %#v", got)
	}
}

func TestNamesBelongToTheCaller(t *testing.T) {
	s := scope.NewSet("a", "b")
	s.Names()[0] = "z"
	if s.String() != "a b" {
		t.Errorf("the set is now %q", s)
	}
}

func TestHasAllocatesNothing(t *testing.T) {
	s := everything()
	if n := testing.AllocsPerRun(100, func() {
		answer = s.Has(scope.AccountUsersRead) && s.HasAll(scope.AccountRead, scope.AccountStoresRead) && s.Contains(s)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHas(b *testing.B) {
	s := everything()
	b.ReportAllocs()
	for b.Loop() {
		answer = s.Has(scope.AccountUsersRead)
	}
}

func BenchmarkHasAll(b *testing.B) {
	s := everything()
	b.ReportAllocs()
	for b.Loop() {
		answer = s.HasAll(scope.AccountRead, scope.AccountUsersRead)
	}
}

// everything is the largest set there is in practice.
func everything() scope.Set {
	var all []string
	for _, r := range scope.Default().Resources(scope.LevelAccount, []scope.Feature{scope.FeatureAutomatedBilling}) {
		for _, p := range r.Permissions {
			all = append(all, p.Scope)
		}
	}
	return scope.ParseSet(strings.Join(all, " "))
}

// answer is where benchmarks leave what they found.
var answer bool
