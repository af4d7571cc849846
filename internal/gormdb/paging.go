package gormdb

import (
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/paging"
)

// bounded narrows a query to the keys in w.
func bounded(q *gorm.DB, column string, w paging.Window) *gorm.DB {
	if w.After != nil {
		q = q.Where(column+" < ?", *w.After)
	}
	if w.Before != nil {
		q = q.Where(column+" > ?", *w.Before)
	}
	return q
}

// direction returns the order in which w's items are fetched (see page.Cut).
func direction(w paging.Window) string {
	if w.Backward {
		return "ASC"
	}
	return "DESC"
}

// window makes q fetch the items of w, ordered by column, and one more.
func window(q *gorm.DB, column string, w paging.Window) *gorm.DB {
	return bounded(q, column, w).Order(column + " " + direction(w)).Limit(w.Size + 1)
}

// windowOfEach changes q, a query for items of many owners, to fetch a page for each owner. column is the key of the
// list, and owner is the column with the item's owner. The rows come in the order in which they must be fetched.
func windowOfEach(q *gorm.DB, columns, owner, column string, w paging.Window) *gorm.DB {
	place := fmt.Sprintf("row_number() OVER (PARTITION BY %s ORDER BY %s %s) AS place", owner, column, direction(w))
	ranked := bounded(q, column, w).Select(columns + ", " + place)
	fresh := q.Session(&gorm.Session{NewDB: true})
	return fresh.Table("(?) AS ranked", ranked).Where("place <= ?", w.Size+1).Order("place")
}

// pageOf converts the rows fetched for w to a page.
func pageOf[R, T any](w paging.Window, rows []R, convert func(R) (paging.Item[T], error)) (paging.Page[T], error) {
	items := make([]paging.Item[T], len(rows))
	for i, r := range rows {
		item, err := convert(r)
		if err != nil {
			return paging.Page[T]{}, err
		}
		items[i] = item
	}
	return paging.Cut(w, items), nil
}

// pageOfEach converts the rows of many owners to a page for each owner.
func pageOfEach[K comparable, R, T any](w paging.Window, owners []K, rows []R,
	convert func(R) (owner K, item paging.Item[T], err error)) (map[K]paging.Page[T], error) {
	items := make(map[K][]paging.Item[T], len(owners))
	for _, r := range rows {
		owner, item, err := convert(r)
		if err != nil {
			return nil, err
		}
		items[owner] = append(items[owner], item)
	}
	pages := make(map[K]paging.Page[T], len(owners))
	for _, owner := range owners {
		pages[owner] = paging.Cut(w, items[owner])
	}
	return pages, nil
}

// countRow is the number of items in an owner's list.
type countRow struct {
	Owner uuid.UUID
	Items int64
}

// countOfEach counts the rows of q for each value of the column owner. Owners without rows are not in the map.
func countOfEach(q *gorm.DB, owner string) (map[uuid.UUID]int64, error) {
	var rows []countRow
	if err := q.Select(owner + " AS owner, count(*) AS items").Group(owner).Scan(&rows).Error; err != nil {
		return nil, err
	}
	counts := make(map[uuid.UUID]int64, len(rows))
	for _, r := range rows {
		counts[r.Owner] = r.Items
	}
	return counts, nil
}
