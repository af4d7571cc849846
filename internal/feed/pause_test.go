package feed_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/feed"
	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
)

// pausedReplica passes the database's URL to the process that TestFeedOfAPausedProcess starts.
const pausedReplica = "LATCHKEY_TEST_PAUSED_REPLICA"

func TestMain(m *testing.M) {
	if url := os.Getenv(pausedReplica); url != "" {
		os.Exit(replica(url))
	}
	os.Exit(m.Run())
}

// replica runs a feed. It answers every line on stdin with whether the feed is current and how many changes it
// received.
func replica(url string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := gormdb.Open(ctx, gormdb.Config{URL: url})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = db.Close() }()
	var heard atomic.Int64
	f := newFeed(db, "paused", feed.Subscriber{Changed: func(uuid.UUID) { heard.Add(1) },
		Forget: func() { heard.Add(1) }})
	go f.Run(ctx)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		current := f.IsCurrent() // read first, as a verifier does
		fmt.Println(current, heard.Load())
	}
	return 0
}

// A process that was stopped for longer than the lease must not use its cache when it continues, until it has
// received the changes of that time.
func TestFeedOfAPausedProcess(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		made, _ := issue(t, db, w)
		r := startReplica(t, url)
		within(t, 10*time.Second, "current", func() bool { current, _ := r.ask(t, 1); return current })
		time.Sleep(50 * time.Millisecond)
		_, before := r.ask(t, 1)

		r.signal(t, syscall.SIGSTOP)
		revoke(t, db, made)
		time.Sleep(lease + 100*time.Millisecond)
		const questions = 2000
		answers := make(chan bool)
		go func() {
			defer close(answers)
			for range questions {
				current, heard := r.ask(t, 1)
				if current && heard == before {
					t.Error("the replica uses its cache without having received the revocation, want it not to")
				}
				answers <- current
			}
		}()
		r.signal(t, syscall.SIGCONT)
		current := false
		for current = range answers {
		}
		if !current {
			within(t, 10*time.Second, "current again", func() bool { current, _ := r.ask(t, 1); return current })
		}
		if _, after := r.ask(t, 1); after == before {
			t.Error("the replica never received the revocation, want it received")
		}
	})
}

// replicaProcess is a process that runs replica.
type replicaProcess struct {
	cmd *exec.Cmd
	in  *bufio.Writer
	out *bufio.Scanner
}

func startReplica(t *testing.T, url string) *replicaProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), pausedReplica+"="+url)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &replicaProcess{cmd, bufio.NewWriter(in), bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return r
}

func (r *replicaProcess) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ask sends questions and returns the last answer.
func (r *replicaProcess) ask(t *testing.T, questions int) (current bool, heard int) {
	_, err := r.in.WriteString(strings.Repeat("?\n", questions))
	if err == nil {
		err = r.in.Flush()
	}
	for range questions {
		if err != nil || !r.out.Scan() {
			t.Errorf("the replica does not answer, want %d answers: %v", questions, err)
			return false, 0
		}
		if _, err = fmt.Sscan(r.out.Text(), &current, &heard); err != nil {
			t.Errorf("the replica answers %q", r.out.Text())
		}
	}
	return current, heard
}
