package membership

import (
	"context"
	"slices"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// SetOffboardingPolicy changes the off-boarding policy of the principal's account, and returns the account. To set the
// policy that the account has changes nothing. It returns fault.Forbidden unless the principal is the operator or a
// session of the account's owner, and fault.Invalid on "offboardingPolicy" for an unknown policy.
func (s *Service) SetOffboardingPolicy(ctx context.Context, by *auth.Principal,
	policy account.OffboardingPolicy) (account.Account, error) {
	if err := MaySetOffboardingPolicy(by); err != nil {
		return account.Account{}, err
	}
	if !slices.Contains(account.OffboardingPolicies(), policy) {
		return account.Account{}, errNoPolicy()
	}
	var a account.Account
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, func(c Change) (err error) {
		if a, err = c.Account(ctx); err != nil || a.Offboarding == policy {
			return err
		}
		if err := c.SetOffboardingPolicy(ctx, policy); err != nil {
			return err
		}
		a.Offboarding = policy
		e := user.Event(by, audit.AccountUpdated,
			audit.Target{Kind: audit.TargetAccount, Key: a.ID.String(), Name: a.Name}, s.now.Timestamp(),
			audit.Detail{Name: "offboardingPolicy", Value: string(policy)})
		e.Data = a.Data()
		return c.Record(ctx, []audit.Event{e})
	})
	return a, err
}

// MaySetOffboardingPolicy returns fault.Forbidden unless the principal may change the
// off-boarding policy of its account.
func MaySetOffboardingPolicy(by *auth.Principal) error {
	if !by.OwnsAccount(by.AccountID) {
		return auth.Denied()
	}
	return nil
}

func errNoPolicy() *fault.Error {
	return fault.Errorf(fault.Invalid, "There is no such off-boarding policy.").On("offboardingPolicy")
}
