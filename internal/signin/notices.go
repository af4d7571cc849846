package signin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/ratelimit"
	"latchkey/internal/user"
)

// Notice is a mail to a user about a sign-in, or about a change to how they
// sign in. It contains no text that a user entered.
type Notice struct {
	// Action is the action, one of NoticeActions.
	Action audit.Action
	At     time.Time
	// IP is the client's address; invalid for the operator's commands.
	IP netip.Addr
	// Address is the URL of the page where users see and change how they sign
	// in.
	Address string
}

// NoticeActions returns the actions that users get a notice of. SessionStarted
// stands for a sign-in in an unknown browser, and SignInFailed for the ceiling
// of failed attempts.
func NoticeActions() []audit.Action {
	return []audit.Action{
		audit.SessionStarted, audit.SignInFailed, audit.PasswordSet, audit.PasswordRemoved, audit.TOTPEnabled,
		audit.TOTPDisabled,
		audit.RecoveryCodesRenewed, audit.RecoveryCodeUsed, audit.PasskeyAdded, audit.PasskeyRemoved,
		audit.IdentityLinked, audit.IdentityUnlinked,
	}
}

// The rates of notices. Notices of failed attempts, which any client can cause,
// have their own rate, so that they do not use up that of the user's own
// changes. So do users with a password that an account chose, since every
// account can have one.
var (
	noticesPerUser    = ratelimit.Rate{Requests: 20, Window: 24 * time.Hour}
	failuresPerUser   = ratelimit.Rate{Requests: 1, Window: 24 * time.Hour}
	noticesPerAddress = ratelimit.Rate{Requests: 5, Window: 24 * time.Hour}
)

// notices mails notices from a bounded queue, with their rate limits.
type notices struct {
	persons *persons
	// mail is nil if mail is not set up.
	mail       Mail
	mailFailed func(ctx context.Context, err error)
	publicURL  string
	now        clock.Clock

	waiting chan userNotice
	// dropped counts notices that found the queue full, until it is reported.
	dropped atomic.Int64

	users, failures, addresses *buckets
}

type userNotice struct {
	Notice

	userID uuid.UUID
}

func newNotices(c Config, p *persons) (*notices, error) {
	n := &notices{
		persons: p, mail: c.Mail, mailFailed: c.OnMailFailed, publicURL: c.PublicURL, now: c.Now,
		waiting: make(chan userNotice, mostWaiting),
	}
	var errs [3]error
	n.users, errs[0] = ratelimit.New[subject](noticesPerUser, mostCounted)
	n.failures, errs[1] = ratelimit.New[subject](failuresPerUser, mostCounted)
	n.addresses, errs[2] = ratelimit.New[subject](noticesPerAddress, mostCounted)
	return n, errors.Join(errs[:]...)
}

// notify queues notices to a user of committed actions. It never blocks.
func (n *notices) notify(userID uuid.UUID, from netip.Addr, what ...audit.Action) {
	for _, each := range what {
		n.queue(n.users, userID.String(), userID, from, each)
	}
}

// notifyOfFailures queues a notice that a user's attempts of this sort have
// reached their ceiling.
func (n *notices) notifyOfFailures(sort string, userID uuid.UUID, from netip.Addr) {
	if userID != uuid.Nil {
		n.queue(n.failures, sort+userID.String(), userID, from, audit.SignInFailed)
	}
}

func (n *notices) queue(limit *buckets, key string, userID uuid.UUID, from netip.Addr, what audit.Action) {
	if n.mail == nil {
		return
	}
	now := n.now.Timestamp()
	if _, ok := limit.Take(subjectOf("notice", key), now); !ok {
		return
	}
	select {
	case n.waiting <- userNotice{Notice{Action: what, At: now, IP: from, Address: n.publicURL + "/profile/security"},
		userID}:
	default:
		n.dropped.Add(1)
	}
}

// drain mails the queued notices until ctx ends.
func (n *notices) drain(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case next := <-n.waiting:
			n.send(ctx, next)
		default:
			return
		}
	}
}

func (n *notices) send(ctx context.Context, next userNotice) {
	err := n.mailOne(ctx, next)
	if dropped := n.dropped.Swap(0); dropped > 0 {
		err = errors.Join(err, fmt.Errorf("%d notices to users were dropped: too many were waiting", dropped))
	}
	if err != nil {
		n.mailFailed(ctx, err)
	}
}

// mailOne mails a notice to a user, unless the user has been removed.
func (n *notices) mailOne(ctx context.Context, next userNotice) error {
	person, err := n.persons.PersonByID(ctx, next.userID)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if person.VouchedBy != uuid.Nil {
		if _, ok := n.addresses.Take(subjectOf("notice", user.Fold(person.Email)), n.now()); !ok {
			return nil
		}
	}
	return n.mail.Notify(ctx, person.User, next.Notice)
}

// actions returns the audit actions for the removed factors, without
// duplicates.
func (r Removed) actions() []audit.Action {
	var all []audit.Action
	if r.TOTP {
		all = append(all, audit.TOTPDisabled)
	}
	if len(r.Passkeys) > 0 {
		all = append(all, audit.PasskeyRemoved)
	}
	if len(r.Identities) > 0 {
		all = append(all, audit.IdentityUnlinked)
	}
	return all
}
