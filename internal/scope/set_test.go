package scope_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// names draws scope names from a small alphabet, so that names often repeat.
func names(label string) func(*rapid.T) []string {
	return func(t *rapid.T) []string {
		return rapid.SliceOfN(rapid.StringMatching(`[ab!~]{1,3}`), 0, 12).Draw(t, label)
	}
}

func TestSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		input := names("names")(t)
		before := slices.Clone(input)
		s := scope.NewSet(input...)
		want := slices.Compact(slices.Sorted(slices.Values(input)))
		if !slices.Equal(s.Names(), want) || s.Len() != len(want) {
			t.Fatalf("Names() = %q, Len() = %d, want %q", s.Names(), s.Len(), want)
		}
		if !slices.Equal(input, before) {
			t.Fatalf("the argument was changed to %q, want %q", input, before)
		}
		if !s.HasAll(input...) || s.Missing(input...) != nil {
			t.Fatalf("Missing(%q) = %q, want none", input, s.Missing(input...))
		}
		for _, probe := range names("probes")(t) {
			if s.Has(probe) != slices.Contains(input, probe) {
				t.Fatalf("Has(%q) = %v, want %v", probe, s.Has(probe), slices.Contains(input, probe))
			}
		}
	})
}

func TestSetOperations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := names("a")(t), names("b")(t)
		sa, sb := scope.NewSet(a...), scope.NewSet(b...)
		missing := sa.Missing(b...)
		for _, name := range b {
			if slices.Contains(missing, name) == slices.Contains(a, name) {
				t.Fatalf("Missing(%q) = %q, want those that are not in %q", b, missing, a)
			}
		}
		if sa.Contains(sb) != (len(missing) == 0) || sa.HasAll(b...) != (len(missing) == 0) {
			t.Fatalf("Contains = %v, HasAll = %v with %q missing, want true only if none is",
				sa.Contains(sb), sa.HasAll(b...), missing)
		}
		both := sa.Intersect(sb)
		for _, name := range slices.Concat(a, b) {
			if both.Has(name) != (sa.Has(name) && sb.Has(name)) {
				t.Fatalf("Intersect = %q, want what is in both %q and %q", both, sa, sb)
			}
		}
		if !sa.Contains(both) || !sb.Contains(both) || !sa.Equal(scope.NewSet(a...)) {
			t.Fatalf("Intersect = %q, want a set that both %q and %q contain", both, sa, sb)
		}
		if sa.Equal(sb) != (sa.Contains(sb) && sb.Contains(sa)) {
			t.Fatalf("Equal(%q, %q) = %v, want it true if each contains the other", sa, sb, sa.Equal(sb))
		}
	})
}

func TestSetRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scope.NewSet(names("names")(t)...)
		if got := scope.ParseSet(s.String()); !got.Equal(s) {
			t.Fatalf("ParseSet(%q) = %q, want the same set", s, got)
		}
	})
}

func TestParseSet(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"only spaces", "   ", ""},
		{"one", "account_read", "account_read"},
		{"out of order and twice", "b a b", "a b"},
		{"too many spaces", " a   b ", "a b"},
		{"a tab does not separate", "a\tb", "a\tb"},
	} {
		t.Run(test.name, func(t *testing.T) {
			check.Equal(t, scope.ParseSet(test.text).String(), test.want, "scope.ParseSet(test.text).String()")
		})
	}
}

func TestZeroSetIsEmpty(t *testing.T) {
	var zero scope.Set
	if zero.Len() != 0 || zero.Has("") || zero.Has("a") || !zero.HasAll() || zero.String() != "" {
		t.Errorf("the zero set: got %d scopes, %q, want none", zero.Len(), zero)
	}
	if !zero.Equal(scope.NewSet()) || !zero.Equal(scope.NewSet("")) || !zero.Contains(zero) {
		t.Error("the zero set differs from an empty one, want them equal")
	}
	if got := zero.Names(); got == nil || len(got) != 0 {
		t.Errorf("Names() of the zero set = %#v, want an empty list that is not nil", got)
	}
}

func TestNamesBelongToTheCaller(t *testing.T) {
	s := scope.NewSet("a", "b")
	s.Names()[0] = "z"
	check.Equal(t, s.String(), "a b", "the set is now %q", s)
}

func TestHasAllocatesNothing(t *testing.T) {
	s := everything()
	check.Equal(t, testing.AllocsPerRun(100, func() {
		answer = s.Has(scope.AccountUsersRead) && s.HasAll(scope.AccountRead, scope.AccountStoresRead) && s.Contains(s)
	}), 0, "result")
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

// everything returns the set of all scopes, the largest in practice.
func everything() scope.Set {
	var all []string
	for _, r := range scope.Default().Resources(scope.LevelAccount, []scope.Feature{scope.FeatureAutomatedBilling}) {
		for _, p := range r.Permissions {
			all = append(all, p.Scope)
		}
	}
	return scope.ParseSet(strings.Join(all, " "))
}

// answer receives the results of benchmarks.
var answer bool
