package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// logged is an event of the log.
type logged struct {
	ID, Type, SubjectID string
	Sequence            int64
	At                  time.Time
}

func ids(log []logged) []string {
	list := make([]string, len(log))
	for i, e := range log {
		list[i] = e.ID
	}
	return list
}

// log returns all events in the order of their commits.
func (r *crashingFleet) log(t *testing.T) []logged {
	t.Helper()
	var log []logged
	for line := range strings.Lines(run(t, r.env, "event", "list", "--account", acmeID)) {
		log = append(log, parseLogged(t, line))
	}
	return log
}

func parseLogged(t *testing.T, line string) (e logged) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Errorf("the line %q is not an event: %v", line, err)
	}
	return e
}

// change is a kind of change of an object.
type change struct{ object, event string }

// changes is what the servers answered to have done.
type changes struct {
	mu       sync.Mutex
	answered map[change]int
	tokens   []string // that are not revoked
	named    int
}

// write changes tokens and users at any server until ctx ends.
func (l *changes) write(ctx context.Context, t *testing.T, r *crashingFleet) {
	for ctx.Err() == nil {
		c, query := l.next()
		answer, _, ok := r.ask(ctx, query)
		if !ok {
			return
		}
		// Other errors are correct answers to a change that was made already.
		if len(answer.Errors) > 0 && answer.Errors[0].Extensions.Code == "INTERNAL" {
			t.Errorf("%s: got errors %+v, want no internal error", c.event, answer.Errors)
			return
		}
		if len(answer.Errors) == 0 {
			l.done(t, c, answer)
		}
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
	}
}

// next chooses a change. There are few objects, so that events of one wait for
// each other and servers change it at the same time.
func (l *changes) next() (c change, query string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.named++
	if len(l.tokens) < 8 {
		return change{event: "api_token.created"}, issue(fmt.Sprint("Token ", l.named), `scopes: ["account_read"]`)
	}
	i := rand.IntN(len(l.tokens))
	id := l.tokens[i]
	switch n := rand.IntN(20); {
	case n < 2:
		l.tokens = append(l.tokens[:i], l.tokens[i+1:]...)
		return change{id, "api_token.revoked"}, revoke(id)
	case n < 4:
		return change{id, "api_token.rotated"},
			fmt.Sprintf(`mutation { apiToken { rotateApiToken(input: {id: %q}) { apiToken { id } } } }`, id)
	case n < 12:
		return change{id, "api_token.updated"},
			fmt.Sprintf(`mutation { apiToken { updateApiToken(input: {id: %q, name: "Token %d"}) { apiToken { id } } } }`, id, l.named)
	case n < 14:
		return change{event: "user"}, fmt.Sprintf(
			`mutation { account { deprovisionUsers(input: {users: [{email: "user%d@acme.example"}]}) { items { action } } } }`, rand.IntN(4))
	default:
		return change{event: "user"}, fmt.Sprintf(
			`mutation { account { provisionUsers(input: {users: [{email: "user%d@acme.example", firstName: "Name %d", lastName: "Last"}]}) { items { action } } } }`,
			rand.IntN(4), l.named)
	}
}

// done records an answer without errors.
func (l *changes) done(t *testing.T, c change, answer graphql) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.event == "user" {
		return
	}
	if c.object == "" {
		var made issued
		if err := json.Unmarshal(answer.Data, &made); err != nil {
			t.Errorf("the response is not JSON: %v", err)
		}
		c.object = made.APIToken.CreateAPIToken.APIToken.ID
		l.tokens = append(l.tokens, c.object)
	}
	l.answered[c]++
}

// check fails the test unless the log has an event of each change that was
// answered.
func (l *changes) check(t *testing.T, log []logged) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[change]int{}
	users := 0
	for _, e := range log {
		found[change{e.SubjectID, e.Type}]++
		if strings.HasPrefix(e.Type, "user.") {
			users++
		}
	}
	for c, n := range l.answered {
		if found[c] < n {
			t.Errorf("%s of %s: the log has %d events, want at least %d", c.event, c.object, found[c], n)
		}
	}
	if len(l.answered) < 20 || users < 10 {
		t.Errorf("changes: got %d of tokens and %d events of users, want at least 20 and 10", len(l.answered), users)
	}
}

// logReader is "event list --follow" at a server that is killed. The command
// itself waits for a server that is down; if it gives up, it is started again
// with the cursor that it printed.
type logReader struct {
	stop  context.CancelFunc
	ended chan struct{}
	runs  int

	mu      sync.Mutex
	ids     []string
	process *os.Process
}

// followLog starts a reader of the log at the first server.
func (r *crashingFleet) followLog(t *testing.T) *logReader {
	t.Helper()
	answer, _, ok := r.ask(t.Context(), issue("Reader", `scopes: ["account_audit_read"]`))
	var made issued
	if err := json.Unmarshal(answer.Data, &made); err != nil || !ok || len(answer.Errors) > 0 {
		t.Fatalf("issuing a token for the reader: got %v, errors %+v, want a token", err, answer.Errors)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(made.APIToken.CreateAPIToken.Credentials.AccessToken), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	l := &logReader{stop: stop, ended: make(chan struct{})}
	t.Cleanup(func() {
		stop()
		<-l.ended
	})
	go func() {
		defer close(l.ended)
		args := []string{"--server", "http://" + r.address, "--token-file", file}
		for after := []string(nil); ctx.Err() == nil; {
			after = l.run(ctx, t, append(args[:len(args):len(args)], after...), after)
		}
	}()
	return l
}

var printedCursor = regexp.MustCompile(`continue with --after (\S+)\n`)

// run runs the command until it ends, and returns the arguments to continue
// with.
func (l *logReader) run(ctx context.Context, t *testing.T, args, after []string) []string {
	f := follow(t, nil, args...)
	l.mu.Lock()
	l.runs++
	l.process = f.process.Process
	if ctx.Err() != nil {
		_ = l.process.Signal(syscall.SIGINT)
	}
	l.mu.Unlock()
	for {
		line, err := f.lines.ReadString('\n')
		if err != nil {
			break
		}
		l.mu.Lock()
		l.ids = append(l.ids, parseLogged(t, line).ID)
		l.mu.Unlock()
	}
	_ = f.process.Wait() // the status is checked
	if ctx.Err() != nil && t.Context().Err() == nil {
		check.Equal(t, f.process.ProcessState.ExitCode(), 0, "the exit status of an interrupted reader")
	}
	if cursor := printedCursor.FindStringSubmatch(f.stderr.String()); cursor != nil {
		return []string{"--after", cursor[1]}
	}
	return after
}

// end waits until the reader got n events, interrupts it and returns all that
// it got.
func (l *logReader) end(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); l.count() < n && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	l.stop()
	l.mu.Lock()
	_ = l.process.Signal(syscall.SIGINT)
	l.mu.Unlock()
	<-l.ended
	return l.ids
}

func (l *logReader) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ids)
}
