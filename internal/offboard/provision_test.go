package offboard_test

import (
	"fmt"
	"testing"

	"latchkey/internal/account"
	"latchkey/internal/dbtest"
	"latchkey/internal/offboard"
	"latchkey/internal/user"
)

// What is asked for is done, and asked for again it is nothing but read. A dry run says the same and does nothing.
func TestProvision(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		elsewhere := dbtest.Seed{Users: 1}.Make(t, w.db).Users[1]
		first, second := w.Stores[0], w.Stores[1]
		req := user.ProvisionRequest{Users: []user.ProvisionItem{
			{Email: "New@acme.example", FirstName: new("Ann"), LastName: new("New"), ExternalID: new("7"), Stores: []account.StoreRef{ref(first)}, Role: new(user.SalesStaff)},
			{Email: elsewhere.Email, Stores: []account.StoreRef{{ID: second.ID}}},
			{Email: w.Users[2].Email, LastName: new("Other"), Stores: []account.StoreRef{ref(first)}, Permissions: []string{"Add_Pages"}},
			{Email: w.Users[3].Email, Stores: []account.StoreRef{ref(first), ref(second)}},
			{Email: "typo@", FirstName: new("Ty"), LastName: new("Po")},
			{Email: "new@ACME.example", LastName: new("New")},
		}, DryRun: true}
		want := fmt.Sprintf(`CREATED New@acme.example firstName:->Ann lastName:->New locale:->en externalId:->7 stores:->%[1]s stores.%[1]s.permissions:->SALES_STAFF
CREATED %[3]s locale:->en stores:->%[2]s
UPDATED %[4]s lastName:%[6]s>Other stores.%[1]s.permissions:Add_Brands Add_Orders>Add_Pages
UNCHANGED %[5]s
FAILED typo@ users.4.email INVALID
UNCHANGED new@ACME.example`, first.Hash, second.Hash, elsewhere.Email, w.Users[2].Email, w.Users[3].Email, w.Users[2].LastName)
		before := dbtest.Dump(t, w.url)
		dry := w.provision(t, w.robot, req)
		wantText(t, "dry", told(dry), want)
		if dbtest.Dump(t, w.url) != before {
			t.Error("a dry run changed something")
		}
		if dry.Items[0].Person != nil || dry.Items[1].Person != nil || dry.Items[5].Person != nil || dry.Items[2].Person.LastName == "Other" {
			t.Error("a dry run shows who is not there")
		}
		req.DryRun = false
		done := w.provision(t, w.robot, req)
		wantText(t, "done", told(done), want)
		if done.Items[0].Person.ID != done.Items[5].Person.ID || done.Items[2].Person.LastName != "Other" {
			t.Errorf("shown are %+v", done.Items)
		}
		after := dbtest.Dump(t, w.url)
		again := w.provision(t, w.robot, req)
		if again.Count(user.Unchanged) != 5 || again.Count(user.Failed) != 1 || dbtest.Dump(t, w.url) != after {
			t.Errorf("again: %s", told(again))
		}
	})
}

// Somebody who comes back comes as somebody new, and the same request again changes nothing.
func TestProvisionAReturner(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		gone := w.Users[2]
		if _, err := w.offboard.Remove(t.Context(), w.robot, offboard.Removal{Whom: user.Whom{Email: &gone.Email}}); err != nil {
			t.Fatal(err)
		}
		req := user.ProvisionRequest{Users: []user.ProvisionItem{{Email: gone.Email, FirstName: new("Back"), LastName: new("Again")}}}
		back := w.provision(t, w.robot, req)
		wantText(t, "back", told(back), "CREATED "+gone.Email+" firstName:->Back lastName:->Again locale:->en")
		if p := back.Items[0].Person; p.ID == gone.ID || p.FirstName != "Back" {
			t.Errorf("came back as %+v", p)
		}
		wantText(t, "again", told(w.provision(t, w.robot, req)), "UNCHANGED "+gone.Email)
	})
}
