package signin

import (
	"context"
	"net/netip"
	"time"

	"latchkey/internal/clock"
)

// identity is what attempts on one user's password are counted by.
type identity struct {
	// name identifies the user.
	name string
	// browser is the key that the browser is counted by if this identity has
	// signed in with it before, or empty.
	browser string
}

// guess is one attempt at the passwords of an email address, which several
// identities may have: the person, and users whose accounts chose a password.
//
// It is counted for each identity that it is compared with. Otherwise the owner
// of one password could test the others with attempts that cost nothing.
type guess struct {
	// from is the bucket of the client's network. All identities that have not
	// signed in with this browser share it.
	from try
	// tries has an attempt for each identity, in their order.
	tries []try
	// open reports which identities have attempts left. The guess is compared
	// with their passwords only.
	open []bool
}

func (a *attempts) newGuess(from netip.Addr, identities []identity, now time.Time) *guess {
	g := &guess{from: try{charges: a.fromAddress(sortPassword, from)}, open: make([]bool, len(identities))}
	for _, each := range identities {
		g.tries = append(g.tries, a.newTry(sortPassword, netip.Addr{}, each.name, each.browser, now))
	}
	return g
}

// none is the index that means no identity.
const none = -1

// judgeGuess calls compare, which compares the guess with the passwords of the
// open identities and returns the index of the identity that it matches, or
// none. A match refunds the attempt and resets the consecutive failures of that
// identity only. judgeGuess returns fault.RateLimited (Wait) if the guess
// matches none and was not compared with all of them.
func (a *attempts) judgeGuess(ctx context.Context, g *guess, now clock.Clock,
	compare func(open []bool) (int, error)) (int, error) {
	if a.off {
		for i := range g.open {
			g.open[i] = true
		}
		return compare(g.open)
	}
	if err := g.check(now()); err != nil {
		return none, err
	}
	leave, err := a.gate.Enter(ctx)
	if err != nil {
		return none, err
	}
	defer leave()
	judged, limited := g.take(now())
	if !judged {
		return none, limited
	}
	matched, err := compare(g.open)
	if err != nil {
		g.refund(now())
		return none, err
	}
	if matched == none {
		return none, limited
	}
	g.from.refund(now())
	g.tries[matched].refund(now())
	g.tries[matched].reset()
	return matched, nil
}

// check returns fault.RateLimited if no identity has attempts left, so that such
// a guess does not wait for the gate.
func (g *guess) check(now time.Time) (limited error) {
	from := g.from.check(now)
	for _, t := range g.tries {
		err := t.check(now)
		if err == nil && !t.known {
			err = from
		}
		if err == nil {
			return nil
		}
		if limited == nil {
			limited = err
		}
	}
	return limited
}

// take takes the guess from the buckets of every identity that has attempts
// left, and reports whether there is one. limited is the error of the first
// identity that has none left.
func (g *guess) take(now time.Time) (judged bool, limited error) {
	from := g.from.take(now)
	for i, t := range g.tries {
		err := from
		if t.known || err == nil {
			err = t.take(now)
		}
		g.open[i] = err == nil
		judged = judged || g.open[i]
		if limited == nil {
			limited = err
		}
	}
	if from != nil {
		g.from = try{} // nothing was taken
	}
	if !judged {
		g.from.refund(now)
	}
	return judged, limited
}

// refund returns what take took.
func (g *guess) refund(now time.Time) {
	g.from.refund(now)
	for i, t := range g.tries {
		if g.open[i] {
			t.refund(now)
		}
	}
}

// reachedBy returns the identities for which this guess, compared with their
// password, was the last that a ceiling allows for now. matched is left out.
func (a *attempts) reachedBy(g *guess, matched int, now time.Time) []int {
	var all []int
	for i, t := range g.tries {
		if i != matched && g.open[i] && a.reached(t, now) {
			all = append(all, i)
		}
	}
	return all
}
