package signin_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
)

// registers adds a passkey of somebody's.
func (w *world) registers(by *auth.Principal, name string) *authenticator {
	w.Helper()
	a := newAuthenticator(w.T)
	w.must(w.keeps(by, a, name))
	return a
}

func (w *world) keeps(by *auth.Principal, a *authenticator, name string) error {
	w.Helper()
	options, flow, err := w.signIn.AskNewPasskey(w.Context(), by)
	w.must(err)
	return w.signIn.AddPasskey(w.Context(), by, flow.Reveal(), name, a.makes(options))
}

// proves signs in by an authenticator.
func (w *world) proves(a *authenticator) (signin.PasskeyProof, error) {
	w.Helper()
	w.passes(time.Minute) // the limit is not what these tests are about
	options, flow, err := w.signIn.AskPasskey(w.Context(), here)
	w.must(err)
	return w.signIn.Passkey(w.Context(), flow.Reveal(), a.signs(options), here)
}

func TestPasskey(t *testing.T) {
	eachWorld(t, func(w *world) {
		a := w.registers(owner(w.home), " Telephone ")
		proof, err := w.proves(a)
		w.must(err)
		if proof.User.ID != w.home.Owner.ID || proof.Passkey.Name != "Telephone" || proof.Cloned {
			w.Errorf("%+v", proof)
		}
		all, err := w.signIn.Security(w.Context(), owner(w.home))
		w.must(err)
		if len(all.Passkeys) != 1 || all.Passkeys[0].LastUsedAt.IsZero() || all.Passkeys[0].SignCount != a.count || all.Passkeys[0].Transports[0] != "internal" {
			w.Errorf("%+v", all.Passkeys)
		}
		if told := w.events(w.home, audit.PasskeyAdded); len(told) != 1 || told[0].Details[0].Value != "Telephone" {
			w.Errorf("the log tells %+v", told)
		}

		options, flow, err := w.signIn.AskPasskey(w.Context(), here)
		w.must(err)
		answer := a.signs(options)
		_, err = w.signIn.Passkey(w.Context(), flow.Reveal(), answer, here)
		w.must(err)
		_, err = w.signIn.Passkey(w.Context(), flow.Reveal(), answer, here)
		w.why(err, signin.WhyOver)
		_, flow, err = w.signIn.AskPasskey(w.Context(), here)
		w.must(err)
		_, err = w.signIn.Passkey(w.Context(), flow.Reveal(), answer, here) // the answer to another challenge
		w.why(err, signin.WhyPasskey)
	})
}

func TestPasskeysThatAreRefused(t *testing.T) {
	eachWorld(t, func(w *world) {
		for name, change := range map[string]func(a *authenticator){
			"another page":       func(a *authenticator) { a.origin = "https://keys.example.evil.example" },
			"without TLS":        func(a *authenticator) { a.origin = "http://keys.example" },
			"another site":       func(a *authenticator) { a.site = "evil.example" },
			"nobody verified":    func(a *authenticator) { a.flags = userPresent },
			"nobody present":     func(a *authenticator) { a.flags = userVerified },
			"somebody else's":    func(a *authenticator) { a.handle = w.away.Owner.ID[:] },
			"nobody's":           func(a *authenticator) { a.handle = make([]byte, 16) },
			"no person":          func(a *authenticator) { a.handle = []byte("x") },
			"another key":        func(a *authenticator) { a.key = newAuthenticator(w.T).key },
			"another credential": func(a *authenticator) { a.id = []byte("another") },
		} {
			a := w.registers(owner(w.home), name)
			change(a)
			_, err := w.proves(a)
			w.why(err, signin.WhyPasskey)
		}
		unverified := newAuthenticator(w.T)
		unverified.flags = userPresent
		w.why(w.keeps(owner(w.home), unverified, "unverified"), signin.WhyPasskey)
		elsewhere := newAuthenticator(w.T)
		elsewhere.origin = "https://evil.example"
		w.why(w.keeps(owner(w.home), elsewhere, "elsewhere"), signin.WhyPasskey)
		_, flow, err := w.signIn.AskPasskey(w.Context(), here)
		w.must(err)
		_, err = w.signIn.Passkey(w.Context(), flow.Reveal(), "{}", here)
		w.why(err, signin.WhyPasskey)
	})
}

// A passkey that counts backwards may be a copy: whoever runs the server hears
// of it, and the count stays.
func TestClonedPasskey(t *testing.T) {
	eachWorld(t, func(w *world) {
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
			w.Errorf("cloned: %t, counted %d", proof.Cloned, all.Passkeys[0].SignCount)
		}
	})
}

func TestAddingPasskeys(t *testing.T) {
	eachWorld(t, func(w *world) {
		by, other := owner(w.home), owner(w.away)
		a := newAuthenticator(w.T)
		options, flow, err := w.signIn.AskNewPasskey(w.Context(), by)
		w.must(err)
		w.wants(w.signIn.AddPasskey(w.Context(), by, flow.Reveal(), " ", a.makes(options)), fault.Invalid, "name")
		w.why(w.signIn.AddPasskey(w.Context(), other, flow.Reveal(), "Theirs", a.makes(options)), signin.WhyOther)
		w.why(w.signIn.AddPasskey(w.Context(), by, flow.Reveal(), "Mine", a.makes(options)), signin.WhyOver)
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
		_, _, err = w.signIn.AskNewPasskey(w.Context(), by)
		w.wants(err, fault.LimitReached, "")
	})
}

// There are passkeys under a name alone.
func TestPasskeysNeedAName(t *testing.T) {
	for address, want := range map[string]bool{
		"https://keys.example": true, "https://KEYS.example:8443/panel": true, "http://localhost:8080": true,
		"http://127.0.0.1:8080": false, "http://[::1]:8080": false, "https://192.0.2.1": false, "": false,
	} {
		s, err := signin.NewService(signin.Config{PublicURL: address})
		if err != nil || s.PasskeysWork() != want {
			t.Errorf("%s: %t, %v", address, !want, err)
			continue
		}
		if want {
			continue
		}
		if _, _, err := s.AskPasskey(t.Context(), here); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// Keys that are weak, malformed or of an unknown kind are not kept, and of what a
// browser says of an authenticator only what the specification names.
func TestCredentialsAreJudged(t *testing.T) {
	bytesOf := func(n int, fill byte) []byte { return bytes.Repeat([]byte{fill}, n) }
	rsa := func(bits int, exponent ...byte) map[int]any {
		return map[int]any{1: 3, 3: -257, -1: bytesOf(bits/8, 0xff), -2: exponent}
	}
	eachWorld(t, func(w *world) {
		for name, key := range map[string]map[int]any{
			"a point that is not on the curve": {1: 2, 3: -7, -1: 1, -2: bytesOf(32, 1), -3: bytesOf(32, 1)},
			"the point at infinity":            {1: 2, 3: -7, -1: 1, -2: bytesOf(32, 0), -3: bytesOf(32, 0)},
			"another curve":                    {1: 2, 3: -7, -1: 2, -2: bytesOf(32, 1), -3: bytesOf(32, 1)},
			"RSA of 1024 bits":                 rsa(1024, 1, 0, 1),
			"RSA of 16384 bits":                rsa(16384, 1, 0, 1),
			"RSA with exponent 1":              rsa(2048, 1),
			"RSA with an even exponent":        rsa(2048, 4),
			"RSA with SHA-1":                   {1: 3, 3: -65535, -1: bytesOf(256, 0xff), -2: []byte{1, 0, 1}},
			"an unknown algorithm":             {1: 2, 3: -12345, -1: 1, -2: bytesOf(32, 1), -3: bytesOf(32, 1)},
			"an unknown kind":                  {1: 99, 3: -7},
		} {
			a := newAuthenticator(w.T)
			a.public = key
			if err := w.keeps(owner(w.home), a, "Weak"); err == nil {
				w.Errorf("%s is kept", name)
			} else {
				w.why(err, signin.WhyPasskey)
			}
		}
		a := newAuthenticator(w.T)
		a.public = rsa(2048, 1, 0, 1)
		w.must(w.keeps(owner(w.home), a, "RSA"))
		a = newAuthenticator(w.T)
		a.transports = append(slices.Repeat([]string{"usb", "made-up", "a\x00b"}, 7000), "internal")
		w.must(w.keeps(owner(w.home), a, "Many"))
		all, err := w.signIn.Security(w.Context(), owner(w.home))
		w.must(err)
		if got := all.Passkeys[1].Transports; !slices.Equal(got, []string{"usb", "internal"}) {
			w.Errorf("%d transports are kept", len(got))
		}
	})
}
