package gormdb_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
)

// pausedReplica names the database to the process that TestFeedOfAPausedProcess
// starts.
const pausedReplica = "LATCHKEY_TEST_PAUSED_REPLICA"

func TestMain(m *testing.M) {
	if url := os.Getenv(pausedReplica); url != "" {
		os.Exit(replica(url))
	}
	os.Exit(m.Run())
}

// replica runs a feed and answers every line it is sent with whether it hears,
// and how much it has heard.
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
	feed := db.NewFeed(access.Replica{Name: "paused"}, gormdb.Ears{Changed: func(uuid.UUID) { heard.Add(1) }, Forget: func() { heard.Add(1) }}, slog.New(slog.DiscardHandler))
	go feed.Run(ctx)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		hearing := feed.Hearing() // asked first, as a verifier does
		fmt.Println(hearing, heard.Load())
	}
	return 0
}

// A process that was stopped for longer than the lease must not trust its
// memory when it goes on, before it has heard what it slept through.
func TestFeedOfAPausedProcess(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		made, _ := issue(t, db, w, uuid.Nil)
		r := startReplica(t, url)
		within(t, 10*time.Second, "hearing", func() bool { hearing, _ := r.ask(t, 1); return hearing })
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
				hearing, heard := r.ask(t, 1)
				if hearing && heard == before {
					t.Error("it trusts its memory, and has not heard of the revocation")
				}
				answers <- hearing
			}
		}()
		r.signal(t, syscall.SIGCONT)
		hearing := false
		for hearing = range answers {
		}
		if !hearing {
			within(t, 10*time.Second, "hearing again", func() bool { hearing, _ := r.ask(t, 1); return hearing })
		}
		if _, after := r.ask(t, 1); after == before {
			t.Error("it never heard of the revocation")
		}
	})
}

// replicaProcess is a process that listens.
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
func (r *replicaProcess) ask(t *testing.T, questions int) (hearing bool, heard int) {
	_, err := r.in.WriteString(strings.Repeat("?\n", questions))
	if err == nil {
		err = r.in.Flush()
	}
	for range questions {
		if err != nil || !r.out.Scan() {
			t.Errorf("the replica does not answer: %v", err)
			return false, 0
		}
		if _, err = fmt.Sscan(r.out.Text(), &hearing, &heard); err != nil {
			t.Errorf("the replica answers %q", r.out.Text())
		}
	}
	return hearing, heard
}
