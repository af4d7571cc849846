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
	"latchkey/internal/fault"
	"latchkey/internal/ratelimit"
	"latchkey/internal/user"
)

// Notice is what a user is mailed about a sign-in, or about a change of how they
// sign in. It contains no text that a person entered.
type Notice struct {
	// What happened: one of NoticeActions.
	What audit.Action
	At   time.Time
	// From is the client's address; invalid for the operator's commands.
	From netip.Addr
	// Address is that of the page where users see and change how they sign in.
	Address string
}

// NoticeActions returns the actions that users are mailed about. SessionStarted
// stands for a sign-in in a browser that is not known, and SignInFailed for the
// ceiling of failed attempts.
func NoticeActions() []audit.Action {
	return []audit.Action{
		audit.SessionStarted, audit.SignInFailed, audit.PasswordSet, audit.PasswordRemoved, audit.TOTPEnabled, audit.TOTPDisabled,
		audit.RecoveryCodesRenewed, audit.RecoveryCodeUsed, audit.PasskeyAdded, audit.PasskeyRemoved, audit.IdentityLinked, audit.IdentityUnlinked,
	}
}

// The rates of notices. Those of failed attempts, which anybody can make, have
// one of their own, so that they do not use up those of what the user did. So
// have those of users whose password an account chose, of whom there can be one
// in every account.
var (
	noticesPerUser    = ratelimit.Rate{Requests: 20, Window: 24 * time.Hour}
	failuresPerUser   = ratelimit.Rate{Requests: 1, Window: 24 * time.Hour}
	noticesPerAddress = ratelimit.Rate{Requests: 5, Window: 24 * time.Hour}
)

// notices are a bounded queue of notices, and how many users get.
type notices struct {
	waiting chan userNotice
	// dropped counts those that found the queue full, until that is reported.
	dropped atomic.Int64

	users, failures, addresses *buckets
}

type userNotice struct {
	Notice

	userID uuid.UUID
}

func newNotices() (*notices, error) {
	n := &notices{waiting: make(chan userNotice, mostWaiting)}
	var errs [3]error
	n.users, errs[0] = ratelimit.New[subject](noticesPerUser, mostCounted)
	n.failures, errs[1] = ratelimit.New[subject](failuresPerUser, mostCounted)
	n.addresses, errs[2] = ratelimit.New[subject](noticesPerAddress, mostCounted)
	return n, errors.Join(errs[:]...)
}

// notify queues notices to a user of what has been committed. It never blocks.
func (s *Service) notify(userID uuid.UUID, from netip.Addr, what ...audit.Action) {
	for _, each := range what {
		s.queueNotice(s.notices.users, userID.String(), userID, from, each)
	}
}

// notifyOfFailures queues a notice that a user's attempts of a sort have reached
// their ceiling.
func (s *Service) notifyOfFailures(sort string, userID uuid.UUID, from netip.Addr) {
	if userID != uuid.Nil {
		s.queueNotice(s.notices.failures, sort+userID.String(), userID, from, audit.SignInFailed)
	}
}

func (s *Service) queueNotice(limit *buckets, key string, userID uuid.UUID, from netip.Addr, what audit.Action) {
	if s.Mail == nil {
		return
	}
	now := s.moment()
	if _, ok := limit.Take(subjectOf("notice", key), now); !ok {
		return
	}
	select {
	case s.notices.waiting <- userNotice{Notice{What: what, At: now, From: from, Address: s.PublicURL + "/profile/security"}, userID}:
	default:
		s.notices.dropped.Add(1)
	}
}

// SendNotices mails the notices that wait, until ctx ends. Run does so all the
// time; call it only where Run does not run.
func (s *Service) SendNotices(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case n := <-s.notices.waiting:
			s.sendNotice(ctx, n)
		default:
			return
		}
	}
}

func (s *Service) sendNotice(ctx context.Context, n userNotice) {
	err := s.mailNotice(ctx, n)
	if dropped := s.notices.dropped.Swap(0); dropped > 0 {
		err = errors.Join(err, fmt.Errorf("%d notices to users were dropped: too many were waiting", dropped))
	}
	if err != nil {
		s.mailFailed(ctx, err)
	}
}

// mailNotice mails a user a notice, unless the user has been removed meanwhile.
func (s *Service) mailNotice(ctx context.Context, n userNotice) error {
	person, err := s.Repository.PersonByID(ctx, n.userID)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if person.VouchedBy != uuid.Nil {
		if _, ok := s.notices.addresses.Take(subjectOf("notice", user.Fold(person.Email)), s.Now()); !ok {
			return nil
		}
	}
	return s.Mail.Notify(ctx, person.User, n.Notice)
}

// actions are those of the audit log for what was removed, each once.
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
