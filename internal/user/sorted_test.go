package user_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// Names are compared without case, and users without one by their address. Parts of a list fit together.
func TestSorted(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		name := func(i int, first, last string) {
			t.Helper()
			if _, err := s.users.Update(t.Context(), s.program, user.Update{UserID: s.person(i).ID, FirstName: &first,
				LastName: &last}); err != nil {
				t.Fatal(err)
			}
		}
		name(0, "zoë", "Zander")
		name(1, "Abel", "zuse")
		name(2, "ABEL", "Ymir")
		if _, err := s.users.AddToAccount(t.Context(), s.program, "mia@acme.example"); err != nil {
			t.Fatal(err)
		}
		names := func(o user.Order) []string {
			t.Helper()
			users, total, err := s.users.Sorted(t.Context(), s.owner, user.Filter{}, o)
			if err != nil || total != 6 {
				t.Errorf("Sorted(%+v) returned %d users in all, %v, want 6", o, total, err)
			}
			var list []string
			for _, u := range users {
				list = append(list, u.FirstName+u.Email[:3])
			}
			return list
		}
		up := []string{"ABELuse", "Abeluse", "First ownerown", "First store.ownersto", "mia", "zoëuse"}
		check.Equal(t, names(user.Order{By: user.ByName, Size: 10}), up, "by name")
		check.Equal(t, names(user.Order{By: user.ByName, Descending: true, Skip: 1, Size: 2}), []string{"mia",
			"First store.ownersto"}, "a part, backward")
		check.Equal(t, names(user.Order{By: user.ByName, Skip: 6, Size: 2}), nil, "after the last part")
		check.Equal(t, names(user.Order{By: user.ByName, Skip: -1, Size: 1}), up[:1], "before the first part")
		check.Equal(t, len(names(user.Order{By: user.ByLastSignIn, Size: 10})), 6, "users who never signed in")
		_, _, err := s.users.Sorted(t.Context(), s.owner, user.Filter{Search: "x"}, user.Order{Size: 1})
		failing(t, err, fault.Invalid, "filter.search")
	})
}

// crowd is a repository in which every filter selects as many users as are asked for.
type crowd struct{ user.Repository }

// SortKeys returns most users.
func (crowd) SortKeys(_ context.Context, _ uuid.UUID, _ user.Filter, most int) ([]user.SortKey, error) {
	return make([]user.SortKey, most), nil
}

// A list with more users than are sorted is refused, and not cut off.
func TestSortedIsBounded(t *testing.T) {
	s, _ := service(t, crowd{})
	by := auth.OperatorPrincipal()
	_, _, err := s.Sorted(t.Context(), &by, user.Filter{}, user.Order{By: user.ByName, Size: 1})
	failing(t, err, fault.LimitReached, "")
}
