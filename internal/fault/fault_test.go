package fault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

var errDriver = errors.New("pq: password authentication failed for user latchkey")

func TestErrorShowsNoCause(t *testing.T) {
	err := fault.Wrap(fmt.Errorf("query: %w", errDriver), fault.Conflict, "A token called %q exists.",
		"CI").On("input.name")
	for _, shown := range []string{err.Error(), err.Message, fmt.Sprintf("%v %s %q", err, err, err)} {
		if strings.Contains(shown, "pq:") {
			t.Errorf("the message: got %q, want it without the cause", shown)
		}
	}
	check.Equal(t, err.Error(), `input.name: A token called "CI" exists.`, "err.Error()")
	if !errors.Is(err, errDriver) {
		t.Error("errors.Is: got false for the cause, want true")
	}
}

func TestOnAndRequiringCopy(t *testing.T) {
	shared := fault.Errorf(fault.Forbidden, "No.")
	one, other := shared.On("a").Requiring("x", "y"), shared.On("b").Leaving("1.50")
	check.Equal(t, other.Remaining, "1.50", "what remains")
	if shared.Field != "" || shared.RequiredScopes != nil || shared.Remaining != "" {
		t.Errorf("the original: got %+v, want it unchanged", shared)
	}
	if one.Field != "a" || other.Field != "b" || !slices.Equal(one.RequiredScopes, []string{"x", "y"}) ||
		other.RequiredScopes != nil {
		t.Errorf("copies: got %+v and %+v, want one on a that requires x and y, and one on b", one, other)
	}
}

func TestKindOf(t *testing.T) {
	missing := fault.Errorf(fault.NotFound, "None.")
	for _, tc := range []struct {
		name string
		err  error
		want fault.Kind
	}{
		{"no error", nil, ""},
		{"a fault", missing, fault.NotFound},
		{"wrapped", fmt.Errorf("load token: %w", missing), fault.NotFound},
		{"an error of a driver", errDriver, fault.Internal},
		{"the outer kind, not the cause's", fault.Wrap(missing, fault.Conflict, "Gone meanwhile."), fault.Conflict},
		{"a list: the kind of the first", fault.List{fault.Errorf(fault.Invalid, "a"), missing}, fault.Invalid},
		{"a list as a cause", fault.Wrap(fault.List{missing}, fault.Internal, "Broken."), fault.Internal},
		{"joined with a driver's", errors.Join(errDriver, missing), fault.NotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, fault.KindOf(tc.err), tc.want, "fault.KindOf(tc.err)")
		})
	}
}

func TestFlatten(t *testing.T) {
	a, b := fault.Errorf(fault.Invalid, "a").On("x"), fault.Errorf(fault.Forbidden, "b")
	outer := fault.Wrap(fault.List{a, b}, fault.Conflict, "Outer.")
	for _, tc := range []struct {
		name string
		err  error
		want []*fault.Error
	}{
		{"no error", nil, nil},
		{"one", a, []*fault.Error{a}},
		{"one, wrapped", fmt.Errorf("create: %w", a), []*fault.Error{a}},
		{"a list", fault.List{a, b}, []*fault.Error{a, b}},
		{"a list, wrapped twice", fmt.Errorf("create: %w", fmt.Errorf("check: %w", fault.List{a, b})),
			[]*fault.Error{a, b}},
		{"a list that is a cause", outer, []*fault.Error{outer}},
		{"a list of errors with causes", fault.List{outer, b}, []*fault.Error{outer, b}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, fault.Flatten(tc.err), tc.want, "fault.Flatten(tc.err)")
		})
	}
	t.Run("an error of a driver is not shown", func(t *testing.T) {
		got := fault.Flatten(fmt.Errorf("insert: %w", errDriver))
		if len(got) != 1 || got[0].Kind != fault.Internal || strings.Contains(got[0].Error(), "pq") ||
			strings.Contains(got[0].Error(), "insert") {
			t.Fatalf("Flatten of a driver's error = %v, want one of kind %s without its text", got, fault.Internal)
		}
		if !errors.Is(got[0], errDriver) {
			t.Error("errors.Is: got false for the cause, want true")
		}
	})
}

func TestList(t *testing.T) {
	a, b := fault.Errorf(fault.Invalid, "Too short.").On("name"), fault.Wrap(errDriver, fault.Conflict, "Taken.")
	if err := (fault.List{}).Err(); err != nil {
		t.Errorf("empty list: %v", err)
	}
	if err := (fault.List)(nil).Err(); err != nil {
		t.Errorf("nil list: %v", err)
	}
	var single *fault.Error
	if err := (fault.List{a}).Err(); !errors.As(err, &single) || single != a {
		t.Errorf("list of one: %v, want its element", err)
	}
	err := fault.List{a, b}.Err()
	check.Equal(t, err.Error(), "name: Too short.; Taken.", "got %q", err)
	if !errors.Is(err, errDriver) {
		t.Error("errors.Is: got false for an error of the list, want true")
	}
}

func TestUnder(t *testing.T) {
	name, scopes, none := fault.Errorf(fault.Invalid, "a").On("name"),
		fault.Wrap(errDriver, fault.Invalid, "b").On("scopes[1]"), fault.Errorf(fault.LimitReached, "c")
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"one", name, "input.name: a"},
		{"one, wrapped", fmt.Errorf("create: %w", name), "input.name: a"},
		{"without a field", none, "c"},
		{"a list", fault.List{name, scopes, none}, "input.name: a; input.scopes[1]: b; c"},
		{"an error of a driver", errDriver, errDriver.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := fault.Under(tc.err, "input"); got.Error() != tc.want ||
				fault.KindOf(got) != fault.KindOf(tc.err) {
				t.Errorf("got %v of kind %s, want %s", got, fault.KindOf(got), tc.want)
			}
		})
	}
	if err := fault.Under(nil, "input"); err != nil {
		t.Errorf("nil became %v", err)
	}
	check.Equal(t, name.Field, "name", "the original changed: %+v", name)
	if !errors.Is(fault.Under(scopes, "input"), errDriver) {
		t.Error("errors.Is: got false for the cause, want true")
	}
}
