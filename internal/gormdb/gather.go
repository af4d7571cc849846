package gormdb

import (
	"context"
	"sync"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/secret"
)

// Look-ups that come while others are under way go together: a statement costs
// the database and the way to it far more than one row more in it. Nothing
// waits for company, so that a look-up on its own is as fast as can be.
const (
	// atOnce is how many statements of one kind are under way while none is
	// full: with more of them, each has fewer look-ups in it.
	atOnce = 2
	// partySize is how many digests one statement looks for. There are only
	// statements for one and for that many, each of which is planned once.
	partySize = 8
	// lookupTimeout is how long a look-up may take, from when it was asked for:
	// thousands of times as long as one does. A database that takes longer
	// hangs, and a gateway's clients had better hear so than wait.
	lookupTimeout = 5 * time.Second
)

// gathering looks credentials of one kind up.
type gathering struct {
	engine engine
	read   func(scan) (access.Record, error)
	// statements find by one digest, and by as many as a party has.
	one, many string

	mu      sync.Mutex
	next    *party
	running int
}

// party is who goes together. What was found is there once done is closed.
type party struct {
	digests []secret.Digest
	until   time.Time
	done    chan struct{}
	found   map[secret.Digest]finding
	err     error
}

// finding is one row, or why it could not be read.
type finding struct {
	record access.Record
	err    error
}

func newGathering(e engine, l lookup) *gathering {
	return &gathering{engine: e, read: l.read, one: l.statement + "($1)", many: e.dialect().party(l.statement, partySize)}
}

// find returns the record that one of the digests stands for, of which there
// are partySize at most, or fault.NotFound. Its statement begins after it was
// called, so that it sees all that was committed before.
func (g *gathering) find(ctx context.Context, candidates []secret.KeyedDigest) (access.Record, error) {
	p := g.join(candidates) //nolint:contextcheck // a statement must not end with one of those who wait for it
	select {
	case <-p.done:
	case <-ctx.Done():
		return access.Record{}, ctx.Err()
	}
	for _, c := range candidates {
		if f, ok := p.found[c.Digest]; ok {
			return f.record, f.err
		}
	}
	if p.err != nil {
		return access.Record{}, p.err
	}
	return access.Record{}, noCredential()
}

// join adds digests to the next party. One that is full sets out by itself.
func (g *gathering) join(candidates []secret.KeyedDigest) *party {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.next
	if p == nil || len(p.digests)+len(candidates) > partySize {
		if p != nil {
			go g.ask(p)
		}
		p = &party{until: time.Now().Add(lookupTimeout), done: make(chan struct{})}
		g.next = p
	}
	for _, c := range candidates {
		p.digests = append(p.digests, c.Digest)
	}
	if g.running < atOnce {
		g.running++
		go g.run()
	}
	return p
}

// run asks for one party after the other until there is none.
func (g *gathering) run() {
	for p := g.take(); p != nil; p = g.take() {
		g.ask(p)
	}
}

func (g *gathering) take() *party {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.next
	g.next = nil
	if p == nil {
		g.running--
	}
	return p
}

func (g *gathering) ask(p *party) {
	defer close(p.done)
	ctx, cancel := context.WithDeadline(context.Background(), p.until)
	defer cancel()
	statement, args := g.one, []any{p.digests[0][:]}
	if len(p.digests) > 1 {
		statement, args = g.many, partyOf(p.digests)
	}
	p.found = make(map[secret.Digest]finding, len(p.digests))
	p.err = g.engine.lookUp(ctx, statement, args, func(scan scan) error {
		var digest []byte
		record, err := g.read(func(dest ...any) error { return scan(append([]any{&digest}, dest...)...) })
		if len(digest) != len(secret.Digest{}) {
			return err
		}
		p.found[secret.Digest(digest)] = finding{record, err}
		return nil
	})
}

// partyOf are the digests as arguments. What is missing is made up by a digest
// that nothing has.
func partyOf(digests []secret.Digest) []any {
	args := make([]any, partySize)
	for i := range args {
		args[i] = []byte{}
		if i < len(digests) {
			args[i] = digests[i][:]
		}
	}
	return args
}
