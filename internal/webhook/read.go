package webhook

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
)

// Webhook returns a webhook of the principal's account, or fault.NotFound.
func (s *Service) Webhook(ctx context.Context, by *auth.Principal, id uuid.UUID) (Webhook, error) {
	if err := MayRead(by); err != nil {
		return Webhook{}, err
	}
	return s.repo.Webhook(ctx, by.AccountID, id)
}

// WebhooksByID returns the webhooks of the principal's account among the IDs.
func (s *Service) WebhooksByID(ctx context.Context, by *auth.Principal,
	ids []uuid.UUID) (map[uuid.UUID]Webhook, error) {
	if err := MayRead(by); err != nil {
		return nil, err
	}
	return s.repo.WebhooksByID(ctx, by.AccountID, ids)
}

// Webhooks returns a page of the webhooks of the principal's account, newest first.
func (s *Service) Webhooks(ctx context.Context, by *auth.Principal, r paging.Request) (paging.Page[Webhook], error) {
	if err := MayRead(by); err != nil {
		return paging.Page[Webhook]{}, err
	}
	w, err := r.Window(paging.MaxSize)
	if err != nil {
		return paging.Page[Webhook]{}, err
	}
	return s.repo.Webhooks(ctx, by.AccountID, w)
}

// CountWebhooks returns the number of webhooks of the principal's account.
func (s *Service) CountWebhooks(ctx context.Context, by *auth.Principal) (int64, error) {
	if err := MayRead(by); err != nil {
		return 0, err
	}
	return s.repo.CountWebhooks(ctx, by.AccountID)
}

// Deliveries returns a page of a webhook's deliveries with their attempts, those of the newest events first. It returns
// fault.Invalid with every field of the filter or the request that breaks a rule, and fault.NotFound for a webhook that
// does not exist.
func (s *Service) Deliveries(ctx context.Context, by *auth.Principal, id uuid.UUID, f DeliveryFilter,
	r paging.Request) (paging.Page[Delivery], error) {
	w, err := r.Window(paging.MaxSize)
	if err != nil {
		return paging.Page[Delivery]{}, err
	}
	if _, err := s.Webhook(ctx, by, id); err != nil {
		return paging.Page[Delivery]{}, err
	}
	pages, err := s.DeliveriesOf(ctx, by, []uuid.UUID{id}, f, w, true)
	return pages[id], err
}

// DeliveriesOf returns a page of each webhook's deliveries, as Deliveries does, without those of webhooks that do not
// exist. They have their attempts only if attempts is set, which is for callers that need them: they are up to
// MaxAttempts KiB for each delivery. An API token sees only the deliveries of events that it may read.
func (s *Service) DeliveriesOf(ctx context.Context, by *auth.Principal, ids []uuid.UUID, f DeliveryFilter,
	w paging.Window, attempts bool) (map[uuid.UUID]paging.Page[Delivery], error) {
	f, err := visible(by, f)
	if err != nil {
		return nil, err
	}
	return s.repo.Deliveries(ctx, by.AccountID, ids, f, w, attempts)
}

// CountDeliveries returns the number of a webhook's deliveries that the principal sees.
func (s *Service) CountDeliveries(ctx context.Context, by *auth.Principal, id uuid.UUID,
	f DeliveryFilter) (int64, error) {
	counts, err := s.CountDeliveriesOf(ctx, by, []uuid.UUID{id}, f)
	return counts[id], err
}

// CountDeliveriesOf returns the number of each webhook's deliveries that the principal sees.
func (s *Service) CountDeliveriesOf(ctx context.Context, by *auth.Principal, ids []uuid.UUID,
	f DeliveryFilter) (map[uuid.UUID]int64, error) {
	f, err := visible(by, f)
	if err != nil {
		return nil, err
	}
	return s.repo.CountDeliveries(ctx, by.AccountID, ids, f)
}

// CountStates returns the number of a webhook's deliveries in each state that the principal sees, all at one time: a
// delivery whose state changes meanwhile is counted once.
func (s *Service) CountStates(ctx context.Context, by *auth.Principal,
	id uuid.UUID) (map[DeliveryState]int64, error) {
	f, err := visible(by, DeliveryFilter{})
	if err != nil {
		return nil, err
	}
	return s.repo.CountStates(ctx, by.AccountID, id, f)
}

// visible checks a filter and limits it to events that the principal may read.
func visible(by *auth.Principal, f DeliveryFilter) (DeliveryFilter, error) {
	if err := MayRead(by); err != nil {
		return f, err
	}
	types, err := selected(by, f.Types, "filter.eventTypes")
	if err != nil {
		return f, err
	}
	f.Types = nil
	if len(types) < len(audit.Types()) {
		for _, t := range types {
			f.Types = append(f.Types, string(t))
		}
	}
	return f, nil
}

// MaxHistory is the longest time that History covers.
const MaxHistory = 31 * 24 * time.Hour

// History counts the attempts of a webhook by hour, from the hour of since until a time, oldest first, including hours
// without any. It returns fault.NotFound for a webhook that does not exist.
func (s *Service) History(ctx context.Context, by *auth.Principal, id uuid.UUID, since,
	until time.Time) ([]HourCount, error) {
	if _, err := s.Webhook(ctx, by, id); err != nil {
		return nil, err
	}
	if !since.Before(until) || until.Sub(since) > MaxHistory {
		return nil, fault.Errorf(fault.Invalid, "A history covers at most %d days.",
			int(MaxHistory/(24*time.Hour))).On("since")
	}
	return s.repo.History(ctx, by.AccountID, id, since, until)
}
