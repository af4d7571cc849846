package cli_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// Servers are killed at random times while they commit changes and send them to
// receivers that fail. Every event of account.events reaches each webhook that
// existed before it at least once. No event of a subject is sent before the
// earlier ones were accepted, and nothing is sent to a webhook after the answer
// to its deletion. A reader that follows the log gets each event once
// (docs/promises.md: 5).
func TestWebhooksOfKilledServers(t *testing.T) {
	useWithoutRace(t) // so that servers start quickly
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		testKilledSenders(t, dbtest.SQLiteURL(t), 1)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		testKilledSenders(t, dbtest.PostgresURL(t), 3)
	})
}

// kills returns how often a server is killed: LATCHKEY_CHAOS_ROUNDS, which
// `make chaos` sets, or few times, which takes seconds.
func kills(t *testing.T) int {
	t.Helper()
	text, set := os.LookupEnv("LATCHKEY_CHAOS_ROUNDS")
	if !set {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("LATCHKEY_CHAOS_ROUNDS: got %q, want a number of rounds", text)
	}
	return n
}

func testKilledSenders(t *testing.T, url string, servers int) {
	r := startCrashing(t, url, servers)
	for _, types := range []string{"*", "api_token.*", "user.*"} {
		r.receiver.subscribe(t, r.env, types)
	}
	ctx, stop := context.WithCancel(t.Context())
	l := &changes{answered: map[change]int{}}
	var writers, deletions sync.WaitGroup
	t.Cleanup(func() {
		stop()
		writers.Wait()
		deletions.Wait()
	})
	for range 4 {
		writers.Go(func() { l.write(ctx, t, r) })
	}
	reader := r.followLog(t)
	var temporary *subscription
	for i := range kills(t) {
		switch i % 4 {
		case 0:
			temporary = r.receiver.subscribe(t, r.env, "*")
		case 3:
			doomed := temporary
			deletions.Go(func() { r.deleteWebhook(t, doomed) })
		}
		r.kill(t, rand.IntN(servers))
		time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond)
		r.speedUp(t)
	}
	stop()
	writers.Wait()
	deletions.Wait()
	r.receiver.heal()
	log := r.awaitDeliveries(t)
	r.receiver.check(t, log)
	l.check(t, log)
	check.Equal(t, reader.end(t, len(log)), ids(log), "the events that a reader of the log got")
	t.Logf("%d kills, %d events, %d requests, %d runs of the reader", r.generation-servers, len(log),
		r.receiver.count(), reader.runs)
}

// awaitDeliveries waits until the receivers have accepted every event, and
// returns the log. It fails the test if no event arrives for longer than a
// lease lasts.
func (r *crashingFleet) awaitDeliveries(t *testing.T) []logged {
	t.Helper()
	const patience = 45 * time.Second
	progress, left := time.Now(), 0
	for ; ; time.Sleep(200 * time.Millisecond) {
		r.revive(t)
		r.speedUp(t)
		log := r.log(t)
		missing := r.receiver.missing(log)
		switch {
		case len(missing) == 0:
			return log
		case len(missing) != left:
			progress, left = time.Now(), len(missing)
		case time.Since(progress) > patience:
			t.Fatalf("deliveries of %d events: got all but %d, want all; missing is %s", len(log), left, missing[0])
		}
	}
}

// crashingFleet is servers on one database that are killed and started again.
type crashingFleet struct {
	url, session string
	env          map[string]string
	receiver     *flakyReceiver
	// address is where the first server always listens.
	address string
	// generation counts the processes.
	generation int
	dead       []deadServer

	mu    sync.Mutex
	alive []*server
	names []string
}

// deadServer is the name of a process that was killed.
type deadServer struct {
	name string
	at   time.Time
}

func startCrashing(t *testing.T, url string, servers int) *crashingFleet {
	t.Helper()
	r := &crashingFleet{url: url, env: environment(t, url), receiver: newFlakyReceiver(t), address: freeAddress(t)}
	r.env["LATCHKEY_MAX_TOKENS_PER_ACCOUNT"], r.env["LATCHKEY_WEBHOOK_ALLOW"] = "10000", "127.0.0.1"
	if !strings.HasPrefix(url, "sqlite:") {
		// A lease does not name its server, so that the test has to note whose it is.
		dbtest.Exec(t, url, "", `CREATE TABLE lease_owners (token uuid PRIMARY KEY, server text NOT NULL);
			CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				INSERT INTO lease_owners VALUES (NEW.token,
					current_setting('application_name')) ON CONFLICT DO NOTHING;
				RETURN NULL;
			END $$;
			CREATE TRIGGER note_lease AFTER INSERT OR UPDATE OF token ON webhook_leases FOR EACH ROW
				EXECUTE FUNCTION note_lease()`)
	}
	first, session := demo(t, r.env)
	r.session = session
	first.kill()
	r.alive, r.names = make([]*server, servers), make([]string, servers)
	for i := range servers {
		r.launch(t, i)
	}
	return r
}

// launch starts a server and does not wait for it: it can be killed before it
// listens.
func (r *crashingFleet) launch(t *testing.T, i int) {
	t.Helper()
	r.generation++
	name := "server" + strconv.Itoa(r.generation)
	env := maps.Clone(r.env)
	if !strings.HasPrefix(r.url, "sqlite:") {
		separator := "?"
		if strings.Contains(r.url, "?") {
			separator = "&"
		}
		env["LATCHKEY_DATABASE_URL"] = r.url + separator + "application_name=" + name
	}
	args := []string{"--replica-name", "replica" + strconv.Itoa(i)}
	if i == 0 {
		args = append(args, "--addr", r.address)
	}
	s := launch(t, env, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alive[i], r.names[i] = s, name
}

// kill kills a server and starts it again.
func (r *crashingFleet) kill(t *testing.T, i int) {
	t.Helper()
	r.checkExit(t, i)
	r.alive[i].kill()
	r.dead = append(r.dead, deadServer{r.names[i], time.Now()})
	if strings.HasPrefix(r.url, "sqlite:") {
		r.receiver.awaitSent()
		dbtest.Exec(t, r.url, `UPDATE webhook_leases SET until_at = 0`, "")
	}
	r.launch(t, i)
}

// checkExit reports whether a server exited by itself. It may do so only if
// another program took its port while it was down.
func (r *crashingFleet) checkExit(t *testing.T, i int) bool {
	t.Helper()
	select {
	case <-r.alive[i].ended:
		if !strings.Contains(r.alive[i].logged(), "address already in use") {
			t.Fatalf("a server exited, want it to run: %s", r.alive[i].logged())
		}
		return true
	default:
		return false
	}
}

// revive waits until every server listens.
func (r *crashingFleet) revive(t *testing.T) {
	t.Helper()
	for i := range r.alive {
		for deadline := time.Now().Add(30 * time.Second); !r.alive[i].listening(); time.Sleep(10 * time.Millisecond) {
			if r.checkExit(t, i) {
				r.launch(t, i)
			}
			if time.Now().After(deadline) {
				t.Fatalf("a server does not listen after 30s, want it to: %s", r.alive[i].logged())
			}
		}
	}
}

// speedUp makes retries due, and ends the leases of processes that were killed
// so long ago that their requests have arrived.
func (r *crashingFleet) speedUp(t *testing.T) {
	t.Helper()
	const retries = `UPDATE deliveries SET next_at = PAST WHERE state = 'PENDING';`
	var names []string
	for _, d := range r.dead {
		if time.Since(d.at) > time.Second {
			names = append(names, "'"+d.name+"'")
		}
	}
	// What a killed process sent to the database is committed soon.
	r.dead = slices.DeleteFunc(r.dead, func(d deadServer) bool { return time.Since(d.at) > time.Minute })
	leases := ""
	if len(names) > 0 {
		leases = `UPDATE webhook_leases SET until_at = PAST WHERE token IN
			(SELECT token FROM lease_owners WHERE server IN (` + strings.Join(names, ",") + `));`
	}
	r.receiver.awaitSent()
	// As in the program, webhooks are locked before their deliveries.
	const lock = `SELECT id FROM webhooks ORDER BY id FOR NO KEY UPDATE;`
	dbtest.Exec(t, r.url, strings.ReplaceAll(retries, "PAST", "0"),
		lock+strings.ReplaceAll(retries+leases, "PAST", "'2026-01-01Z'"))
}

// ask sends a query to any server, again if the answer is lost. retried reports
// whether it was sent more than once. It returns false for ok if ctx ends.
func (r *crashingFleet) ask(ctx context.Context, query string) (answer graphql, retried, ok bool) {
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		r.mu.Lock()
		s := r.alive[rand.IntN(len(r.alive))]
		r.mu.Unlock()
		if !s.listening() {
			continue
		}
		answer, err := s.ask(r.session, query)
		if err == nil {
			return answer, retried, true
		}
		retried = true
	}
	return graphql{}, retried, false
}

// deleteWebhook deletes a webhook. From the answer on its receiver must get
// nothing.
func (r *crashingFleet) deleteWebhook(t *testing.T, s *subscription) {
	answer, retried, ok := r.ask(t.Context(),
		`mutation { webhook { deleteWebhook(input: {id: "`+s.id+`"}) { deletedWebhookId } } }`)
	switch {
	case !ok:
		return
	case len(answer.Errors) > 0 && retried && answer.Errors[0].Extensions.Code == "NOT_FOUND":
		// A server deleted it and was killed before it answered. It would not have
		// answered before the attempts of the others had ended.
		time.Sleep(2 * time.Second)
	case len(answer.Errors) > 0:
		t.Errorf("deleting a webhook: got errors %+v, want none", answer.Errors)
	}
	r.receiver.deleted(s)
}
