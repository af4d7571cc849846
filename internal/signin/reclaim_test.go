package signin_test

import (
	"testing"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// A person with a verified address takes it back from a user who knows a password
// that an account chose for a user from before accounts had their own users,
// and from the identity that was linked with that password.
func TestVerifiedIdentityTakesAnAddressBack(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		u := w.home.Users[2]
		w.must(w.redeems(w.invites(owner(w.home), u.Email))) // shown to the owner
		who, err := w.signIn.VerifyPassword(w.Context(), u.Email, secret.NewPassword(phrase), here)
		w.must(err)
		by := w.begins(who.User, w.home.Account.ID)
		key := w.registers(by, "Not mine")
		_, err = w.comes(o, by, signin.ToLink, signin.Claims{Subject: "the owner's"})
		w.must(err)
		says := signin.Claims{Subject: "1", Email: u.Email}
		_, err = w.comes(o, nil, signin.ToSignIn, says)
		w.refused(err, signin.ReasonUnverified)

		says.EmailVerified = true
		result, err := w.comes(o, nil, signin.ToSignIn, says)
		w.must(err)
		if result.Proof.User.ID != u.ID || w.live(u) != 0 {
			w.Errorf("arrived: got %s with %d live sessions, want %s with none",
				result.Proof.User.Email, w.live(u), u.Email)
		}
		_, err = w.signIn.VerifyPassword(w.Context(), u.Email, secret.NewPassword(phrase), here)
		w.wants(err, fault.Unauthenticated, "")
		_, err = w.proves(key)
		w.refused(err, signin.ReasonPasskey)
		_, err = w.comes(o, nil, signin.ToSignIn, signin.Claims{Subject: "the owner's"})
		w.refused(err, signin.ReasonUnverified)
		for _, action := range []audit.Action{audit.PasswordRemoved, audit.PasskeyRemoved, audit.IdentityUnlinked} {
			if n := w.countEvents(w.home, action); n != 1 {
				w.Errorf("events %s: got %d, want 1", action, n)
			}
		}
		// The person is barred from no account.
		_, err = w.Users.AddToAccount(w.Context(), owner(w.away), u.Email)
		w.must(err)
		_, _, err = w.signIn.Begin(w.Context(), result.Proof, w.away.Account.ID, here)
		w.must(err)
		result, err = w.comes(o, nil, signin.ToSignIn, says)
		w.must(err)
		_, _, err = w.signIn.Begin(w.Context(), result.Proof, w.home.Account.ID, here)
		w.must(err)
	})
}

// An identity that was linked in a session of a password that an account chose
// belongs to the person, and signs in to all of their accounts.
func TestVerifiedIdentityLeavesTheAccountsUser(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		u := w.home.Users[2]
		_, err := w.Users.CreateWithPassword(w.Context(), owner(w.away),
			user.Details{Email: u.Email, FirstName: "Ann", LastName: "Away", Locale: "en"}, twice(phrase))
		w.must(err)
		who, err := w.signIn.VerifyPassword(w.Context(), u.Email, secret.NewPassword(phrase), here)
		w.must(err)
		says := signin.Claims{Subject: "1", Email: u.Email}
		_, err = w.comes(o, w.begins(who.User, w.away.Account.ID), signin.ToLink, says)
		w.must(err)
		result, err := w.comes(o, nil, signin.ToSignIn, says)
		w.must(err)
		if result.Proof.User.ID != who.User.ID {
			w.Errorf("the identity moved to %s by an unverified address, want it to stay with %s",
				result.Proof.User.ID, who.User.ID)
		}
		says.EmailVerified = true
		for _, in := range []signin.Membership{{Account: w.home.Account}, {Account: w.away.Account}} {
			result, err = w.comes(o, nil, signin.ToSignIn, says)
			w.must(err)
			if result.Proof.User.ID != u.ID {
				w.Errorf("arrived: got %s, want %s", result.Proof.User.ID, u.ID)
			}
			_, _, err = w.signIn.Begin(w.Context(), result.Proof, in.ID, here)
			w.must(err)
		}
		_, err = w.signIn.VerifyPassword(w.Context(), u.Email, secret.NewPassword(phrase), here)
		w.wants(err, fault.Unauthenticated, "")
	})
}

// A person whose user in the account has another ID changes how they sign in:
// the factors are the person's, and work with the person's own proof.
func TestFactorsOfAPersonWithARecord(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		_, err := w.Users.AddToAccount(w.Context(), owner(w.away), w.home.Owner.Email)
		w.must(err)
		w.gives(w.home.Owner)
		_, value, err := w.signIn.Begin(w.Context(), w.proof(w.home.Owner), w.away.Account.ID, here)
		w.must(err)
		by, err := w.principal(value)
		w.must(err)
		if by.ID == by.Person() || by.Person() != w.home.Owner.ID {
			w.Fatalf("the principal: got %+v, want user %s by an ID of another account", by, w.home.Owner.ID)
		}
		app, _ := w.enrols(by)
		w.Clock.Advance(signin.FlowLifetime)
		codes, err := w.signIn.RenewCodes(w.Context(), by, w.shown(app, 0), here)
		w.must(err)
		w.must(w.enters(w.owes(), codes[0].Reveal()))
		w.must(w.signIn.DisableTOTP(w.Context(), by, codes[1].Reveal(), here))
		key := w.registers(by, "Mine")
		proof, err := w.proves(key)
		w.must(err)
		_, err = w.comes(o, by, signin.ToLink, signin.Claims{Subject: "1"})
		w.must(err)
		result, err := w.comes(o, nil, signin.ToSignIn, signin.Claims{Subject: "1"})
		w.must(err)
		if proof.User.ID != by.Person() || result.Proof.User.ID != by.Person() {
			w.Errorf("the passkey is of %s and the identity of %s, want %s",
				proof.User.ID, result.Proof.User.ID, by.Person())
		}
		all, err := w.signIn.Security(w.Context(), by)
		w.must(err)
		if !all.Password || len(all.Passkeys) != 1 || len(all.Identities) != 1 {
			w.Errorf("Security() = %+v, want a password, a passkey and an identity", all)
		}
		w.must(w.signIn.RenamePasskey(w.Context(), by, all.Passkeys[0].ID, "Telephone"))
		w.must(w.signIn.Remove(w.Context(), by, all.Passkeys[0].ID))
		w.must(w.signIn.Remove(w.Context(), by, all.Identities[0].ID))
		w.must(w.signIn.ChangePassword(w.Context(), by, secret.NewPassword(phrase),
			twice("an altogether different phrase"), here))
		if own, err := w.signIn.Live(w.Context(), by); err != nil || len(own) != 1 || own[0].ID != by.SessionID {
			w.Errorf("Live() = %+v, %v, want only session %s", own, err, by.SessionID)
		}
		for _, action := range []audit.Action{audit.TOTPEnabled, audit.TOTPDisabled, audit.PasskeyAdded,
			audit.PasskeyRemoved, audit.IdentityLinked, audit.IdentityUnlinked} {
			if n, m := w.countEvents(w.home, action), w.countEvents(w.away, action); n != 1 || m != 1 {
				w.Errorf("events %s: got %d at home and %d away, want 1 in each", action, n, m)
			}
		}
	})
}
