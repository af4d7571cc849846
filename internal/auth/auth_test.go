package auth_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

var (
	home, otherAccount    = uuid.MustParse("0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"), uuid.New()
	shop, otherShop       = uuid.New(), uuid.New()
	token, person, nobody = uuid.New(), uuid.New(), uuid.Nil
)

func operator() auth.Principal { return auth.OperatorPrincipal() }

func accountOwner() auth.Principal {
	return auth.Principal{Kind: auth.Session, ID: person, Name: "owner@acme.example", AccountID: home,
		AccountOwner: true,
		Scopes:       scope.NewSet(scope.AccountRead, scope.AccountStoresRead)}
}

func storeOwner() auth.Principal {
	return auth.Principal{Kind: auth.Session, ID: person, AccountID: home, OwnedStores: []uuid.UUID{shop}}
}

func storeReader() auth.Principal {
	return auth.Principal{Kind: auth.APIToken, ID: token, Name: "CI", AccountID: home,
		Scopes: scope.NewSet(scope.AccountStoresRead)}
}

func storeToken() auth.Principal {
	return auth.Principal{Kind: auth.APIToken, ID: token, AccountID: home, StoreID: shop,
		Scopes: scope.NewSet("store_cart")}
}

func TestRights(t *testing.T) {
	type answers struct{ account, store, reaches, aStore bool }
	all, none := answers{account: true, store: true, reaches: true}, answers{}
	for _, tc := range []struct {
		name           string
		by             auth.Principal
		account, store uuid.UUID
		want           answers
	}{
		{"the operator in any account", operator(), otherAccount, otherShop, all},
		{"an account's owner in the account", accountOwner(), home, shop, all},
		{"an account's owner in another account", accountOwner(), otherAccount, shop, none},
		{"a store's owner in the store", storeOwner(), home, shop, answers{store: true, reaches: true, aStore: true}},
		{"a store's owner in another", storeOwner(), home, otherShop, answers{aStore: true}},
		{"a store's owner in another account", storeOwner(), otherAccount, shop, answers{aStore: true}},
		{"a token that may list stores", storeReader(), home, shop, answers{reaches: true}},
		{"a token that may list stores, in another account", storeReader(), otherAccount, shop, none},
		{"a store-level token in its own store", storeToken(), home, shop, none},
		{"no principal", auth.Principal{}, home, shop, none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := answers{tc.by.OwnsAccount(tc.account), tc.by.OwnsStore(tc.account, tc.store),
				tc.by.Reaches(tc.account, tc.store, scope.AccountStoresRead), tc.by.OwnsAStore()}
			check.Equal(t, got, tc.want, "got")
		})
	}
}

func TestMissing(t *testing.T) {
	for _, tc := range []struct {
		name string
		by   auth.Principal
		args []string
		want []string
	}{
		{"no scopes", auth.Principal{}, nil, nil},
		{"held", storeReader(), []string{scope.AccountStoresRead}, nil},
		{"some held", storeReader(), []string{scope.AccountStoresRead, scope.AccountRead}, []string{scope.AccountRead}},
		{"an account's owner holds the visible scopes", accountOwner(), []string{scope.AccountCheckoutsRead},
			[]string{scope.AccountCheckoutsRead}},
		{"the operator holds all", operator(), []string{scope.AccountCheckoutsRead, "unheard_of"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, tc.by.Missing(tc.args...), tc.want, "tc.by.Missing(tc.args...)")
		})
	}
}

func TestSubject(t *testing.T) {
	for _, tc := range []struct {
		by         auth.Principal
		kind, name string
		id         uuid.UUID
	}{
		{operator(), "OPERATOR", "operator", nobody},
		{accountOwner(), "USER", "owner@acme.example", person},
		{storeReader(), "API_TOKEN", "CI", token},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			kind, id, name := tc.by.Subject()
			if kind != tc.kind || id != tc.id || name != tc.name {
				t.Errorf("got %s %s %q, want %s %s %q", kind, id, name, tc.kind, tc.id, tc.name)
			}
		})
	}
}

// Clients of the original API compare this text (docs/compatibility.md:
// "Transport").
func TestDenied(t *testing.T) {
	const message = "You do not have permission to do this operation."
	plain := auth.Denied()
	if plain.Kind != fault.Forbidden || plain.Message != message || plain.RequiredScopes != nil {
		t.Errorf("Denied() = %+v, want kind %s, message %q and no scopes", plain, fault.Forbidden, message)
	}
	scoped := auth.Denied(scope.AccountRead, scope.AccountAuditRead)
	if scoped.Message != message || !slices.Equal(scoped.RequiredScopes,
		[]string{scope.AccountRead, scope.AccountAuditRead}) {
		t.Errorf("Denied with scopes = %+v, want the message %q and the scopes", scoped, message)
	}
}

func TestContext(t *testing.T) {
	if _, err := auth.From(context.Background()); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("without a principal: %v, want %s", err, fault.Unauthenticated)
	}
	by := storeReader()
	by.Origin = auth.Origin{IP: netip.MustParseAddr("203.0.113.7"), RequestID: "r1"}
	got, err := auth.From(auth.With(context.Background(), &by))
	if err != nil || got != &by {
		t.Errorf("got %v, %v, want the principal of With", got, err)
	}
}
