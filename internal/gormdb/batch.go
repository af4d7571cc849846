package gormdb

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/access"
	"latchkey/internal/secret"
)

// Concurrent look-ups are batched: a statement costs the database and the network far more than another row in it. A
// look-up never waits for others to join it, so that a single one has the lowest possible latency.
const (
	// concurrentBatches is how many statements of one kind run at a time at most; a full batch starts in addition. More
	// of them would make the batches smaller.
	concurrentBatches = 2
	// batchSize is the number of digests in a batch. There are statements only for one digest and for batchSize
	// digests, and each is planned once.
	batchSize = 8
	// lookupTimeout bounds a look-up from the time it is requested. That is thousands of times its usual duration. A
	// database that takes longer hangs, and an error is better for a gateway's clients than waiting.
	lookupTimeout = 5 * time.Second
)

// batcher looks up credentials of one kind in batches.
type batcher struct {
	engine engine
	read   func(scan) (access.Record, error)
	// one looks up one digest, and many looks up batchSize digests.
	one, many string

	mu      sync.Mutex
	next    *batch
	running int
}

// batch is one statement for several look-ups. found and err are valid once done is closed.
type batch struct {
	digests []secret.Digest
	// deadline is when the statement must have ended.
	deadline time.Time
	// span is that of the first caller. The statement is recorded as a part of it.
	span  trace.Span
	done  chan struct{}
	found map[secret.Digest]lookupResult
	err   error
}

// lookupResult is one row, or the error of reading it.
type lookupResult struct {
	record access.Record
	err    error
}

func newBatcher(e engine, l lookup) *batcher {
	return &batcher{engine: e, read: l.read, one: l.statement + "($1)", many: e.dialect().batch(l.statement, batchSize)}
}

// find returns the record of one of the digests, or fault.NotFound. There must be at most batchSize digests. Its
// statement begins after find was called, so it sees everything committed before.
func (b *batcher) find(ctx context.Context, candidates []secret.KeyedDigest) (access.Record, error) {
	joined := b.join(trace.SpanFromContext(ctx), candidates) //nolint:contextcheck // one caller's end must not end the batch
	select {
	case <-joined.done:
	case <-ctx.Done():
		return access.Record{}, ctx.Err()
	}
	for _, c := range candidates {
		if r, ok := joined.found[c.Digest]; ok {
			return r.record, r.err
		}
	}
	if joined.err != nil {
		return access.Record{}, joined.err
	}
	return access.Record{}, noCredential()
}

// join adds digests to the next batch. A batch that is full starts immediately.
func (b *batcher) join(span trace.Span, candidates []secret.KeyedDigest) *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.next
	if next == nil || len(next.digests)+len(candidates) > batchSize {
		if next != nil {
			go b.execute(next)
		}
		next = &batch{deadline: time.Now().Add(lookupTimeout), span: span, done: make(chan struct{})}
		b.next = next
	}
	for _, c := range candidates {
		next.digests = append(next.digests, c.Digest)
	}
	if b.running < concurrentBatches {
		b.running++
		go b.run()
	}
	return next
}

// run executes one batch after another until there is none.
func (b *batcher) run() {
	for next := b.take(); next != nil; next = b.take() {
		b.execute(next)
	}
}

func (b *batcher) take() *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.next
	b.next = nil
	if next == nil {
		b.running--
	}
	return next
}

func (b *batcher) execute(p *batch) {
	defer close(p.done)
	ctx, cancel := context.WithDeadline(trace.ContextWithSpan(context.Background(), p.span), p.deadline)
	defer cancel()
	statement, args := b.one, []any{p.digests[0][:]}
	if len(p.digests) > 1 {
		statement, args = b.many, batchArguments(p.digests)
	}
	p.found = make(map[secret.Digest]lookupResult, len(p.digests))
	p.err = b.engine.lookUp(ctx, statement, args, func(scan scan) error {
		var digest []byte
		record, err := b.read(func(dest ...any) error { return scan(append([]any{&digest}, dest...)...) })
		if len(digest) != len(secret.Digest{}) {
			return err
		}
		p.found[secret.Digest(digest)] = lookupResult{record, err}
		return nil
	})
}

// batchArguments returns the digests as arguments. It fills up the rest with an empty digest, which no credential has.
func batchArguments(digests []secret.Digest) []any {
	args := make([]any, batchSize)
	for i := range args {
		args[i] = []byte{}
		if i < len(digests) {
			args[i] = digests[i][:]
		}
	}
	return args
}
