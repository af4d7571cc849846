package signin

import (
	"errors"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/ratelimit"
	"latchkey/internal/user"
)

// The rates of invitations that are mailed.
var (
	invitedBySender  = ratelimit.Rate{Requests: 100, Window: time.Hour}
	invitedByAccount = ratelimit.Rate{Requests: 500, Window: 24 * time.Hour}
	invitedToAddress = ratelimit.Rate{Requests: 10, Window: 24 * time.Hour}
)

// invitations bounds the mails that members of accounts have sent to others.
type invitations struct{ senders, accounts, addresses *buckets }

func newInvitations() (*invitations, error) {
	var i invitations
	var errs [3]error
	i.senders, errs[0] = ratelimit.New[subject](invitedBySender, mostCounted)
	i.accounts, errs[1] = ratelimit.New[subject](invitedByAccount, mostCounted)
	i.addresses, errs[2] = ratelimit.New[subject](invitedToAddress, mostCounted)
	return &i, errors.Join(errs[:]...)
}

// mayMail takes an invitation to the address from the limits of the sender, the
// account and the address, or from none. It returns fault.RateLimited for one too
// many. The operator's are not limited.
func (s *Service) mayMail(by *auth.Principal, email string) error {
	if s.Unlimited || by.Kind == auth.Operator {
		return nil
	}
	now := s.Now()
	_, sender, _ := by.Subject()
	limits := []struct {
		charge

		rate ratelimit.Rate
		per  string
	}{
		{charge{s.invitations.senders, subjectOf("sender", sender.String())}, invitedBySender, "an hour by one user"},
		{charge{s.invitations.accounts, subjectOf("account", by.AccountID.String())}, invitedByAccount, "a day by one account"},
		{charge{s.invitations.addresses, subjectOf("address", user.Fold(email))}, invitedToAddress, "a day to one address"},
	}
	for i, limit := range limits {
		state, ok := limit.of.Take(limit.by, now)
		if ok {
			continue
		}
		for _, taken := range limits[:i] {
			taken.of.Return(taken.by, now)
		}
		wait := state.Wait.Truncate(time.Minute) + time.Minute
		return fault.Errorf(fault.RateLimited, "They are in the account, but the invitation was not mailed: at most %d %s. Invite them again in %d min.",
			limit.rate.Requests, limit.per, int(wait.Minutes())).On("email")
	}
	return nil
}
