package membership_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
)

// byHand are the changes of the data that an identity provider manages, each with whether sessions can make it.
func byHand(w *tenant, of user.User) []struct {
	name string
	do   func(ctx context.Context, by *auth.Principal) error
	may  bool
} {
	update := func(u user.Update) func(context.Context, *auth.Principal) error {
		u.UserID = of.ID
		return func(ctx context.Context, by *auth.Principal) error {
			_, err := w.Services.Users.Update(ctx, by, u)
			return err
		}
	}
	provision := func(item membership.ProvisionItem) func(context.Context, *auth.Principal) error {
		item.Email = of.Email
		return func(ctx context.Context, by *auth.Principal) error {
			r, err := w.Memberships.Provision(ctx, by,
				membership.ProvisionRequest{Users: []membership.ProvisionItem{item}})
			if err == nil && r.Items[0].Fault != nil {
				return r.Items[0].Fault
			}
			return err
		}
	}
	return []struct {
		name string
		do   func(ctx context.Context, by *auth.Principal) error
		may  bool
	}{
		{"the same name", update(user.Update{FirstName: &of.FirstName}), true},
		{"a first name", update(user.Update{FirstName: new("Ann")}), false},
		{"a locale", update(user.Update{Locale: new("pt-BR")}), false},
		{"an external ID", update(user.Update{ExternalID: new("77")}), false},
		{"a name from a list", provision(membership.ProvisionItem{LastName: new("List")}), false},
		{"an external ID from a list", provision(membership.ProvisionItem{ExternalID: new("78")}), false},
		{"permissions from a list", provision(membership.ProvisionItem{Stores: []account.StoreRef{ref(w.Stores[0])},
			Permissions: []string{"Add_Pages"}}), true},
		{"a deactivation", func(ctx context.Context, by *auth.Principal) error {
			_, err := w.Memberships.Deactivate(ctx, by, membership.Deactivation{User: byID(of)})
			return err
		}, false},
	}
}

// provisioned marks a user as provisioned by an identity provider.
func (w *tenant) provisioned(t *testing.T, of user.User) {
	t.Helper()
	_, err := w.Memberships.Edit(t.Context(), w.robot,
		membership.Edit{Update: user.Update{UserID: of.ID, ExternalID: new(uuid.NewString())}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, w.member(t, of.ID).ProvisionedBy, w.robot.ID, "the provider")
}

// No session changes what an identity provider keeps, not even the user's own, and what is refused changes nothing. API
// tokens can.
func TestProvisionedUsersAreNotChangedByHand(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		of := w.World.Users[2]
		w.provisioned(t, of)
		for _, c := range byHand(w, of) {
			before := dbtest.Dump(t, w.URL)
			err := c.do(t.Context(), w.owner)
			want := fault.Conflict
			if c.may {
				want = ""
			}
			check.Equal(t, fault.KindOf(err), want, "%s, by the owner: %v", c.name, err)
			if !c.may {
				check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after %s", c.name)
			}
		}
		self := world.Session(w.World, of, auth.Principal{})
		_, err := w.Services.Users.Update(t.Context(), self, user.Update{UserID: of.ID, FirstName: new("Me")})
		check.Equal(t, fault.KindOf(err), fault.Conflict, "the user's own name: %v", err)
		for _, c := range byHand(w, of) {
			if err := c.do(t.Context(), w.robot); err != nil {
				t.Errorf("%s, by an API token: got %v, want no error", c.name, err)
			}
		}
		_, err = w.Memberships.Reactivate(t.Context(), w.owner, byID(of))
		check.Equal(t, fault.KindOf(err), fault.Conflict, "a reactivation: %v", err)
		_, err = w.Memberships.Remove(t.Context(), w.owner, membership.Removal{User: byID(of)})
		check.Equal(t, fault.KindOf(err), "", "a removal: %v", err)
	})
}

// The account's owner takes a user over from the identity provider, with one event, until its next change.
func TestManageByHand(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		of := w.World.Users[2]
		w.provisioned(t, of)
		before := w.member(t, of.ID)
		self := world.Session(w.World, of, auth.Principal{})
		for name, by := range map[string]*auth.Principal{"the user": self, "an API token": w.robot} {
			_, err := w.Memberships.ManageByHand(t.Context(), by, byID(of))
			check.Equal(t, fault.KindOf(err), fault.Forbidden, "by %s: %v", name, err)
		}
		_, err := w.Memberships.ManageByHand(t.Context(), w.owner, user.Ref{ID: new(uuid.New())})
		check.Equal(t, fault.KindOf(err), fault.NotFound, "an unknown user: %v", err)
		check.Equal(t, w.member(t, of.ID).ProvisionedBy, w.robot.ID, "the provider before")

		p, err := w.Memberships.ManageByHand(t.Context(), w.owner, byID(of))
		if err != nil || p.Provisioned() {
			t.Fatalf("ManageByHand() = %+v, %v, want the user without the provider", p, err)
		}
		e := w.lastOf(t, audit.UserReleased)
		check.Equal(t, e.Target.Name, of.Email, "the target")
		check.Equal(t, e.Actor.Name, w.owner.Name, "the actor")
		after := w.member(t, of.ID)
		check.Equal(t, after.ProvisionedBy, uuid.Nil, "the provider")
		check.Equal(t, after.Membership().ExternalID, before.ExternalID, "the external ID")

		rows := dbtest.Dump(t, w.URL)
		if _, err := w.Memberships.ManageByHand(t.Context(), w.owner, byID(of)); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, dbtest.Dump(t, w.URL), rows, "the database after the second time")
		_, err = w.Services.Users.Update(t.Context(), w.owner, user.Update{UserID: of.ID, FirstName: new("Hand")})
		if err != nil {
			t.Errorf("a change by hand: got %v, want no error", err)
		}
		same := w.member(t, of.ID)
		rows = dbtest.Dump(t, w.URL)
		_, err = w.Memberships.Edit(t.Context(), w.robot, membership.Edit{Email: &same.Email, Active: new(true),
			Update: user.Update{UserID: of.ID, FirstName: &same.FirstName, ExternalID: &same.ExternalID}}, nil)
		check.Equal(t, fault.KindOf(err), "", "a request of the provider that changes nothing: %v", err)
		check.Equal(t, dbtest.Dump(t, w.URL), rows, "the database after it")
		w.provisioned(t, of)

		_, err = w.Memberships.ManageByHand(t.Context(), w.owner, byID(of))
		check.Equal(t, fault.KindOf(err), "", "manage by hand again: %v", err)
		_, err = w.Memberships.Edit(t.Context(), w.robot,
			membership.Edit{Update: user.Update{UserID: of.ID}, Active: new(false)}, nil)
		check.Equal(t, fault.KindOf(err), "", "a deactivation by the provider: %v", err)
		check.Equal(t, w.member(t, of.ID).ProvisionedBy, w.robot.ID, "the provider after a deactivation")
	})
}
