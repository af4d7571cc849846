package cli_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// receivers are the programs of the example receivers.
func receivers(t *testing.T) map[string]string {
	t.Helper()
	const folder = "../../examples/webhooks/"
	built, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"receiver.py": folder + "receiver.py", "receiver.mjs": folder + "receiver.mjs",
		"receiver.go": filepath.Join(built, "webhooks")}
}

// receiver is an example receiver.
type receiver struct {
	command, env []string
	dir          string
	port, secret string

	mu      sync.Mutex
	lines   []string
	process *exec.Cmd
	ended   chan struct{}
}

// freePort returns a free port.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// newReceiver creates a webhook for a receiver that does not run yet, and
// returns it with the webhook's ID.
func newReceiver(t *testing.T, env map[string]string, program, types string) (r *receiver, id string) {
	t.Helper()
	r = &receiver{port: freePort(t)}
	id, r.secret = newWebhook(t, env, r.url(), types)
	r.command, r.env = []string{program, r.port}, []string{"WEBHOOK_SECRET=" + r.secret}
	return r, id
}

func (r *receiver) url() string { return "http://127.0.0.1:" + r.port + "/latchkey?a=1" }

// start starts the receiver and waits until it listens.
func (r *receiver) start(t *testing.T) {
	t.Helper()
	c := exec.Command(r.command[0], r.command[1:]...)
	c.Env, c.Dir = append(os.Environ(), r.env...), r.dir
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c.Stdout, c.Stderr = in, in
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.process, r.ended = c, make(chan struct{})
	ended := r.ended
	go func() {
		defer close(ended)
		defer out.Close()
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			r.mu.Lock()
			r.lines = append(r.lines, lines.Text())
			r.mu.Unlock()
		}
		_ = c.Wait() // ended by a signal
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // it may have ended
		<-ended
	})
	r.wait(t, 1, regexp.MustCompile("^listening on http://127.0.0.1:"+r.port+"$"))
}

// stop stops the receiver as Ctrl-C does, and forgets what it printed.
func (r *receiver) stop(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-r.process.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = nil
}

// printed returns the lines that match.
func (r *receiver) printed(form *regexp.Regexp) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.lines), func(line string) bool { return !form.MatchString(line) })
}

// wait waits until the receiver has printed n lines that match, and returns them.
func (r *receiver) wait(t *testing.T, n int, form *regexp.Regexp) []string {
	t.Helper()
	for deadline := time.Now().Add(100 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		lines := r.printed(form)
		if len(lines) >= n {
			return lines
		}
		if time.Now().After(deadline) {
			t.Fatalf("timeout: %v printed %d lines like %s, want %d: %s", r.command, len(lines), form, n,
				strings.Join(r.printed(regexp.MustCompile("")), "\n"))
		}
	}
}

// verified matches the line of an event.
var verified = regexp.MustCompile(`^verified (\S+) sequence (\d+) id (\S+) data (.*)$`)

// verifiedOf matches the line of an event about the subject.
func verifiedOf(subject string) *regexp.Regexp {
	return regexp.MustCompile(`^verified .* data .*` + regexp.QuoteMeta(subject))
}

// types returns the types and sequences in lines of events about the subject.
func types(lines []string, subject string) []string {
	var all []string
	for _, line := range lines {
		if found := verified.FindStringSubmatch(line); found != nil && strings.Contains(found[4], subject) {
			all = append(all, found[1]+" "+found[2])
		}
	}
	return all
}

// issueAndRevoke issues a token, revokes it and returns its ID.
func (s *server) issueAndRevoke(t *testing.T, session, name string) string {
	t.Helper()
	var made issued
	s.must(t, session, issue(name, `scopes: ["account_read"]`), &made)
	id := made.APIToken.CreateAPIToken.APIToken.ID
	s.must(t, session, revoke(id), &struct{}{})
	return id
}

// Each example receiver verifies and prints the events of a server. After it was
// stopped it gets what it missed, in order.
func TestExampleReceivers(t *testing.T) {
	programs := receivers(t)
	useWithoutRace(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env)
		all := map[string]*receiver{}
		hooks := map[string]string{}
		for name, program := range programs {
			all[name], hooks[name] = newReceiver(t, env, program, "api_token.*")
			all[name].start(t)
		}
		both := []string{"api_token.created 1", "api_token.revoked 2"}
		first := s.issueAndRevoke(t, session, "Seen at once")
		for name, r := range all {
			check.Equal(t, types(r.wait(t, 2, verifiedOf(first)), first), both, "what %s printed", name)
			r.stop(t)
		}
		missed := []string{s.issueAndRevoke(t, session, "Missed"), s.issueAndRevoke(t, session, "Missed, too")}
		for _, id := range hooks {
			s.waitForFailure(t, session, id)
		}
		for _, r := range all {
			r.start(t)
		}
		for name, r := range all {
			for _, token := range missed {
				// What it printed before it was stopped can come again, if the server did not get the answer.
				lines := r.wait(t, 2, verifiedOf(token))
				check.Equal(t, types(lines, token), both, "what %s printed of a token that it missed", name)
			}
		}
		for name, r := range all {
			r.refusesForgeries(t, name)
			r.dropsDuplicates(t, s, env, session, name, hooks[name])
		}
	})
}

// The receivers do not start with a secret that is not whsec_ and base64.
func TestExampleReceiversRefuseWrongSecrets(t *testing.T) {
	for name, program := range receivers(t) {
		for _, secret := range []string{"", "whsec_", "whsec_!!!", "whsec_AAAA!AAA", "whsec_AAAAA", "MDEyMzQ1Njc4OWFi",
			"whsec_MDEyMzQ1Njc4OWFi whsec_!!!"} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			c := exec.CommandContext(ctx, program, freePort(t))
			c.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret)
			out, err := c.CombinedOutput()
			cancel()
			if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "WEBHOOK_SECRET") {
				t.Errorf("%s with the secret %q: %v, %s, want the status 1 and a text about WEBHOOK_SECRET", name, secret,
					err, out)
			}
		}
	}
}

// signed returns the signature of a request with the secret.
func signed(t *testing.T, secret, id, timestamp, body string) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatalf("the secret: got %v, want base64", err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// refusesForgeries posts requests that Latchkey did not send.
func (r *receiver) refusesForgeries(t *testing.T, name string) {
	t.Helper()
	const id, body = "bc/account/event/1", `{"id":"bc/account/event/1","type":"forged.sent","sequence":1,"data":{}}`
	now := strconv.FormatInt(time.Now().Unix(), 10)
	old := strconv.FormatInt(time.Now().Add(-6*time.Minute).Unix(), 10)
	early := strconv.FormatInt(time.Now().Add(6*time.Minute).Unix(), 10)
	right := signed(t, r.secret, id, now, body)
	for _, tc := range []struct {
		what                           string
		id, timestamp, signature, body string
		want                           int
	}{
		{"no headers", "", "", "", body, 400},
		{"another key", id, now, signed(t, "whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32)), id, now, body),
			body, 400},
		{"another body", id, now, right, body + " ", 400},
		{"another id", id + "2", now, right, body, 400},
		{"another version", id, now, "v2" + strings.TrimPrefix(right, "v1"), body, 400},
		{"an old request", id, old, signed(t, r.secret, id, old, body), body, 400},
		{"a request of the future", id, early, signed(t, r.secret, id, early, body), body, 400},
		{"a time that is not a number", id, "now", signed(t, r.secret, id, "now", body), body, 400},
		{"a large body", id, now, right, strings.Repeat("x", 65<<10), 413},
		{"one of two signatures", "second", now,
			"v1,AAAA " + signed(t, r.secret, "second", now, `{"id":"second","type":"signed.twice","sequence":1}`),
			`{"id":"second","type":"signed.twice","sequence":1}`, 204},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.url(), strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		for header, value := range map[string]string{"webhook-id": tc.id, "webhook-timestamp": tc.timestamp,
			"webhook-signature": tc.signature} {
			if value != "" {
				req.Header.Set(header, value)
			}
		}
		res, err := http.DefaultClient.Do(req)
		closed := errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
		if closed && tc.want == http.StatusRequestEntityTooLarge {
			continue // The receiver refused it before it was sent, so that the client can miss the answer.
		}
		if err != nil {
			t.Fatalf("%s to %s: %v", tc.what, name, err)
		}
		res.Body.Close()
		check.Equal(t, res.StatusCode, tc.want, "the status of %s for %s", name, tc.what)
	}
	check.Equal(t, len(r.wait(t, 1, regexp.MustCompile("signed.twice"))), 1,
		"events with two signatures that %s printed", name)
	check.Equal(t, len(r.printed(regexp.MustCompile("forged.sent"))), 0, "forged events that %s printed", name)
}

// dropsDuplicates replays an event that was printed, and sends a test event
// after it.
func (r *receiver) dropsDuplicates(t *testing.T, s *server, env map[string]string, session, name, hook string) {
	t.Helper()
	event := verified.FindStringSubmatch(r.printed(verified)[0])[3]
	before := s.delivery(t, session, hook, event)
	run(t, env, "webhook", "replay", hook, "--account", acmeID, "--event", event)
	s.waitForDelivery(t, session, hook, event, len(before.Attempts)+1)
	run(t, env, "webhook", "test", hook, "--account", acmeID)
	r.wait(t, 1, regexp.MustCompile("^verified webhook.test "))
	check.Equal(t, len(r.printed(regexp.MustCompile(regexp.QuoteMeta(event)))), 1,
		"lines of %s about an event that was sent twice", name)
}

// The commands of docs/webhooks.md, "A first webhook", show both events of a
// token, and again those of a token that was issued and revoked while the
// receiver was stopped.
func TestWebhookGuide(t *testing.T) {
	useWithoutRace(t)
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		linkTo(t, program, filepath.Join(dir, "bin", "latchkey"))
		linkTo(t, "../../examples", filepath.Join(dir, "examples"))
		env := environment(t, url)
		s, session := demo(t, env)
		r := &receiver{port: freePort(t), dir: dir, env: []string{"LATCHKEY_KEY_FILE=" + env["LATCHKEY_KEY_FILE"]}}
		adapt := strings.NewReplacer("sqlite:tmp/demo.db", "'"+url+"'", "http://127.0.0.1:8080", s.public,
			":9000", ":"+r.port,
			"receiver.py", "receiver.py "+r.port,
			"\nWEBHOOK_SECRET=", "\nprintf %s \"$SECRET\" >secret\nWEBHOOK_SECRET=")
		blocks := codeOf(t, "webhooks.md", "A first webhook")
		r.command = []string{"sh", "-euc", adapt.Replace(blocks[0])}
		r.start(t)
		shell := func(commands string) string {
			c := exec.CommandContext(t.Context(), "sh", "-euc", adapt.Replace(commands))
			c.Dir, c.Env = dir, append(os.Environ(), r.env...)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, redacted([]any{string(out)}))
			}
			return string(out)
		}
		change := func() { shell(blocks[1]) }
		both := []string{"api_token.created 1", "api_token.revoked 2"}
		change()
		check.Equal(t, types(r.wait(t, 2, verified), "My first token"), both, "what the receiver printed")
		hook := regexp.MustCompile(`bc/account/webhook/[0-9a-f-]+`).FindString(
			run(t, env, "webhook", "list", "--account", acmeID))
		for _, line := range r.printed(verified) { // a request without an answer would be repeated
			s.waitForDelivery(t, session, hook, verified.FindStringSubmatch(line)[3], 1)
		}
		r.stop(t)
		change()
		time.Sleep(time.Second) // the first attempt fails
		r.command = []string{"sh", "-euc",
			"WEBHOOK_SECRET=$(cat secret) exec python3 examples/webhooks/receiver.py " + r.port}
		r.start(t)
		check.Equal(t, types(r.wait(t, 2, verified), "My first token"), both, "what the receiver printed later")
		for commands, want := range map[string]string{blocks[2]: `"secret":"whsec_`,
			codeOf(t, "webhooks.md", "Replay")[0]: `"deliveries":{"nodes":[]}`} {
			if got := shell(commands); !strings.Contains(got, want) || strings.Contains(got, `"errors"`) {
				t.Errorf("the answer is %s, want %s", redacted([]any{got}), want)
			}
		}
	})
}

// linkTo makes a symbolic link, and the folder that it is in.
func linkTo(t *testing.T, target, path string) {
	t.Helper()
	target, err := filepath.Abs(target)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.Symlink(target, path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// codeOf returns the shell commands of a section of a page in docs.
func codeOf(t *testing.T, page, section string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/%s: got no section %q, want one", page, section)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	var blocks []string
	for _, each := range regexp.MustCompile("(?s)\n```sh\n(.*?)```").FindAllStringSubmatch(body, -1) {
		blocks = append(blocks, each[1])
	}
	return blocks
}
