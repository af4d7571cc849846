package offboard

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Report is what a bulk came to.
type Report struct {
	Items  []Item
	DryRun bool
	// Stopped is the error of the slice that failed, for the log; nil if none
	// did.
	Stopped error
}

// Item is the result for one person, and the tokens that a person who left knows.
type Item struct {
	user.Outcome

	Review []token.Token
}

// Count returns how many items came to that.
func (r Report) Count(action user.ProvisionAction) int {
	n := 0
	for _, item := range r.Items {
		if item.Action == action {
			n++
		}
	}
	return n
}

func report(outcomes []user.Outcome, known map[uuid.UUID][]token.Token) []Item {
	items := make([]Item, len(outcomes))
	for i, o := range outcomes {
		items[i].Outcome = o
		if o.Action == user.Removed && o.Person != nil {
			items[i].Review = known[o.Person.ID]
		}
	}
	return items
}

// Provision brings people of the principal's account to what the request says,
// each as a whole or not at all, and reports on each. It returns
// fault.Forbidden for a principal that may not; fault.Invalid for too many
// people or none, and with RemoveOthers for any wrong item.
//
// A request of more than Repository.SliceSize people is carried out in slices,
// each in a transaction of its own that checks the principal again. If one
// fails, its people and those after it are reported as failed; if that is the
// first, its error is returned and nothing has changed.
func (s *Service) Provision(ctx context.Context, by *auth.Principal, req user.ProvisionRequest) (Report, error) {
	if err := user.CheckProvisioning(by, req); err != nil {
		return Report{}, err
	}
	most := len(req.Users)
	if req.RemoveOthers {
		most += user.MaxBulk
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

// changeSlice bounds each slice by auth.WriteTimeout, and not the whole request:
// a thousand people take longer than one change may.
func (s *Service) changeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error {
	return auth.BoundWrite(ctx, func(ctx context.Context) error { return s.repo.ChangeSlice(ctx, by, accountID, work) })
}

func (s *Service) provisionAtOnce(ctx context.Context, by *auth.Principal, req user.ProvisionRequest, run transaction) (Report, error) {
	var r Report
	err := run(ctx, by.Actor(), by.AccountID, func(c Change) error {
		now := s.moment()
		plan, err := user.Plan(ctx, c, by, req, now)
		if err != nil {
			return err
		}
		known, err := knownTo(ctx, c, plan.Leaving, now)
		if err != nil {
			return err
		}
		if !req.DryRun {
			err = plan.Write(ctx, c)
		}
		r = Report{Items: report(plan.Outcomes, known), DryRun: req.DryRun}
		return err
	})
	if err != nil {
		return Report{}, err
	}
	return r, nil
}

// provisionInSlices first judges a request that removes others as a whole:
// nobody is removed if an item is wrong. Those others leave first, since they
// may leave external ids to people of the request.
func (s *Service) provisionInSlices(ctx context.Context, by *auth.Principal, req user.ProvisionRequest) (Report, error) {
	b := bulk{service: s, by: by}
	var others []Item
	if req.RemoveOthers {
		leaving, stay, err := s.judge(ctx, by, req)
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
		slice := user.Slice{Items: req.Users[from:to], First: from, Seen: seen}
		return func(c Change) ([]Item, error) {
			plan, err := user.PlanSlice(ctx, c, by, slice, s.moment())
			if err == nil {
				err = plan.Write(ctx, c)
			}
			if err != nil {
				return nil, err
			}
			seen = plan.Seen()
			return report(plan.Outcomes, nil), nil
		}
	}, func(i int) user.Outcome { return user.Outcome{Email: req.Users[i].Email} })
	if err != nil {
		return Report{}, err
	}
	return Report{Items: append(items, others...), Stopped: b.cause}, nil
}

// judge returns what a request that removes others comes to for those: they
// leave, or they cannot.
func (s *Service) judge(ctx context.Context, by *auth.Principal, req user.ProvisionRequest) (leaving []user.Outcome, stay []Item, err error) {
	err = s.repo.View(ctx, by.Actor(), by.AccountID, func(c Change) error {
		plan, err := user.Plan(ctx, c, by, req, s.moment())
		if err != nil {
			return err
		}
		for _, o := range plan.Outcomes[len(req.Users):] {
			if o.Action == user.Failed {
				stay = append(stay, Item{Outcome: o})
			} else {
				leaving = append(leaving, o)
			}
		}
		return nil
	})
	return leaving, stay, err
}

// DeprovisionRequest asks for people to be taken out of the account.
type DeprovisionRequest struct {
	// Users are 1 to user.MaxBulk people.
	Users []user.Whom
	// DryRun asks what would be done, and does nothing.
	DryRun bool
	// RevokeTokens revokes the tokens that they know at once, as for a
	// Removal.
	RevokeTokens bool
}

// Deprovision takes people out of the principal's account, each as a whole or
// not at all, and reports on each. Somebody of an address who is not in it is
// user.Unchanged. It returns fault.Forbidden for a principal that may not, and
// fault.Invalid for too many people or none. Many people leave in slices, as
// they come with Provision.
func (s *Service) Deprovision(ctx context.Context, by *auth.Principal, req DeprovisionRequest) (Report, error) {
	if err := MayRemove(by, req.RevokeTokens); err != nil {
		return Report{}, err
	}
	if err := user.CheckBulk(len(req.Users)); err != nil {
		return Report{}, err
	}
	if req.DryRun {
		r := Report{DryRun: true}
		err := s.repo.View(ctx, by.Actor(), by.AccountID, func(c Change) error {
			outcomes, leaving, err := user.PlanLeaving(ctx, c, by, user.LeaverSlice{Named: req.Users})
			if err != nil {
				return err
			}
			known, err := knownTo(ctx, c, leaving, s.moment())
			r.Items = report(outcomes, known)
			return err
		})
		return r, err
	}
	b := bulk{service: s, by: by}
	items, err := b.remove(ctx, req.Users, req.RevokeTokens, func(i int) user.Outcome {
		if req.Users[i].Email == nil {
			return user.Outcome{}
		}
		return user.Outcome{Email: *req.Users[i].Email}
	})
	return Report{Items: items, Stopped: b.cause}, err
}

// bulk carries a request out, a slice after the other.
type bulk struct {
	service *Service
	by      *auth.Principal
	// begun says that a slice is committed.
	begun bool
	// cause is the error of the slice that failed, and stopped what is reported
	// of it: no further slice is tried.
	cause   error
	stopped *fault.Error
}

// work does one slice in its transaction, and returns its results. It may
// be called again if the transaction could not be committed.
type work func(Change) ([]Item, error)

// run carries out slices of n items. start returns the work of a slice once
// those before it are committed, and named an outcome that says of an item who
// is meant.
func (b *bulk) run(ctx context.Context, n int, start func(from, to int) work, named func(i int) user.Outcome) ([]Item, error) {
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
			o.Action, o.Fault = user.Failed, b.stopped.On(user.OnItem(i, ""))
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

// stop keeps further slices from being tried.
func (b *bulk) stop(err error) {
	b.cause = err
	if !errors.As(err, &b.stopped) {
		b.stopped = fault.Errorf(fault.Internal,
			"This was not confirmed, because the request could not be finished. Send it again: what is done already stays as it is.")
	}
}

// remove takes people out of the account. told is an outcome that says of one
// who is meant.
func (b *bulk) remove(ctx context.Context, named []user.Whom, revoke bool, told func(i int) user.Outcome) ([]Item, error) {
	var gone []user.Person
	return b.run(ctx, len(named), func(from, to int) work {
		slice := user.LeaverSlice{Named: named[from:to], First: from, Gone: gone}
		return func(c Change) ([]Item, error) {
			outcomes, leaving, err := user.PlanLeaving(ctx, c, b.by, slice)
			if err != nil {
				return nil, err
			}
			known, _, err := leave(ctx, c, b.by, leaving, revoke, b.service.moment())
			gone = slices.Concat(slice.Gone, leaving)
			return report(outcomes, known), err
		}
	}, told)
}

// removeOthers takes people out of the account whom the request does not name.
// Those who left since they were read are in no item.
func (b *bulk) removeOthers(ctx context.Context, people []user.Outcome) ([]Item, error) {
	named := make([]user.Whom, len(people))
	for i, o := range people {
		named[i].ID = &o.Person.ID
	}
	items, err := b.remove(ctx, named, false, func(i int) user.Outcome { return people[i] })
	items = slices.DeleteFunc(items, func(i Item) bool { return i.Fault != nil && i.Fault.Kind == fault.NotFound })
	for i := range items {
		if f := items[i].Fault; f != nil {
			items[i].Fault = f.On("removeOthers")
		}
	}
	return items, err
}
