package signin_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// oracle is a provider with the claims of the test.
type oracle struct {
	says signin.Claims
	err  error
	// last is the last question.
	last signin.AuthRequest
}

func (*oracle) Issuer() string { return "https://id.example" }
func (*oracle) Name() string   { return "Example ID" }

func (o *oracle) Address(_ context.Context, q signin.AuthRequest) (string, error) {
	o.last = q
	return "https://id.example/?" + url.Values{"state": {q.State}}.Encode(), o.err
}

func (o *oracle) Redeem(_ context.Context, _ string, q signin.AuthRequest) (signin.Claims, error) {
	if q != o.last {
		return signin.Claims{}, signin.Refuse(signin.ReasonUntrusted, nil)
	}
	return o.says, o.err
}

func eachOracle(t *testing.T, test func(*fixture, *oracle), settings ...func(*signin.Config)) {
	t.Helper()
	o := &oracle{}
	eachFixture(t, func(w *fixture) { *o = oracle{}; test(w, o) },
		append(settings, func(c *signin.Config) { c.Provider = o })...)
}

// comes goes to the provider and back.
func (w *fixture) comes(o *oracle, by *auth.Principal, goal signin.Goal, says signin.Claims) (signin.ProviderResult,
	error) {
	w.Helper()
	_, flow, err := w.signIn.BeginProvider(w.Context(), by, goal, "/next", here)
	w.must(err)
	o.says = says
	return w.signIn.FinishProvider(w.Context(), by, flow.Reveal(), signin.AuthResponse{State: o.last.State,
		Code: "code"}, here)
}

func TestKnownAtProvider(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		says := signin.Claims{Subject: "1", Email: w.home.Owner.Email}
		_, err := w.comes(o, nil, signin.ToSignIn, says)
		w.refused(err, signin.ReasonUnverified)
		says.EmailVerified = true
		result, err := w.comes(o, nil, signin.ToSignIn, says)
		w.must(err)
		if result.User.ID != w.home.Owner.ID || result.Next != "/next" || result.Goal != signin.ToSignIn {
			w.Errorf("arrived: got %+v, want the owner, then /next", result)
		}
		events := w.events(w.home, audit.IdentityLinked)
		if len(events) != 1 || events[0].Actor.ID != w.home.Owner.ID || events[0].Details[0].Value != o.Issuer() {
			w.Errorf("events: got %+v, want 1 of the owner at %s", events, o.Issuer())
		}
		// Later sign-ins go by the subject, with any address.
		result, err = w.comes(o, nil, signin.ToSignIn,
			signin.Claims{Subject: "1", Email: w.away.Owner.Email, EmailVerified: true})
		w.must(err)
		if result.User.ID != w.home.Owner.ID {
			w.Errorf("the user of the subject: got %s, want %s", result.User.Email, w.home.Owner.Email)
		}
		says.Subject = "2"
		_, err = w.comes(o, nil, signin.ToSignIn, says)
		w.refused(err, signin.ReasonTaken)
		_, err = w.comes(o, nil, signin.ToSignIn,
			signin.Claims{Subject: "3", Email: "nobody@acme.example", EmailVerified: true})
		w.refused(err, signin.ReasonUnknown)
	})
}

func TestLinkAtProvider(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		_, err := w.comes(o, owner(w.home), signin.ToLink, signin.Claims{Subject: "1"})
		w.must(err)
		_, err = w.comes(o, owner(w.home), signin.ToLink, signin.Claims{Subject: "1"})
		w.must(err) // a second time changes nothing
		_, err = w.comes(o, owner(w.away), signin.ToLink, signin.Claims{Subject: "1"})
		w.refused(err, signin.ReasonLinked)
		_, err = w.comes(o, owner(w.home), signin.ToLink, signin.Claims{Subject: "2"})
		w.refused(err, signin.ReasonTaken)
		_, _, err = w.signIn.BeginProvider(w.Context(), nil, signin.ToLink, "", here)
		w.wants(err, fault.Forbidden, "")

		// A flow that one user began and another finishes.
		_, flow, err := w.signIn.BeginProvider(w.Context(), owner(w.home), signin.ToLink, "", here)
		w.must(err)
		_, err = w.signIn.FinishProvider(w.Context(), owner(w.away), flow.Reveal(),
			signin.AuthResponse{State: o.last.State, Code: "code"}, here)
		w.refused(err, signin.ReasonOther)
		if n := w.countEvents(w.home, audit.IdentityLinked) + w.countEvents(w.away, audit.IdentityLinked); n != 1 {
			w.Errorf("linked identities in the log: got %d, want 1", n)
		}
	})
}

// An identity that its user unlinked is not linked again by its address, on any
// server, until the user links it on purpose or the operator resets factors.
func TestUnlinkedIsNotLinkedByAddress(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		w.gives(w.home.Owner)
		says := signin.Claims{Subject: "1", Email: w.home.Owner.Email, EmailVerified: true}
		unlink := func() {
			w.Helper()
			all, err := w.signIn.Security(w.Context(), owner(w.home))
			w.must(err)
			w.must(w.signIn.Remove(w.Context(), owner(w.home), all.Identities[0].ID))
		}
		_, err := w.comes(o, nil, signin.ToSignIn, says)
		w.must(err)
		for range 2 { // a second unlinking is stored as well
			unlink()
			_, err = w.comes(o, nil, signin.ToSignIn, says)
			w.refused(err, signin.ReasonUnlinked)
			w.signIn = w.service(func(*signin.Config) {})
			_, err = w.comes(o, nil, signin.ToSignIn, says)
			w.refused(err, signin.ReasonUnlinked)
			if n := len(w.events(w.home, audit.IdentityLinked)) - len(w.events(w.home,
				audit.IdentityUnlinked)); n != 0 {
				w.Errorf("identities in the log: %d more were linked than unlinked, want none", n)
			}
			_, err = w.comes(o, owner(w.home), signin.ToLink, says)
			w.must(err)
			_, err = w.comes(o, nil, signin.ToSignIn, says)
			w.must(err)
		}
		unlink()
		_, err = w.comes(o, nil, signin.ToSignIn,
			signin.Claims{Subject: "2", Email: w.home.Owner.Email, EmailVerified: true})
		w.must(err) // another identity was not unlinked
		_, err = w.signIn.ResetFactors(w.Context(), operator(w.home), w.home.Owner.Email)
		w.must(err)
		_, err = w.comes(o, nil, signin.ToSignIn, says)
		w.must(err)
	})
}

func TestProvedAgainAtProvider(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		by := owner(w.home)
		_, err := w.comes(o, by, signin.ToReauthenticate, signin.Claims{Subject: "1", AuthenticatedAt: w.Clock.Now()})
		w.refused(err, signin.ReasonOther)
		_, err = w.comes(o, by, signin.ToLink, signin.Claims{Subject: "1"})
		w.must(err)
		_, err = w.comes(o, by, signin.ToReauthenticate, signin.Claims{Subject: "1", AuthenticatedAt: w.Clock.Now()})
		w.must(err)
		if !o.last.Again {
			w.Error("the provider was not asked to ask again, want it to be")
		}
		_, err = w.comes(o, by, signin.ToReauthenticate,
			signin.Claims{Subject: "1", AuthenticatedAt: w.Clock.Now().Add(-2 * time.Minute)})
		w.refused(err, signin.ReasonStale)
		_, err = w.comes(o, by, signin.ToReauthenticate, signin.Claims{Subject: "1"})
		w.refused(err, signin.ReasonStale)
		_, err = w.comes(o, owner(w.away), signin.ToReauthenticate,
			signin.Claims{Subject: "1", AuthenticatedAt: w.Clock.Now()})
		w.refused(err, signin.ReasonOther)
	})
}

func TestAnswersThatAreRefused(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		good := func() signin.AuthResponse {
			return signin.AuthResponse{State: o.last.State, Code: "code", Issuer: o.Issuer()}
		}
		tests := []struct {
			name   string
			change func(*signin.AuthResponse)
			want   signin.Reason
		}{
			{"another state", func(a *signin.AuthResponse) { a.State = "another" }, signin.ReasonState},
			{"no state", func(a *signin.AuthResponse) { a.State = "" }, signin.ReasonState},
			{"said no", func(a *signin.AuthResponse) { a.Error = "access_denied" }, signin.ReasonDenied},
			{"an error", func(a *signin.AuthResponse) { a.Error = "login_required" }, signin.ReasonProvider},
			{"no code", func(a *signin.AuthResponse) { a.Code = "" }, signin.ReasonProvider},
			{"another issuer", func(a *signin.AuthResponse) { a.Issuer = "https://other.example" },
				signin.ReasonUntrusted},
		}
		for _, test := range tests {
			_, flow, err := w.signIn.BeginProvider(w.Context(), nil, signin.ToSignIn, "", visitor("192.0.2.7"))
			w.must(err)
			o.says = signin.Claims{Subject: "1", Email: w.home.Owner.Email, EmailVerified: true}
			answer := good()
			test.change(&answer)
			_, err = w.signIn.FinishProvider(w.Context(), nil, flow.Reveal(), answer, here)
			w.refused(err, test.want)
			// Only a wrong state leaves the flow unchanged.
			_, err = w.signIn.FinishProvider(w.Context(), nil, flow.Reveal(), good(), here)
			if test.want == signin.ReasonState {
				w.must(err)
			} else {
				w.refused(err, signin.ReasonEnded)
			}
		}
		for _, flow := range []string{"", "nonsense", w.owes()} {
			_, err := w.signIn.FinishProvider(w.Context(), nil, flow, good(), here)
			w.refused(err, signin.ReasonEnded)
		}
		_, flow, err := w.signIn.BeginProvider(w.Context(), nil, signin.ToSignIn, "", here)
		w.must(err)
		w.Clock.Advance(10*time.Minute + time.Second)
		_, err = w.signIn.FinishProvider(w.Context(), nil, flow.Reveal(), good(), here)
		w.refused(err, signin.ReasonEnded)

		o.err = signin.Refuse(signin.ReasonUnreachable, nil)
		_, _, err = w.signIn.BeginProvider(w.Context(), nil, signin.ToSignIn, "", here)
		w.refused(err, signin.ReasonUnreachable)
	})
}

// Flows at the provider are limited by address, since each stores a row.
func TestAskingIsLimited(t *testing.T) {
	eachOracle(t, func(w *fixture, _ *oracle) {
		var last error
		for range 320 {
			_, _, last = w.signIn.BeginProvider(w.Context(), nil, signin.ToSignIn, "", visitor("192.0.2.9"))
		}
		w.wants(last, fault.RateLimited, "")
		for range 320 {
			_, _, last = w.signIn.BeginPasskey(w.Context(), visitor("192.0.2.10"))
		}
		w.wants(last, fault.RateLimited, "")
	})
}

// A user without an account is unknown here.
func TestNoAccountAtProvider(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		leaver := w.home.Users[len(w.home.Users)-1]
		_, err := membership.NewService(w.DB.Memberships(), w.Clock.Now).Remove(w.Context(), owner(w.home),
			membership.Removal{User: user.Ref{Email: &leaver.Email}})
		w.must(err)
		_, err = w.comes(o, nil, signin.ToSignIn, signin.Claims{Subject: "1", Email: leaver.Email, EmailVerified: true})
		w.refused(err, signin.ReasonUnknown)
	})
}

// Claims are checked before they are compared or stored: the subject, and the
// address, which must match exactly.
func TestClaimsAreJudged(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		for _, subject := range []string{"", "a\x00b", strings.Repeat("s", 256), strings.Repeat("s", 600_000), "änn",
			"a\nb"} {
			for _, goal := range []signin.Goal{signin.ToSignIn, signin.ToLink} {
				_, err := w.comes(o, owner(w.home), goal,
					signin.Claims{Subject: subject, Email: w.home.Owner.Email, EmailVerified: true})
				w.refused(err, signin.ReasonUntrusted)
			}
		}
		_, err := w.Users.Create(w.Context(), owner(w.home),
			user.Details{Email: "kim@acme.example", FirstName: "Kim", LastName: "K", Locale: "en"})
		w.must(err)
		for address, want := range map[string]signin.Reason{
			"\u212aim@acme.example": signin.ReasonUnverified, // the Kelvin sign, which folds to k
			"kim@acme.example ":     signin.ReasonUnverified,
			" kim@acme.example":     signin.ReasonUnverified,
			"kim@acme.example\x00":  signin.ReasonUnverified,
			"<kim@acme.example>":    signin.ReasonUnverified,
		} {
			_, err := w.comes(o, nil, signin.ToSignIn,
				signin.Claims{Subject: "kim", Email: address, EmailVerified: true})
			w.refused(err, want)
		}
		result, err := w.comes(o, nil, signin.ToSignIn,
			signin.Claims{Subject: "kim", Email: "Kim@ACME.example", EmailVerified: true})
		w.must(err)
		if result.User.Email != "kim@acme.example" {
			w.Errorf("arrived: got %s, want kim@acme.example", result.User.Email)
		}
	})
}
