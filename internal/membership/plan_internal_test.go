package membership

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// planned returns the outcomes of the items, in order, in an account with two
// stores and these users: "member" in store a, "owner" who owns it, and
// "shared".
func planned(by *auth.Principal, items ...ProvisionItem) []string {
	a := account.Store{ID: uuid.UUID{1}, AccountID: uuid.UUID{9}, Hash: "a", OwnerID: uuid.UUID{2}}
	b := account.Store{ID: uuid.UUID{2}, AccountID: uuid.UUID{9}, Hash: "b", OwnerID: uuid.UUID{8}}
	s := newProvisionState(by, account.Account{ID: uuid.UUID{9}, OwnerID: uuid.UUID{8}})
	s.addStores([]account.Store{a, b})
	person := func(n byte, name string) user.Person {
		u := user.User{ID: uuid.UUID{n}, Email: name + "@x.example", FirstName: "F", LastName: "L", Locale: "en"}
		return user.Person{User: u, Member: true}
	}
	member := person(1, "member")
	member.ExternalID = "7"
	member.Places = []user.Place{{ID: uuid.UUID{1}, StoreID: a.ID, Status: user.Inactive,
		Permissions: []string{"Add_Pages", "List_Store_API_Tokens"}}}
	s.addHolders([]user.Person{member})
	s.addPersons([]user.Person{member, person(2, "owner"), person(3, "shared")})
	var lines []string
	for i, item := range items {
		item.Email += "@x.example"
		d := s.decide(i, item)
		line := string(d.action)
		if d.fault != nil {
			line += " " + d.fault.Field + " " + string(d.fault.Kind)
		}
		for _, c := range d.changes {
			line += fmt.Sprintf(" %s:%s>%s", c.Field, shown(c.Before), shown(c.After))
		}
		lines = append(lines, line)
	}
	return lines
}

func shown(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func TestPlan(t *testing.T) {
	robot := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, AccountID: uuid.UUID{9},
		Scopes: scope.NewSet(scope.AccountUsersWrite)}
	owner := &auth.Principal{NoCredential: "a test", Kind: auth.Session, AccountID: uuid.UUID{9}, AccountOwner: true}
	a, b, none := account.StoreRef{Hash: "a"}, account.StoreRef{ID: uuid.UUID{2}}, account.StoreRef{Hash: "z"}
	in := func(refs ...account.StoreRef) []account.StoreRef { return refs }
	fresh := ProvisionItem{Email: "new", FirstName: new("N"), LastName: new("W")}
	for _, c := range []struct {
		name  string
		by    *auth.Principal
		items []ProvisionItem
		want  string
	}{
		{"a member without changes", robot, []ProvisionItem{{Email: "MEMBER"}}, "UNCHANGED"},
		{"a member with the same values", robot,
			[]ProvisionItem{{Email: "member", FirstName: new("F"), Locale: new("en"), ExternalID: new("7"),
				Stores: in(a)}}, "UNCHANGED"},
		{"a new user", robot, []ProvisionItem{fresh}, "CREATED firstName:->N lastName:->W locale:->en"},
		{"a new user without a name", robot, []ProvisionItem{{Email: "new"}}, "CREATED locale:->en"},
		{"a new user with a part of a name", robot, []ProvisionItem{{Email: "new", LastName: new("W")}},
			"CREATED lastName:->W locale:->en"},
		{"a new user with an empty name", robot, []ProvisionItem{{Email: "new", FirstName: new("")}},
			"FAILED users.0.firstName INVALID"},
		{"a new user with an invalid locale", robot,
			[]ProvisionItem{{Email: "new", FirstName: new("N"), LastName: new("W"), Locale: new("e_n")}},
			"FAILED users.0.locale INVALID"},
		{"no address", robot, []ProvisionItem{{Email: "a b", FirstName: new("N"), LastName: new("W")}},
			"FAILED users.0.email INVALID"},
		{"changed names", robot, []ProvisionItem{{Email: "member", FirstName: new("X"), Locale: new("de")}},
			"UPDATED firstName:F>X locale:en>de"},
		{"the ID of another kind of object as a store", robot,
			[]ProvisionItem{{Email: "member", Stores: in(b, account.StoreRef{Hash: "bc/account/user/x"})}},
			"FAILED users.0.stores.1 INVALID"},
		{"a new external ID", robot, []ProvisionItem{{Email: "shared", ExternalID: new("8")}},
			"UPDATED externalId:->8"},
		{"an external id that is taken", robot, []ProvisionItem{{Email: "shared", ExternalID: new("7")}},
			"FAILED users.0.externalId CONFLICT"},
		{"an external id that is freed before", robot,
			[]ProvisionItem{{Email: "member", ExternalID: new("")}, {Email: "shared", ExternalID: new("7")}},
			"UPDATED externalId:7>-; UPDATED externalId:->7"},
		{"an external id that is taken before", robot,
			[]ProvisionItem{{Email: "shared", ExternalID: new("8")}, {Email: "member", ExternalID: new("8")}},
			"UPDATED externalId:->8; FAILED users.1.externalId CONFLICT"},
		{"an unknown store", robot, []ProvisionItem{{Email: "member", Stores: in(b, none)}},
			"FAILED users.0.stores.1 NOT_FOUND"},
		{"too many stores", robot,
			[]ProvisionItem{{Email: "member", Stores: make([]account.StoreRef, MaxItemStores+1)}},
			"FAILED users.0.stores INVALID"},
		{"one store by ID and hash", robot,
			[]ProvisionItem{{Email: "shared", Stores: in(b, account.StoreRef{Hash: "b"})}}, "UPDATED stores:->b"},
		{"a role", robot, []ProvisionItem{{Email: "shared", Stores: in(b), Role: new(user.SalesStaff)}},
			"UPDATED stores:->b stores.b.permissions:->SALES_STAFF"},
		{"a role without stores", robot, []ProvisionItem{{Email: "shared", Role: new(user.SalesStaff)}},
			"FAILED users.0.role INVALID"},
		{"a role and permissions", robot, []ProvisionItem{{Email: "shared", Stores: in(b), Role: new(user.SalesStaff),
			Permissions: []string{}}}, "FAILED users.0.role INVALID"},
		{"the owner's role", owner, []ProvisionItem{{Email: "shared", Stores: in(b), Role: new(user.StoreOwner)}},
			"FAILED users.0.role INVALID"},
		{"a custom role without permissions", robot,
			[]ProvisionItem{{Email: "shared", Stores: in(b), Role: new(user.Custom)}}, "FAILED users.0.role INVALID"},
		{"a custom role", robot, []ProvisionItem{{Email: "shared", Stores: in(b), Role: new(user.Custom),
			Permissions: []string{"Add_Pages", "Add_Pages"}}},
			"UPDATED stores:->b stores.b.permissions:->Add_Pages"},
		{"an unknown permission", robot,
			[]ProvisionItem{{Email: "shared", Stores: in(b), Permissions: []string{"Fly"}}},
			"FAILED users.0.permissions INVALID"},
		{"high risk granted by a token", robot,
			[]ProvisionItem{{Email: "shared", Stores: in(b), Permissions: []string{"Create_Store_API_Tokens"}}},
			"FAILED users.0.permissions FORBIDDEN"},
		{"high risk revoked by a token", robot,
			[]ProvisionItem{{Email: "member", Stores: in(a), Role: new(user.SalesStaff)}},
			"FAILED users.0.role FORBIDDEN"},
		{"high risk kept by a token", robot,
			[]ProvisionItem{{Email: "member", Stores: in(a), Permissions: []string{"List_Store_API_Tokens"}}},
			"UPDATED stores.a.permissions:Add_Pages List_Store_API_Tokens>List_Store_API_Tokens"},
		{"high risk granted by the owner", owner,
			[]ProvisionItem{{Email: "shared", Stores: in(b), Permissions: []string{"Create_Store_API_Tokens"}}},
			"UPDATED stores:->b stores.b.permissions:->Create_Store_API_Tokens"},
		{"a store's owner in the store", robot, []ProvisionItem{{Email: "owner", Stores: in(a)}}, "UNCHANGED"},
		{"a store's owner with fewer permissions", owner,
			[]ProvisionItem{{Email: "owner", Stores: in(a), Role: new(user.SalesStaff)}},
			"FAILED users.0.role CONFLICT"},
		{"a repeated item", robot, []ProvisionItem{fresh, fresh},
			"CREATED firstName:->N lastName:->W locale:->en; UNCHANGED"},
		{"two different items for one user", robot, []ProvisionItem{fresh, {Email: "NEW", Locale: new("de")}},
			"CREATED firstName:->N lastName:->W locale:->en; FAILED users.1.email CONFLICT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			check.Equal(t, strings.Join(planned(c.by, c.items...), "; "), c.want,
				"strings.Join(planned(c.by, c.items...), \"; \")")
		})
	}
}
