package panel

import (
	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/user"
)

// offboardingHandler serves the forms that reactivate a user and that set the account's policies.
type offboardingHandler struct {
	users       *user.Service
	memberships *membership.Service
}

func (h *offboardingHandler) routes() []route {
	return []route{
		post(accountPattern+"/users/offboarding", member, h.setPolicy, fresh),
		post(accountPattern+"/users/leaks", member, h.setLeakPolicy, fresh),
		post(userPattern+"/reactivate", member, h.reactivate, fresh),
	}
}

// setPolicy sets the off-boarding policy of the account.
func (h *offboardingHandler) setPolicy(q *request) error {
	f, err := q.parseForm("policy")
	if err != nil {
		return err
	}
	_, err = h.memberships.SetOffboardingPolicy(q.r.Context(), q.by, account.OffboardingPolicy(f.Value("policy")))
	if fault.KindOf(err) == fault.Invalid { // not a value that the form offers
		return fault.Errorf(fault.Invalid, "%s", q.text("errors.form"))
	}
	if err != nil {
		return err
	}
	return q.redirectWithNotice(q.address(provisioningPath), noticeOf("offboarding_saved", ""))
}

// setLeakPolicy sets the leak policy of the account.
func (h *offboardingHandler) setLeakPolicy(q *request) error {
	f, err := q.parseForm("policy")
	if err != nil {
		return err
	}
	policy := account.LeakPolicy(f.Value("policy"))
	if policy == "" {
		policy = "NONE" // no policy of the form
	}
	_, err = h.memberships.SetPolicies(q.r.Context(), q.by, membership.Policies{Leaks: policy})
	if fault.KindOf(err) == fault.Invalid { // not a value that the form offers
		return fault.Errorf(fault.Invalid, "%s", q.text("errors.form"))
	}
	if err != nil {
		return err
	}
	return q.redirectWithNotice(q.address(provisioningPath), noticeOf("leak_policy_saved", ""))
}

// reactivate makes a deactivated user active again.
func (h *offboardingHandler) reactivate(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	if _, err := h.memberships.Reactivate(q.r.Context(), q.by, user.Ref{ID: &p.ID}); err != nil {
		return err
	}
	return q.redirectWithNotice(userAddress(q, p), noticeOf("person_reactivated", fullName(p.User)))
}
