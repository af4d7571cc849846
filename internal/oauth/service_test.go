package oauth_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/oauth"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
)

var levels = []scope.Level{scope.LevelAccount, scope.LevelStore}

// A granted access token acts as its API token for an hour, and an audit event
// records it.
func TestGrant(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		for _, level := range levels {
			issued := h.issue(level, []string{"store_v2_products", "store_cart"})
			before := len(h.events())
			g := h.grant(issued, "")
			if g.AccessToken.Kind() != secret.OAuthAccessToken || !g.Scopes.Equal(issued.Token.Scopes) ||
				g.Lifetime != time.Hour {
				t.Errorf("%s: granted a %s with %q for %v, want a %s with %q for %v",
					level, g.AccessToken.Kind(), g.Scopes, g.Lifetime,
					secret.OAuthAccessToken, issued.Token.Scopes, time.Hour)
			}
			durable, r := h.mustWork(issued.AccessToken), h.mustWork(g.AccessToken)
			want := durable.Principal
			want.Granted, want.ExpiresAt = true, now.Add(time.Hour)
			want.Credential = auth.Credential{Kind: auth.GrantedAccessToken, ID: r.Principal.Credential.ID,
				Rights: want.Credential.Rights}
			if got := r.Principal; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("principal\n%+v\nwant\n%+v", got, want)
			}
			if r.ClientID != issued.Token.ClientID || r.StoreHash != issued.Token.StoreHash || !r.IssuedAt.Equal(now) ||
				r.ScopeText != g.Scopes.String() {
				t.Errorf("record: got %+v, want client %s, store %q, issued at %v with %q",
					r, issued.Token.ClientID, issued.Token.StoreHash, now, g.Scopes)
			}
			wantEvents := []audit.Event{{
				AccountID: h.home.Account.ID, At: now, Action: audit.AccessTokenGranted, IP: "192.0.2.7",
				RequestID: "request-1",
				Actor:     audit.Actor{Kind: audit.ActorAPIToken, ID: issued.Token.ID, Name: "Nightly export"},
				Target: audit.Target{Kind: audit.TargetAPIToken, Key: issued.Token.ID.String(),
					Name: "Nightly export"},
				Details: []audit.Detail{{Name: "hint", Value: g.AccessToken.Hint()},
					{Name: "scopes", Value: g.Scopes.String()},
					{Name: "expiresAt", Value: "2026-03-01T13:00:00Z"}},
				Version: 1, Data: []byte("{}"),
			}}
			if got := h.events()[before:]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", wantEvents) {
				t.Errorf("events\n%+v\nwant\n%+v", got, wantEvents)
			}
			h.Clock.Set(now.Add(time.Hour - time.Microsecond))
			h.mustWork(g.AccessToken)
			h.Clock.Set(now.Add(time.Hour))
			h.mustNotWork(g.AccessToken)
			h.mustWork(issued.AccessToken)
			h.Clock.Set(now)
		}
	})
}

func TestScopes(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		issued := h.issue(scope.LevelAccount, []string{"store_v2_products", "store_cart", "account_read"})
		for _, tc := range []struct {
			name, requested, want string // empty for an invalid scope
		}{
			{"all scopes", "", issued.Token.Scopes.String()},
			{"one", "account_read", "account_read"},
			{"an implied scope", "store_v2_products", "store_v2_products store_v2_products_read_only"},
			{"only an implied scope", "store_v2_products_read_only", "store_v2_products_read_only"},
			{"several, one repeated", "store_cart_read_only account_read account_read",
				"account_read store_cart_read_only"},
			{"one that the API token lacks", "account_read account_users_read", ""},
			{"an unknown scope", "account_read everything", ""},
			{"in capitals", "ACCOUNT_READ", ""},
			{"with commas", "account_read,store_cart", ""},
			{"with several spaces", "account_read  store_cart_read_only", "account_read store_cart_read_only"},
			{"blank", " ", ""},
			{"a tab between", "account_read\tstore_cart", ""},
			{"a line break after", "account_read\n", ""},
			{"a space that is not ASCII", "account_read\u00a0store_cart", ""},
		} {
			t.Run(tc.name, func(t *testing.T) {
				g, err := h.Grant(t.Context(), h.client(issued), tc.requested)
				if tc.want == "" {
					mustBe(t, err, fault.Invalid)
					return
				}
				if err != nil || g.Scopes.String() != tc.want || h.mustWork(g.AccessToken).ScopeText != tc.want {
					t.Errorf("granted %q, %v, want %q", g.Scopes, err, tc.want)
				}
			})
		}
	})
}

// If the account loses a feature, its scopes cannot be requested, and granted
// tokens lose them.
func TestScopesOfAFeature(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		issued := h.issue(scope.LevelAccount, []string{"account_read", "account_subscriptions_read"})
		g := h.grant(issued, "account_subscriptions_read account_read")
		h.home.Account.Features = nil
		h.suspend(account.Active, account.Active)
		check.Equal(t, h.mustWork(g.AccessToken).ScopeText, "account_read", "scopes")
		_, err := h.Grant(t.Context(), h.client(issued), "account_subscriptions_read")
		mustBe(t, err, fault.Invalid)
	})
}

func TestAuthenticate(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		issued := h.issue(scope.LevelStore, []string{"store_cart"},
			func(r *token.Request) { r.AllowedIPRanges = []string{"192.0.2.0/24"} })
		second := h.issue(scope.LevelStore, []string{"store_cart"})
		elsewhere := home
		elsewhere.IP = netip.MustParseAddr("198.51.100.1")
		mapped := home
		mapped.IP = netip.MustParseAddr("::ffff:192.0.2.9")
		for _, tc := range []struct {
			name, id string
			secret   secret.Secret
			from     auth.Origin
			reason   oauth.Reason // empty for a client that is authenticated
		}{
			{"valid", issued.Token.ClientID, issued.ClientSecret, home, ""},
			{"valid, IPv4-mapped address", issued.Token.ClientID, issued.ClientSecret, mapped, ""},
			{"unknown client", "unknown", issued.ClientSecret, home, "unknown"},
			{"another client's secret", issued.Token.ClientID, second.ClientSecret, home, "unknown"},
			{"an unknown secret", issued.Token.ClientID, other(t, secret.ClientSecret), home, "unknown"},
			{"no secret", issued.Token.ClientID, secret.Secret{}, home, "malformed"},
			{"an access token", issued.Token.ClientID, issued.AccessToken, home, "malformed"},
			{"no id", "", issued.ClientSecret, home, "malformed"},
			{"an invalid id", "a\x00b", issued.ClientSecret, home, "malformed"},
			{"a long id", strings.Repeat("a", 129), issued.ClientSecret, home, "malformed"},
			{"from another address", issued.Token.ClientID, issued.ClientSecret, elsewhere, "address not allowed"},
			{"without an address", issued.Token.ClientID, issued.ClientSecret, auth.Origin{}, "address not allowed"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				p, err := h.Authenticate(t.Context(), tc.id, tc.secret, tc.from)
				if tc.reason == "" {
					if err != nil || p.ID != issued.Token.ID || p.Origin != tc.from ||
						!p.Scopes.Equal(issued.Token.Scopes) {
						t.Errorf("Authenticate() = %+v, %v, want token %s with its scopes from %v",
							p, err, issued.Token.ID, tc.from)
					}
					return
				}
				refused(t, err)
				var r *oauth.Refusal
				if !errors.As(err, &r) || r.Reason != tc.reason {
					t.Errorf("the reason: got %v, want %q", r, tc.reason)
				}
			})
		}
	})
}

// refused checks that err is the error for every client that is rejected.
func refused(t *testing.T, err error) {
	t.Helper()
	mustBe(t, err, fault.Unauthenticated)
	const want = "The client ID or secret is wrong, or the API token is expired, revoked, suspended, or used from an address it is not allowed from."
	if err == nil || err.Error() != want {
		t.Errorf("the refusal: got %v, want %q", err, want)
	}
}

// When an API token stops working for any reason, its granted access tokens stop
// working immediately, and no more are granted.
func TestBoundToTheAPIToken(t *testing.T) {
	revoke := func(h *fixture, i token.Issued) error {
		_, err := h.Tokens.Revoke(h.t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{i.Token.ID}})
		return err
	}
	expire := func(h *fixture, i token.Issued) error {
		at := now.Add(time.Minute)
		_, err := h.Tokens.Update(h.t.Context(), h.owner, token.Update{ID: i.Token.ID, ExpiresAt: &at})
		h.Clock.Set(at)
		return err
	}
	confine := func(h *fixture, i token.Issued) error {
		_, err := h.Tokens.Update(h.t.Context(), h.owner,
			token.Update{ID: i.Token.ID, AllowedIPRanges: []string{"198.51.100.0/24"}})
		return err
	}
	for _, tc := range []struct {
		name string
		stop func(*fixture, token.Issued) error
		back func(*fixture) // undoes the change, or nil
	}{
		{"revoked", revoke, nil},
		{"expired", expire, nil},
		{"restricted to other addresses", confine, nil},
		{"the store suspended", func(h *fixture,
			_ token.Issued) error {
			h.suspend(account.Active, account.Suspended)
			return nil
		},
			func(h *fixture) { h.suspend(account.Active, account.Active) }},
		{"the account suspended", func(h *fixture,
			_ token.Issued) error {
			h.suspend(account.Suspended, account.Active)
			return nil
		},
			func(h *fixture) { h.suspend(account.Active, account.Active) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachFixture(t, func(t *testing.T, h *fixture) {
				issued := h.issue(scope.LevelStore, []string{"store_cart"})
				g, client := h.grant(issued, ""), h.client(issued)
				h.mustWork(g.AccessToken)
				if err := tc.stop(h, issued); err != nil {
					t.Fatal(err)
				}
				h.mustNotWork(g.AccessToken)
				_, err := h.Authenticate(t.Context(), issued.Token.ClientID, issued.ClientSecret, home)
				refused(t, err)
				if tc.name == "revoked" { // between Authenticate and Grant
					_, err = h.Grant(t.Context(), client, "")
					refused(t, err)
				}
				if tc.back != nil {
					tc.back(h)
					h.mustWork(g.AccessToken)
				}
			})
		})
	}
}

// Restricting the API token restricts its granted access tokens immediately.
func TestNarrowing(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		issued := h.issue(scope.LevelAccount, []string{"store_v2_products", "store_cart", "account_read"})
		whole, part := h.grant(issued, ""), h.grant(issued, "store_v2_products")
		h.mustWork(whole.AccessToken)
		h.mustWork(part.AccessToken)
		if _, err := h.Tokens.Update(t.Context(), h.owner,
			token.Update{ID: issued.Token.ID,
				Scopes: []string{"account_read", "store_v2_products_read_only"}}); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, h.mustWork(whole.AccessToken).ScopeText, "account_read store_v2_products_read_only",
			"granted all")
		check.Equal(t, h.mustWork(part.AccessToken).ScopeText, "store_v2_products_read_only", "granted a part")
		_, err := h.Grant(t.Context(), h.client(issued), "store_cart")
		mustBe(t, err, fault.Invalid)
	})
}

// A granted access token expires no later than its API token.
func TestEndsWithTheAPIToken(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		issued := h.issue(scope.LevelAccount, []string{"account_read"},
			func(r *token.Request) { r.ExpiresAt = now.Add(20 * time.Minute) })
		g := h.grant(issued, "")
		if r := h.mustWork(g.AccessToken); g.Lifetime != 20*time.Minute ||
			!r.Principal.ExpiresAt.Equal(now.Add(20*time.Minute)) {
			t.Errorf("the grant: got lifetime %v until %v, want %v until %v",
				g.Lifetime, r.Principal.ExpiresAt, 20*time.Minute, now.Add(20*time.Minute))
		}
	})
}

// A client with a granted access token cannot create a token with more scopes, or a
// later expiration, than the granted one.
func TestGrantedTokenCannotGainRights(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		issued := h.issue(scope.LevelAccount, []string{"account_api_tokens_write", "store_cart", "account_read"},
			func(r *token.Request) { r.ExpiresAt = now.Add(10 * time.Minute) })
		g := h.grant(issued, "account_api_tokens_write store_cart_read_only")
		by := h.mustWork(g.AccessToken).Principal
		_, err := h.Tokens.Rotate(t.Context(), &by, issued.Token.ID, nil)
		mustBe(t, err, fault.Forbidden)
		req := token.Request{Owner: token.AccountOwner(h.home.Account), Name: "Child",
			Scopes: []string{"store_cart_read_only"}, ExpiresAt: now.Add(10 * time.Minute)}
		for _, tc := range []struct {
			name string
			edit func(*token.Request)
			want fault.Kind
		}{
			{"the same scopes", func(*token.Request) {}, ""},
			{"more scopes", func(r *token.Request) { r.Scopes = []string{"store_cart"} }, fault.Forbidden},
			{"a later expiration", func(r *token.Request) { r.ExpiresAt = now.Add(time.Hour) }, fault.Forbidden},
			{"no expiration", func(r *token.Request) { r.ExpiresAt = time.Time{} }, fault.Forbidden},
		} {
			requested := req
			tc.edit(&requested)
			_, err := h.Tokens.Create(t.Context(), &by, requested)
			check.Equal(t, fault.KindOf(err), tc.want, "%s: %v", tc.name, err)
		}
	})
}

// A client revokes its own access tokens, of either kind, and no others.
func TestRevoke(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		for _, level := range levels {
			mine, theirs := h.issue(level, []string{"store_cart"}), h.issue(level, []string{"store_cart"})
			granted, stored, foreign := h.grant(mine, ""), h.grant(mine, ""), h.grant(theirs, "")
			before := len(h.events())
			revoked, none := h.issue(level, []string{"store_cart"}), secret.Secret{}
			if _, err := h.Tokens.Revoke(t.Context(), h.owner,
				token.RevokeRequest{IDs: []uuid.UUID{revoked.Token.ID}}); err != nil {
				t.Fatal(err)
			}
			for _, tc := range []struct {
				name      string
				presented string
				ended     secret.Secret // the token that must stop working
				want      fault.Kind
			}{
				{"a granted token", granted.AccessToken.Reveal(), granted.AccessToken, ""},
				{"a granted token again", granted.AccessToken.Reveal(), none, ""},
				{"the durable token", mine.AccessToken.Reveal(), mine.AccessToken, ""},
				{"the durable token again", mine.AccessToken.Reveal(), none, ""},
				{"another client's granted token", foreign.AccessToken.Reveal(), none, fault.Forbidden},
				{"another client's durable token", theirs.AccessToken.Reveal(), none, fault.Forbidden},
				{"another client's revoked token", revoked.AccessToken.Reveal(), none, fault.Forbidden},
				{"an unknown granted token", other(t, secret.OAuthAccessToken).Reveal(), none, ""},
				{"an unknown durable token", other(t, secret.StoreAccessToken).Reveal(), none, ""},
				{"its client secret", mine.ClientSecret.Reveal(), none, fault.Forbidden},
				{"a session", other(t, secret.UserSession).Reveal(), none, fault.Forbidden},
				{"not a secret", "token", none, ""},
			} {
				events := len(h.events())
				if tc.ended.Kind() != "" {
					h.mustWork(tc.ended)
				}
				if err := h.Revoke(t.Context(), h.client(mine), tc.presented); fault.KindOf(err) != tc.want {
					t.Fatalf("%s: %v, want %q", tc.name, err, tc.want)
				}
				logged := len(h.events()) - events
				if tc.ended.Kind() == "" {
					check.Equal(t, logged, 0, "%s: an event was recorded", tc.name)
					continue
				}
				h.mustNotWork(tc.ended)
				last := h.events()[len(h.events())-1]
				if logged != 1 || last.Action != audit.AccessTokenRevoked || last.Actor.ID != mine.Token.ID ||
					last.Target.Key != mine.Token.ID.String() ||
					last.Details[0].Value != tc.ended.Hint() || last.IP != "192.0.2.7" {
					t.Errorf("%s: got %d events, the last %+v, want 1 with %s by %s",
						tc.name, logged, last, audit.AccessTokenRevoked, mine.Token.ID)
				}
			}
			check.Equal(t, len(h.events())-before, 2, "len(h.events()) - before")
			for _, s := range []secret.Secret{stored.AccessToken, foreign.AccessToken, theirs.AccessToken} {
				h.mustWork(s)
			}
		}
	})
}

// A revocation reaches other processes.
func TestRevokedInAnotherProcess(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		issued := h.issue(scope.LevelAccount, []string{"account_read"})
		g := h.grant(issued, "")
		there := newSibling(t, h, 0)
		mustBe(t, there.verify(g.AccessToken), "")
		if err := h.Revoke(t.Context(), h.client(issued), g.AccessToken.Reveal()); err != nil {
			t.Fatal(err)
		}
		there.mustRefuse(t, g.AccessToken)
	})
}
