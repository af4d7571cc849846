package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/page"
	"latchkey/internal/user"
)

// MembershipsByID returns people's places in the account.
func (u users) MembershipsByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]user.Membership, error) {
	var rows []struct {
		UserID               uuid.UUID
		ExternalID           string
		CreatedAt, UpdatedAt instant
	}
	err := u.engine.reader(ctx).Table("account_users").Where("account_id = ? AND user_id IN ?", accountID, ids).
		Select("user_id, coalesce(external_id, '') AS external_id, created_at, updated_at").Scan(&rows).Error
	if err != nil {
		return nil, failed(ctx, "read people's places in the account", err)
	}
	found := make(map[uuid.UUID]user.Membership, len(rows))
	for _, r := range rows {
		found[r.UserID] = user.Membership{UserID: r.UserID, ExternalID: r.ExternalID, JoinedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time}
	}
	return found, nil
}

// storeOfPlace joins the store of a place, store_users AS m.
const storeOfPlace = "JOIN stores AS s ON s.account_id = m.account_id AND s.id = m.store_id"

// placeRow is a person's place in a store with the store.
type placeRow struct {
	Place          storeUserRow `gorm:"embedded"`
	StoreHash      string
	StoreName      string
	StoreOwnerID   uuid.UUID
	StoreStatus    string
	StoreCreatedAt instant
}

// placeColumns are the columns of a placeRow, of store_users AS m and stores
// AS s.
const placeColumns = `m.account_id, m.id, m.store_id, m.user_id, m.status, m.permissions, m.last_login_at, m.updated_at,
	s.hash AS store_hash, s.name AS store_name, s.owner_id AS store_owner_id, s.status AS store_status, s.created_at AS store_created_at`

func (r placeRow) place() user.StorePlace {
	store := storeRow{
		AccountID: r.Place.AccountID, ID: r.Place.StoreID, Hash: r.StoreHash, Name: r.StoreName, OwnerID: r.StoreOwnerID,
		Status: r.StoreStatus, CreatedAt: r.StoreCreatedAt,
	}
	return user.StorePlace{Place: r.Place.place(), UserID: r.Place.UserID, Store: store.store()}
}

// placesOf is a query for people's places in stores.
func placesOf(q *gorm.DB, accountID uuid.UUID, userIDs, only []uuid.UUID) *gorm.DB {
	q = q.Table("store_users AS m").Where("m.account_id = ? AND m.user_id IN ?", accountID, userIDs)
	if only != nil {
		q = q.Where("m.store_id IN ?", only)
	}
	return q
}

// UserPlaces returns a page of each person's places in stores.
func (u users) UserPlaces(ctx context.Context, accountID uuid.UUID, userIDs, only []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[user.StorePlace], error) {
	q := placesOf(u.engine.reader(ctx), accountID, userIDs, only).Joins(storeOfPlace)
	var rows []placeRow
	if err := windowOfEach(q, placeColumns, "m.user_id", "m.id", w).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "list people's places in stores", err)
	}
	return pageOfEach(w, userIDs, rows, func(r placeRow) (uuid.UUID, page.Item[user.StorePlace], error) {
		return r.Place.UserID, page.Item[user.StorePlace]{Node: r.place(), Key: r.Place.ID}, nil
	})
}

// CountUserPlaces returns how many places in stores each person has.
func (u users) CountUserPlaces(ctx context.Context, accountID uuid.UUID, userIDs, only []uuid.UUID) (map[uuid.UUID]int64, error) {
	counts, err := countOfEach(placesOf(u.engine.reader(ctx), accountID, userIDs, only), "m.user_id")
	return counts, failed(ctx, "count people's places in stores", err)
}
