package signin_test

import (
	"testing"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// An account that invited an address first, with names, an external ID, a
// password and an invitation of its own, sees no record of the employer, and
// cannot revoke or use the employer's invitation.
func TestSquattedAddress(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		const email, external = "nora@acme.example", "hr-1"
		squatter, employer := owner(w.away), owner(w.home)
		squatted, err := w.Users.CreateWithPassword(w.Context(), squatter,
			user.Details{Email: email, FirstName: "Squatted", LastName: "Name", Locale: "fr"}, twice(phrase))
		w.must(err)
		_, err = w.Users.Update(w.Context(), squatter, user.Update{UserID: squatted.ID, ExternalID: new(external)})
		w.must(err)

		employed, err := w.Users.Create(w.Context(), employer,
			user.Details{Email: email, FirstName: "Nora", LastName: "New", Locale: "en"})
		w.must(err)
		_, err = w.Users.Update(w.Context(), employer, user.Update{UserID: employed.ID, ExternalID: new(external)})
		w.must(err)
		link := w.invites(employer, email)

		// The squatter's attempts: by the employer's ID, by a password and
		// links of its own, and by removing the user.
		_, err = w.Users.Update(w.Context(), squatter, user.Update{UserID: employed.ID, ExternalID: new("mine")})
		w.wants(err, fault.NotFound, "userId")
		who, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword(phrase), here)
		w.must(err)
		_, _, err = w.signIn.Begin(w.Context(), who, w.home.Account.ID, here)
		w.wants(err, fault.NotFound, "")
		by := w.begins(who.User, w.away.Account.ID)
		_, err = w.signIn.Accept(w.Context(), by, w.home.Account.ID)
		w.wants(err, fault.NotFound, "")
		_, err = w.signIn.Decline(w.Context(), by, w.home.Account.ID)
		w.wants(err, fault.NotFound, "")
		w.must(w.signIn.ChangePassword(w.Context(), by, secret.NewPassword(phrase), twice("another long phrase"), here))

		// The employer's invitation still works, for the employer's account
		// only.
		proof, err := w.signIn.Redeem(w.Context(), link, twice("the employer's phrase"), here)
		w.must(err)
		w.begins(proof.User, w.home.Account.ID)
		_, _, err = w.signIn.Begin(w.Context(), proof, w.away.Account.ID, here)
		w.wants(err, fault.NotFound, "")
		if n := w.countEvents(w.away, audit.UserInvited); n != 0 {
			w.Errorf("the employer's invitations in the squatter's log: got %d, want none", n)
		}
		_, err = w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword("another long phrase"), here)
		w.must(err)

		after, err := w.Users.Update(w.Context(), employer, user.Update{UserID: employed.ID, LastName: new("Married")})
		w.must(err)
		if after.ID == squatted.ID || after.FirstName != "Nora" || after.LastName != "Married" ||
			after.Locale != "en" || after.ExternalID != external || after.Pending {
			w.Errorf("the employer knows %+v, want its own user Nora Married", after)
		}
		before, err := w.Users.Update(w.Context(), squatter, user.Update{UserID: squatted.ID, FirstName: new("Still")})
		w.must(err)
		if before.LastName != "Name" || before.Locale != "fr" || before.ExternalID != external {
			w.Errorf("the other account knows %+v, want its own user, with its names", before)
		}
	})
}
