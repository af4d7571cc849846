package gormdb

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/page"
	"latchkey/internal/user"
)

// Users returns a page of the account's users. This list is long, and asked
// for often.
func (u users) Users(ctx context.Context, accountID uuid.UUID, f user.Filter, w page.Window) (page.Page[user.User], error) {
	if f.Search != "" {
		return u.search(ctx, accountID, f, w)
	}
	items, err := u.listed(ctx, accountID, f, w)
	if err != nil {
		return page.Page[user.User]{}, err
	}
	return page.Cut(w, items), nil
}

// listed fetches the users of w, and one more, whom the filter admits but for
// its search.
func (u users) listed(ctx context.Context, accountID uuid.UUID, f user.Filter, w page.Window) ([]page.Item[user.User], error) {
	items := make([]page.Item[user.User], 0, min(w.Size, page.MaxSize)+1)
	var created instant
	sql, args := usersStatement(u.engine.dialect(), accountID, f, w)
	err := u.engine.query(ctx, sql, args, func(scan scan) error {
		items = append(items, page.Item[user.User]{})
		item := &items[len(items)-1]
		to := &item.Node
		err := scan((*key)(&to.ID), &to.Email, &to.FirstName, &to.LastName, &to.Locale, &created, &to.Pending)
		item.Key, to.CreatedAt = to.ID, created.Time
		return err
	})
	return items, failed(ctx, "list users", err)
}

// CountUsers returns how many of the account's users the filter admits. All of
// them are counted as they come and go.
func (u users) CountUsers(ctx context.Context, accountID uuid.UUID, f user.Filter) (int64, error) {
	if f.Search != "" {
		return u.countFound(ctx, accountID, f)
	}
	sql, args := "SELECT user_count FROM accounts WHERE id = $1", []any{accountID}
	if c := admits(u.engine.dialect(), accountID, f); c.filters {
		sql, args = "SELECT count(*) FROM "+c.from(), c.args
	}
	var n int64
	err := u.engine.query(ctx, sql, args, func(scan scan) error { return scan(&n) })
	return n, failed(ctx, "count users", err)
}

// usersStatement fetches the users of w. The page is cut before people are
// looked up by its keys, so that no plan looks at more people than the page
// has, whatever else is in the tables. The limit stands in the text, so that
// PostgreSQL plans once and not at every call.
func usersStatement(d dialect, accountID uuid.UUID, f user.Filter, w page.Window) (string, []any) {
	c := admits(d, accountID, f)
	if w.After != nil {
		c.and("m.user_id < ", *w.After)
	}
	if w.Before != nil {
		c.and("m.user_id > ", *w.Before)
	}
	keys := "SELECT m.user_id FROM " + c.from() + " ORDER BY m.user_id " + direction(w) + " LIMIT " + strconv.Itoa(w.Size+1)
	return "SELECT u.id, u.email, a.first_name, a.last_name, a.locale, u.created_at, a.accepted_at IS NULL FROM users AS u" +
		" JOIN account_users AS a ON a.account_id = $1 AND a.user_id = u.id WHERE u.id " + d.among(keys) +
		" ORDER BY u.id " + direction(w), c.args
}

// members is what a hand-written statement selects places of an account from:
// those in the account itself, or those in one store, which are in the order
// of people as well. Either is called m.
type members struct {
	table string
	where strings.Builder
	args  []any
	// filters says whether anything narrows the list.
	filters bool
}

// from is what follows FROM.
func (c *members) from() string { return c.table + " AS m WHERE " + c.where.String() }

// arg adds an argument and returns its parameter.
func (c *members) arg(v any) string {
	c.args = append(c.args, v)
	return "$" + strconv.Itoa(len(c.args))
}

// and adds a condition that ends in an argument.
func (c *members) and(condition string, v any) { c.where.WriteString(" AND " + condition + c.arg(v)) }

// admits selects those whom the filter admits, but for its search. Lists of
// names are looked up first, each name by its index, and so bound the rest.
func admits(d dialect, accountID uuid.UUID, f user.Filter) *members {
	c := &members{table: "account_users"}
	c.where.WriteString("m.account_id = " + c.arg(accountID))
	if f.StoreID != uuid.Nil {
		c.table = "store_users"
		c.and("m.store_id = ", f.StoreID)
	}
	if f.Emails != nil {
		folded := make([]string, len(f.Emails))
		for i, email := range f.Emails {
			folded[i] = user.Fold(email)
		}
		c.among(d, "SELECT user_id FROM account_users WHERE account_id = $1 AND email_folded", folded)
	}
	if f.ExternalIDs != nil {
		c.among(d, "SELECT user_id FROM account_users WHERE account_id = $1 AND external_id", f.ExternalIDs)
	}
	if f.GrantedBy != nil {
		c.among(d, "SELECT "+d.asID("e.target_key")+` FROM audit_events AS e WHERE e.account_id = $1 AND e.actor_kind = 'API_TOKEN'
			AND e.target_kind = 'user' AND (e.action IN ('user.created', 'user.added') OR CAST(e.details AS text) LIKE '%"permissions"%')
			AND e.actor_id`, texts(f.GrantedBy))
	}
	if !f.UpdatedAfter.IsZero() {
		after := d.moment(f.UpdatedAfter)
		if f.StoreID == uuid.Nil {
			c.and("m.updated_at > ", after)
		} else {
			c.where.WriteString(" AND EXISTS (SELECT 1 FROM account_users AS a WHERE a.account_id = m.account_id AND a.user_id = m.user_id AND a.updated_at > " +
				c.arg(after) + ")")
		}
	}
	if f.WithoutStores {
		c.where.WriteString(" AND NOT EXISTS (SELECT 1 FROM store_users AS p WHERE p.account_id = m.account_id AND p.user_id = m.user_id)")
	}
	c.filters = c.filters || len(c.args) > 1 || f.WithoutStores
	return c
}

// among adds the condition that a place is of one of the people whom the
// statement, which ends in a column, finds by the values of that.
func (c *members) among(d dialect, statement string, values []string) {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = c.arg(v)
	}
	if len(list) == 0 {
		list = []string{"NULL"}
	}
	c.filters = true
	c.where.WriteString(" AND m.user_id " + d.among(statement+" IN ("+strings.Join(list, ", ")+")"))
}

// Searching looks at one person after the other: neither database has an
// index for a part of a text, nor folds a text as addresses are folded. It
// fetches so many at a time, more and more until the page is full, so that
// what it holds is bounded and a search that finds many reads few.
const (
	firstSearched = 500
	mostSearched  = 8000
)

// search returns the page of those whom the filter's search finds.
func (u users) search(ctx context.Context, accountID uuid.UUID, f user.Filter, w page.Window) (page.Page[user.User], error) {
	finds := f.Finder()
	var found []page.Item[user.User]
	rest := w
	for rest.Size = firstSearched; ; rest.Size = min(2*rest.Size, mostSearched) {
		items, err := u.listed(ctx, accountID, f, rest)
		if err != nil {
			return page.Page[user.User]{}, err
		}
		for _, item := range items {
			if finds(user.Fold(item.Node.Email), item.Node.FirstName, item.Node.LastName) {
				found = append(found, item)
			}
			if len(found) > w.Size {
				return page.Cut(w, found), nil
			}
		}
		if len(items) <= rest.Size {
			return page.Cut(w, found), nil
		}
		last := items[len(items)-1].Key
		if w.Backward {
			rest.Before = &last
		} else {
			rest.After = &last
		}
	}
}

// countFound counts those whom the filter's search finds, in one walk.
func (u users) countFound(ctx context.Context, accountID uuid.UUID, f user.Filter) (int64, error) {
	finds := f.Finder()
	c := admits(u.engine.dialect(), accountID, f)
	sql := "SELECT a.email_folded, a.first_name, a.last_name FROM account_users AS a WHERE a.account_id = $1 AND a.user_id IN (SELECT m.user_id FROM " + c.from() + ")"
	var n int64
	var email, first, last string
	err := u.engine.query(ctx, sql, c.args, func(scan scan) error {
		if err := scan(&email, &first, &last); err != nil {
			return err
		}
		if finds(email, first, last) {
			n++
		}
		return nil
	})
	return n, failed(ctx, "count users", err)
}
