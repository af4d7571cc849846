package signin

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/ratelimit"
	"latchkey/internal/secret/password"
)

// mostCounted is the most addresses, users and browsers that are counted.
const mostCounted = 100_000

// The rates of wrong attempts and of password resets. Buckets refill over time,
// so no user is locked out permanently.
var (
	wrongPerAddress = ratelimit.Rate{Requests: 30, Window: time.Minute}
	wrongPerUser    = ratelimit.Rate{Requests: 10, Window: 10 * time.Minute}
	// wrongPerBrowser limits a browser in which the user has signed in before.
	// Once it is used up, the browser is treated like any other.
	wrongPerBrowser = ratelimit.Rate{Requests: 10, Window: DeviceLifetime}
	// The two ceilings together are the 100 consecutive failures of NIST SP
	// 800-63B, section 5.2.2. After that, one attempt an hour is allowed.
	// Browsers in which the user has signed in before have their own ceiling,
	// which attempts from other browsers do not use up.
	ceiling      = ratelimit.Rate{Requests: 80, Window: 80 * time.Hour}
	knownCeiling = ratelimit.Rate{Requests: 20, Window: 20 * time.Hour}

	forgottenPerAddress = ratelimit.Rate{Requests: 20, Window: 10 * time.Minute}
	forgottenPerUser    = ratelimit.Rate{Requests: 3, Window: time.Hour}
	// begunPerAddress limits flows, each of which stores a row for a while.
	begunPerAddress = ratelimit.Rate{Requests: 300, Window: time.Minute}
)

// subject is the key that attempts are counted under: a hash, so that no client
// input is kept, however long.
type subject [sha256.Size]byte

// subjectOf returns the subject of a text of one sort.
func subjectOf(sort, text string) subject { return sha256.Sum256([]byte(sort + "\x00" + text)) }

// buckets are the buckets of one rate.
type buckets = ratelimit.Buckets[subject]

// attempts limits failed attempts. Only failures count: a thousand users behind
// one address can sign in at nine o'clock. An attempt is taken from the buckets
// before it is checked and refunded if it succeeds, so that concurrent attempts
// get no further than sequential ones.
type attempts struct {
	addresses, users, browsers, ceiling, knownCeiling *buckets
	forgotFrom, forgotUser, begunFrom                 *buckets
	// gate limits concurrent checks, so that few attempts are taken and not yet
	// refunded.
	gate *password.Gate
	// off disables the limits.
	off bool
}

func newAttempts(off bool) (*attempts, error) {
	a := &attempts{gate: password.NewGate(), off: off}
	var errs []error
	for _, each := range []struct {
		of   **buckets
		rate ratelimit.Rate
	}{
		{&a.addresses, wrongPerAddress}, {&a.users, wrongPerUser}, {&a.browsers, wrongPerBrowser},
		{&a.ceiling, ceiling}, {&a.knownCeiling, knownCeiling},
		{&a.forgotFrom, forgottenPerAddress}, {&a.forgotUser, forgottenPerUser}, {&a.begunFrom, begunPerAddress},
	} {
		made, err := ratelimit.New[subject](each.rate, mostCounted)
		*each.of = made
		errs = append(errs, err)
	}
	return a, errors.Join(errs...)
}

// charge is a bucket that an attempt is taken from.
type charge struct {
	of *buckets
	by subject
}

// try is one attempt: the buckets it is taken from, and the ceilings that it
// resets if it succeeds.
type try struct {
	charges, resets []charge
	// known reports whether the user has signed in with this browser before.
	known bool
}

// Sorts of attempts, which are counted separately: knowing the password gives
// no attempts on a code, and wrong codes do not block the password.
const (
	sortPassword = "password"
	sortCode     = "code"
	sortRecovery = "recovery code"
)

// newTry returns an attempt on a user, identified by ID, or by address if no
// user has it. A browser in which the user has signed in before has its own
// buckets, so an attacker who empties those of the user or the network does not
// lock the user out (OWASP, "Slow Down Online Guessing Attacks with Device
// Cookies").
func (a *attempts) newTry(sort string, from netip.Addr, name, browser string, now time.Time) try {
	target := subjectOf(sort, name)
	t := try{resets: []charge{{a.ceiling, target}, {a.knownCeiling, target}}}
	// All failures of a browser count together: after ten it is no longer
	// known.
	if by := subjectOf("browser", browser); browser != "" && a.browsers.Peek(by, now).Left > 0 {
		t.charges, t.known = []charge{{a.browsers, by}, {a.knownCeiling, target}}, true
		return t
	}
	t.charges = append(a.fromAddress(sort, from), charge{a.users, target}, charge{a.ceiling, target})
	return t
}

// recoveryTry returns an attempt with a recovery code. These codes cannot be
// guessed, so only addresses are limited: an attacker cannot block a user's
// recovery codes.
func (a *attempts) recoveryTry(from netip.Addr) try {
	return try{charges: a.fromAddress(sortRecovery, from)}
}

func (a *attempts) fromAddress(sort string, from netip.Addr) []charge {
	if !from.IsValid() {
		return nil
	}
	if sort != sortRecovery { // passwords and codes share the limit of an address
		sort = "guess"
	}
	return []charge{{a.addresses, subjectOf(sort, ratelimit.Network(from).String())}}
}

// admit calls work, which returns fault.Invalid for a wrong proof. After too
// many wrong attempts it returns fault.RateLimited (Wait) instead.
func (a *attempts) admit(t try, now clock.Clock, work func() error) error {
	if a.off {
		return work()
	}
	if err := t.take(now()); err != nil {
		return err
	}
	err := work()
	if fault.KindOf(err) != fault.Invalid {
		t.refund(now())
	}
	if err == nil {
		t.reset()
	}
	return err
}

// reached reports whether a failed attempt was the last that a ceiling allows
// for now.
func (a *attempts) reached(t try, now time.Time) bool {
	for _, c := range t.charges {
		if (c.of == a.ceiling || c.of == a.knownCeiling) && !a.off && c.of.Peek(c.by, now).Left == 0 {
			return true
		}
	}
	return false
}

// check returns fault.RateLimited if a bucket is empty, so that such an attempt
// does not wait for the gate.
func (t try) check(now time.Time) error {
	for _, c := range t.charges {
		if s := c.of.Peek(c.by, now); s.Left == 0 {
			return tooMany(s.Wait)
		}
	}
	return nil
}

// take takes the attempt from all of its buckets, or from none.
func (t try) take(now time.Time) error {
	for i, c := range t.charges {
		if err := taken(c.of.Take(c.by, now)); err != nil {
			try{charges: t.charges[:i]}.refund(now)
			return err
		}
	}
	return nil
}

func taken(s ratelimit.State, ok bool) error {
	if ok {
		return nil
	}
	return tooMany(s.Wait)
}

func (t try) refund(now time.Time) {
	for _, c := range t.charges {
		c.of.Return(c.by, now)
	}
}

// reset resets the ceilings of consecutive failures after a success.
func (t try) reset() {
	for _, c := range t.resets {
		c.of.Reset(c.by)
	}
}

// admitForgot counts a password reset request. It returns fault.RateLimited
// after too many from an address, and reports whether another mail may be sent
// to the user.
func (a *attempts) admitForgot(from netip.Addr, foldedEmail string, now time.Time) (bool, error) {
	if a.off {
		return true, nil
	}
	if from.IsValid() {
		if err := taken(a.forgotFrom.Take(subjectOf("forgot", ratelimit.Network(from).String()), now)); err != nil {
			return false, err
		}
	}
	_, ok := a.forgotUser.Take(subjectOf("forgot", foldedEmail), now)
	return ok, nil
}

// waiting is the cause of a rate limit error.
type waiting struct{ wait time.Duration }

func (w waiting) Error() string { return "too many attempts" }

// Wait returns how long the client must wait after too many attempts, or zero
// for other errors.
func Wait(err error) time.Duration {
	var w waiting
	errors.As(err, &w)
	return w.wait
}

// begin counts a flow that an unauthenticated client begins. It returns
// fault.RateLimited after too many from the address.
func (a *attempts) begin(from netip.Addr, now time.Time) error {
	if a.off || !from.IsValid() {
		return nil
	}
	return taken(a.begunFrom.Take(subjectOf("begin", ratelimit.Network(from).String()), now))
}

func tooMany(wait time.Duration) error {
	wait = wait.Truncate(time.Second) + time.Second
	return fault.Wrap(waiting{wait}, fault.RateLimited, "There were too many attempts. Try again later.")
}
