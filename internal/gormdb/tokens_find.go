package gormdb

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/token"
)

// tokenOrders are the orders of a search, ascending and descending. Null values come where token.Sort says. NAME
// stands for the name in lower case.
var tokenOrders = map[token.Sort][2]string{
	token.ByCreated: {"t.id", "t.id DESC"},
	token.ByName:    {"NAME, t.id DESC", "NAME DESC, t.id DESC"},
	token.ByLastUse: {"t.last_used_at NULLS FIRST, t.id DESC", "t.last_used_at DESC NULLS LAST, t.id DESC"},
	token.ByExpiry:  {"t.expires_at NULLS LAST, t.id DESC", "t.expires_at DESC NULLS FIRST, t.id DESC"},
}

// Find returns a part of one owner's tokens. It finds them by an index and searches and sorts only those rows.
func (t tokens) Find(ctx context.Context, accountID, storeID uuid.UUID, s token.Search) (token.Found, error) {
	var total int64
	if err := t.searched(ctx, accountID, storeID, s).Count(&total).Error; err != nil {
		return token.Found{}, failed(ctx, "count API tokens", err)
	}
	found := token.Found{Total: int(total)}
	if s.Skip >= found.Total {
		return found, nil
	}
	var rows []listedToken
	if err := t.ordered(t.searched(ctx, accountID, storeID, s),
		s).Select(listedTokenColumns).Scan(&rows).Error; err != nil {
		return token.Found{}, failed(ctx, "search API tokens", err)
	}
	for _, r := range rows {
		each, err := r.token()
		if err != nil {
			return token.Found{}, failed(ctx, "search API tokens", err)
		}
		found.Tokens = append(found.Tokens, each)
	}
	return found, nil
}

// searched is a query for the tokens that match a search.
func (t tokens) searched(ctx context.Context, accountID, storeID uuid.UUID, s token.Search) *gorm.DB {
	q := tokensOf(t.engine.reader(ctx), accountID)
	if storeID == uuid.Nil {
		q = q.Where("t.store_id IS NULL")
	} else {
		q = q.Where("t.store_id = ?", storeID)
	}
	q = t.admitted(q, s.Query)
	if s.Text == "" {
		return q
	}
	d := t.engine.dialect()
	text := lowered(s.Text)
	return q.Where(d.find+"("+d.lower("t.name")+", ?) > 0 OR "+d.find+"(t.client_id, ?) > 0", text, text)
}

// ordered orders a query and limits it to the requested part.
func (t tokens) ordered(q *gorm.DB, s token.Search) *gorm.DB {
	order := tokenOrders[s.Sort][0]
	if s.Descending {
		order = tokenOrders[s.Sort][1]
	}
	return q.Order(strings.ReplaceAll(order, "NAME", t.engine.dialect().lower("t.name"))).Offset(s.Skip).Limit(s.Size)
}

// lowered converts the letters A to Z, and no others, to lower case, as dialect.lower does.
func lowered(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}
