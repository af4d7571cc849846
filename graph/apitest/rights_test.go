package apitest_test

import (
	"slices"
	"strings"
	"testing"

	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// right is who may run a mutation: API tokens with one of the scopes, and sessions of users with the permission in the
// store that it is about, or who own it.
type right struct {
	scopes     []string
	permission string
	// storeOwner says that a store's owner may, where no permission says so.
	storeOwner bool
	// only says that the owner of the account may not, as only the user of the store's owner may.
	only bool
}

var rights = map[string]right{
	"AccountMutations.addUserToAccount":      {scopes: []string{"account_users_write"}},
	"AccountMutations.removeUserFromAccount": {scopes: []string{"account_users_delete"}},
	"AccountMutations.provisionUsers":        {scopes: []string{"account_users_write"}},
	"AccountMutations.deprovisionUsers":      {scopes: []string{"account_users_delete"}},
	"AccountMutations.transferOwnership":     {storeOwner: true},
	"AccountMutations.updateAccount":         {},

	"StoreMutations.createStore": {scopes: []string{"account_stores_write"}},
	"StoreMutations.updateStore": {scopes: []string{"account_stores_write"}},

	"UserMutations.createUser":              {scopes: []string{"account_users_write"}, permission: "Add_User"},
	"UserMutations.createUserWithPassword":  {scopes: []string{"account_users_write"}, permission: "Add_User"},
	"UserMutations.addUserToStore":          {scopes: []string{"account_users_write"}, permission: "Add_User"},
	"UserMutations.removeUserFromStore":     {scopes: []string{"account_users_delete"}, permission: "Delete_Users"},
	"UserMutations.updateUser":              {scopes: []string{"account_users_write"}},
	"UserMutations.setStoreUserPermissions": {scopes: []string{"account_users_write"}, permission: "Edit_Users"},
	"UserMutations.setStoreUserStatus":      {scopes: []string{"account_users_write"}, permission: "Edit_Users"},

	"ApiTokenMutations.createApiToken": {scopes: []string{"account_api_tokens_write"},
		permission: "Create_Store_API_Tokens"},
	"ApiTokenMutations.updateApiToken": {scopes: []string{"account_api_tokens_write"},
		permission: "Create_Store_API_Tokens"},
	"ApiTokenMutations.rotateApiToken": {scopes: []string{"account_api_tokens_write"},
		permission: "Create_Store_API_Tokens"},
	"ApiTokenMutations.revokeApiTokens": {scopes: []string{"account_api_tokens_write"},
		permission: "Delete_Store_API_Tokens"},

	"WebhookMutations.createWebhook":       {scopes: []string{"account_webhooks_write"}},
	"WebhookMutations.updateWebhook":       {scopes: []string{"account_webhooks_write"}},
	"WebhookMutations.rotateWebhookSecret": {scopes: []string{"account_webhooks_write"}},
	"WebhookMutations.sendTestEvent":       {scopes: []string{"account_webhooks_write"}},
	"WebhookMutations.replayDeliveries":    {scopes: []string{"account_webhooks_write"}},
	"WebhookMutations.deleteWebhook":       {scopes: []string{"account_webhooks_write"}},

	"CheckoutMutations.createCheckout":          {scopes: []string{"account_checkouts_create"}},
	"CheckoutMutations.approveCheckout":         {storeOwner: true, only: true},
	"CheckoutMutations.declineCheckout":         {storeOwner: true, only: true},
	"SubscriptionMutations.cancelSubscription":  {scopes: []string{"account_subscriptions_cancel"}, storeOwner: true},
	"SubscriptionMutations.previewChange":       {scopes: []string{"account_subscriptions_read"}},
	"SubscriptionMutations.suspendSubscription": {storeOwner: true, only: true},
	"SubscriptionMutations.resumeSubscription":  {storeOwner: true, only: true},
	"ChargeMutations.createCharge":              {scopes: []string{"account_charges_write"}},
	"ChargeMutations.deleteCharge":              {scopes: []string{"account_charges_write"}},
	"ChargeMutations.creditCharge":              {scopes: []string{"account_charges_write"}},
	"SystemMutations.advanceTime":               {},
	"AppMutations.createEventSource":            {scopes: []string{"account_apps_read"}},
	"AppMutations.deleteEventSource":            {scopes: []string{"account_apps_read"}},
}

// mutations are all of the schema. Each has its row of rights.
func mutations(t *testing.T) []route {
	t.Helper()
	var all []route
	for _, group := range fieldsOf(schema.Mutation) {
		of := schema.Types[group.Type.Name()]
		for _, f := range fieldsOf(of) {
			r := route{{parent: schema.Mutation, field: group}, {parent: of, field: f}}
			if _, known := rights[r[1].name()]; !known {
				t.Errorf("%s: got no row that says who may call it, want one", r[1].name())
			}
			all = append(all, r)
		}
	}
	check.Equal(t, len(all), len(rights), "mutations of the schema, and rows of the table")
	return all
}

// inFirstStore is the effective input of a mutation, about the first store.
func (w *tenants) inFirstStore(s step) string {
	return w.fill(strings.NewReplacer("<store1>", "<store0>", "<store2>", "<store0>").Replace(effective[s.name()]))
}

// letIn reports whether a mutation was not refused for who asks, as what they do not see is by not being found. What is
// else wrong with the input does not matter here.
func (w *tenants) letIn(t *testing.T, by *auth.Principal, r route) bool {
	t.Helper()
	got := w.ask(t, w.home.Account.ID, by, r.query(1, w.inFirstStore), nil)
	return !slices.ContainsFunc(got.failures(), func(f string) bool {
		return strings.Contains(f, ": FORBIDDEN") && !strings.Contains(f, " input.") ||
			strings.Contains(f, "NOT_FOUND input.storeId") || strings.Contains(f, "NOT_FOUND input.id")
	})
}

// Each scope of the catalogue by itself, and each mutation: it is allowed where the table says so, and refused without
// effect everywhere else (internal/scope/catalogue.yaml).
func TestEveryMutationByEveryScope(t *testing.T) {
	all := mutations(t)
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		before := dbtest.Dump(t, w.URL)
		for _, r := range all {
			for _, held := range everyScope() {
				if !slices.Contains(rights[r[1].name()].scopes, held) && w.letIn(t, w.holding(held), r) {
					t.Errorf("%s with the scope %s: got it allowed, want a refusal", r, held)
				}
			}
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a refusal")
		for _, r := range all {
			for _, held := range rights[r[1].name()].scopes {
				if !w.letIn(t, w.holding(held), r) {
					t.Errorf("%s with the scope %s: got a refusal, want it allowed", r, held)
				}
			}
		}
	})
}

// worker is the session of a user who has the permission in a store.
func (w *tenants) worker(i int, permissions ...string) *auth.Principal {
	return &auth.Principal{NoCredential: "a test",
		Kind: auth.Session, ID: w.home.Users[2].ID, AccountID: w.home.Account.ID, Scopes: scope.NewSet(),
		Places: []auth.Place{{StoreID: w.home.Stores[i].ID, May: auth.ParsePermissions(permissions)}},
	}
}

// Each permission by itself, and each mutation: the same for users' sessions. What they may do in another store is
// nothing in this one.
func TestEveryMutationByEveryPermission(t *testing.T) {
	all := mutations(t)
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		before := dbtest.Dump(t, w.URL)
		for _, r := range all {
			row := rights[r[1].name()]
			for _, held := range append(user.Permissions(), "") {
				if held != row.permission && w.letIn(t, w.worker(0, held), r) {
					t.Errorf("%s with the permission %q: got it allowed, want a refusal", r, held)
				}
			}
			if own := row.storeOwner || row.permission != ""; !own && w.letIn(t, w.storeOwner, r) {
				t.Errorf("%s as a store's owner: got it allowed, want a refusal", r)
			}
			// A user is created in the account, by a user who may add users to any store.
			if anyStore := strings.HasPrefix(r[1].field.Name, "createUser"); !anyStore &&
				w.letIn(t, w.worker(1, user.Permissions()...), r) {
				t.Errorf("%s as a user of another store: got it allowed, want a refusal", r)
			}
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a refusal")
		for _, r := range all {
			row := rights[r[1].name()]
			if row.permission != "" && !w.letIn(t, w.worker(0, row.permission), r) {
				t.Errorf("%s with the permission %s: got a refusal, want it allowed", r, row.permission)
			}
			if (row.permission != "" || row.storeOwner) && !w.letIn(t, w.storeOwner, r) {
				t.Errorf("%s as the store's owner: got a refusal, want it allowed", r)
			}
		}
		for _, r := range all {
			if allowed := w.letIn(t, w.owner, r); allowed == rights[r[1].name()].only {
				t.Errorf("%s as the account's owner: got allowed %t, want %t", r, allowed, !allowed)
			}
		}
	})
}
