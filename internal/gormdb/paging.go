package gormdb

import (
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/page"
)

// bounded narrows a query to the keys that w admits.
func bounded(q *gorm.DB, column string, w page.Window) *gorm.DB {
	if w.After != nil {
		q = q.Where(column+" < ?", *w.After)
	}
	if w.Before != nil {
		q = q.Where(column+" > ?", *w.Before)
	}
	return q
}

// direction is the order in which w's items are fetched (see page.Cut).
func direction(w page.Window) string {
	if w.Backward {
		return "ASC"
	}
	return "DESC"
}

// window makes q fetch the items of w, ordered by column, and one more.
func window(q *gorm.DB, column string, w page.Window) *gorm.DB {
	return bounded(q, column, w).Order(column + " " + direction(w)).Limit(w.Size + 1)
}

// windowOfEach makes of q, a query for columns of the items of many owners,
// one for a page of each owner's: column is the list's key, owner the column
// that says whose list an item is in. The rows come in the order to fetch
// them in.
func windowOfEach(q *gorm.DB, columns, owner, column string, w page.Window) *gorm.DB {
	place := fmt.Sprintf("row_number() OVER (PARTITION BY %s ORDER BY %s %s) AS place", owner, column, direction(w))
	ranked := bounded(q, column, w).Select(columns + ", " + place)
	fresh := q.Session(&gorm.Session{NewDB: true})
	return fresh.Table("(?) AS ranked", ranked).Where("place <= ?", w.Size+1).Order("place")
}

// pageOf converts the rows fetched for w to a page.
func pageOf[R, T any](w page.Window, rows []R, convert func(R) (page.Item[T], error)) (page.Page[T], error) {
	items := make([]page.Item[T], len(rows))
	for i, r := range rows {
		item, err := convert(r)
		if err != nil {
			return page.Page[T]{}, err
		}
		items[i] = item
	}
	return page.Cut(w, items), nil
}

// pageOfEach does so for the lists of many owners, each of which gets a page.
func pageOfEach[R, T any](w page.Window, owners []uuid.UUID, rows []R, convert func(R) (owner uuid.UUID, item page.Item[T], err error)) (map[uuid.UUID]page.Page[T], error) {
	items := make(map[uuid.UUID][]page.Item[T], len(owners))
	for _, r := range rows {
		owner, item, err := convert(r)
		if err != nil {
			return nil, err
		}
		items[owner] = append(items[owner], item)
	}
	pages := make(map[uuid.UUID]page.Page[T], len(owners))
	for _, owner := range owners {
		pages[owner] = page.Cut(w, items[owner])
	}
	return pages, nil
}

// countRow is how many items an owner's list has.
type countRow struct {
	Owner uuid.UUID
	Items int64
}

// countOfEach counts the rows of q for each value of the column owner. An
// owner without any is in the result with zero, as every map's absent key.
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
