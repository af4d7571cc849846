package manifest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

var (
	acmeID   = uuid.MustParse("0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01")
	operator = auth.OperatorPrincipal()
	// start is later than the timestamp of every ID that the tests create.
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func apply(t *testing.T, db *gormdb.DB, text string) []string {
	t.Helper()
	events, err := applied(t, db, text, false)
	if err != nil {
		t.Fatal(err)
	}
	return eventTexts(events)
}

func applied(t *testing.T, db *gormdb.DB, text string, dry bool) ([]audit.Event, error) {
	t.Helper()
	service := manifest.NewService(db.Manifest(), nil, func() time.Time { return start })
	return service.Apply(t.Context(), &operator, parse(t, text), dry)
}

// eventTexts returns the events as text: action, name of the target, details.
func eventTexts(events []audit.Event) []string {
	var lines []string
	for _, e := range events {
		line := string(e.Action) + " " + e.Target.Name
		for _, d := range e.Details {
			line += " " + d.Name + "=" + d.Value
		}
		lines = append(lines, line)
	}
	return lines
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	check.Equal(t, got, want, "got\n\t%s, %s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
}

// head is the beginning of a manifest of one account.
const head = `accounts:
  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01
    name: Acme Retail
`

func TestApply(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		expect(t, apply(t, db, acme),
			"user.created owner@acme.example firstName=Acme lastName=Owner locale=en",
			"user.created clerk@acme.example firstName=Clara lastName=Clerk locale=en-GB",
			"user.created eu@acme.example firstName=Store lastName=Owner locale=de",
			"account.created Acme Retail name=Acme Retail features=AUTOMATED_BILLING owner=owner@acme.example",
			"user.added owner@acme.example", "user.added clerk@acme.example",
			"app.created Acme Subscriptions name=Acme Subscriptions status=published",
			"store.created Acme US name=Acme US owner=owner@acme.example storeHash=acme1us",
			"store_user.added owner@acme.example status=ACTIVE permissions=all storeHash=acme1us",
			"store.created Acme EU name=Acme EU owner=eu@acme.example storeHash=acme2eu",
			"store.updated Acme EU installedApps=4711 storeHash=acme2eu",
			"store_user.added clerk@acme.example status=INACTIVE permissions=Add_Brands Add_Orders storeHash=acme2eu",
			"store_user.updated clerk@acme.example apps=4711 storeHash=acme2eu",
			"user.added eu@acme.example",
			"store_user.added eu@acme.example status=ACTIVE permissions=all storeHash=acme2eu",
		)
		expect(t, apply(t, db, acme))
		checkAcme(t, db)
	})
}

// checkAcme checks the stored data through the services that read it.
func checkAcme(t *testing.T, db *gormdb.DB) {
	t.Helper()
	by := operator
	by.AccountID = acmeID
	a, eu, err := account.NewService(db.Accounts()).Store(t.Context(), &by, account.StoreRef{Hash: "acme2eu"})
	if err != nil || a.Name != "Acme Retail" || eu.Name != "Acme EU" || len(a.Features) != 1 {
		t.Fatalf("Store(acme2eu) = %+v, %+v, %v, want Acme EU of Acme Retail, with one feature", a, eu, err)
	}
	w := paging.Window{Size: 10}
	members, err := db.Users().StoreUsers(t.Context(), acmeID, []uuid.UUID{eu.ID}, w)
	if err != nil || len(members[eu.ID].Items) != 2 {
		t.Fatalf("StoreUsers() = %+v, %v, want 2 of the store", members, err)
	}
	owner := members[eu.ID].Items[0].Node // newest first
	if owner.User.Email != "eu@acme.example" || owner.Status != user.Active ||
		!slices.Equal(owner.Permissions, user.Permissions()) {
		t.Errorf("store owner: got %+v, want eu@acme.example, active, with every permission", owner)
	}
	events, err := db.Audit().CountEvents(t.Context(), acmeID, audit.Filter{})
	if err != nil || events != 15 {
		t.Errorf("events: got %d, %v, want 15", events, err)
	}
	recorded, err := db.Audit().Events(t.Context(), acmeID, audit.Filter{Actions: []audit.Action{audit.AccountCreated}},
		w)
	if err != nil || len(recorded.Items) != 1 || recorded.Items[0].Node.Actor.Kind != audit.ActorOperator ||
		!recorded.Items[0].Node.At.Equal(start) {
		t.Errorf("Events() = %+v, %v, want one creation of an account by an operator at %v", recorded, err, start)
	}
}

func TestChanges(t *testing.T) {
	const owner = "    owner: {email: owner@acme.example}\n"
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"missing keys change nothing", head + owner, nil},
		{"renamed", strings.Replace(head, "Acme Retail", "Acme", 1) + owner,
			[]string{"account.updated Acme name=Acme"}},
		{"features removed", head + owner + "    features: []\n", []string{"account.updated Acme Retail features="}},
		{"names of a user", head + "    owner: {email: OWNER@acme.example, first_name: Alec, locale: en}\n",
			[]string{"user.updated owner@acme.example firstName=Alec"}},
		{"another owner, also of the former owner's stores",
			head +
				"    owner: {email: clerk@acme.example}\n    stores: [{hash: acme1us, name: Acme US}, {hash: acme2eu, name: Acme EU}]\n",
			[]string{"account.updated Acme Retail owner=clerk@acme.example",
				"store.updated Acme US owner=clerk@acme.example storeHash=acme1us",
				"store_user.added clerk@acme.example status=ACTIVE permissions=all storeHash=acme1us"}},
		{"a store's owner is named later",
			head + owner + "    stores: [{hash: acme2eu, name: Acme EU, owner: {email: owner@acme.example}}]\n",
			[]string{"store.updated Acme EU owner=owner@acme.example storeHash=acme2eu",
				"store_user.added owner@acme.example status=ACTIVE permissions=all storeHash=acme2eu"}},
		{"a member",
			head + owner +
				"    stores: [{hash: acme2eu, name: Acme EU, users: [{email: clerk@acme.example, status: active, permissions: []}]}]\n",
			[]string{"store_user.updated clerk@acme.example status=ACTIVE permissions= storeHash=acme2eu"}},
		{"an app", head + owner + "    apps: [{id: 4711, name: Subscriptions}]\n",
			[]string{"app.updated Subscriptions name=Subscriptions"}},
		{"an app of another account, further down",
			head + owner + "    stores: [{hash: acme1us, name: Acme US, apps: [4711, 8080]}]\n" + partner, []string{
				"account.created Partner name=Partner owner=owner@acme.example", "user.added owner@acme.example",
				"app.created Mailer name=Mailer status=draft",
				"store.updated Acme US installedApps=4711 8080 storeHash=acme1us"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
				apply(t, db, acme)
				foreseen, err := applied(t, db, tc.text, true)
				if err != nil {
					t.Fatal(err)
				}
				expect(t, eventTexts(foreseen), tc.want...)
				expect(t, apply(t, db, tc.text), tc.want...)
				expect(t, apply(t, db, tc.text))
			})
		})
	}
}

const partner = `  - uuid: 5d1f0a52-0f7c-4d3a-8a52-6f0b6d1c2e02
    name: Partner
    owner: {email: owner@acme.example}
    apps: [{id: 8080, name: Mailer}]
`

// Only users changed by a manifest are found by time of change.
func TestChangesSetUpdateTimes(t *testing.T) {
	const owner = "    owner: {email: owner@acme.example}\n"
	clerk := func(more string) string {
		return head + owner + "    stores: [{hash: acme2eu, name: Acme EU, users: [{email: clerk@acme.example" + more +
			"}]}]\n"
	}
	partnerID := uuid.MustParse("5d1f0a52-0f7c-4d3a-8a52-6f0b6d1c2e02")
	for _, tc := range []struct{ name, text, acme, partner string }{
		{"nothing", head + owner + partner, "", ""},
		{"names", head + "    owner: {email: owner@acme.example, last_name: Other}\n", "owner@acme.example", ""},
		{"permissions", clerk(", permissions: [Add_Pages]"), "clerk@acme.example", ""},
		{"a status", clerk(", status: active"), "clerk@acme.example", ""},
		{"nothing new", clerk(", status: inactive, permissions: [Add_Orders, Add_Brands], apps: [4711]"), "", ""},
		{"a store membership",
			head + owner + "    stores: [{hash: acme1us, name: Acme US, users: [{email: clerk@acme.example}]}]\n",
			"clerk@acme.example", ""},
		{"an app",
			head + owner +
				"    stores: [{hash: acme2eu, name: Acme EU, users: [{email: eu@acme.example, apps: [4711]}]}]\n",
			"eu@acme.example", ""},
		{"a store's owner",
			head + owner + "    stores: [{hash: acme2eu, name: Acme EU, owner: {email: owner@acme.example}}]\n",
			"eu@acme.example owner@acme.example", ""},
		{"a store's name", head + owner + "    stores: [{hash: acme2eu, name: Acme Europe}]\n", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
				apply(t, db, acme+partner)
				later := manifest.NewService(db.Manifest(), nil, func() time.Time { return start.Add(time.Hour) })
				for range 2 { // the second run changes nothing, so no date changes
					if _, err := later.Apply(t.Context(), &operator, parse(t, tc.text), false); err != nil {
						t.Fatal(err)
					}
					later = manifest.NewService(db.Manifest(), nil,
						func() time.Time { return start.Add(2 * time.Hour) })
				}
				for id, want := range map[uuid.UUID]string{acmeID: tc.acme, partnerID: tc.partner} {
					check.Equal(t, changedAfter(t, db, id, start), want, "changed")
					check.Equal(t, changedAfter(t, db, id, start.Add(time.Hour)), "", "repeated: changed")
				}
			})
		})
	}
}

// changedAfter returns the addresses of the account's users that changed after at.
func changedAfter(t *testing.T, db *gormdb.DB, id uuid.UUID, at time.Time) string {
	t.Helper()
	page, err := db.Users().Users(t.Context(), id, user.Filter{UpdatedAfter: at}, paging.Window{Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	var emails []string
	for _, item := range page.Items {
		emails = append(emails, item.Node.Email)
	}
	slices.Sort(emails)
	return strings.Join(emails, " ")
}

func TestContradictions(t *testing.T) {
	const owner = "    owner: {email: owner@acme.example}\n"
	other := strings.Replace(head, "0b2c1a6e", "ffffffff", 1) + owner
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"store of another account", other + "    stores: [{hash: acme1us, name: Acme US}]\n",
			[]string{"line 5: store acme1us belongs to another account"}},
		{"app of another account", other + "    apps: [{id: 4711, name: A}]\n",
			[]string{"line 5: app 4711 belongs to another account"}},
		{"unknown users",
			head + "    owner: {email: a@b.example}\n    users: [{email: c@d.example, first_name: C, locale: en}]\n",
			[]string{"line 4: user a@b.example does not exist", "line 5: user c@d.example does not exist"}},
		{"unknown users and other errors",
			head + "    owner: {email: a@b.example}\n    stores: [{hash: acme1us, name: Acme US, apps: [1]}]\n",
			[]string{"line 4: user a@b.example does not exist", "line 5: app 1 does not exist"}},
		{"apps",
			head + owner +
				"    stores: [{hash: acme1us, name: Acme US, apps: [1], users: [{email: clerk@acme.example, apps: [4711]}]}]\n",
			[]string{"line 5: app 1 does not exist", "line 5: app 4711 is not installed in store acme1us"}},
		{"an owner without all permissions", head + owner +
			"    stores:\n      - hash: acme1us\n        name: Acme US\n        users: [{email: owner@acme.example, permissions: []}]\n",
			[]string{"line 8: user owner@acme.example is the store's owner"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
				apply(t, db, acme)
				_, err := applied(t, db, tc.text, false)
				var got []string
				for i, f := range fault.Flatten(err) {
					if f.Kind != fault.Invalid || i >= len(tc.want) || !strings.HasPrefix(f.Message, tc.want[i]) {
						t.Errorf("fault %d: got %s %q, want the next of %q", i, f.Kind, f.Message, tc.want)
					}
					got = append(got, f.Message)
				}
				check.Equal(t, len(got), len(tc.want), "got %v, %v", got, tc.want)
				if n, err := db.Audit().CountEvents(t.Context(), acmeID, audit.Filter{}); err != nil || n != 15 {
					t.Errorf("events after a rejected manifest: got %d, %v, want 15", n, err)
				}
			})
		})
	}
}

func TestDryRunOfEverything(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		if events, err := applied(t, db, acme, true); err != nil || len(events) != 15 {
			t.Errorf("a dry run: got %d events, %v, want 15", len(events), err)
		}
		if _, err := db.Accounts().Account(t.Context(), acmeID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("the account after a dry run: got error %v, want kind %s", err, fault.NotFound)
		}
	})
}

func TestChangesNotify(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		apply(t, db, acme)
		var heard []uuid.UUID
		db.OnChange(func(id uuid.UUID) { heard = append(heard, id) })
		apply(t, db, head+"    owner: {email: clerk@acme.example}\n")
		check.Equal(t, fmt.Sprint(heard), fmt.Sprint([]uuid.UUID{acmeID}), "notified of %v", heard)
	})
}

func TestOperatorOnly(t *testing.T) {
	_, err := manifest.NewService(nil, nil, time.Now).Apply(t.Context(),
		&auth.Principal{NoCredential: "a test", Kind: auth.Session}, manifest.Manifest{}, false)
	check.Equal(t, fault.KindOf(err), fault.Forbidden, "got %v", err)
}
