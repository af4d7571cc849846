package stream_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/chain"
	"latchkey/internal/chain/stream"
	"latchkey/internal/test/check"
)

// events is a log of events in memory, whose places are 1, 2 and so on.
type events struct {
	chain.Reader

	mu   sync.Mutex
	list []chain.SealedEvent
	// largest is the largest number of events that were read at once.
	largest int
}

func (e *events) add(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range n {
		place := int64(len(e.list) + 1)
		event := audit.Event{ID: uuid.New(), Action: audit.APITokenCreated, At: time.Now(), Data: []byte(`{"a":"ü\n"}`)}
		e.list = append(e.list, chain.SealedEvent{Place: place, Link: chain.Link{Number: place},
			Event: chain.Record{Event: event}})
	}
}

func (e *events) Sealed(_ context.Context, _ chain.Filter, after int64, limit int) ([]chain.SealedEvent, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rest := e.list[after:]
	rest = rest[:min(limit, len(rest))]
	e.largest = max(e.largest, len(rest))
	return slices.Clone(rest), nil
}

// positions are places in memory.
type positions struct {
	mu     sync.Mutex
	place  int64
	holder uuid.UUID
	// changed and isNew are what a lease says of the place.
	changed, isNew bool
}

func (p *positions) Lease(_ context.Context, _ string, holder uuid.UUID, _ time.Duration) (stream.Leased, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holder == uuid.Nil {
		p.holder = holder
	}
	return stream.Leased{Place: p.place, Ours: p.holder == holder, Changed: p.changed, New: p.isNew}, nil
}

func (p *positions) Save(_ context.Context, _ string, holder uuid.UUID, place int64) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holder == holder {
		p.place, p.changed, p.isNew = place, false, false
	}
	return p.holder == holder, nil
}

func (p *positions) Release(_ context.Context, _ string, holder uuid.UUID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holder == holder {
		p.holder = uuid.Nil
	}
	return nil
}

// soon is a target at which events count as arrived soon after they were written.
type soon struct{ stream.Target }

func (soon) Arrived() time.Duration { return 300 * time.Millisecond }

// start runs a stream and returns the function that stops it.
func start(t *testing.T, e *events, p *positions, to stream.Target, server string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	s := stream.New(e, p, to, server, time.Now, slog.New(slog.DiscardHandler))
	running.Go(func() { s.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1500 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("got no %s in 15 seconds, want it", what)
}

// numbers returns the numbers of the events in a text of lines.
func numbers(t *testing.T, text string) (list []int64) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e struct{ Chain chain.LineLink }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			continue // a line that was cut
		}
		list = append(list, e.Chain.Number)
	}
	return list
}

// checkComplete fails the test unless the numbers are 1 to n in this order, possibly with repetitions.
func checkComplete(t *testing.T, list []int64, n int) {
	t.Helper()
	last := int64(0)
	for _, number := range list {
		if number > last+1 {
			t.Fatalf("got number %d after %d, want none left out", number, last)
		}
		last = max(last, number)
	}
	check.Equal(t, last, int64(n), "the last number")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// A file has every event once, also if it is renamed, and if the stream is stopped and started.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	e, p := &events{}, &positions{}
	e.add(1000)
	stop := start(t, e, p, stream.NewFile(path, "a"), "a")
	await(t, "1000 lines", func() bool { return strings.Count(read(t, path), "\n") == 1000 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	e.add(10)
	await(t, "new file with 10 lines", func() bool { return strings.Count(read(t, path), "\n") == 10 })
	stop()
	e.add(5)
	p.mu.Lock()
	check.Equal(t, p.place, 1010, "the stored place")
	p.mu.Unlock()
	start(t, e, p, stream.NewFile(path, "a"), "a")
	await(t, "15 lines", func() bool { return strings.Count(read(t, path), "\n") == 15 })
	all := numbers(t, read(t, path+".1")+read(t, path))
	check.Equal(t, len(all), 1015, "the number of lines")
	checkComplete(t, all, 1015)
	check.Equal(t, e.largest <= 200, true, "at most 200 events are in memory")
}

// A line that was cut is ended, and written again as a whole.
func TestFileWithHalfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte(`{"half`), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &events{}
	e.add(2)
	start(t, e, &positions{}, stream.NewFile(path, "a"), "a")
	await(t, "2 events", func() bool { return len(numbers(t, read(t, path))) == 2 })
	check.Equal(t, strings.HasPrefix(read(t, path), "{\"half\n{"), true, "the line that was cut is ended")
}

// Events wait while a file cannot be written.
func TestFileIsAway(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(folder, "audit.log")
	e := &events{}
	e.add(3)
	start(t, e, &positions{}, stream.NewFile(path, "a"), "a")
	time.Sleep(50 * time.Millisecond)
	e.add(3)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	await(t, "6 events", func() bool { return len(numbers(t, read(t, path))) == 6 })
}

// receiver is a syslog receiver.
type receiver struct {
	mu       sync.Mutex
	lines    strings.Builder
	listener net.Listener
	conns    []net.Conn
}

var messageForm = regexp.MustCompile(`^<109>1 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ latchkey \d+ api_token\.created - (\{.*\})$`)

func listen(t *testing.T, address string) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{listener: listener}
	t.Cleanup(r.close)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
			go r.receive(conn)
		}
	}()
	return r
}

func (r *receiver) receive(conn net.Conn) {
	from := bufio.NewReader(conn)
	for {
		length, err := from.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		text := make([]byte, n)
		if _, readErr := io.ReadFull(from, text); errors.Join(err, readErr) != nil {
			return
		}
		line := "no message: " + string(text)
		if found := messageForm.FindSubmatch(text); found != nil {
			line = string(found[1])
		}
		r.mu.Lock()
		fmt.Fprintln(&r.lines, line)
		r.mu.Unlock()
	}
}

func (r *receiver) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
}

func (r *receiver) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.String()
}

// A receiver gets every event, in order, although it goes away and comes back, and although the server restarts.
func TestSyslog(t *testing.T) {
	first := listen(t, "127.0.0.1:0")
	address := first.listener.Addr().String()
	e, p := &events{}, &positions{}
	e.add(500)
	stop := start(t, e, p, soon{stream.NewSyslog(address)}, "a")
	await(t, "500 messages", func() bool { return len(numbers(t, first.text())) == 500 })
	await(t, "stored place", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.place == 500 })
	first.close()
	e.add(500)
	time.Sleep(time.Second)
	second := listen(t, address)
	await(t, "1000 messages", func() bool {
		all := numbers(t, first.text()+second.text())
		return len(all) > 0 && slices.Max(all) == 1000
	})
	stop()
	e.add(7)
	start(t, e, p, soon{stream.NewSyslog(address)}, "a")
	await(t, "1007 messages", func() bool { return slices.Max(numbers(t, second.text())) == 1007 })
	checkComplete(t, numbers(t, first.text()+second.text()), 1007)
	if strings.Contains(first.text()+second.text(), "no message") {
		t.Errorf("got messages of another form: %s", first.text())
	}
}

// One of several servers sends.
func TestOneServerSends(t *testing.T) {
	r := listen(t, "127.0.0.1:0")
	e, p := &events{}, &positions{}
	e.add(100)
	for _, server := range []string{"a", "b"} {
		start(t, e, p, stream.NewSyslog(r.listener.Addr().String()), server)
	}
	await(t, "100 messages", func() bool { return len(numbers(t, r.text())) >= 100 })
	time.Sleep(100 * time.Millisecond)
	check.Equal(t, len(numbers(t, r.text())), 100, "the number of messages")
}
