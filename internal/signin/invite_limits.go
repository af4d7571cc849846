package signin

import (
	"errors"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/ratelimit"
	"latchkey/internal/user"
)

// The rates of mailed invitations. Each is a burst, and then one whenever its
// share of the window has passed.
var (
	invitedBySender  = ratelimit.Rate{Requests: 100, Window: time.Hour}
	invitedByAccount = ratelimit.Rate{Requests: 500, Window: 24 * time.Hour}
	// An account reaches its own limit for an address long before the limit of
	// all accounts, so it does not use up other accounts' invitations.
	invitedToAddress = ratelimit.Rate{Requests: 10, Window: 24 * time.Hour}
	invitedByAny     = ratelimit.Rate{Requests: 50, Window: 24 * time.Hour}
)

// invitations limits the mails that members of accounts have sent to others.
type invitations struct {
	senders, accounts, addresses, byAny *buckets
	// off disables the limits.
	off bool
}

func newInvitations(off bool) (*invitations, error) {
	i := invitations{off: off}
	var errs [4]error
	i.senders, errs[0] = ratelimit.New[subject](invitedBySender, mostCounted)
	i.accounts, errs[1] = ratelimit.New[subject](invitedByAccount, mostCounted)
	i.addresses, errs[2] = ratelimit.New[subject](invitedToAddress, mostCounted)
	i.byAny, errs[3] = ratelimit.New[subject](invitedByAny, mostCounted)
	return &i, errors.Join(errs[:]...)
}

// take takes an invitation to the address from the limits of the sender, the
// account and the address, or from none of them. It returns fault.RateLimited
// after too many. The operator is not limited.
func (i *invitations) take(by *auth.Principal, email string, now time.Time) error {
	if i.off || by.Kind == auth.Operator {
		return nil
	}
	_, sender, _ := by.Subject()
	limits := []struct {
		charge

		rate ratelimit.Rate
		per  string
	}{
		{charge{i.senders, subjectOf("sender", sender.String())}, invitedBySender, "an hour by one user"},
		{charge{i.accounts, subjectOf("account", by.AccountID.String())}, invitedByAccount, "a day by one account"},
		{charge{i.addresses, subjectOf("address", by.AccountID.String()+" "+user.Fold(email))}, invitedToAddress,
			"a day by one account to one address"},
		{charge{i.byAny, subjectOf("address of any", user.Fold(email))}, invitedByAny, "a day to one address"},
	}
	for n, limit := range limits {
		state, ok := limit.of.Take(limit.by, now)
		if ok {
			continue
		}
		for _, taken := range limits[:n] {
			taken.of.Return(taken.by, now)
		}
		wait := state.Wait.Truncate(time.Minute) + time.Minute
		return fault.Errorf(fault.RateLimited,
			"They are in the account, but the invitation was not mailed: at most %d %s. Invite them again in %d min.",
			limit.rate.Requests, limit.per, int(wait.Minutes())).On("email")
	}
	return nil
}
