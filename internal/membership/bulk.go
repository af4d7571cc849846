package membership

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Report is the result of a bulk request.
type Report struct {
	Items  []Item
	DryRun bool
	// Stopped is the error of the slice that failed, for the log, or nil.
	Stopped error
}

// Item is the result for one user. Review are the tokens whose secrets a removed user knows.
type Item struct {
	Outcome

	Review []token.Token
}

// Count returns how many items have the action.
func (r Report) Count(action ProvisionAction) int {
	n := 0
	for _, item := range r.Items {
		if item.Action == action {
			n++
		}
	}
	return n
}

func report(outcomes []Outcome, known map[uuid.UUID][]token.Token) []Item {
	items := make([]Item, len(outcomes))
	for i, o := range outcomes {
		items[i].Outcome = o
		if o.Action == Removed && o.Person != nil {
			items[i].Review = known[o.Person.ID]
		}
	}
	return items
}

// Provision creates, updates or removes users of the principal's account, each
// completely or not at all, and reports on each. It returns fault.Forbidden if the
// principal may not, and fault.Invalid for too many users or none, and with
// RemoveOthers for any invalid item.
//
// A request with more than Repository.SliceSize users is split into slices. Each
// slice has its own transaction, which checks the principal again. If one fails,
// its users and those of later slices are reported as failed. If the first one
// fails, its error is returned and nothing has changed.
func (s *Service) Provision(ctx context.Context, by *auth.Principal, req ProvisionRequest) (Report, error) {
	if err := checkProvisioning(by, req); err != nil {
		return Report{}, err
	}
	most := len(req.Users)
	if req.RemoveOthers {
		most += MaxBulk
	}
	switch {
	case req.DryRun:
		return s.provisionAtOnce(ctx, by, req, s.repo.View)
	case most <= s.repo.SliceSize():
		return s.provisionAtOnce(ctx, by, req, s.changeSlice)
	}
	return s.provisionInSlices(ctx, by, req)
}

// transaction is changeSlice or Repository.View.
type transaction func(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error

// changeSlice limits each slice to auth.WriteTimeout, and not the whole request: a
// thousand users take longer than one write may.
func (s *Service) changeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error {
	return auth.BoundWrite(ctx, func(ctx context.Context) error { return s.repo.ChangeSlice(ctx, by, accountID, work) })
}

func (s *Service) provisionAtOnce(ctx context.Context, by *auth.Principal, req ProvisionRequest,
	run transaction) (Report, error) {
	var r Report
	err := run(ctx, by.Actor(), by.AccountID, func(c Change) error {
		now := s.now.Timestamp()
		plan, err := planProvisioning(ctx, c, by, req, now)
		if err != nil {
			return err
		}
		var known map[uuid.UUID][]token.Token
		if req.DryRun {
			known, err = knownTo(ctx, c, plan.leaving, now)
		} else {
			known, err = plan.write(ctx, c)
		}
		r = Report{Items: report(plan.outcomes, known), DryRun: req.DryRun}
		return err
	})
	if err != nil {
		return Report{}, err
	}
	return r, nil
}

// provisionInSlices first checks the whole request if it removes others: no user is
// removed if an item is invalid. It then removes the others before it writes the
// items, since users of the request may take over their external IDs.
func (s *Service) provisionInSlices(ctx context.Context, by *auth.Principal, req ProvisionRequest) (Report,
	error) {
	b := bulk{service: s, by: by}
	var others []Item
	if req.RemoveOthers {
		leaving, stay, err := s.planOthers(ctx, by, req)
		if err != nil {
			return Report{}, err
		}
		left, err := b.removeOthers(ctx, leaving)
		if err != nil {
			return Report{}, err
		}
		others = slices.Concat(left, stay)
	}
	var seen map[string]int
	items, err := b.run(ctx, len(req.Users), func(from, to int) work {
		slice := itemSlice{items: req.Users[from:to], first: from, seen: seen}
		return func(c Change) ([]Item, error) {
			plan, err := planSlice(ctx, c, by, slice, s.now.Timestamp())
			if err == nil {
				_, err = plan.write(ctx, c)
			}
			if err != nil {
				return nil, err
			}
			seen = plan.seen
			return report(plan.outcomes, nil), nil
		}
	}, func(i int) Outcome { return Outcome{Email: req.Users[i].Email} })
	if err != nil {
		return Report{}, err
	}
	return Report{Items: append(items, others...), Stopped: b.cause}, nil
}

// planOthers returns the users that a request with RemoveOthers removes, and those that it cannot remove.
func (s *Service) planOthers(ctx context.Context, by *auth.Principal,
	req ProvisionRequest) (leaving []Outcome, stay []Item, err error) {
	err = s.repo.View(ctx, by.Actor(), by.AccountID, func(c Change) error {
		plan, err := planProvisioning(ctx, c, by, req, s.now.Timestamp())
		if err != nil {
			return err
		}
		for _, o := range plan.outcomes[len(req.Users):] {
			if o.Action == Failed {
				stay = append(stay, Item{Outcome: o})
			} else {
				leaving = append(leaving, o)
			}
		}
		return nil
	})
	return leaving, stay, err
}

// DeprovisionRequest is a request to remove users from the account.
type DeprovisionRequest struct {
	// Users has 1 to MaxBulk entries.
	Users []user.Ref
	// DryRun returns the outcomes without changing anything.
	DryRun bool
	// Offboarding is that of Removal.
	Offboarding account.OffboardingPolicy
}

// Deprovision removes users from the principal's account, each completely or not at
// all, and reports on each. An email address that is not in the account is
// Unchanged. It returns fault.Forbidden if the principal may not, and
// fault.Invalid for too many users or none. It splits requests into slices as
// Provision does.
func (s *Service) Deprovision(ctx context.Context, by *auth.Principal, req DeprovisionRequest) (Report, error) {
	if err := mayAsk(by, req.Offboarding, nil); err != nil {
		return Report{}, err
	}
	if err := checkBulk(len(req.Users)); err != nil {
		return Report{}, err
	}
	if req.DryRun {
		r := Report{DryRun: true}
		err := s.repo.View(ctx, by.Actor(), by.AccountID, func(c Change) error {
			plan, err := planLeaving(ctx, c, by, leaverSlice{named: req.Users})
			if err != nil {
				return err
			}
			known, err := knownTo(ctx, c, plan.leaving, s.now.Timestamp())
			r.Items = report(plan.outcomes, known)
			return err
		})
		return r, err
	}
	b := bulk{service: s, by: by}
	items, err := b.remove(ctx, req.Users, req.Offboarding, func(i int) Outcome {
		if req.Users[i].Email == nil {
			return Outcome{}
		}
		return Outcome{Email: *req.Users[i].Email}
	})
	return Report{Items: items, Stopped: b.cause}, err
}

// bulk runs a request slice by slice.
type bulk struct {
	service *Service
	by      *auth.Principal
	// begun reports whether a slice was committed.
	begun bool
	// cause is the error of the slice that failed, and stopped the fault that is
	// reported for it. No further slice runs.
	cause   error
	stopped *fault.Error
}

// work runs one slice in a transaction and returns its items. It may be called
// again if the transaction could not be committed.
type work func(Change) ([]Item, error)

// run processes n items in slices. start returns the work of a slice after the
// earlier slices are committed, and named an outcome that identifies the user of an
// item.
func (b *bulk) run(ctx context.Context, n int, start func(from, to int) work, named func(i int) Outcome) ([]Item,
	error) {
	all := make([]Item, 0, n)
	size := b.service.repo.SliceSize()
	for from := 0; from < n; from += size {
		to := min(from+size, n)
		if b.stopped == nil {
			done, err := b.commit(ctx, start(from, to))
			switch {
			case err == nil:
				b.begun = true
				all = append(all, done...)
				continue
			case !b.begun: // nothing has changed
				return nil, err
			}
			b.stop(err)
		}
		for i := from; i < to; i++ {
			o := named(i)
			o.Action, o.Fault = Failed, b.stopped.On(onItem(i, ""))
			all = append(all, Item{Outcome: o})
		}
	}
	return all, nil
}

func (b *bulk) commit(ctx context.Context, do work) (done []Item, err error) {
	err = b.service.changeSlice(ctx, b.by.Actor(), b.by.AccountID, func(c Change) (err error) {
		done, err = do(c)
		return err
	})
	return done, err
}

// stop records the error of a slice. No further slice runs.
func (b *bulk) stop(err error) {
	b.cause = err
	if !errors.As(err, &b.stopped) {
		b.stopped = fault.Errorf(fault.Internal,
			"This was not confirmed, because the request could not be finished. Send it again: users that are already changed are not changed twice.")
	}
}

// remove removes users from the account. outcome returns an outcome that identifies the i-th user.
func (b *bulk) remove(ctx context.Context, named []user.Ref, policy account.OffboardingPolicy,
	outcome func(i int) Outcome) ([]Item, error) {
	var removed []user.Person
	return b.run(ctx, len(named), func(from, to int) work {
		slice := leaverSlice{named: named[from:to], first: from, removed: removed}
		return func(c Change) ([]Item, error) {
			plan, err := planLeaving(ctx, c, b.by, slice)
			if err != nil {
				return nil, err
			}
			known, _, err := depart(ctx, c, b.by, plan.leaving, removing, handlingBy(plan.account, policy),
				b.service.now.Timestamp())
			removed = slices.Concat(slice.removed, plan.leaving)
			return report(plan.outcomes, known), err
		}
	}, outcome)
}

// removeOthers removes the users that the request does not name. It leaves out users that were removed since they were
// read.
func (b *bulk) removeOthers(ctx context.Context, persons []Outcome) ([]Item, error) {
	named := make([]user.Ref, len(persons))
	for i, o := range persons {
		named[i].ID = &o.Person.ID
	}
	items, err := b.remove(ctx, named, "", func(i int) Outcome { return persons[i] })
	items = slices.DeleteFunc(items, func(i Item) bool { return i.Fault != nil && i.Fault.Kind == fault.NotFound })
	for i := range items {
		if f := items[i].Fault; f != nil {
			items[i].Fault = f.On("removeOthers")
		}
	}
	return items, err
}
