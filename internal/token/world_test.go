package token_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// The fixtures: an account with two stores, and another account with one.
var (
	acme       = account.Account{ID: uuid.MustParse(accountUUID), Name: "Acme Retail"}
	acmeUS     = account.Store{ID: uuid.New(), AccountID: acme.ID, Hash: "acme1us"}
	acmeEU     = account.Store{ID: uuid.New(), AccountID: acme.ID, Hash: "acme2eu"}
	globex     = account.Account{ID: uuid.New(), Name: "Globex"}
	globexShop = account.Store{ID: uuid.New(), AccountID: globex.ID, Hash: "globex1"}
	now        = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const day = 24 * time.Hour

// owners has an owner of each level.
var owners = map[scope.Level]token.Owner{
	scope.LevelAccount: token.AccountOwner(acme),
	scope.LevelStore:   ownerOf(acme, acmeUS),
}

func ownerOf(a account.Account, s account.Store) token.Owner {
	o, err := token.StoreOwner(a, s)
	if err != nil {
		panic(err)
	}
	return o
}

// policy returns a policy without a maximum lifetime.
func policy() token.Policy {
	return token.Policy{
		Catalogue: scope.Default(),
		MaxLive: map[scope.Level]int{scope.LevelAccount: token.DefaultMaxLive,
			scope.LevelStore: token.DefaultMaxLive},
	}
}

func operator() *auth.Principal { return new(auth.OperatorPrincipal()) }

// inAccount returns the principal with the account set.
func inAccount(a account.Account, by *auth.Principal) *auth.Principal {
	by.AccountID = a.ID
	return by
}

func accountOwner(a account.Account) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: uuid.New(), Name: "owner@example.com",
		AccountID: a.ID, AccountOwner: true, Scopes: everyScope()}
}

func storeOwner(s account.Store) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: uuid.New(), Name: "shop@example.com",
		AccountID: s.AccountID, OwnedStores: []uuid.UUID{s.ID}}
}

// issuer returns an account-level API token with account_api_tokens_write and these
// scopes.
func issuer(a account.Account, scopes ...string) *auth.Principal {
	return apiToken(a, append(scopes, scope.AccountAPITokensWrite)...)
}

func apiToken(a account.Account, scopes ...string) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "Provisioning",
		AccountID: a.ID, Scopes: scope.Default().Expand(scopes...)}
}

// everyScope returns every scope in the catalogue, including the beta's.
func everyScope() scope.Set {
	var names []string
	for _, r := range scope.Default().Resources(scope.LevelAccount, []scope.Feature{scope.FeatureAutomatedBilling}) {
		for _, p := range r.Permissions {
			names = append(names, p.Scope)
		}
	}
	return scope.NewSet(names...)
}

// request returns a request that is valid on both levels.
func request(o token.Owner) token.Request {
	return token.Request{Owner: o, Name: "Nightly export", Scopes: []string{"store_v2_products"}}
}

// wantFaults compares the errors in err, each as its kind and field, with want.
func wantFaults(t *testing.T, err error, want ...string) {
	t.Helper()
	var got []string
	for _, f := range fault.Flatten(err) {
		text := string(f.Kind)
		if f.Field != "" {
			text += " " + f.Field
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults %q (%v), want %q", got, err, want)
	}
}

func prefixes(ranges ...string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, r := range ranges {
		parsed = append(parsed, netip.MustParsePrefix(r))
	}
	return parsed
}
