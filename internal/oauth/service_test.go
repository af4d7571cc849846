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
	"latchkey/internal/token"
)

var levels = []scope.Level{scope.LevelAccount, scope.LevelStore}

// A granted access token stands for its API token, for an hour, and the log
// says so.
func TestGrant(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		for _, level := range levels {
			issued := h.issue(level, []string{"store_v2_products", "store_cart"})
			before := len(h.events())
			g := h.grant(issued, "")
			if g.AccessToken.Kind() != secret.OAuthAccessToken || !g.Scopes.Equal(issued.Token.Scopes) || g.Lifetime != time.Hour {
				t.Errorf("%s: granted %s %s for %v", level, g.AccessToken.Kind(), g.Scopes, g.Lifetime)
			}
			durable, r := h.mustWork(issued.AccessToken), h.mustWork(g.AccessToken)
			want := durable.Principal
			want.Granted, want.ExpiresAt = true, now.Add(time.Hour)
			want.Credential = auth.Credential{Kind: auth.GrantedAccessToken, ID: r.Principal.Credential.ID, Rights: want.Credential.Rights}
			if got := r.Principal; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("the principal is\n%+v\nwant\n%+v", got, want)
			}
			if r.ClientID != issued.Token.ClientID || r.StoreHash != issued.Token.StoreHash || !r.IssuedAt.Equal(now) || r.ScopeText != g.Scopes.String() {
				t.Errorf("the record is %+v", r)
			}
			wantEvents := []audit.Event{{
				AccountID: h.world.Account.ID, At: now, Action: audit.AccessTokenGranted, IP: "192.0.2.7", RequestID: "request-1",
				Actor:  audit.Actor{Kind: audit.ActorAPIToken, ID: issued.Token.ID, Name: "Nightly export"},
				Target: audit.Target{Kind: audit.TargetAPIToken, Key: issued.Token.ID.String(), Name: "Nightly export"},
				Details: []audit.Detail{{Name: "hint", Value: g.AccessToken.Hint()}, {Name: "scopes", Value: g.Scopes.String()},
					{Name: "expiresAt", Value: "2026-03-01T13:00:00Z"}},
			}}
			if got := h.events()[before:]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", wantEvents) {
				t.Errorf("events\n%+v\nwant\n%+v", got, wantEvents)
			}
			h.clock = now.Add(time.Hour - time.Microsecond)
			h.mustWork(g.AccessToken)
			h.clock = now.Add(time.Hour)
			h.mustNotWork(g.AccessToken)
			h.mustWork(issued.AccessToken)
			h.clock = now
		}
	})
}

func TestScopes(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		issued := h.issue(scope.LevelAccount, []string{"store_v2_products", "store_cart", "account_read"})
		for _, tc := range []struct {
			name, asked, want string // nothing wanted is invalid
		}{
			{"all that it holds", "", issued.Token.Scopes.String()},
			{"one", "account_read", "account_read"},
			{"what comes with one", "store_v2_products", "store_v2_products store_v2_products_read_only"},
			{"only what came with one", "store_v2_products_read_only", "store_v2_products_read_only"},
			{"several, and one twice", "store_cart_read_only account_read account_read", "account_read store_cart_read_only"},
			{"one that it does not hold", "account_read account_users_read", ""},
			{"one that there is not", "account_read everything", ""},
			{"in other letters", "ACCOUNT_READ", ""},
			{"with commas", "account_read,store_cart", ""},
			{"with several spaces", "account_read  store_cart_read_only", "account_read store_cart_read_only"},
			{"blank", " ", ""},
			{"a tab between", "account_read\tstore_cart", ""},
			{"a line break after", "account_read\n", ""},
			{"a space that is not ASCII", "account_read\u00a0store_cart", ""},
		} {
			t.Run(tc.name, func(t *testing.T) {
				g, err := h.Grant(t.Context(), h.client(issued), tc.asked)
				if tc.want == "" {
					mustBe(t, err, fault.Invalid)
					return
				}
				if err != nil || g.Scopes.String() != tc.want || h.mustWork(g.AccessToken).ScopeText != tc.want {
					t.Errorf("granted %q, %v", g.Scopes, err)
				}
			})
		}
	})
}

// Scopes of a feature that the account lost cannot be asked for, and a granted
// token loses them with the account.
func TestScopesOfAFeature(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		issued := h.issue(scope.LevelAccount, []string{"account_read", "account_subscriptions_read"})
		g := h.grant(issued, "account_subscriptions_read account_read")
		h.world.Account.Features = nil
		h.suspend(account.Active, account.Active)
		if got := h.mustWork(g.AccessToken).ScopeText; got != "account_read" {
			t.Errorf("it holds %q", got)
		}
		_, err := h.Grant(t.Context(), h.client(issued), "account_subscriptions_read")
		mustBe(t, err, fault.Invalid)
	})
}

func TestAuthenticate(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		issued := h.issue(scope.LevelStore, []string{"store_cart"}, func(r *token.Request) { r.AllowedIPRanges = []string{"192.0.2.0/24"} })
		second := h.issue(scope.LevelStore, []string{"store_cart"})
		elsewhere := home
		elsewhere.IP = netip.MustParseAddr("198.51.100.1")
		mapped := home
		mapped.IP = netip.MustParseAddr("::ffff:192.0.2.9")
		for _, tc := range []struct {
			name, id string
			secret   secret.Secret
			from     auth.Origin
			reason   oauth.Reason // empty for a client that is let in
		}{
			{"right", issued.Token.ClientID, issued.ClientSecret, home, ""},
			{"right, by IPv6", issued.Token.ClientID, issued.ClientSecret, mapped, ""},
			{"unknown", "nobody", issued.ClientSecret, home, "unknown"},
			{"another's secret", issued.Token.ClientID, second.ClientSecret, home, "unknown"},
			{"a secret of nobody", issued.Token.ClientID, other(t, secret.ClientSecret), home, "unknown"},
			{"no secret", issued.Token.ClientID, secret.Secret{}, home, "malformed"},
			{"an access token", issued.Token.ClientID, issued.AccessToken, home, "malformed"},
			{"no id", "", issued.ClientSecret, home, "malformed"},
			{"an id that is none", "a\x00b", issued.ClientSecret, home, "malformed"},
			{"a long id", strings.Repeat("a", 129), issued.ClientSecret, home, "malformed"},
			{"from elsewhere", issued.Token.ClientID, issued.ClientSecret, elsewhere, "address not allowed"},
			{"from nowhere", issued.Token.ClientID, issued.ClientSecret, auth.Origin{}, "address not allowed"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				p, err := h.Authenticate(t.Context(), tc.id, tc.secret, tc.from)
				if tc.reason == "" {
					if err != nil || p.ID != issued.Token.ID || p.Origin != tc.from || !p.Scopes.Equal(issued.Token.Scopes) {
						t.Errorf("%+v, %v", p, err)
					}
					return
				}
				refused(t, err)
				var r *oauth.Refusal
				if !errors.As(err, &r) || r.Reason != tc.reason {
					t.Errorf("refused for %v", r)
				}
			})
		}
	})
}

// refused fails unless the answer is the one that all get who are not let in.
func refused(t *testing.T, err error) {
	t.Helper()
	mustBe(t, err, fault.Unauthenticated)
	const want = "The client is unknown, its secret is wrong, or its API token does not work, or no longer, or not from here."
	if err == nil || err.Error() != want {
		t.Errorf("the answer is %v", err)
	}
}

// Whatever ends the API token, or stops it, ends or stops what was granted at
// that moment, and nothing more is granted.
func TestBoundToTheAPIToken(t *testing.T) {
	revoke := func(h *house, i token.Issued) error {
		_, err := h.tokens.Revoke(h.t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{i.Token.ID}})
		return err
	}
	expire := func(h *house, i token.Issued) error {
		at := now.Add(time.Minute)
		_, err := h.tokens.Update(h.t.Context(), h.owner, token.Update{ID: i.Token.ID, ExpiresAt: &at})
		h.clock = at
		return err
	}
	confine := func(h *house, i token.Issued) error {
		_, err := h.tokens.Update(h.t.Context(), h.owner, token.Update{ID: i.Token.ID, AllowedIPRanges: []string{"198.51.100.0/24"}})
		return err
	}
	for _, tc := range []struct {
		name string
		stop func(*house, token.Issued) error
		back func(*house) // undoes it, where that can be done
	}{
		{"revoked", revoke, nil},
		{"expired", expire, nil},
		{"confined to other addresses", confine, nil},
		{"the store suspended", func(h *house, _ token.Issued) error { h.suspend(account.Active, account.Suspended); return nil },
			func(h *house) { h.suspend(account.Active, account.Active) }},
		{"the account suspended", func(h *house, _ token.Issued) error { h.suspend(account.Suspended, account.Active); return nil },
			func(h *house) { h.suspend(account.Active, account.Active) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachHouse(t, func(t *testing.T, h *house) {
				issued := h.issue(scope.LevelStore, []string{"store_cart"})
				g, client := h.grant(issued, ""), h.client(issued)
				h.mustWork(g.AccessToken)
				if err := tc.stop(h, issued); err != nil {
					t.Fatal(err)
				}
				h.mustNotWork(g.AccessToken)
				_, err := h.Authenticate(t.Context(), issued.Token.ClientID, issued.ClientSecret, home)
				refused(t, err)
				if tc.name == "revoked" { // between authenticating and granting
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

// Narrowing the API token narrows what was granted at that moment.
func TestNarrowing(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		issued := h.issue(scope.LevelAccount, []string{"store_v2_products", "store_cart", "account_read"})
		whole, part := h.grant(issued, ""), h.grant(issued, "store_v2_products")
		h.mustWork(whole.AccessToken)
		h.mustWork(part.AccessToken)
		if _, err := h.tokens.Update(t.Context(), h.owner, token.Update{ID: issued.Token.ID, Scopes: []string{"account_read", "store_v2_products_read_only"}}); err != nil {
			t.Fatal(err)
		}
		if got := h.mustWork(whole.AccessToken).ScopeText; got != "account_read store_v2_products_read_only" {
			t.Errorf("one granted all holds %q", got)
		}
		if got := h.mustWork(part.AccessToken).ScopeText; got != "store_v2_products_read_only" {
			t.Errorf("one granted a part holds %q", got)
		}
		_, err := h.Grant(t.Context(), h.client(issued), "store_cart")
		mustBe(t, err, fault.Invalid)
	})
}

// A granted token never outlives its API token.
func TestEndsWithTheAPIToken(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		issued := h.issue(scope.LevelAccount, []string{"account_read"}, func(r *token.Request) { r.ExpiresAt = now.Add(20 * time.Minute) })
		g := h.grant(issued, "")
		if r := h.mustWork(g.AccessToken); g.Lifetime != 20*time.Minute || !r.Principal.ExpiresAt.Equal(now.Add(20*time.Minute)) {
			t.Errorf("it lives %v, to %v", g.Lifetime, r.Principal.ExpiresAt)
		}
	})
}

// What acts by a granted token cannot get more out of its API token than it
// was granted, nor for longer.
func TestNoMightier(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		issued := h.issue(scope.LevelAccount, []string{"account_api_tokens_write", "store_cart", "account_read"},
			func(r *token.Request) { r.ExpiresAt = now.Add(10 * time.Minute) })
		g := h.grant(issued, "account_api_tokens_write store_cart_read_only")
		by := h.mustWork(g.AccessToken).Principal
		_, err := h.tokens.Rotate(t.Context(), &by, issued.Token.ID, nil)
		mustBe(t, err, fault.Forbidden)
		req := token.Request{Owner: token.AccountOwner(h.world.Account), Name: "Child", Scopes: []string{"store_cart_read_only"}, ExpiresAt: now.Add(10 * time.Minute)}
		for _, tc := range []struct {
			name string
			edit func(*token.Request)
			want fault.Kind
		}{
			{"no more than it holds", func(*token.Request) {}, ""},
			{"more than it was granted", func(r *token.Request) { r.Scopes = []string{"store_cart"} }, fault.Forbidden},
			{"for longer", func(r *token.Request) { r.ExpiresAt = now.Add(time.Hour) }, fault.Forbidden},
			{"for ever", func(r *token.Request) { r.ExpiresAt = time.Time{} }, fault.Forbidden},
		} {
			asked := req
			tc.edit(&asked)
			_, err := h.tokens.Create(t.Context(), &by, asked)
			if fault.KindOf(err) != tc.want {
				t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
			}
		}
	})
}

// A client ends its own access tokens, of either sort, and nobody else's.
func TestRevoke(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		for _, level := range levels {
			mine, theirs := h.issue(level, []string{"store_cart"}), h.issue(level, []string{"store_cart"})
			granted, kept, foreign := h.grant(mine, ""), h.grant(mine, ""), h.grant(theirs, "")
			before := len(h.events())
			dead, none := h.issue(level, []string{"store_cart"}), secret.Secret{}
			if _, err := h.tokens.Revoke(t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{dead.Token.ID}}); err != nil {
				t.Fatal(err)
			}
			for _, tc := range []struct {
				name      string
				presented string
				ended     secret.Secret // one that must not work any more
				want      fault.Kind
			}{
				{"a granted one", granted.AccessToken.Reveal(), granted.AccessToken, ""},
				{"again", granted.AccessToken.Reveal(), none, ""},
				{"the durable one", mine.AccessToken.Reveal(), mine.AccessToken, ""},
				{"the durable one again", mine.AccessToken.Reveal(), none, ""},
				{"another's", foreign.AccessToken.Reveal(), none, fault.Forbidden},
				{"another's durable one", theirs.AccessToken.Reveal(), none, fault.Forbidden},
				{"another's that is revoked, which is not told", dead.AccessToken.Reveal(), none, fault.Forbidden},
				{"a granted one that there is not", other(t, secret.OAuthAccessToken).Reveal(), none, ""},
				{"a durable one that there is not", other(t, secret.StoreAccessToken).Reveal(), none, ""},
				{"its own secret", mine.ClientSecret.Reveal(), none, fault.Forbidden},
				{"a session, whether there is one or not", other(t, secret.UserSession).Reveal(), none, fault.Forbidden},
				{"no secret at all", "token", none, ""},
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
					if logged != 0 {
						t.Errorf("%s: it is logged", tc.name)
					}
					continue
				}
				h.mustNotWork(tc.ended)
				last := h.events()[len(h.events())-1]
				if logged != 1 || last.Action != audit.AccessTokenRevoked || last.Actor.ID != mine.Token.ID || last.Target.Key != mine.Token.ID.String() ||
					last.Details[0].Value != tc.ended.Hint() || last.IP != "192.0.2.7" {
					t.Errorf("%s: %d events, the last %+v", tc.name, logged, last)
				}
			}
			if n := len(h.events()) - before; n != 2 {
				t.Errorf("%d events", n)
			}
			for _, s := range []secret.Secret{kept.AccessToken, foreign.AccessToken, theirs.AccessToken} {
				h.mustWork(s)
			}
		}
	})
}

// Another process hears of an ended grant.
func TestRevokedElsewhere(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		issued := h.issue(scope.LevelAccount, []string{"account_read"})
		g := h.grant(issued, "")
		there := newSibling(t, h, 0)
		mustBe(t, there.look(g.AccessToken), "")
		if err := h.Revoke(t.Context(), h.client(issued), g.AccessToken.Reveal()); err != nil {
			t.Fatal(err)
		}
		there.mustRefuse(t, g.AccessToken)
	})
}
