package cli_test

import (
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// bound is the maximum time until a revocation by one replica is effective on
// another, under any fault of the other (docs/replicas.md).
const bound = 2 * time.Second

// replicas are three servers, a, b and c, on one PostgreSQL that can be
// restarted.
type replicas struct {
	cluster *dbtest.Cluster
	url     string
	all     []*server
	session string
}

func startReplicas(t *testing.T) *replicas {
	t.Helper()
	r := &replicas{}
	r.cluster, r.url = dbtest.OwnCluster(t, dbtest.Options{Durable: true})
	env := environment(t, r.url)
	run(t, env, "migrate")
	a, session := demo(t, env, "--replica-name", "a")
	r.session = session
	r.all = []*server{a, serve(t, env, "--replica-name", "b"), serve(t, env, "--replica-name", "c")}
	r.awaitReady(t)
	return r
}

func (r *replicas) awaitReady(t *testing.T) {
	t.Helper()
	for _, s := range r.all {
		s.shows(t, "/readyz", `{"ready":true`)
	}
}

// cachedToken is a token that all replicas have cached.
type cachedToken struct{ id, access string }

func (r *replicas) issue(t *testing.T) cachedToken {
	t.Helper()
	var made issued
	r.all[0].must(t, r.session, issue("To be revoked", `scopes: ["account_read"]`), &made)
	token := cachedToken{made.APIToken.CreateAPIToken.APIToken.ID, made.APIToken.CreateAPIToken.Credentials.AccessToken}
	for range 3 {
		r.expect(t, token, http.StatusOK)
	}
	return token
}

// expect checks the token on every replica once.
func (r *replicas) expect(t *testing.T, token cachedToken, status int) {
	t.Helper()
	for _, s := range r.all {
		if got, err := s.ask(token.access, viewerScopes); err != nil || got.status != status {
			t.Errorf("a token: got %d, want %d; %v", got.status, status, err)
		}
	}
}

const viewerScopes = "{ viewer { scopes } }"

// revoke revokes a token on the first replica. It returns the time of the
// response and, if wait is set, the replicas that did and did not acknowledge.
func (r *replicas) revoke(t *testing.T, token cachedToken, wait bool) (answered time.Time, yes, no []string) {
	t.Helper()
	var got struct {
		APIToken struct {
			RevokeAPITokens struct {
				Receipt struct {
					Replicas []struct {
						Name           string
						AcknowledgedAt *time.Time
					}
					ElapsedMs int
				}
			}
		}
	}
	r.all[0].must(t, r.session, `mutation { apiToken { revokeApiTokens(input: {ids: ["`+token.id+`"], waitForReplicas: `+strconv.FormatBool(wait)+`}) {
		receipt { replicas { name acknowledgedAt } elapsedMs } } } }`, &got)
	receipt := got.APIToken.RevokeAPITokens.Receipt
	for _, replica := range receipt.Replicas {
		if replica.AcknowledgedAt == nil {
			no = append(no, replica.Name)
		} else {
			yes = append(yes, replica.Name)
		}
	}
	t.Logf("acknowledged by %q, not by %q, within %d ms", yes, no, receipt.ElapsedMs)
	return time.Now(), yes, no
}

// watch polls one replica with the token.
type watch struct {
	// last is the start of the latest request that was accepted.
	last    time.Time
	refused int
	// acceptedAgain reports that a request was accepted after one was refused.
	acceptedAgain bool
}

// watchAll polls every replica until the returned function is called. That
// waits until each replica has refused the token several times, and reports how
// long after the response to the revocation a request was last accepted.
func (r *replicas) watchAll(t *testing.T, token cachedToken) (end func(answered time.Time)) {
	t.Helper()
	const refusals = 20
	stop := make(chan struct{})
	watches := make([]watch, len(r.all))
	var polling, waiting sync.WaitGroup
	for i, s := range r.all {
		w := &watches[i]
		waiting.Add(1)
		polling.Go(func() {
			refused := sync.OnceFunc(waiting.Done)
			defer refused()
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(
				2 * time.Millisecond) {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				answer, err := s.ask(token.access, viewerScopes)
				switch {
				case err == nil && answer.status == http.StatusOK:
					w.last, w.acceptedAgain = began, w.refused > 0
				case err == nil && answer.status == http.StatusUnauthorized:
					if w.refused++; w.refused == refusals {
						refused()
					}
				}
			}
			t.Error("at the end: got a replica that accepts the token, want it refused")
		})
	}
	return func(answered time.Time) {
		t.Helper()
		waiting.Wait()
		close(stop)
		polling.Wait()
		for i, w := range watches {
			late := w.last.Sub(answered)
			if w.last.IsZero() || w.acceptedAgain || late > bound || i == 0 && late > 0 {
				t.Errorf("replica %d accepted the token %s after the response, and again after a refusal %t, want at most %s and false",
					i, late, w.acceptedAgain, bound)
			}
		}
	}
}

// Once a revocation is acknowledged, the replica that did it refuses the token,
// and the others do within the bound: with a broken feed, after a database
// restart, and after a pause longer than their caches may be trusted
// (docs/promises.md: 2).
func TestEveryReplicaRefusesARevokedTokenWithinTheBound(t *testing.T) {
	keepRace(t)
	r := startReplicas(t)
	live := r.issue(t)
	for _, tc := range []struct {
		name  string
		fault func(*testing.T, *replicas)
	}{
		{"no fault", testNoFault},
		{"the feed's connection is cut", testCutFeed},
		{"PostgreSQL crashes", testRestart},
		{"a replica is stopped for longer than the lease", testStopped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.fault(t, r)
			// Afterwards everything works as before.
			r.awaitReady(t)
			r.expect(t, live, http.StatusOK)
			token := r.issue(t)
			if _, yes, no := r.revoke(t, token, true); !slices.Equal(yes, []string{"a", "b", "c"}) || len(no) > 0 {
				t.Errorf("afterwards: got it acknowledged by %q, not by %q, want by a, b and c", yes, no)
			}
			r.expect(t, token, http.StatusUnauthorized)
		})
	}
}

func testNoFault(t *testing.T, r *replicas) {
	token := r.issue(t)
	end := r.watchAll(t, token)
	answered, _, _ := r.revoke(t, token, false)
	end(answered)
}

// A replica whose feed is broken must not use its cache until the feed works
// acceptedAgain. Otherwise it would never learn of the revocation.
func testCutFeed(t *testing.T, r *replicas) {
	token := r.issue(t)
	end := r.watchAll(t, token)
	dbtest.Exec(t, r.url, "",
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latchkey feed'`)
	answered, _, _ := r.revoke(t, token, false)
	end(answered)
}

// The database crashes right after the commit, before most replicas are
// notified.
func testRestart(t *testing.T, r *replicas) {
	token := r.issue(t)
	end := r.watchAll(t, token)
	answered, _, _ := r.revoke(t, token, false)
	if err := r.cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(bound / 2)
	if err := r.cluster.Restart(); err != nil {
		t.Fatal(err)
	}
	end(answered)
}

// A replica that was stopped (SIGSTOP) learns of a revocation only when it
// continues. The receipt reports that it has not acknowledged. It accepts no
// request that begins afterwards, not even those waiting in its queue.
func testStopped(t *testing.T, r *replicas) {
	token := r.issue(t)
	stopped := r.all[2]
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := stopped.process.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	_, yes, no := r.revoke(t, token, true)
	if !slices.Equal(yes, []string{"a", "b"}) || !slices.Equal(no, []string{"c"}) {
		t.Errorf("got it acknowledged by %q, not by %q, want by a and b, not by c", yes, no)
	}
	statuses := make(chan int)
	const clients = 50
	for range clients {
		go func() {
			answer, err := stopped.ask(token.access, viewerScopes)
			if err != nil {
				t.Error(err)
			}
			statuses <- answer.status
		}()
	}
	time.Sleep(200 * time.Millisecond) // until they are queued
	signal(syscall.SIGCONT)
	for range clients {
		check.Equal(t, <-statuses, http.StatusUnauthorized, "the stopped replica")
	}
}

// Two servers with the same name would be counted as one, so the second refuses
// to start. After a crash the same server starts again.
func TestReplicaNamesAreUnique(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	first := serve(t, env, "--replica-name", "a")
	second := launch(t, env, "--replica-name", "a")
	if code := second.exits(t); code != 4 || !strings.Contains(second.logged(),
		`latchkey: --replica-name: A server named "a" runs on this database already.`) {
		t.Errorf("the second server: got exit status %d: %s, want 4 because of the name", code, second.logged())
	}
	first.kill()
	dbtest.Exec(t, env["LATCHKEY_DATABASE_URL"], "", `UPDATE replicas SET process = ''`) // as if on another machine
	port := "127.0.0.1:" + strconv.Itoa(dbtest.FreePort(t))
	early := launch(t, env, "--replica-name", "a", "--addr", port)
	for !strings.Contains(early.logged(), "waiting to see whether it still runs") {
		time.Sleep(5 * time.Millisecond)
		select {
		case <-early.ended:
			t.Fatalf("the server ended, want it to wait: %s", early.logged())
		default:
		}
	}
	if conn, err := net.Dial("tcp", port); err == nil {
		_ = conn.Close()
		t.Error("the port: got it open before the server is ready, want it closed")
	}
	check.Equal(t, early.stop(t), 0, "stopped while waiting: exit status: %s", early.logged())
	serve(t, env, "--replica-name", "a").kill()
	acceptedAgain := serve(t, env, "--replica-name", "a")
	if strings.Contains(acceptedAgain.logged(), "waiting to see whether it still runs") {
		t.Errorf("the log: got a wait for a killed process of this machine, want none: %s", acceptedAgain.logged())
	}
	acceptedAgain.shows(t, "/readyz", `{"ready":true`)
	acceptedAgain.shows(t, "/metrics", "\nlatchkey_replica_namesakes 0\n")
}

// A server with the instance file of its predecessor starts immediately, also
// on another machine. Two servers with the same file do not run.
func TestInstanceFile(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	file := filepath.Join(t.TempDir(), "instance")
	first := serve(t, env, "--replica-name", "a", "--instance-file", file)
	second := launch(t, env, "--replica-name", "b", "--instance-file", file)
	if code := second.exits(t); code != 4 || !strings.Contains(second.logged(), "latchkey: --instance-file") {
		t.Errorf("the second server: got exit status %d: %s, want 4 because of the instance file", code,
			second.logged())
	}
	first.kill()
	dbtest.Exec(t, env["LATCHKEY_DATABASE_URL"], "", `UPDATE replicas SET process = 'another-boot pid:[1] 1 1'`)
	acceptedAgain := serve(t, env, "--replica-name", "a", "--instance-file", file)
	if strings.Contains(acceptedAgain.logged(), "waiting to see whether it still runs") {
		t.Errorf("the log: got a wait despite the instance file, want none: %s", acceptedAgain.logged())
	}
	acceptedAgain.shows(t, "/readyz", `{"ready":true`)
	acceptedAgain.shows(t, "/metrics", "\nlatchkey_replica_namesakes 0\n")
}

// A receipt is correct for a server that does not respond, even with a short
// request timeout: it is returned when that server can accept nothing from its
// cache any more.
func TestReceiptOutlivesRequestTimeout(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	a, session := demo(t, env, "--replica-name", "a", "--request-timeout", "1s")
	r := &replicas{all: []*server{a}, session: session}
	serve(t, env, "--replica-name", "b").kill()
	began := time.Now()
	answered, yes, no := r.revoke(t, r.issue(t), true)
	if took := answered.Sub(began); took < bound || !slices.Equal(yes, []string{"a"}) ||
		!slices.Equal(no, []string{"b"}) {
		t.Errorf("after %s: got it acknowledged by %q, not by %q, want after at least %s by a, not by b", took, yes, no,
			bound)
	}
}

// Errors of the feed's address are reported in the log and in readiness.
func TestReadinessReportsFeedErrors(t *testing.T) {
	keepRace(t)
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	s := serve(t, env, "--feed-database", "postgres://someone:pass-word@127.0.0.1:1/latchkey")
	s.shows(t, "/readyz", "dial tcp 127.0.0.1:1: connect: connection refused")
	if strings.Contains(s.logged(), "pass-word") {
		t.Error("the log: got the password, want it absent")
	}
}
