package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/paging"
	"latchkey/internal/user"
)

// storeOfPlace joins the store of a place, store_users AS m.
const storeOfPlace = "JOIN stores AS s ON s.account_id = m.account_id AND s.id = m.store_id"

// placesOf is a query for the users' places in stores.
func placesOf(q *gorm.DB, accountID uuid.UUID, userIDs, only []uuid.UUID) *gorm.DB {
	q = q.Table("store_users AS m").Where("m.account_id = ? AND m.user_id IN ?", accountID, userIDs)
	if only != nil {
		q = q.Where("m.store_id IN ?", only)
	}
	return q
}

// UserPlaces returns a page of each user's places in stores.
func (u users) UserPlaces(ctx context.Context, accountID uuid.UUID, userIDs, only []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[user.StorePlace], error) {
	q := placesOf(u.engine.reader(ctx), accountID, userIDs, only).Joins(storeOfPlace)
	var rows []placeRow
	if err := windowOfEach(q, placeColumns, "m.user_id", "m.id", w).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "list the users' places in stores", err)
	}
	return pageOfEach(w, userIDs, rows, func(r placeRow) (uuid.UUID, paging.Item[user.StorePlace], error) {
		return r.Place.UserID, paging.Item[user.StorePlace]{Node: r.place(), Key: r.Place.ID}, nil
	})
}

// CountUserPlaces returns how many places in stores each user has.
func (u users) CountUserPlaces(ctx context.Context, accountID uuid.UUID, userIDs,
	only []uuid.UUID) (map[uuid.UUID]int64, error) {
	counts, err := countOfEach(placesOf(u.engine.reader(ctx), accountID, userIDs, only), "m.user_id")
	return counts, failed(ctx, "count the users' places in stores", err)
}
