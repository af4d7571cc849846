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

	"latchkey/internal/dbtest"
)

// bound is how long a revocation may take to reach a replica that did not
// answer it, whatever happens to that replica (docs/replicas.md).
const bound = 2 * time.Second

// replicas are three servers over one PostgreSQL that can be restarted. The
// first one is called a, the next ones b and c.
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

// remembered is a token that all replicas remember.
type remembered struct{ id, access string }

func (r *replicas) issue(t *testing.T) remembered {
	t.Helper()
	var made issued
	r.all[0].must(t, r.session, issue("To be revoked", `scopes: ["account_read"]`), &made)
	token := remembered{made.APIToken.CreateAPIToken.APIToken.ID, made.APIToken.CreateAPIToken.Credentials.AccessToken}
	for range 3 {
		r.expect(t, token, http.StatusOK)
	}
	return token
}

// expect asks every replica once.
func (r *replicas) expect(t *testing.T, token remembered, status int) {
	t.Helper()
	for _, s := range r.all {
		if got, err := s.ask(token.access, viewerScopes); err != nil || got.status != status {
			t.Errorf("a token is answered %d, want %d; %v", got.status, status, err)
		}
	}
}

const viewerScopes = "{ viewer { scopes } }"

// revoke revokes a token over the first replica, and returns when that was
// answered, and who has acknowledged or not, if asked to wait for it.
func (r *replicas) revoke(t *testing.T, token remembered, wait bool) (answered time.Time, yes, no []string) {
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

// watch asks one replica for the token over and over.
type watch struct {
	// last is when the latest request began that was honoured.
	last    time.Time
	refused int
	// again says that a request was honoured after one had been refused.
	again bool
}

// watchAll watches every replica until the function that it returns is called,
// which first waits until each has refused the token some times. It reports how
// long after the answer to the revocation a request was honoured at the latest.
func (r *replicas) watchAll(t *testing.T, token remembered) (end func(answered time.Time)) {
	t.Helper()
	const enough = 20
	stop := make(chan struct{})
	watches := make([]watch, len(r.all))
	var watching, refusing sync.WaitGroup
	for i, s := range r.all {
		w := &watches[i]
		refusing.Add(1)
		watching.Go(func() {
			refused := sync.OnceFunc(refusing.Done)
			defer refused()
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				answer, err := s.ask(token.access, viewerScopes)
				switch {
				case err == nil && answer.status == http.StatusOK:
					w.last, w.again = began, w.refused > 0
				case err == nil && answer.status == http.StatusUnauthorized:
					if w.refused++; w.refused == enough {
						refused()
					}
				}
			}
			t.Error("a replica does not refuse the token")
		})
	}
	return func(answered time.Time) {
		t.Helper()
		refusing.Wait()
		close(stop)
		watching.Wait()
		for i, w := range watches {
			late := w.last.Sub(answered)
			if w.last.IsZero() || w.again || late > bound || i == 0 && late > 0 {
				t.Errorf("replica %d honoured the token %s after the answer; again after it had refused it: %v", i, late, w.again)
			}
		}
	}
}

// Once a revocation is answered, the node that answered refuses the token, and
// every other node does within the bound: with its feed cut, with the database
// restarted, and when it was stopped for longer than it may trust its memory
// (mission: promise 2).
func TestEveryReplicaRefusesARevokedTokenWithinTheBound(t *testing.T) {
	r := startReplicas(t)
	live := r.issue(t)
	for _, tc := range []struct {
		name  string
		fault func(*testing.T, *replicas)
	}{
		{"nothing is wrong", testUndisturbed},
		{"the listener's connection is cut", testCutListener},
		{"PostgreSQL crashes", testRestart},
		{"a replica is stopped for longer than the lease", testStopped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.fault(t, r)
			// Then all is as before.
			r.awaitReady(t)
			r.expect(t, live, http.StatusOK)
			token := r.issue(t)
			if _, yes, no := r.revoke(t, token, true); !slices.Equal(yes, []string{"a", "b", "c"}) || len(no) > 0 {
				t.Errorf("afterwards: acknowledged by %q, not by %q", yes, no)
			}
			r.expect(t, token, http.StatusUnauthorized)
		})
	}
}

func testUndisturbed(t *testing.T, r *replicas) {
	token := r.issue(t)
	end := r.watchAll(t, token)
	answered, _, _ := r.revoke(t, token, false)
	end(answered)
}

// Whatever a replica remembers when its feed is cut is worth nothing until it
// hears again, or it would never hear of the revocation.
func testCutListener(t *testing.T, r *replicas) {
	token := r.issue(t)
	end := r.watchAll(t, token)
	dbtest.Exec(t, r.url, "", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latchkey feed'`)
	answered, _, _ := r.revoke(t, token, false)
	end(answered)
}

// The database crashes right after it has committed, so that hardly anybody has
// been told.
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

// A replica that goes on after a stop hears only then of the revocation. The
// caller who waited for a receipt was told that it has not heard, and that is no
// harm: of the requests that begin afterwards none is honoured, not even those
// that the stopped replica finds in its queue.
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
		t.Errorf("acknowledged by %q, not by %q", yes, no)
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
	time.Sleep(200 * time.Millisecond) // so that they are in its queue
	signal(syscall.SIGCONT)
	for range clients {
		if status := <-statuses; status != http.StatusUnauthorized {
			t.Errorf("the replica that was stopped answers %d", status)
		}
	}
}

// Two servers of one name would be taken for one. After a crash, the same
// server starts again.
func TestOneNameIsOneServer(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	first := serve(t, env, "--replica-name", "a")
	second := launch(t, env, "--replica-name", "a")
	if code := second.exits(t); code != 4 || !strings.Contains(second.logged(), `latchkey: --replica-name: A server named "a" runs on this database already.`) {
		t.Errorf("the second one ended with status %d: %s", code, second.logged())
	}
	first.kill()
	dbtest.Exec(t, env["LATCHKEY_DATABASE_URL"], "", `UPDATE replicas SET process = ''`) // as of another machine
	port := "127.0.0.1:" + strconv.Itoa(dbtest.FreePort(t))
	early := launch(t, env, "--replica-name", "a", "--addr", port)
	for !strings.Contains(early.logged(), "waiting for its next sign of life") {
		time.Sleep(5 * time.Millisecond)
		select {
		case <-early.ended:
			t.Fatalf("it does not wait: %s", early.logged())
		default:
		}
	}
	if conn, err := net.Dial("tcp", port); err == nil {
		_ = conn.Close()
		t.Error("its port is open before it can answer")
	}
	if code := early.stop(t); code != 0 {
		t.Errorf("told to stop while it waits, it ends with status %d: %s", code, early.logged())
	}
	serve(t, env, "--replica-name", "a").kill()
	again := serve(t, env, "--replica-name", "a")
	if strings.Contains(again.logged(), "waiting for its next sign of life") {
		t.Errorf("it waits for a process of this machine that was killed: %s", again.logged())
	}
	again.shows(t, "/readyz", `{"ready":true`)
	again.shows(t, "/metrics", "\nlatchkey_replica_namesakes 0\n")
}

// A server with its predecessor's instance file starts at once, as if on another machine; two with one file do not run.
func TestInstanceFile(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	file := filepath.Join(t.TempDir(), "instance")
	first := serve(t, env, "--replica-name", "a", "--instance-file", file)
	second := launch(t, env, "--replica-name", "b", "--instance-file", file)
	if code := second.exits(t); code != 4 || !strings.Contains(second.logged(), "latchkey: --instance-file") {
		t.Errorf("the second one ended with status %d: %s", code, second.logged())
	}
	first.kill()
	dbtest.Exec(t, env["LATCHKEY_DATABASE_URL"], "", `UPDATE replicas SET process = 'another-boot pid:[1] 1 1'`)
	again := serve(t, env, "--replica-name", "a", "--instance-file", file)
	if strings.Contains(again.logged(), "waiting for its next sign of life") {
		t.Errorf("it waits although it has the instance file: %s", again.logged())
	}
	again.shows(t, "/readyz", `{"ready":true`)
	again.shows(t, "/metrics", "\nlatchkey_replica_namesakes 0\n")
}

// A receipt says of a server that does not answer what is so, however little
// time requests have: it comes when that one can honour nothing any more.
func TestReceiptTakesItsTime(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	a, session := demo(t, env, "--replica-name", "a", "--request-timeout", "1s")
	r := &replicas{all: []*server{a}, session: session}
	serve(t, env, "--replica-name", "b").kill()
	began := time.Now()
	answered, yes, no := r.revoke(t, r.issue(t), true)
	if took := answered.Sub(began); took < bound || !slices.Equal(yes, []string{"a"}) || !slices.Equal(no, []string{"b"}) {
		t.Errorf("after %s: acknowledged by %q, not by %q", took, yes, no)
	}
}

// What is wrong with the feed's address is said where the operator looks.
func TestReadinessTellsWhatIsWrongWithTheFeed(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	run(t, env, "migrate")
	s := serve(t, env, "--feed-database", "postgres://someone:pass-word@127.0.0.1:1/latchkey")
	s.shows(t, "/readyz", "dial tcp 127.0.0.1:1: connect: connection refused")
	if strings.Contains(s.logged(), "pass-word") {
		t.Error("the log holds the password")
	}
}
