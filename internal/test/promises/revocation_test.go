package promises_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// bound is the time within which a revocation must reach other replicas (docs/architecture.md). While the feed works it
// takes milliseconds.
const bound = 2 * time.Second

// right is a request that succeeds before its right is revoked and is refused afterwards.
type right struct {
	token   string
	account string
	query   string
	// status and code are those of the refusal.
	status int
	code   string
}

const viewer = "{ viewer { kind } }"

// accepts reports whether the node still accepts the request. Any other response than the refusal fails the test.
func (r right) accepts(n *node) bool {
	n.t.Helper()
	a := n.ask(r.token, r.account, r.query, nil)
	if a.status == http.StatusOK && len(a.Errors) == 0 {
		return true
	}
	if a.status != r.status || len(a.Errors) == 0 || a.Errors[0].Extensions.Code != r.code {
		n.t.Fatalf("refused with status %d: %s, want %d %s", a.status, a.body, r.status, r.code)
	}
	return false
}

// revocations returns all ways to revoke a right, by name. Each creates a right and returns it with the function that
// revokes it.
func revocations(t *testing.T, h *deployment, n *node, session string) map[string]func() (right, func()) {
	issue := func(scopes ...string) issued {
		return n.issue(session, acme, vars{"name": "Some token", "scopes": scopes})
	}
	unauthenticated := func(token string) right {
		return right{token, acme, viewer, http.StatusUnauthorized, "UNAUTHENTICATED"}
	}
	all := deactivatedOverSCIM(h, n, issue(providerScopes...).access)
	maps.Copy(all, map[string]func() (right, func()){
		"revoked": func() (right, func()) {
			made := issue("account_read")
			return unauthenticated(made.access),
				func() { n.must(session, acme, revoke, vars{"in": vars{"ids": []string{made.id}}}) }
		},
		"revoked by itself": func() (right, func()) {
			made := issue("account_api_tokens_write")
			return unauthenticated(made.access),
				func() { n.must(made.access, acme, revoke, vars{"in": vars{"ids": []string{made.id}}}) }
		},
		"rotated at once": func() (right, func()) {
			made := issue("account_read")
			return unauthenticated(made.access),
				func() { n.must(session, acme, rotate, vars{"in": vars{"id": made.id, "overlapSeconds": 0}}) }
		},
		"rotated twice": func() (right, func()) {
			made := issue("account_read")
			return unauthenticated(made.access), func() {
				for range 2 {
					n.must(session, acme, rotate, vars{"in": vars{"id": made.id, "overlapSeconds": 3600}})
				}
			}
		},
		"granted to the client, whose token is revoked": func() (right, func()) {
			made := issue("account_read")
			return unauthenticated(n.granted(made)),
				func() { n.must(session, acme, revoke, vars{"in": vars{"ids": []string{made.id}}}) }
		},
		"granted to the client, which revokes it": func() (right, func()) {
			made := issue("account_read")
			granted := n.granted(made)
			return unauthenticated(granted),
				func() { n.asClient(made, "", "/oauth2/revoke", url.Values{"token": {granted}}) }
		},
		"revoked by its client": func() (right, func()) {
			made := issue("account_read")
			return unauthenticated(made.access),
				func() { n.asClient(made, "", "/oauth2/revoke", url.Values{"token": {made.access}}) }
		},
		"narrowed to fewer scopes": func() (right, func()) {
			made := issue("account_read", "account_stores_read")
			return right{made.access, acme, "{ account { accountInfo { name } } }", http.StatusOK, "FORBIDDEN"},
				func() {
					n.must(session, acme, update,
						vars{"in": vars{"id": made.id, "scopes": []string{"account_stores_read"}}})
				}
		},
		"narrowed to other addresses": func() (right, func()) {
			made := issue("account_read")
			return unauthenticated(made.access), func() {
				n.must(session, acme, update,
					vars{"in": vars{"id": made.id, "allowedIpRanges": []string{"192.0.2.0/24"}}})
			}
		},
		"revoked by command, in another process": func() (right, func()) {
			made := issue("account_read")
			return unauthenticated(made.access), func() { h.run("", "token", "revoke", made.id, "--account", acme) }
		},
		"no longer an owner": func() (right, func()) {
			out, _ := h.run("", "session", "create", "--email", globexOwner, "--account", globex)
			owned := right{strings.TrimSpace(out), globex, `{ account { accountInfo { name } } }`, http.StatusOK,
				"FORBIDDEN"}
			return owned, func() {
				h.run(strings.ReplaceAll(manifest, globexOwner, "new.owner@globex.example"), "apply", "-f", "-")
			}
		},
	})
	return all
}

// The node that answers a revocation refuses the request at once, and every other node within the bound, permanently.
// Before that all nodes accept it from their caches (docs/promises.md: 2).
func TestARevocationReachesEveryServer(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		local, nodes := h.serve(), []*node{h.serve(), h.serve()}
		nodes = append(nodes, local)
		session := h.session(acmeOwner)
		accepted := func(r right) (by int) {
			for _, n := range nodes {
				if r.accepts(n) {
					by++
				}
			}
			return by
		}
		var slowest time.Duration
		for name, setUp := range revocations(t, h, local, session) {
			t.Run(name, func(t *testing.T) {
				r, revokeRight := setUp()
				for range 3 {
					if by := accepted(r); by != len(nodes) {
						t.Fatalf("before the revocation: got the right accepted by %d servers, want %d", by, len(nodes))
					}
				}
				revokeRight()
				answered := time.Now()
				// A command runs in a process of its own, so it is remote to all nodes.
				if command := strings.Contains(name, "command") || strings.Contains(name, "owner"); !command &&
					r.accepts(local) {
					t.Error("the node that answered: got the right accepted, want it refused at once")
				}
				for _, n := range nodes {
					for r.accepts(n) {
						if time.Since(answered) > bound {
							t.Fatalf("a node still accepts the right after %v, want it refused within %v",
								time.Since(answered), bound)
						}
					}
					slowest = max(slowest, time.Since(answered))
				}
				for range 3 {
					check.Equal(t, accepted(r), 0, "servers that accept the right after the first refusal")
				}
			})
		}
		t.Logf("the slowest took %v", slowest)
	})
}

// Requests race with a revocation on all nodes. The node that answers the revocation accepts no request that begins
// after the response, and no node accepts one that begins after the bound.
func TestRequestsThatRaceWithARevocation(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		nodes := []*node{h.serve(), h.serve()}
		session := h.session(acmeOwner)
		for range 3 {
			made := nodes[0].issue(session, acme, vars{"name": "Some token", "scopes": []string{"account_read"}})
			var answered atomic.Pointer[time.Time]
			stop := make(chan struct{})
			var clients sync.WaitGroup
			for i := range 4 {
				n := nodes[i%len(nodes)]
				clients.Go(func() {
					for refused := 0; refused < 20; {
						select {
						case <-stop:
							t.Error("at the end: got the token accepted, want it refused")
							return
						default:
						}
						since := answered.Load()
						began := time.Now()
						if !n.works(made.access, acme) {
							refused++
							continue
						}
						if refused > 0 || since != nil && (n == nodes[0] || began.Sub(*since) > bound) {
							late := "before the response"
							if since != nil {
								late = began.Sub(*since).String() + " after the response"
							}
							t.Errorf("accepted %s and after %d refusals, want at most %v after it, on other nodes, before any refusal",
								late, refused, bound)
							return
						}
					}
				})
			}
			time.Sleep(50 * time.Millisecond)
			nodes[0].must(session, acme, revoke, vars{"in": vars{"ids": []string{made.id}}})
			answered.Store(new(time.Now()))
			timer := time.AfterFunc(5*bound, func() { close(stop) })
			clients.Wait()
			timer.Stop()
		}
	})
}

// A replica whose feed is cut misses revocations, so it must not use its cache. The test revokes a token without a
// notification.
func TestAReplicaWithoutAFeedIgnoresItsCache(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		n := h.serve()
		session := h.session(acmeOwner)
		made := n.issue(session, acme, vars{"name": "Some token", "scopes": []string{"account_read"}})
		for range 3 {
			if !n.works(made.access, acme) {
				t.Fatal("before the revocation: got the token refused, want it accepted")
			}
		}
		// SQLite has no connection to cut: its feed polls the file, which shows every change.
		dbtest.Exec(t, h.url, "UPDATE api_tokens SET revoked_at = 1",
			`DO $$ DECLARE feeds integer; BEGIN
				SELECT count(pg_terminate_backend(pid)) INTO feeds FROM pg_stat_activity
					WHERE datname = current_database() AND application_name = 'latchkey feed';
				IF feeds = 0 THEN RAISE EXCEPTION 'there is no feed to cut'; END IF;
				UPDATE api_tokens SET revoked_at = now();
			END $$`)
		cut := time.Now()
		for n.works(made.access, acme) {
			if time.Since(cut) > bound {
				t.Fatalf("a node without a feed accepts the token after %v, want it refused within %v", time.Since(cut),
					bound)
			}
		}
		for deadline := time.Now().Add(20 * time.Second); !n.ready(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the feed: got no recovery within 20s, want one")
			}
		}
		if n.works(made.access, acme) {
			t.Error("after the feed recovered: got the token accepted, want it refused")
		}
	})
}
