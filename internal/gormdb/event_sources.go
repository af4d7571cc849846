package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/eventsource"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
)

// eventSources implements eventsource.Repository.
type eventSources struct{ *DB }

var _ eventsource.Repository = eventSources{}

// EventSources returns the repository of event sources.
func EventSources(db *DB) eventsource.Repository { return eventSources{db} }

// Reserve inserts an event source that is being created. It locks the account, so that the count stays right.
func (e eventSources) Reserve(ctx context.Context, by auth.Actor, s eventsource.Source, most int,
	stale time.Time) (left *eventsource.Source, err error) {
	err = e.write(ctx, by, held{account: s.AccountID}, func(tx *gorm.DB) error {
		left, err = replaceAbandoned(tx, s, stale)
		if err != nil {
			return err
		}
		var n int64
		if err := tx.Model(&eventSourceRow{}).Where("account_id = ? AND (state <> ? OR created_at > ?)", s.AccountID,
			eventsource.Creating, instant{stale}).Count(&n).Error; err != nil {
			return err
		}
		if n >= int64(most) {
			return fault.Errorf(fault.LimitReached,
				"The account has %d event sources, the most that are allowed. Delete one first.", most)
		}
		row := newEventSourceRow(s)
		return tx.Create(&row).Error
	})
	if isDuplicate(err) {
		err = errSourceExists(err)
	}
	return left, failed(ctx, "reserve an event source", err)
}

func errSourceExists(cause error) error {
	return fault.Wrap(cause, fault.Conflict,
		"The app has an event source with this name already.").On("eventSourceName")
}

// replaceAbandoned deletes and returns the source that has the name of s, if it may be replaced.
func replaceAbandoned(tx *gorm.DB, s eventsource.Source, stale time.Time) (*eventsource.Source, error) {
	row, err := one[eventSourceRow](tx.Where("account_id = ? AND region = ? AND partner_name = ?", s.AccountID,
		s.Region,
		s.PartnerName), eventsource.ErrNoSource())
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil //nolint:nilnil // there is usually none
	}
	if err != nil {
		return nil, err
	}
	left := row.source()
	switch {
	case left.State == eventsource.Active:
		return nil, errSourceExists(nil)
	case left.State == eventsource.Creating && left.CreatedAt.After(stale):
		return nil, fault.Errorf(fault.Conflict,
			"An event source with this name is being created. Try again in %s.",
			eventsource.CreatingFor).On("eventSourceName")
	}
	return &left, tx.Delete(&row).Error
}

// Confirm makes a source active.
func (e eventSources) Confirm(ctx context.Context, by auth.Actor, s eventsource.Source, w *webhook.Webhook,
	event audit.Event) error {
	err := e.write(ctx, by, held{account: s.AccountID}, func(tx *gorm.DB) error {
		confirmed := e.inState(tx, s, eventsource.Creating).Updates(map[string]any{"arn": s.ARN,
			"state": eventsource.Active})
		if err := requireRow(confirmed, errSourceExists(nil)); err != nil {
			return err
		}
		if err := appendEvents(tx, event); err != nil || w == nil {
			return err
		}
		row := newWebhookRow(*w)
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return saveTypes(tx, *w)
	})
	return failed(ctx, "confirm an event source", err)
}

// inState returns a query for the source if it is in the state.
func (e eventSources) inState(tx *gorm.DB, s eventsource.Source, state eventsource.State) *gorm.DB {
	return tx.Model(&eventSourceRow{}).Where("account_id = ? AND id = ? AND state = ?", s.AccountID, s.ID, state)
}

// Abandon deletes a source that is being created.
func (e eventSources) Abandon(ctx context.Context, s eventsource.Source) error {
	return e.drop(ctx, s, eventsource.Creating)
}

// Forget deletes a source that is being removed.
func (e eventSources) Forget(ctx context.Context, s eventsource.Source) error {
	return e.drop(ctx, s, eventsource.Removing)
}

// afterEventBridge is the actor of writes that record what Amazon EventBridge did. The actor was checked before it was
// asked.
var afterEventBridge = auth.NoActor("an earlier write of the same request was authorized")

func (e eventSources) drop(ctx context.Context, s eventsource.Source, state eventsource.State) error {
	err := e.write(ctx, afterEventBridge, held{}, func(tx *gorm.DB) error {
		return e.inState(tx, s, state).Delete(&eventSourceRow{}).Error
	})
	return failed(ctx, "delete an event source", err)
}

// errNothingToWrite ends a transaction that has nothing to write.
var errNothingToWrite = errors.New("nothing is to be written")

// Remove makes an active source one that is being removed, and deletes its webhook.
func (e eventSources) Remove(ctx context.Context, by auth.Actor, accountID uuid.UUID, appID int64, id uuid.UUID,
	event func(eventsource.Source) audit.Event) (s eventsource.Source, received bool, err error) {
	err = e.write(ctx, by, held{account: accountID, urgent: true}, func(tx *gorm.DB) error {
		row, err := one[eventSourceRow](tx.Where("account_id = ? AND app_id = ? AND id = ? AND state <> ?", accountID,
			appID, id, eventsource.Creating), eventsource.ErrNoSource())
		if err != nil {
			return err
		}
		if s = row.source(); s.State == eventsource.Removing {
			return errNothingToWrite
		}
		s.State = eventsource.Removing
		removing := e.inState(tx, s, eventsource.Active).Update("state", s.State)
		if err := requireRow(removing, eventsource.ErrNoSource()); err != nil {
			return err
		}
		// Its types are deleted with it, and its deliveries are pruned later.
		deleted := tx.Where("account_id = ? AND id = ? AND kind = ?", accountID, id, webhook.EventBridge).
			Delete(&webhookRow{})
		if deleted.Error != nil {
			return deleted.Error
		}
		received = deleted.RowsAffected > 0
		return appendEvents(tx, event(s))
	})
	switch {
	case errors.Is(err, errNothingToWrite):
		err = nil
	case err == nil && received:
		webhooks(e).settle(ctx, id)
	}
	return s, received, failed(ctx, "remove an event source", err)
}

// Sources returns a page of the sources of each app.
func (e eventSources) Sources(ctx context.Context, accountID uuid.UUID, appIDs []int64,
	w paging.Window) (map[int64]paging.Page[eventsource.Source], error) {
	q := e.engine.reader(ctx).Table("event_sources").Where("account_id = ? AND app_id IN ? AND state <> ?", accountID,
		appIDs, eventsource.Creating)
	var rows []listedEventSource
	if err := windowOfEach(q, listedEventSourceColumns, "event_sources.app_id", "event_sources.id",
		w).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "list event sources", err)
	}
	return pageOfEach(w, appIDs, rows, func(r listedEventSource) (int64, paging.Item[eventsource.Source], error) {
		s := r.Source.source()
		s.Receiving = r.Receiving
		return s.AppID, paging.Item[eventsource.Source]{Node: s, Key: s.ID}, nil
	})
}
