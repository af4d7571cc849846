package graph_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/graph"
	"latchkey/graph/object"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// silent is a repository whose database answers no revocation but those of
// tokens that are lucky.
type silent struct {
	token.Repository
	lucky uuid.UUID
	fails error
}

func (s silent) Revoke(ctx context.Context, _ auth.Actor, e token.RevocationDraft) (token.RevocationOutcome, error) {
	if e.IDs[0] == s.lucky {
		return token.RevocationOutcome{}, nil
	}
	if s.fails != nil {
		return token.RevocationOutcome{}, s.fails
	}
	<-ctx.Done()
	return token.RevocationOutcome{}, ctx.Err()
}

// A write that does not return within five seconds is a 503, as a look-up is, unless another one of the request
// succeeded.
func TestWritesThatDoNotReturn(t *testing.T) {
	lucky, other := uuid.New(), uuid.New()
	ids := object.TokenIDs([]uuid.UUID{lucky, other})
	revoke := func(alias, id string) string {
		return fmt.Sprintf("%s: revokeApiTokens(input: {ids: [%q]}) { revokedIds } ", alias, id)
	}
	for _, tc := range []struct {
		name, fields string
		fails        error
		status       int
		took         time.Duration
		counted      []string
	}{
		{"one works", revoke("a", ids[0]), nil, http.StatusOK, 0, nil},
		{"silent", revoke("a", ids[1]), nil, http.StatusServiceUnavailable, 5 * time.Second,
			[]string{"mutation apiToken INTERNAL"}},
		{"silent, and one works", revoke("a", ids[0]) + revoke("b", ids[1]), nil, http.StatusOK, 5 * time.Second,
			[]string{"mutation apiToken INTERNAL"}},
		{"away", revoke("a", ids[1]), fmt.Errorf("revoke: %w", fault.ErrUnavailable), http.StatusServiceUnavailable, 0,
			[]string{"mutation apiToken INTERNAL"}},
		{"broken", revoke("a", ids[1]), fmt.Errorf("revoke: no such table"), http.StatusOK, 0,
			[]string{"mutation apiToken INTERNAL"}},
		{"refused", revoke("a", ids[1]), fault.Errorf(fault.Conflict, "No."), http.StatusOK, 0,
			[]string{"mutation apiToken CONFLICT"}},
		{"never run", "nothing", nil, http.StatusOK, 0, []string{"  INVALID"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys, err := secret.NewKeyring(rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				var mu sync.Mutex
				var counted []string
				h := newAPI(t, func(c *graph.Config) {
					c.Tokens = token.NewService(silent{lucky: lucky, fails: tc.fails},
						token.Policy{Catalogue: scope.Default()}, keys, rand.Reader, time.Now)
					c.OnError = func(operation, group string, code fault.Kind) {
						mu.Lock()
						defer mu.Unlock()
						counted = append(counted, fmt.Sprint(operation, " ", group, " ", code))
					}
				})
				by := auth.OperatorPrincipal()
				by.AccountID = ownAccount
				began := time.Now()
				w := h.send(newRequest(http.MethodPost, "",
					body("mutation { anything: apiToken { "+tc.fields+"} }", nil)), &by)
				if took := time.Since(began); w.Code != tc.status || took != tc.took {
					t.Errorf("status %d after %s, want %d after %s: %s", w.Code, took, tc.status, tc.took, w.Body)
				}
				check.Equal(t, counted, tc.counted, "counted")
				var answer struct{ Data map[string]any }
				if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
					t.Fatal(err)
				}
				lost := tc.status == http.StatusServiceUnavailable
				if lost != (w.Header().Get("Retry-After") == "1") || lost && answer.Data != nil {
					t.Errorf("got headers %v: %s, want Retry-After 1 and no data: %t", w.Header(), w.Body, lost)
				}
				if tc.took > 0 && !strings.Contains(w.Body.String(), "not confirmed within 5s. It may have been made") {
					t.Errorf("got %s, want it not confirmed within 5s", w.Body)
				}
			})
		})
	}
}

// eachSlow takes three seconds for each slice of users, and changes nothing.
type eachSlow struct{ membership.Repository }

func (eachSlow) SliceSize() int { return 1 }

func (eachSlow) ChangeSlice(ctx context.Context, _ auth.Actor, _ uuid.UUID, _ func(membership.Change) error) error {
	select {
	case <-time.After(3 * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Work in bulk takes as long as its slices do.
func TestBulkIsBoundedBySlices(t *testing.T) {
	for _, document := range []string{
		`mutation { account { provisionUsers(input: {users: [{email: "a@x.example"}, {email: "b@x.example"}]}) { dryRun } } }`,
		`mutation { account { deprovisionUsers(input: {users: [{email: "a@x.example"}, {email: "b@x.example"}]}) { dryRun } } }`,
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newAPI(t, func(c *graph.Config) { c.Memberships = membership.NewService(eachSlow{}, time.Now) })
			by := auth.OperatorPrincipal()
			by.AccountID = ownAccount
			began := time.Now()
			w := h.send(newRequest(http.MethodPost, "", body(document, nil)), &by)
			check.Equal(t, time.Since(began), 6*time.Second, "after: %s", w.Body)
		})
	}
}

// deadlines records whether the contexts of its calls have a deadline.
type deadlines struct {
	user.Repository
	reading, writing bool
}

func (d *deadlines) Account(ctx context.Context, id uuid.UUID) (account.Account, error) {
	_, d.reading = ctx.Deadline()
	return account.Account{ID: id, Name: "Acme"}, nil
}

func (d *deadlines) Change(ctx context.Context, _ auth.Actor, _ uuid.UUID, _ func(user.Change) error) error {
	_, d.writing = ctx.Deadline()
	return fault.Errorf(fault.Conflict, "No.")
}

// Requests wait for their turn to hash a password. Nothing is written meanwhile, so the time limit of a write, after
// which a change may have been made, begins after it.
func TestHashingIsNotPartOfTheWrite(t *testing.T) {
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	repo := &deadlines{}
	h := newAPI(t, func(c *graph.Config) { c.Users = user.NewService(repo, keys, rand.Reader, time.Now) })
	by := auth.OperatorPrincipal()
	by.AccountID = ownAccount
	w := h.send(newRequest(http.MethodPost, "", body(`mutation { user { createUserWithPassword(input: {
		email: "a@x.example", firstName: "A", lastName: "B", locale: "en",
		password: "violet harbour lantern", passwordConfirmation: "violet harbour lantern"}) { user { id } } } }`, nil)), &by)
	if !strings.Contains(w.Body.String(), "CONFLICT") || repo.reading || !repo.writing {
		t.Errorf("before the hash: deadline %t, want false; after it: %t, want true; got %s", repo.reading, repo.writing,
			w.Body)
	}
}
