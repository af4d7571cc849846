package signin

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
)

// mostCounted is how many addresses, users and browsers are counted at most.
const mostCounted = 100_000

// The rates of wrong attempts, and of requests for another password. Buckets
// fill again with time, so that nobody is locked out for good.
var (
	wrongPerAddress = ratelimit.Rate{Requests: 30, Window: time.Minute}
	wrongPerUser    = ratelimit.Rate{Requests: 10, Window: 10 * time.Minute}
	// wrongPerBrowser is that of a browser which its user signed in with before.
	// After it, the browser is like any other.
	wrongPerBrowser = ratelimit.Rate{Requests: 10, Window: DeviceLifetime}
	// Both ceilings together are the 100 failures in a row of NIST SP 800-63B,
	// section 5.2.2. Further attempts are one an hour. A browser that the user
	// signed in with before has a ceiling of its own, which nobody else reaches.
	ceiling      = ratelimit.Rate{Requests: 80, Window: 80 * time.Hour}
	knownCeiling = ratelimit.Rate{Requests: 20, Window: 20 * time.Hour}

	forgottenPerAddress = ratelimit.Rate{Requests: 20, Window: 10 * time.Minute}
	forgottenPerUser    = ratelimit.Rate{Requests: 3, Window: time.Hour}
	// begunPerAddress is that of flows, each of which leaves a row for a while.
	begunPerAddress = ratelimit.Rate{Requests: 300, Window: time.Minute}
)

// subject is what attempts are counted by: a hash, so that nothing of what a
// client sends is kept, however long it is.
type subject [sha256.Size]byte

// subjectOf returns the subject of a text among those of a sort.
func subjectOf(sort, text string) subject { return sha256.Sum256([]byte(sort + "\x00" + text)) }

// buckets are those of one rate.
type buckets = ratelimit.Buckets[subject]

// attempts bounds how often somebody may be wrong. Only what is wrong counts: a
// thousand people behind one address sign in at nine. What is tried is taken
// from the buckets before it is judged, and given back when it is right, so that
// many at once do not get further than one after another.
type attempts struct {
	addresses, users, browsers, ceiling, knownCeiling *buckets
	askedFrom, askedAbout, begunFrom                  *buckets
	// gate holds those who are being judged: with few of them, few tries are
	// taken and not given back yet.
	gate *password.Gate
	// off says that nothing is counted.
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
		{&a.askedFrom, forgottenPerAddress}, {&a.askedAbout, forgottenPerUser}, {&a.begunFrom, begunPerAddress},
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

// try is one attempt: what it is taken from, and which ceilings it resets when
// it is right.
type try struct{ charges, resets []charge }

// Sorts of attempts, which are counted apart: knowing the password gives no
// tries of a code, and wrong codes do not keep anybody from the password.
const (
	sortPassword = "password"
	sortCode     = "code"
	sortRecovery = "recovery code"
)

// newTry returns an attempt on a user, who is named by their id, or by the
// address for nobody. A browser that the user signed in with before has buckets
// of its own: whoever empties the user's, or the office's, does not keep them
// out (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
func (a *attempts) newTry(sort string, from netip.Addr, name, browser string, now time.Time) try {
	whom := subjectOf(sort, name)
	t := try{resets: []charge{{a.ceiling, whom}, {a.knownCeiling, whom}}}
	// What a browser fails at counts whatever it is: ten failures end it.
	if by := subjectOf("browser", browser); browser != "" && a.browsers.Look(by, now).Left > 0 {
		t.charges = []charge{{a.browsers, by}, {a.knownCeiling, whom}}
		return t
	}
	t.charges = append(a.fromAddress(sort, from), charge{a.users, whom}, charge{a.ceiling, whom})
	return t
}

// recoveryTry returns an attempt with a recovery code. Such codes cannot be
// guessed, so only addresses are counted: nobody can keep a user from theirs.
func (a *attempts) recoveryTry(from netip.Addr) try {
	return try{charges: a.fromAddress(sortRecovery, from)}
}

func (a *attempts) fromAddress(sort string, from netip.Addr) []charge {
	if !from.IsValid() {
		return nil
	}
	if sort != sortRecovery { // passwords and codes are guessed from the same addresses
		sort = "guess"
	}
	return []charge{{a.addresses, subjectOf(sort, ratelimit.Network(from).String())}}
}

// judge lets work judge a try, unless there were too many wrong ones: then it
// returns fault.RateLimited, with how long to wait (Wait).
func (a *attempts) judge(ctx context.Context, t try, now func() time.Time, work func() (right bool, err error)) (bool, error) {
	if a.off {
		return work()
	}
	if err := t.look(now()); err != nil {
		return false, err
	}
	leave, err := a.gate.Enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if err := t.take(now()); err != nil {
		return false, err
	}
	right, err := work()
	if right || err != nil {
		t.giveBack(now())
	}
	if right {
		t.reset()
	}
	return right, err
}

// admit is judge for what takes no time to judge: work returns fault.Invalid for
// what is wrong.
func (a *attempts) admit(t try, now func() time.Time, work func() error) error {
	if a.off {
		return work()
	}
	if err := t.take(now()); err != nil {
		return err
	}
	err := work()
	if fault.KindOf(err) != fault.Invalid {
		t.giveBack(now())
	}
	if err == nil {
		t.reset()
	}
	return err
}

// reached reports whether a try that failed was the last that a ceiling allows
// for now.
func (a *attempts) reached(t try, now time.Time) bool {
	for _, c := range t.charges {
		if (c.of == a.ceiling || c.of == a.knownCeiling) && !a.off && c.of.Look(c.by, now).Left == 0 {
			return true
		}
	}
	return false
}

// look refuses without waiting those who would be refused after it.
func (t try) look(now time.Time) error {
	for _, c := range t.charges {
		if s := c.of.Look(c.by, now); s.Left == 0 {
			return tooMany(s.Wait)
		}
	}
	return nil
}

// take takes the try from all of its buckets, or from none.
func (t try) take(now time.Time) error {
	for i, c := range t.charges {
		if err := taken(c.of.Take(c.by, now)); err != nil {
			try{charges: t.charges[:i]}.giveBack(now)
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

func (t try) giveBack(now time.Time) {
	for _, c := range t.charges {
		c.of.Return(c.by, now)
	}
}

// reset forgets the failures in a row, which a success ends.
func (t try) reset() {
	for _, c := range t.resets {
		c.of.Forget(c.by)
	}
}

// nameOfUser is what a user's attempts are counted by: their id, or the address
// that somebody tried where there is no such user.
func nameOfUser(id uuid.UUID, foldedEmail string) string {
	if id == uuid.Nil {
		return foldedEmail
	}
	return id.String()
}

// admitForgot counts a request for another password. It returns
// fault.RateLimited for too many from an address, and whether the user may be
// mailed again.
func (a *attempts) admitForgot(from netip.Addr, foldedEmail string, now time.Time) (bool, error) {
	if a.off {
		return true, nil
	}
	if from.IsValid() {
		if err := taken(a.askedFrom.Take(subjectOf("forgot", ratelimit.Network(from).String()), now)); err != nil {
			return false, err
		}
	}
	_, ok := a.askedAbout.Take(subjectOf("forgot", foldedEmail), now)
	return ok, nil
}

// waiting is the cause of a refusal of too many attempts.
type waiting struct{ wait time.Duration }

func (w waiting) Error() string { return "too many attempts" }

// Wait returns how long whoever made too many attempts is to wait; zero for
// other errors.
func Wait(err error) time.Duration {
	var w waiting
	errors.As(err, &w)
	return w.wait
}

// begin counts a flow that nobody in particular begins from an address. It
// returns fault.RateLimited for one too many.
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
