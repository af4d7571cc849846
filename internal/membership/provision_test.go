package membership_test

import (
	"fmt"
	"testing"

	"latchkey/internal/account"
	"latchkey/internal/membership"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// A repeated request changes nothing. A dry run returns the same report and changes
// nothing.
func TestProvision(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		elsewhere := dbtest.Seed{Users: 1}.Make(t, w.DB).Users[1]
		first, second := w.Stores[0], w.Stores[1]
		req := membership.ProvisionRequest{Users: []membership.ProvisionItem{
			{Email: "New@acme.example", FirstName: new("Ann"), LastName: new("New"), ExternalID: new("7"),
				Stores: []account.StoreRef{ref(first)}, Role: new(user.SalesStaff)},
			{Email: elsewhere.Email, Stores: []account.StoreRef{{ID: second.ID}}},
			{Email: w.World.Users[2].Email, LastName: new("Other"), Stores: []account.StoreRef{ref(first)},
				Permissions: []string{"Add_Pages"}},
			{Email: w.World.Users[3].Email, Stores: []account.StoreRef{ref(first), ref(second)}},
			{Email: "typo@", FirstName: new("Ty"), LastName: new("Po")},
			{Email: "new@ACME.example", LastName: new("New")},
		}, DryRun: true}
		want := fmt.Sprintf(`CREATED New@acme.example firstName:->Ann lastName:->New locale:->en externalId:->7 stores:->%[1]s stores.%[1]s.permissions:->SALES_STAFF
CREATED %[3]s locale:->en stores:->%[2]s
UPDATED %[4]s lastName:%[6]s>Other stores.%[1]s.permissions:Add_Brands Add_Orders>Add_Pages
UNCHANGED %[5]s
FAILED typo@ users.4.email INVALID
UNCHANGED new@ACME.example`, first.Hash, second.Hash, elsewhere.Email, w.World.Users[2].Email, w.World.Users[3].Email, w.World.Users[2].LastName)
		before := dbtest.Dump(t, w.URL)
		dry := w.provision(t, w.robot, req)
		wantText(t, "dry", format(dry), want)
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a dry run")
		if dry.Items[0].Person != nil || dry.Items[1].Person != nil || dry.Items[5].Person != nil ||
			dry.Items[2].Person.LastName == "Other" {
			t.Errorf("a dry run returns users who do not exist: %+v, want none", dry.Items)
		}
		req.DryRun = false
		done := w.provision(t, w.robot, req)
		wantText(t, "done", format(done), want)
		if done.Items[0].Person.ID != done.Items[5].Person.ID || done.Items[2].Person.LastName != "Other" {
			t.Errorf("items: got %+v, want the first and the last of one user, and the third renamed", done.Items)
		}
		after := dbtest.Dump(t, w.URL)
		again := w.provision(t, w.robot, req)
		if again.Count(membership.Unchanged) != 5 || again.Count(membership.Failed) != 1 ||
			dbtest.Dump(t, w.URL) != after {
			t.Errorf("again: got\n%s\nwant 5 unchanged, 1 failed and no change", format(again))
		}
	})
}

// A user who is added again after a removal is a new user. The same request again
// changes nothing.
func TestProvisionRemovedUser(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		deleted := w.World.Users[2]
		if _, err := w.Memberships.Remove(t.Context(), w.robot,
			membership.Removal{User: user.Ref{Email: &deleted.Email}}); err != nil {
			t.Fatal(err)
		}
		req := membership.ProvisionRequest{Users: []membership.ProvisionItem{{
			Email: deleted.Email, FirstName: new("Back"),
			LastName: new("Again")}}}
		back := w.provision(t, w.robot, req)
		wantText(t, "back", format(back), "CREATED "+deleted.Email+" firstName:->Back lastName:->Again locale:->en")
		if p := back.Items[0].Person; p.ID == deleted.ID || p.FirstName != "Back" {
			t.Errorf("added again: got %+v, want a new user with the name Back", p)
		}
		wantText(t, "again", format(w.provision(t, w.robot, req)), "UNCHANGED "+deleted.Email)
	})
}
