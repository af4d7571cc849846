// Command bench measures Latchkey against yardsticks that do only the same work, and prints the comparison. `make
// bench` and `make bench-record` build what it needs and start it.
//
// Rates depend on the machine and on its other load. Each kind of work is therefore paired with a yardstick, both are
// measured in turn in every round, and the ratio is the result. The method is described in docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	dbtest "latchkey/internal/test/db"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/latchkey", "the program to measure")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds to run")
	flag.DurationVar(&o.each, "each", 5*time.Second, "how long each load lasts in a round")
	flag.StringVar(&o.only, "only", "", "measure only the work whose name contains this")
	flag.IntVar(&o.subscriptions, "subscriptions", defaultSubscriptions, "subscriptions of the rows of billing")
	flag.StringVar(&o.record, "record", "", "file to write the report to")
	yardstick := flag.String("serve", "", "serve this yardstick instead (used by bench itself)")
	address := flag.String("address", "", "address of the yardstick")
	database := flag.String("database", "", "database of the yardstick")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *yardstick != "" {
		return serveYardstick(ctx, *yardstick, *address, *database)
	}
	return measure(ctx, o)
}

// options are the command's flags.
type options struct {
	binary string
	rounds int
	each   time.Duration
	only   string
	record string

	subscriptions int
}

// measure runs everything and prints the report.
func measure(ctx context.Context, o options) error {
	pgbench, err := dbtest.PostgresProgram("pgbench")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "latchkey-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return err
	}
	s := &suite{dir: dir, binary: binary, pgbench: pgbench, bills: bills{count: o.subscriptions}}
	r, err := s.run(ctx, o)
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	fmt.Print("\n" + r.markdown())
	if o.record == "" {
		return nil
	}
	return os.WriteFile(o.record, []byte(r.page()), 0o644)
}

// run prepares the suite, measures the single figures, which need a fresh server, and then runs the rounds.
func (s *suite) run(ctx context.Context, o options) (report, error) {
	var r report
	var groups [][]contender
	r.pairs, groups = chosen(o.only, s.contenders())
	if len(r.pairs) == 0 {
		return r, fmt.Errorf("no work matches %q", o.only)
	}
	var err error
	if r.header, err = machine(s.binary, s.pgbench, s.dir, time.Now()); err != nil {
		return r, err
	}
	r.header = append(r.header, fmt.Sprintf("%d rounds of %s for each line", o.rounds, o.each))
	if err := s.prepare(ctx); err != nil {
		return r, fmt.Errorf("prepare: %w", err)
	}
	if r.figures, err = s.figures(ctx, o.each); err != nil {
		return r, err
	}
	r.results, err = runRounds(ctx, groups, s.renew, o)
	r.figures = append(r.figures, s.bills.figures()...)
	return r, err
}

// runRounds measures every contender once in each round, after a short warm-up round. Each round begins with renew.
func runRounds(ctx context.Context, groups [][]contender, renew func(context.Context) error,
	o options) (map[string][]measurement, error) {
	results := map[string][]measurement{}
	for round := range o.rounds + 1 {
		if err := renew(ctx); err != nil {
			return nil, err
		}
		each := o.each
		if round == 0 {
			each = time.Second
		}
		for _, group := range groups {
			measured, err := byTurns(ctx, group, each)
			if err != nil {
				return nil, err
			}
			for i, m := range measured {
				name := group[i].name
				if round > 0 {
					results[name] = append(results[name], m)
				}
				fmt.Fprintf(os.Stderr, "round %d of %d  %-40s %8.0f/s  p50 %s  p99 %s\n",
					round, o.rounds, name, m.perSecond, milliseconds(m.p50), milliseconds(m.p99))
			}
		}
	}
	return results, nil
}

// byTurns measures each contender of a group for the given time. If there are several, they take turns of about a
// second: a shared machine can be half as fast again in one minute than in the next, but hardly from one second to the
// next. Each turn has a random order, because a contender that runs after a similar one benefits from the processor's
// caches.
func byTurns(ctx context.Context, group []contender, each time.Duration) ([]measurement, error) {
	turns := 1
	if len(group) > 1 {
		turns = max(1, int(each/time.Second))
	}
	parts := make([][]measurement, len(group))
	for range turns {
		for _, i := range rand.Perm(len(group)) {
			c := group[i]
			m, err := c.load(ctx, each/time.Duration(turns))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			parts[i] = append(parts[i], m)
		}
	}
	return mapped(parts, together), nil
}
