package token_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

func TestRevoke(t *testing.T) {
	repo, clock := newMemoryRepository(), now
	s := service(t, repo, &clock)
	a, b := issued(t, s, scope.LevelAccount, nil), issued(t, s, scope.LevelStore, nil)
	revoked, err := s.Revoke(ctx, accountOwner(acme),
		token.RevokeRequest{IDs: []uuid.UUID{b.ID, a.ID, b.ID}, Reason: " left the company "})
	if err != nil || revoked.At != now || !slices.Equal(revoked.IDs, repo.revokedIDs) {
		t.Fatalf("Revoke() = %+v, %v, want the IDs %v at %v", revoked, err, repo.revokedIDs, now)
	}
	if want := []uuid.UUID{a.ID, b.ID}; !slices.Equal(repo.revokedIDs, want) || repo.only != nil {
		t.Errorf("repository got IDs %v and stores %v, want IDs %v", repo.revokedIDs, repo.only, want)
	}
	if r := repo.tokens[a.ID].Revocation; r == nil || r.Reason != "left the company" || r.By.Kind != audit.ActorUser ||
		r.At != now {
		t.Errorf("revocation: got %+v, want one by a user at %v with the trimmed reason", r, now)
	}
	events := repo.events[2:]
	if len(events) != 2 || events[0].Action != audit.APITokenRevoked ||
		details(events[0])["reason"] != "left the company" {
		t.Errorf("events of two revocations: got %+v, want two with action %s and the reason",
			events, audit.APITokenRevoked)
	}
	clock = clock.Add(time.Hour)
	if _, err := s.Revoke(ctx, accountOwner(acme), token.RevokeRequest{IDs: []uuid.UUID{a.ID}}); err != nil ||
		repo.tokens[a.ID].Revocation.At != now {
		t.Errorf("repeated revocation: error %v, revoked at %v, want no error and the first time, %v",
			err, repo.tokens[a.ID].Revocation.At, now)
	}
}

func TestRevokeRefuses(t *testing.T) {
	ids := func(n int) []uuid.UUID {
		list := make([]uuid.UUID, n)
		for i := range list {
			list[i] = uuid.New()
		}
		return list
	}
	for _, tc := range []struct {
		name string
		req  token.RevokeRequest
		want []string
	}{
		{"no ids", token.RevokeRequest{}, []string{"INVALID ids"}},
		{"251 ids", token.RevokeRequest{IDs: ids(251)}, []string{"INVALID ids"}},
		{"251 times the same id", token.RevokeRequest{IDs: make([]uuid.UUID, 251)}, []string{"INVALID ids"}},
		{"a reason of 501 characters", token.RevokeRequest{IDs: ids(1), Reason: strings.Repeat("ö", 501)},
			[]string{"INVALID reason"}},
		{"a reason that is not UTF-8", token.RevokeRequest{IDs: ids(1), Reason: "\xff"}, []string{"INVALID reason"}},
		{"a reason with NUL", token.RevokeRequest{IDs: ids(1), Reason: "left\x00"}, []string{"INVALID reason"}},
		{"a reason that contains a credential",
			token.RevokeRequest{IDs: ids(1), Reason: "found " + generate(t,
				secret.ClientSecret).Reveal() + " in a log"},
			[]string{"INVALID reason"}},
		{"a reason of two lines", token.RevokeRequest{IDs: ids(1), Reason: "left\nyesterday"},
			[]string{"INVALID reason"}},
		{"no ids and a long reason", token.RevokeRequest{Reason: strings.Repeat("x", 501)},
			[]string{"INVALID ids", "INVALID reason"}},
		{"a reason of 500 characters, unknown token",
			token.RevokeRequest{IDs: ids(1), Reason: strings.Repeat("ö", 500)}, []string{"NOT_FOUND ids.0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			repo, clock := newMemoryRepository(), now
			_, err := service(t, repo, &clock).Revoke(ctx, accountOwner(acme), tc.req)
			wantFaults(t, err, tc.want...)
		})
	}
	t.Run("250 ids are not too many", func(t *testing.T) {
		repo, clock := newMemoryRepository(), now
		_, err := service(t, repo, &clock).Revoke(ctx, accountOwner(acme), token.RevokeRequest{IDs: ids(250)})
		if n := len(fault.Flatten(err)); n != 250 || fault.KindOf(err) != fault.NotFound {
			t.Errorf("%d faults, want one for each id: %v", n, fault.KindOf(err))
		}
	})
}

// Revoke revokes all tokens or none. It reports the index of each ID that the
// principal may not revoke.
func TestRevokeWithoutRights(t *testing.T) {
	for _, tc := range []struct {
		name string
		by   *auth.Principal
		want []string // of the ids: account-level, store-level, store-level again
	}{
		{"the operator without an account", operator(),
			[]string{"NOT_FOUND ids.0", "NOT_FOUND ids.1", "NOT_FOUND ids.2"}},
		{"the account's owner", accountOwner(acme), nil},
		{"the store's owner", storeOwner(acmeUS), []string{"NOT_FOUND ids.0"}},
		{"the owner of another store", storeOwner(acmeEU),
			[]string{"NOT_FOUND ids.0", "NOT_FOUND ids.1", "NOT_FOUND ids.2"}},
		{"the owner of another account", accountOwner(globex),
			[]string{"NOT_FOUND ids.0", "NOT_FOUND ids.1", "NOT_FOUND ids.2"}},
		{"a token that may issue", issuer(acme), nil},
		{"a token that may not", apiToken(acme, scope.AccountAPITokensRead), []string{"FORBIDDEN"}},
		{"a user who owns nothing", &auth.Principal{NoCredential: "a test", Kind: auth.Session, AccountID: acme.ID,
			Scopes: everyScope()}, []string{"FORBIDDEN"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			repo, clock := newMemoryRepository(), now
			s := service(t, repo, &clock)
			a, b := issued(t, s, scope.LevelAccount, nil), issued(t, s, scope.LevelStore, nil)
			_, err := s.Revoke(ctx, tc.by, token.RevokeRequest{IDs: []uuid.UUID{a.ID, b.ID, b.ID}})
			wantFaults(t, err, tc.want...)
			for _, id := range []uuid.UUID{a.ID, b.ID} {
				if revoked := repo.tokens[id].Revocation != nil; revoked != (tc.want == nil) {
					t.Errorf("token %s is revoked: got %t, want %t", id, revoked, tc.want == nil)
				}
			}
		})
	}
}
