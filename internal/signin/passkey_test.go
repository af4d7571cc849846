package signin_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
)

// registers adds a passkey for the principal.
func (w *fixture) registers(by *auth.Principal, name string) *authenticator {
	w.Helper()
	a := newAuthenticator(w.T)
	w.must(w.keeps(by, a, name))
	return a
}

func (w *fixture) keeps(by *auth.Principal, a *authenticator, name string) error {
	w.Helper()
	options, flow, err := w.signIn.BeginNewPasskey(w.Context(), by)
	w.must(err)
	return w.signIn.AddPasskey(w.Context(), by, flow.Reveal(), name, a.makes(options))
}

// proves signs in with an authenticator.
func (w *fixture) proves(a *authenticator) (signin.PasskeyProof, error) {
	w.Helper()
	w.Clock.Advance(time.Minute) // avoids the rate limit
	options, flow, err := w.signIn.BeginPasskey(w.Context(), here)
	w.must(err)
	return w.signIn.FinishPasskey(w.Context(), flow.Reveal(), a.signs(options), here)
}

func TestPasskey(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		a := w.registers(owner(w.home), " Telephone ")
		proof, err := w.proves(a)
		w.must(err)
		if proof.User.ID != w.home.Owner.ID || proof.Passkey.Name != "Telephone" || proof.Cloned {
			w.Errorf("the proof: got %+v, want the owner's passkey Telephone, not cloned", proof)
		}
		all, err := w.signIn.Security(w.Context(), owner(w.home))
		w.must(err)
		if len(all.Passkeys) != 1 || all.Passkeys[0].LastUsedAt.IsZero() || all.Passkeys[0].SignCount != a.count ||
			all.Passkeys[0].Transports[0] != "internal" {
			w.Errorf("passkeys: got %+v, want one that was used, with the count %d", all.Passkeys, a.count)
		}
		if events := w.events(w.home, audit.PasskeyAdded); len(events) != 1 ||
			events[0].Details[0].Value != "Telephone" {
			w.Errorf("events: got %+v, want 1 of Telephone", events)
		}

		options, flow, err := w.signIn.BeginPasskey(w.Context(), here)
		w.must(err)
		answer := a.signs(options)
		_, err = w.signIn.FinishPasskey(w.Context(), flow.Reveal(), answer, here)
		w.must(err)
		_, err = w.signIn.FinishPasskey(w.Context(), flow.Reveal(), answer, here)
		w.refused(err, signin.ReasonEnded)
		_, flow, err = w.signIn.BeginPasskey(w.Context(), here)
		w.must(err)
		_, err = w.signIn.FinishPasskey(w.Context(), flow.Reveal(), answer, here) // the answer to another challenge
		w.refused(err, signin.ReasonPasskey)
	})
}

func TestPasskeysThatAreRefused(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		for name, change := range map[string]func(a *authenticator){
			"another page":       func(a *authenticator) { a.origin = "https://keys.example.evil.example" },
			"without TLS":        func(a *authenticator) { a.origin = "http://keys.example" },
			"another site":       func(a *authenticator) { a.site = "evil.example" },
			"user not verified":  func(a *authenticator) { a.flags = userPresent },
			"user not present":   func(a *authenticator) { a.flags = userVerified },
			"another user's":     func(a *authenticator) { a.handle = w.away.Owner.ID[:] },
			"an unknown user's":  func(a *authenticator) { a.handle = make([]byte, 16) },
			"no person":          func(a *authenticator) { a.handle = []byte("x") },
			"another key":        func(a *authenticator) { a.key = newAuthenticator(w.T).key },
			"another credential": func(a *authenticator) { a.id = []byte("another") },
		} {
			a := w.registers(owner(w.home), name)
			change(a)
			_, err := w.proves(a)
			w.refused(err, signin.ReasonPasskey)
		}
		unverified := newAuthenticator(w.T)
		unverified.flags = userPresent
		w.refused(w.keeps(owner(w.home), unverified, "unverified"), signin.ReasonPasskey)
		elsewhere := newAuthenticator(w.T)
		elsewhere.origin = "https://evil.example"
		w.refused(w.keeps(owner(w.home), elsewhere, "elsewhere"), signin.ReasonPasskey)
		_, flow, err := w.signIn.BeginPasskey(w.Context(), here)
		w.must(err)
		_, err = w.signIn.FinishPasskey(w.Context(), flow.Reveal(), "{}", here)
		w.refused(err, signin.ReasonPasskey)
	})
}

// A passkey whose counter does not increase may be a copy. It is reported to
// the operator, and the stored count stays.
func TestClonedPasskey(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		a := w.registers(owner(w.home), "Key")
		a.count = 10
		_, err := w.proves(a)
		w.must(err)
		a.count = 5
		proof, err := w.proves(a)
		w.must(err)
		all, errSecurity := w.signIn.Security(w.Context(), owner(w.home))
		w.must(errSecurity)
		if !proof.Cloned || all.Passkeys[0].SignCount != 11 {
			w.Errorf("cloned: got %t with the count %d, want true with 11", proof.Cloned, all.Passkeys[0].SignCount)
		}
	})
}

func TestAddingPasskeys(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		by, other := owner(w.home), owner(w.away)
		a := newAuthenticator(w.T)
		options, flow, err := w.signIn.BeginNewPasskey(w.Context(), by)
		w.must(err)
		w.wants(w.signIn.AddPasskey(w.Context(), by, flow.Reveal(), " ", a.makes(options)), fault.Invalid, "name")
		w.refused(w.signIn.AddPasskey(w.Context(), other, flow.Reveal(), "Theirs", a.makes(options)),
			signin.ReasonOther)
		w.refused(w.signIn.AddPasskey(w.Context(), by, flow.Reveal(), "Mine", a.makes(options)), signin.ReasonEnded)
		w.must(w.keeps(by, a, "Mine"))
		w.wants(w.keeps(other, a, "Theirs"), fault.Conflict, "")

		all, err := w.signIn.Security(w.Context(), by)
		w.must(err)
		w.must(w.signIn.RenamePasskey(w.Context(), by, all.Passkeys[0].ID, "Another"))
		w.wants(w.signIn.RenamePasskey(w.Context(), by, all.Passkeys[0].ID, "a\nb"), fault.Invalid, "name")
		w.wants(w.signIn.RenamePasskey(w.Context(), other, all.Passkeys[0].ID, "Stolen"), fault.NotFound, "")
		w.wants(w.signIn.Remove(w.Context(), other, all.Passkeys[0].ID), fault.NotFound, "")
		for i := range signin.MaxPasskeys - 1 {
			w.registers(by, fmt.Sprint(i))
		}
		_, _, err = w.signIn.BeginNewPasskey(w.Context(), by)
		w.wants(err, fault.LimitReached, "")
	})
}

// Passkeys need a host name.
func TestPasskeysNeedAName(t *testing.T) {
	for address, want := range map[string]bool{
		"https://keys.example": true, "https://KEYS.example:8443/panel": true, "http://localhost:8080": true,
		"http://127.0.0.1:8080": false, "http://[::1]:8080": false, "https://192.0.2.1": false, "": false,
	} {
		s, err := signin.NewService(signin.Config{PublicURL: address})
		if err != nil || s.PasskeysWork() != want {
			t.Errorf("%s: got passkeys %t, %v, want %t", address, !want, err, want)
			continue
		}
		if want {
			continue
		}
		if _, _, err := s.BeginPasskey(t.Context(), here); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: got error %v, want kind %s", address, err, fault.NotFound)
		}
	}
}

// Weak, malformed and unknown keys are refused, and only transports that the
// specification defines are stored.
func TestCredentialsAreJudged(t *testing.T) {
	bytesOf := func(n int, fill byte) []byte { return bytes.Repeat([]byte{fill}, n) }
	rsa := func(bits int, exponent ...byte) map[int]any {
		return map[int]any{1: 3, 3: -257, -1: bytesOf(bits/8, 0xff), -2: exponent}
	}
	edwards := func(curve int, x []byte) map[int]any { return map[int]any{1: 1, 3: -8, -1: curve, -2: x} }
	one := append([]byte{1}, bytesOf(31, 0)...)
	minusOne := append([]byte{0xec}, append(bytesOf(30, 0xff), 0x7f)...)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	eachFixture(t, func(w *fixture) {
		for name, key := range map[string]map[int]any{
			"Ed25519 of order 1":               edwards(6, one),
			"Ed25519 of order 2":               edwards(6, minusOne),
			"Ed25519 of order 4":               edwards(6, bytesOf(32, 0)),
			"Ed25519 that is not canonical":    edwards(6, bytesOf(32, 0xff)),
			"Ed25519 that is not on the curve": edwards(6, append([]byte{2}, bytesOf(31, 0)...)),
			"Ed25519 of 31 bytes":              edwards(6, public[1:]),
			"Ed448":                            edwards(7, public),
			"a point that is not on the curve": {1: 2, 3: -7, -1: 1, -2: bytesOf(32, 1), -3: bytesOf(32, 1)},
			"the point at infinity":            {1: 2, 3: -7, -1: 1, -2: bytesOf(32, 0), -3: bytesOf(32, 0)},
			"another curve":                    {1: 2, 3: -7, -1: 2, -2: bytesOf(32, 1), -3: bytesOf(32, 1)},
			"RSA of 1024 bits":                 rsa(1024, 1, 0, 1),
			"RSA of 16384 bits":                rsa(16384, 1, 0, 1),
			"RSA with exponent 1":              rsa(2048, 1),
			"RSA with an even exponent":        rsa(2048, 4),
			"RSA with an even modulus": {1: 3, 3: -257, -1: append(bytesOf(255, 0xff), 0xfe),
				-2: []byte{1, 0, 1}},
			"RSA with SHA-1":       {1: 3, 3: -65535, -1: bytesOf(256, 0xff), -2: []byte{1, 0, 1}},
			"an unknown algorithm": {1: 2, 3: -12345, -1: 1, -2: bytesOf(32, 1), -3: bytesOf(32, 1)},
			"an unknown kind":      {1: 99, 3: -7},
		} {
			a := newAuthenticator(w.T)
			a.public = key
			if err := w.keeps(owner(w.home), a, "Weak"); err == nil {
				w.Errorf("a passkey of %s: got no error, want one", name)
			} else {
				w.refused(err, signin.ReasonPasskey)
			}
		}
		a := newAuthenticator(w.T)
		a.public = rsa(2048, 1, 0, 1)
		w.must(w.keeps(owner(w.home), a, "RSA"))
		a = newAuthenticator(w.T)
		a.public = edwards(6, public)
		w.must(w.keeps(owner(w.home), a, "Ed25519"))
		a = newAuthenticator(w.T)
		a.transports = append(slices.Repeat([]string{"usb", "made-up", "a\x00b"}, 7000), "internal")
		w.must(w.keeps(owner(w.home), a, "Many"))
		all, err := w.signIn.Security(w.Context(), owner(w.home))
		w.must(err)
		if got := all.Passkeys[2].Transports; !slices.Equal(got, []string{"usb", "internal"}) {
			w.Errorf("transports: got %d, want usb and internal", len(got))
		}
	})
}

// A passkey with a weak key that was stored before weak keys were refused does not sign in. It does not count as a way
// to sign in either: the last one that works cannot be removed.
func TestStoredWeakPasskey(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		by := owner(w.home)
		for bits, want := range map[int]signin.Reason{1024: signin.ReasonPasskey, 2048: ""} {
			_, err := w.proves(w.stores(bits))
			if want == "" {
				w.must(err)
			} else {
				w.refused(err, want)
			}
		}
		all, err := w.signIn.Security(w.Context(), by)
		w.must(err)
		for _, p := range all.Passkeys {
			switch err := w.signIn.Remove(w.Context(), by, p.ID); p.Name {
			case "1024 bits":
				w.must(err)
				w.stores(1024)
			default:
				w.wants(err, fault.Conflict, "")
			}
		}
	})
}

// A user whose only passkey has a weak key has no way to sign in.
func TestStoredWeakPasskeyAlone(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.stores(1024)
		proofs, err := w.signIn.Proofs(w.Context(), owner(w.home))
		w.must(err)
		check.Equal(w.T, proofs, signin.Proofs{}, "ways to authenticate again")
		_, ready, err := w.signIn.OwnersWithoutPassword(w.Context())
		w.must(err)
		check.Equal(w.T, ready, 0, "owners who can sign in without a password")
	})
}

// stores saves a passkey of the home account's owner with an RSA key, as a version that did not check keys would.
func (w *fixture) stores(bits int) *authenticator {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	w.must(err)
	a := newAuthenticator(w.T)
	a.key, a.handle = key, w.home.Owner.ID[:]
	a.public = map[int]any{1: 3, 3: -257, -1: key.N.Bytes(), -2: []byte{1, 0, 1}}
	stored := signin.Passkey{
		ID: uuid.Must(uuid.NewV7()), UserID: w.home.Owner.ID, Name: fmt.Sprint(bits, " bits"), Site: a.site,
		CredentialID: a.id, PublicKey: a.publicKey(), CreatedAt: w.Clock.Now(),
	}
	grounds := signin.Grounds{UserID: w.home.Owner.ID, Password: signin.VersionOf("", uuid.Nil)}
	w.must(w.DB.SignIn().AddPasskey(w.Context(), auth.NoActor("a test"), stored, grounds, nil))
	return a
}

// Registrations that began below the limit do not exceed it together.
func TestMostPasskeys(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		by := owner(w.home)
		for range signin.MaxPasskeys - 1 {
			w.registers(by, "Telephone")
		}
		var flows []string
		var answers []string
		for range 2 {
			a := newAuthenticator(w.T)
			options, flow, err := w.signIn.BeginNewPasskey(w.Context(), by)
			w.must(err)
			flows, answers = append(flows, flow.Reveal()), append(answers, a.makes(options))
		}
		w.must(w.signIn.AddPasskey(w.Context(), by, flows[0], "The last", answers[0]))
		w.wants(w.signIn.AddPasskey(w.Context(), by, flows[1], "One more", answers[1]), fault.LimitReached, "")
	})
}
