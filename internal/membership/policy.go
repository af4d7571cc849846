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

// Policies are policies of an account to set. An empty one is not changed.
type Policies struct {
	Offboarding account.OffboardingPolicy
	Leaks       account.LeakPolicy
}

// check returns fault.Invalid for each unknown policy.
func (p Policies) check() error {
	var faults fault.List
	if p.Offboarding != "" && !slices.Contains(account.OffboardingPolicies(), p.Offboarding) {
		faults = append(faults, errNoPolicy())
	}
	if p.Leaks != "" && !slices.Contains(account.LeakPolicies(), p.Leaks) {
		faults = append(faults, fault.Errorf(fault.Invalid, "There is no such leak policy.").On("leakPolicy"))
	}
	return faults.Err()
}

// SetOffboardingPolicy is SetPolicies for the off-boarding policy.
func (s *Service) SetOffboardingPolicy(ctx context.Context, by *auth.Principal,
	policy account.OffboardingPolicy) (account.Account, error) {
	if policy == "" && MaySetPolicies(by) == nil {
		return account.Account{}, errNoPolicy()
	}
	return s.SetPolicies(ctx, by, Policies{Offboarding: policy})
}

// SetPolicies changes policies of the principal's account, and returns the account. To set those that the account has
// changes nothing. It returns fault.Forbidden unless the principal is the operator or a session of the account's owner,
// and fault.Invalid on "offboardingPolicy" or "leakPolicy" for an unknown policy.
func (s *Service) SetPolicies(ctx context.Context, by *auth.Principal, p Policies) (account.Account, error) {
	if err := MaySetPolicies(by); err != nil {
		return account.Account{}, err
	}
	if err := p.check(); err != nil {
		return account.Account{}, err
	}
	var a account.Account
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, func(c Change) (err error) {
		if a, err = c.Account(ctx); err != nil {
			return err
		}
		changed, err := setPolicies(ctx, c, &a, p)
		if err != nil || len(changed) == 0 {
			return err
		}
		e := user.Event(by, audit.AccountUpdated,
			audit.Target{Kind: audit.TargetAccount, Key: a.ID.String(), Name: a.Name}, s.now.Timestamp(), changed...)
		e.Data = a.Data()
		return c.Record(ctx, []audit.Event{e})
	})
	return a, err
}

// setPolicies sets the policies that differ, and returns them as details.
func setPolicies(ctx context.Context, c Change, a *account.Account, p Policies) (changed []audit.Detail, err error) {
	if p.Offboarding != "" && p.Offboarding != a.Offboarding {
		if err := c.SetOffboardingPolicy(ctx, p.Offboarding); err != nil {
			return nil, err
		}
		a.Offboarding = p.Offboarding
		changed = append(changed, audit.Detail{Name: "offboardingPolicy", Value: string(p.Offboarding)})
	}
	if p.Leaks != "" && p.Leaks != a.Leaks {
		if err := c.SetLeakPolicy(ctx, p.Leaks); err != nil {
			return nil, err
		}
		a.Leaks = p.Leaks
		changed = append(changed, audit.Detail{Name: "leakPolicy", Value: string(p.Leaks)})
	}
	return changed, nil
}

// MaySetPolicies returns fault.Forbidden unless the principal may change the policies of its account.
func MaySetPolicies(by *auth.Principal) error {
	if !by.OwnsAccount(by.AccountID) {
		return auth.Denied()
	}
	return nil
}

func errNoPolicy() *fault.Error {
	return fault.Errorf(fault.Invalid, "There is no such off-boarding policy.").On("offboardingPolicy")
}
