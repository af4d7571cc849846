package token_test

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// credential is an access token that an attacker has: the IDs of its API token and
// of itself.
type credential struct{ tokenID, accessID uuid.UUID }

// power is the rights of a credential as a verifier returns them.
type power struct {
	scopes scope.Set
	end    time.Time // zero for never
	ranges []netip.Prefix
	limit  auth.ChargeLimit
}

// within reports whether p has no right that q lacks.
func (p power) within(q power) bool {
	inside := func(inner netip.Prefix) bool {
		return slices.ContainsFunc(q.ranges, func(o netip.Prefix) bool {
			return o.Bits() <= inner.Bits() &&
				o.Contains(inner.Addr())
		})
	}
	charges := !p.scopes.Has(scope.AccountChargesWrite) || q.limit.IsZero() ||
		!p.limit.IsZero() && p.limit.Minor <= q.limit.Minor
	return charges && q.scopes.Contains(p.scopes) && until(p.end).Compare(until(q.end)) <= 0 &&
		(len(q.ranges) == 0 || len(p.ranges) > 0 &&
			!slices.ContainsFunc(p.ranges, func(r netip.Prefix) bool { return !inside(r) }))
}

// until returns a comparable time for an expiration; no expiration is the latest.
func until(end time.Time) time.Time {
	if end.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return end
}

// powerOf returns the rights of a credential at a time, and whether it works.
func (s *memoryRepository) powerOf(c credential, at time.Time) (power, bool) {
	t := s.tokens[c.tokenID]
	i := slices.IndexFunc(s.access[c.tokenID], func(a token.AccessToken) bool { return a.ID == c.accessID })
	access := s.access[c.tokenID][i]
	ends := []time.Time{t.ExpiresAt, access.ExpiresAt}
	end := slices.MinFunc(ends, func(a, b time.Time) int { return until(a).Compare(until(b)) })
	works := t.Status(at) == token.Active && !s.hasEnded(access) && at.Before(until(end))
	return power{t.Scopes, end, t.AllowedIPRanges, t.ChargeLimit}, works
}

// attack is one run of the property: a repository, and the credentials that an
// attacker derived from one.
type attack struct {
	*rapid.T
	repo  *memoryRepository
	s     *token.Service
	clock time.Time
	held  []credential
}

var (
	someScopes = []string{scope.AccountAPITokensWrite, scope.AccountAPITokensRead, scope.AccountUsersRead,
		scope.AccountUsersWrite, scope.AccountChargesWrite,
		"store_cart", "store_cart_read_only", "store_sites", "store_metafield_write_all", "store_metafield_write"}
	someRanges = []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "::/0"}
)

func (a *attack) scopes() []string {
	return rapid.SliceOfN(rapid.SampledFrom(someScopes), 1, 4).Draw(a.T, "scopes")
}

func (a *attack) ranges() []string {
	return rapid.SliceOfN(rapid.SampledFrom(someRanges), 0, 2).Draw(a.T, "ranges")
}

func (a *attack) limit() *token.Amount {
	value := rapid.SampledFrom([]string{"", "", "5", "10"}).Draw(a.T, "limit")
	if value == "" {
		return nil
	}
	return dollars(value)
}

func (a *attack) end() time.Time {
	if hours := rapid.IntRange(0, 8).Draw(a.T, "ends in hours"); hours > 0 {
		return a.clock.Add(time.Duration(hours) * time.Hour)
	}
	return time.Time{}
}

func (a *attack) request() token.Request {
	level := rapid.SampledFrom(levels).Draw(a.T, "level")
	return token.Request{Owner: enrolledOwners[level], Name: "Some token", Scopes: a.scopes(), ExpiresAt: a.end(),
		AllowedIPRanges: a.ranges(), ChargeLimit: a.limit()}
}

// principal returns the principal that the verifier returns for a credential.
func (a *attack) principal(c credential, p power) *auth.Principal {
	t := a.repo.tokens[c.tokenID]
	return &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: t.ID, AccountID: t.AccountID,
		StoreID: t.StoreID,
		Scopes:  p.scopes, ExpiresAt: p.end, AllowedIPRanges: p.ranges, ChargeLimit: p.limit}
}

// newest returns the access token that was added last.
func (a *attack) newest(id uuid.UUID) credential {
	access := a.repo.access[id]
	return credential{id, access[len(access)-1].ID}
}

// act uses a credential for one change. A credential that it gains is added to
// held, and must not have more rights.
func (a *attack) act(c credential) {
	before, works := a.repo.powerOf(c, a.clock)
	if !works {
		return
	}
	by := a.principal(c, before)
	ids := slices.SortedFunc(maps.Keys(a.repo.tokens), func(x, y uuid.UUID) int { return bytes.Compare(x[:], y[:]) })
	target := rapid.SampledFrom(ids).Draw(a.T, "target")
	var won credential
	switch rapid.SampledFrom([]string{"create", "update", "rotate"}).Draw(a.T, "deed") {
	case "create":
		issued, err := a.s.Create(ctx, by, a.request())
		if err != nil {
			return
		}
		won = a.newest(issued.Token.ID)
	case "update":
		was := a.repo.tokens[target]
		is, err := a.s.Update(ctx, by, token.Update{ID: target, Scopes: a.scopes(), ExpiresAt: new(a.end()),
			AllowedIPRanges: a.ranges(), ChargeLimit: a.limit()})
		if err == nil && !(power{is.Scopes, is.ExpiresAt, is.AllowedIPRanges, is.ChargeLimit}).within(
			power{was.Scopes, was.ExpiresAt, was.AllowedIPRanges, was.ChargeLimit}) {
			a.Fatalf("an update returned %+v, want it within %+v", is, was)
		}
		return
	case "rotate":
		overlap := time.Duration(rapid.IntRange(0, 3).Draw(a.T, "overlap in hours")) * time.Hour
		if _, err := a.s.Rotate(ctx, by, target, &overlap); err != nil {
			return
		}
		won = a.newest(target)
	}
	if got, _ := a.repo.powerOf(won, a.clock); !got.within(before) {
		a.Fatalf("the power gained: got %+v, want it within %+v", got, before)
	}
	a.held = append(a.held, won)
}

// No sequence of issuing, restricting and rotating derives a credential with more
// rights, a later expiration, more addresses or a higher charge limit than the original one, however much
// time passes in between (docs/promises.md: 4).
func TestNoChainYieldsMorePower(t *testing.T) {
	actions := 0
	rapid.Check(t, func(t *rapid.T) {
		a := &attack{T: t, repo: newMemoryRepository(), clock: now}
		a.s = service(t, a.repo, &a.clock)
		// The account's owner issued some tokens with any rights. The attacker has the first one.
		for i := range 3 {
			req := a.request()
			if i == 0 {
				req.Owner = enrolledOwners[scope.LevelAccount]
				req.Scopes = append(req.Scopes, scope.AccountAPITokensWrite)
				if req.ChargeLimit != nil {
					req.Scopes = append(req.Scopes, scope.AccountChargesWrite)
				}
			}
			issued, err := a.s.Create(ctx, accountOwner(acme), req)
			if i == 0 {
				if err != nil {
					t.Fatal(err)
				}
				a.held = append(a.held, a.newest(issued.Token.ID))
			}
		}
		root, _ := a.repo.powerOf(a.held[0], a.clock)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			a.clock = a.clock.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes pass")) * time.Minute)
			a.act(rapid.SampledFrom(a.held).Draw(t, "credential"))
		}
		for _, c := range a.held {
			if got, _ := a.repo.powerOf(c, a.clock); !got.within(root) {
				t.Fatalf("the power of a derived credential: got %+v, want it within %+v", got, root)
			}
		}
		actions += len(a.held) - 1
	})
	if actions < 20 {
		t.Errorf("derived credentials: got %d, want 20 at least, else the property is hardly tested", actions)
	}
}
