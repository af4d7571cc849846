package apitest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/server"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/manifest"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// The selections of the objects of events, with every field that their data has.
const (
	actorFields = `{ kind id name }`
	tokenFields = `id name level store { id storeHash } clientId scopes status allowedIpRanges ` +
		`chargeLimit { amount { currencyCode value } per } createdAt createdBy ` + actorFields +
		` expiresAt lastUsedAt lastUsedIp revokedAt revokedBy ` + actorFields + ` revocationReason`
	userFields      = `id email firstName lastName locale externalId pending createdAt updatedAt deactivatedAt`
	storeUserFields = `id email firstName lastName locale pending lastLoginAt permissions role status updatedAt deactivatedAt`
	accountFields   = `id accountInfo { name } owner { id } features offboardingPolicy leakPolicy`
	storeFields     = `id name storeHash owner { id }`
)

// left lists the fields of the schema that are in no event's data, with the reason.
var left = map[string]map[string]string{
	"ApiToken": {"apiPath": "it depends on the server that answers",
		"accessTokens": "the details of the event of a rotation have what changed"},
	"User": {"stores": "each membership has its own events",
		"provisionedBy": "it is the actor of the event of a change over SCIM"},
	"StoreUser": {"apps": "a list"},
	"Account": {"stores": "a list", "apps": "a list", "app": "a look-up", "apiTokens": "a list",
		"apiToken": "a look-up", "users": "a list", "auditEvents": "a list",
		"checkout": "a look-up", "subscriptions": "a list", "charges": "a list", "invoices": "a list",
		"revenue":  "sums",
		"webhooks": "a list", "webhook": "a look-up", "events": "a list"},
	"Store": {"users": "a list", "apiTokens": "a list", "apps": "a list"},
}

// shown is an object of the API.
type shown map[string]any

// object returns the object at the path of the data that the account's owner reads.
func (w *tenants) object(t *testing.T, query string, path ...string) shown {
	t.Helper()
	var data any
	w.ask(t, w.home.Account.ID, w.owner, w.fill(query), nil).into(t, &data)
	for _, step := range path {
		if list, is := data.([]any); is {
			if len(list) == 0 {
				t.Fatalf("%s: got an empty list, want an element", query)
			}
			data = list[0]
		}
		data = data.(map[string]any)[step]
	}
	return data.(map[string]any)
}

func (w *tenants) tokenShown(t *testing.T, name string) shown {
	t.Helper()
	return w.object(t, `{ account { apiToken(id: "<`+name+`>") { `+tokenFields+` } } }`, "account", "apiToken")
}

func (w *tenants) userShown(t *testing.T, email string) shown {
	t.Helper()
	return w.object(t, `{ account { users(filter: {emails: ["`+email+`"]}) { edges { node { `+userFields+` } } } } }`,
		"account", "users", "edges", "node")
}

// memberShown returns the member of the first store with the address, with the store as the data of events has it.
func (w *tenants) memberShown(t *testing.T, email string) shown {
	t.Helper()
	var data struct {
		Account struct {
			Stores struct {
				Edges []struct {
					Node struct {
						ID, StoreHash string
						Users         struct{ Edges []struct{ Node shown } }
					}
				}
			}
		}
	}
	w.ask(t, w.home.Account.ID, w.owner, w.fill(`{ account { stores(filter: {ids: ["<store0>"]}) { edges { node { id storeHash
		users(first: 50) { edges { node { `+storeUserFields+` } } } } } } } }`), nil).into(t, &data)
	in := data.Account.Stores.Edges[0].Node
	for _, e := range in.Users.Edges {
		if e.Node["email"] == email {
			e.Node["store"] = map[string]any{"id": in.ID, "storeHash": in.StoreHash}
			return e.Node
		}
	}
	t.Fatalf("users of the store: got none with %s, want one", email)
	return nil
}

func (w *tenants) storeShown(t *testing.T, hash string) shown {
	t.Helper()
	return w.object(t,
		`{ account { stores(filter: {storeHashes: ["`+hash+`"]}) { edges { node { `+storeFields+` } } } } }`,
		"account", "stores", "edges", "node")
}

// last returns the newest event with a type on the target.
func (w *tenants) last(t *testing.T, targetName string) audit.Event {
	t.Helper()
	found, err := w.DB.Audit().Events(t.Context(), w.home.Account.ID, audit.Filter{TargetName: targetName},
		paging.Window{Size: 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range found.Items {
		if item.Node.Action.Type() != "" {
			return item.Node
		}
	}
	t.Fatalf("events: got none on %s, want one", targetName)
	return audit.Event{}
}

// wantData compares the last event on a target with the object that the API shows.
func (w *tenants) wantData(t *testing.T, targetName string, want audit.Type, object shown) {
	t.Helper()
	e := w.last(t, targetName)
	check.Equal(t, e.Action.Type(), want, "the type of the event on %s", targetName)
	var data shown
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatalf("the data of %s is %s: %v", want, e.Data, err)
	}
	check.Equal(t, fmt.Sprint(data), fmt.Sprint(object), "the data of %s", want)
	wantExample(t, want, data)
}

// wantExample checks that the example of a type has the fields of its data.
func wantExample(t *testing.T, of audit.Type, data shown) {
	t.Helper()
	for _, info := range audit.Catalogue() {
		if info.Name != of {
			continue
		}
		var example shown
		if err := json.Unmarshal([]byte(info.Example), &example); err != nil {
			t.Fatalf("the example of %s: %v", of, err)
		}
		got, want := slices.Sorted(maps.Keys(example)), slices.Sorted(maps.Keys(data))
		check.Equal(t, fmt.Sprint(got), fmt.Sprint(want), "the fields of the example of %s", of)
		return
	}
	t.Errorf("type %s: got no documentation, want some", of)
}

// do runs a mutation of the account's owner, which must succeed.
func (w *tenants) do(t *testing.T, query string, input map[string]any) {
	t.Helper()
	got := w.ask(t, w.home.Account.ID, w.owner, query, map[string]any{"input": w.fillAll(input)})
	if len(got.errors) > 0 {
		t.Fatalf("%s: got errors %q, want none", query, got.failures())
	}
	w.Clock.Advance(1234567 * time.Microsecond)
}

func TestDataOfTokenEvents(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		in := request{name: "Till <&> \"one\"", scopes: []string{"store_cart"}, store: &w.home.Stores[0],
			expires: 30 * 24 * time.Hour, ranges: []string{"203.0.113.0/24", "2001:db8::/32"}}
		made := w.issue(t, w.owner, w.home, in)
		w.names["<Till>"] = w.names["<"+in.name+">"]
		w.wantData(t, in.name, "api_token.created", w.tokenShown(t, "Till"))
		w.use(t, made, time.Second)
		w.do(t, updateToken,
			map[string]any{"id": "<Till>", "name": "Till", "allowedIpRanges": []string{"203.0.113.0/24"}})
		w.wantData(t, "Till", "api_token.updated", w.tokenShown(t, "Till"))
		w.do(t, rotateToken, map[string]any{"id": "<Till>"})
		w.wantData(t, "Till", "api_token.rotated", w.tokenShown(t, "Till"))
		recorded, err := w.Tokens.RecordLeak(t.Context(), w.owner, token.Leak{
			TokenID: uuid.MustParse(w.last(t, "Till").Target.Key), Hint: "lks_…abcd",
			Reason: "Leaked: reported by a secret scanner"})
		check.Equal(t, recorded, true, "the leak is recorded: %v", err)
		w.wantData(t, "Till", "api_token.leaked", w.tokenShown(t, "Till"))
		expirations := token.NewExpirations(w.DB.Expirations(), w.Clock.Now)
		for _, step := range []struct {
			wait time.Duration
			want audit.Type
		}{{24 * 24 * time.Hour, "api_token.expiring"}, {7 * 24 * time.Hour, "api_token.expired"}} {
			w.Clock.Advance(step.wait)
			w.owner = w.session(t, w.home, w.home.Owner)
			if err := expirations.Report(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantData(t, "Till", step.want, w.tokenShown(t, "Till"))
		}
		for _, input := range []map[string]any{{"reason": "Lost \"it\""}, {"revokeIssued": true}, {}} {
			other := w.issue(t, w.verified(t, w.issue(t, w.owner, w.home, request{name: "Issuer",
				scopes: []string{"account_api_tokens_write", "account_read"}})), w.home,
				request{name: "Other", scopes: []string{"account_read"}})
			w.use(t, other, time.Minute)
			input["ids"] = []string{"<Other>"}
			w.do(t, revokeTokens, input)
			w.wantData(t, "Other", "api_token.revoked", w.tokenShown(t, "Other"))
		}
		w.do(t, revokeTokens, map[string]any{"ids": []string{"<Till>"}})
		w.wantData(t, "Till", "api_token.revoked", w.tokenShown(t, "Till"))
	})
}

const (
	setPermissions = `mutation($input: SetStoreUserPermissionsInput!) { user { setStoreUserPermissions(input: $input) { storeUser { id } } } }`
	setStatus      = `mutation($input: SetStoreUserStatusInput!) { user { setStoreUserStatus(input: $input) { storeUser { id } } } }`
)

func TestDataOfUserEvents(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		const ann = "Ann@acme.example"
		w.do(t, `mutation($input: CreateUserInput!) { user { createUser(input: $input) { user { id } } } }`,
			map[string]any{"email": ann, "firstName": "Ann", "lastName": "Ames", "locale": "en"})
		w.wantData(t, ann, "user.added", w.userShown(t, ann))
		id := w.userShown(t, ann)["id"].(string)
		w.do(t, `mutation($input: UpdateUserInput!) { user { updateUser(input: $input) { user { id } } } }`,
			map[string]any{"userId": id, "externalId": "hr-1", "lastName": "Avis"})
		w.wantData(t, ann, "user.updated", w.userShown(t, ann))
		w.session(t, w.home, user.User{Email: ann}) // accepts the membership
		w.wantData(t, ann, "user.updated", w.userShown(t, ann))
		check.Equal(t, w.last(t, ann).Action, audit.UserAccepted, "the action")

		place := map[string]any{"storeId": "<store0>", "userId": id}
		with := func(name string, value any) map[string]any {
			input := maps.Clone(place)
			input[name] = value
			return input
		}
		w.do(t, `mutation($input: AddUserToStoreInput!) { user { addUserToStore(input: $input) { storeId } } }`,
			map[string]any{"storeId": "<store0>", "user": map[string]any{"id": id}})
		w.wantData(t, ann, "store_user.added", w.memberShown(t, ann))
		w.do(t, setPermissions, with("permissions", []string{"Manage_Users", "Edit_Orders"}))
		w.wantData(t, ann, "store_user.updated", w.memberShown(t, ann))
		w.do(t, setStatus, with("status", "INACTIVE"))
		w.wantData(t, ann, "store_user.updated", w.memberShown(t, ann))
		member := w.memberShown(t, ann)
		w.do(t, `mutation($input: RemoveUserFromStoreInput!) { user { removeUserFromStore(input: $input) { storeId } } }`,
			place)
		w.wantData(t, ann, "store_user.removed", member)
		w.leave(t, ann)
		before := withReview(w.userShown(t, ann))
		w.do(t, `mutation($input: RemoveUserFromAccountInput!) { account { removeUserFromAccount(input: $input) { userId } } }`,
			map[string]any{"userId": id})
		w.wantData(t, ann, "user.removed", before)
	})
}

// leave deactivates and reactivates the user.
func (w *tenants) leave(t *testing.T, email string) {
	t.Helper()
	ref := user.Ref{Email: &email}
	if _, err := w.Memberships.Deactivate(t.Context(), w.robot, membership.Deactivation{User: ref}); err != nil {
		t.Fatal(err)
	}
	w.wantData(t, email, "user.deactivated", withReview(w.userShown(t, email)))
	w.Clock.Advance(time.Minute)
	if _, err := w.Memberships.Reactivate(t.Context(), w.robot, ref); err != nil {
		t.Fatal(err)
	}
	w.wantData(t, email, "user.reactivated", w.userShown(t, email))
	w.Clock.Advance(time.Minute)
}

// withReview adds what the data of the events of leaving users has in addition: no token to review.
func withReview(u shown) shown {
	u["apiTokensToReview"], u["apiTokensToReviewCount"] = []any{}, 0
	return u
}

// Provisioning records the same events as the single mutations do.
func TestDataOfProvisioningEvents(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		const ann = "ann@acme.example"
		provision := func(item map[string]any) {
			t.Helper()
			item["email"] = ann
			w.do(t, `mutation($input: ProvisionUsersInput!) { account { provisionUsers(input: $input) { items { action } } } }`,
				map[string]any{"users": []any{item}})
		}
		provision(map[string]any{"firstName": "Ann"})
		w.wantData(t, ann, "user.added", w.userShown(t, ann))
		provision(map[string]any{"externalId": "hr-1"})
		w.wantData(t, ann, "user.updated", w.userShown(t, ann))
		provision(map[string]any{"stores": []string{"<store0>"}})
		w.wantData(t, ann, "store_user.added", w.memberShown(t, ann))
		provision(map[string]any{"stores": []string{"<store0>"}, "role": "SALES_STAFF"})
		w.wantData(t, ann, "store_user.updated", w.memberShown(t, ann))
		member := w.memberShown(t, ann)
		w.do(t, `mutation($input: DeprovisionUsersInput!) { account { deprovisionUsers(input: $input) { items { action } } } }`,
			map[string]any{"users": []any{map[string]any{"email": ann}}})
		found, err := w.DB.Audit().Events(t.Context(), w.home.Account.ID,
			audit.Filter{Actions: []audit.Action{audit.StoreUserRemoved}}, paging.Window{Size: 1})
		if err != nil || len(found.Items) != 1 {
			t.Fatalf("%d events, %v, want 1", len(found.Items), err)
		}
		var data shown
		if err := json.Unmarshal(found.Items[0].Node.Data, &data); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, fmt.Sprint(data), fmt.Sprint(member), "the data of store_user.removed")
	})
}

// A transfer of a store changes the store and the memberships of both owners, and one of the account the account.
func TestDataOfTransferEvents(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		next, former := w.home.Users[2].Email, w.home.StoreOwner.Email
		w.session(t, w.home, w.home.Users[2]) // accepts the membership
		w.do(t, `mutation($input: TransferOwnershipInput!) { account { transferOwnership(input: $input) { store { id } } } }`,
			map[string]any{"storeId": "<store0>", "userId": userIDOf(w.home.Users[2])})
		for _, email := range []string{next, former} {
			e := w.last(t, email)
			w.wantData(t, email, e.Action.Type(), w.memberShown(t, email))
			check.Equal(t, e.Action.Thing(), "store_user", "the event of %s", email)
		}
		check.Equal(t, w.memberShown(t, next)["role"], "STORE_OWNER", "the role of the new owner")
		w.do(t, `mutation($input: TransferOwnershipInput!) { account { transferOwnership(input: $input) { store { id } } } }`,
			map[string]any{"userId": userIDOf(w.home.Users[2])})
		for kind, key := range map[audit.TargetKind]string{audit.TargetStore: w.home.Stores[0].ID.String(),
			audit.TargetAccount: w.home.Account.ID.String()} {
			found, err := w.DB.Audit().Events(t.Context(), w.home.Account.ID, audit.Filter{TargetKey: key,
				Actions: []audit.Action{audit.AccountUpdated, audit.StoreUpdated}}, paging.Window{Size: 1})
			if err != nil || len(found.Items) == 0 {
				t.Fatalf("there is no event of the %s: %v", kind, err)
			}
			var data struct{ Owner struct{ ID string } }
			if err := json.Unmarshal(found.Items[0].Node.Data, &data); err != nil {
				t.Fatal(err)
			}
			check.Equal(t, data.Owner.ID, userIDOf(w.home.Users[2]), "the owner in the data of the event of the %s",
				kind)
		}
	})
}

func userIDOf(u user.User) string { return "bc/account/user/" + u.ID.String() }

func TestDataOfDeclaredEvents(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		apply := func(text string) {
			t.Helper()
			m, err := manifest.Parse(strings.NewReader(w.fill(text)))
			if err != nil {
				t.Fatal(err)
			}
			operator := auth.OperatorPrincipal()
			if _, err := manifest.NewService(w.DB.Manifest(), nil, w.Clock.Now).Apply(t.Context(), &operator, m,
				false); err != nil {
				t.Fatal(err)
			}
			w.Clock.Advance(time.Minute)
		}
		const of = "accounts:\n  - uuid: <account.uuid>\n    name: Acme Anew\n    owner: {email: <owner.email>}\n"
		apply(of)
		w.wantData(t, "Acme Anew", "account.updated", w.object(t, `{ account { `+accountFields+` } }`, "account"))
		w.names["<hash>"] = "n" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
		w.names["<email>"] = w.names["<hash>"] + "@acme.example"
		hash, email := w.fill("<hash>"), w.fill("<email>")
		stores := of + "    stores:\n      - {hash: <hash>, name: %s, status: %s}\n"
		apply(fmt.Sprintf(stores, "Fresh", "active"))
		w.wantData(t, "Fresh", "store.added", w.storeShown(t, hash))
		apply(fmt.Sprintf(stores, "Renamed", "active"))
		w.wantData(t, "Renamed", "store.updated", w.storeShown(t, hash))
		apply(fmt.Sprintf(stores, "Closed", "suspended"))
		w.wantData(t, "Closed", "store.suspended", w.storeShown(t, hash))
		apply(fmt.Sprintf(stores, "Closed", "active"))
		w.wantData(t, "Closed", "store.updated", w.storeShown(t, hash))

		users := of + "    users:\n      - {email: <email>, first_name: %s, last_name: New, locale: en}\n"
		apply(fmt.Sprintf(users, "Nia"))
		w.wantData(t, email, "user.added", w.userShown(t, email))
		apply(fmt.Sprintf(users, "Nina"))
		w.wantData(t, email, "user.updated", w.userShown(t, email))
		w.names["<store0.name>"] = w.home.Stores[0].Name
		members := of + "    stores:\n      - hash: <store0.hash>\n        name: <store0.name>\n        users: [{email: <email>, permissions: [%s]}]\n"
		apply(fmt.Sprintf(members, "Edit_Orders"))
		w.wantData(t, email, "store_user.added", w.memberShown(t, email))
		apply(fmt.Sprintf(members, "Edit_Orders, Manage_Users"))
		w.wantData(t, email, "store_user.updated", w.memberShown(t, email))
	})
}

// A field that is added to one of these types is in the data of its events, or is left out for a reason.
func TestEveryFieldIsInTheDataOfEvents(t *testing.T) {
	a := newAPI(t, dbtest.SQLiteURL(t), server.Limits{})
	w := newTenants(t, a)
	selected := map[string]string{"ApiToken": tokenFields, "User": userFields, "StoreUser": storeUserFields,
		"Account": accountFields, "Store": storeFields}
	for name, fields := range selected {
		var data struct {
			Type struct{ Fields []struct{ Name string } } `json:"__type"`
		}
		query := `{ __type(name: "` + name + `") { fields(includeDeprecated: true) { name } } }`
		a.ask(t, w.home.Account.ID, w.owner, query, nil).into(t, &data)
		if len(data.Type.Fields) == 0 {
			t.Errorf("fields of %s: got none, want some", name)
		}
		for _, f := range data.Type.Fields {
			_, out := left[name][f.Name]
			if in := slices.Contains(strings.Fields(fields), f.Name); in == out {
				t.Errorf("%s.%s: got it in the data %t and left out %t, want one of the two", name, f.Name, in, out)
			}
		}
	}
}
