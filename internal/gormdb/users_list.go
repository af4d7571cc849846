package gormdb

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/paging"
	"latchkey/internal/user"
)

// Users returns a page of the account's users. The list may be long and is requested often.
func (u users) Users(ctx context.Context, accountID uuid.UUID, f user.Filter, w paging.Window) (paging.Page[user.User],
	error) {
	if f.Search != "" {
		return u.search(ctx, accountID, f, w)
	}
	items, err := u.listed(ctx, accountID, f, w)
	if err != nil {
		return paging.Page[user.User]{}, err
	}
	return paging.Cut(w, items), nil
}

// listed fetches the users of w that match the filter without its search, and one more.
func (u users) listed(ctx context.Context, accountID uuid.UUID, f user.Filter,
	w paging.Window) ([]paging.Item[user.User], error) {
	items := make([]paging.Item[user.User], 0, min(w.Size, paging.MaxSize)+1)
	var row recordRow
	to := recordFields.scanInto(&row)
	sql, args := usersStatement(u.engine.dialect(), accountID, f, w)
	err := u.engine.query(ctx, sql, args, func(scan scan) error {
		err := scan(to...)
		items = append(items, paging.Item[user.User]{Node: row.user(), Key: row.ID})
		return err
	})
	return items, failed(ctx, "list users", err)
}

// CountUsers returns how many of the account's users match the filter. The number of all users is a stored counter.
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

// usersStatement fetches the users of w. A subquery selects the keys of the page first, so that every plan reads only
// as many users as the page has. The limit is part of the text, so that PostgreSQL can reuse the plan.
func usersStatement(d dialect, accountID uuid.UUID, f user.Filter, w paging.Window) (string, []any) {
	c := admits(d, accountID, f)
	if w.After != nil {
		c.and("m.user_id < ", *w.After)
	}
	if w.Before != nil {
		c.and("m.user_id > ", *w.Before)
	}
	keys := "SELECT m.user_id FROM " + c.from() + " ORDER BY m.user_id " + direction(w) + " LIMIT " +
		strconv.Itoa(w.Size+1)
	return "SELECT " + recordColumns + " FROM users AS u" +
		" JOIN account_users AS a ON a.account_id = $1 AND a.user_id = u.id WHERE u.id " + d.among(keys) +
		" ORDER BY u.id " + direction(w), c.args
}

// members builds the FROM clause of a hand-written statement that selects memberships: those of the account, or those
// of one store, which are also ordered by user. Both have the alias m.
type members struct {
	table string
	where strings.Builder
	args  []any
	// filters reports whether any condition narrows the list.
	filters bool
}

// from returns the text after FROM.
func (c *members) from() string { return c.table + " AS m WHERE " + c.where.String() }

// arg adds an argument and returns its parameter.
func (c *members) arg(v any) string {
	c.args = append(c.args, v)
	return "$" + strconv.Itoa(len(c.args))
}

// and adds a condition that ends in an argument.
func (c *members) and(condition string, v any) { c.where.WriteString(" AND " + condition + c.arg(v)) }

// granting selects the events with which API tokens gave rights to users.
type granting struct {
	kind audit.TargetKind
	// user is an expression for the user's ID as text.
	user string
	// added are the actions that give rights whatever their details say.
	added string
}

// grantedUsers are all of them. Earlier versions recorded changes of store memberships as changes of the user.
var grantedUsers = []granting{
	{audit.TargetUser, "e.target_key", "'user.created', 'user.added'"},
	{audit.TargetStoreUser, "substr(e.target_key, 1, 36)", "'store_user.added'"},
}

// condition is the condition on an event, audit_events AS e.
func (g granting) condition() string {
	return `e.actor_kind = 'API_TOKEN' AND e.target_kind = '` + string(g.kind) + `' AND (e.action IN (` + g.added + `)
		OR CAST(e.details AS text) LIKE '%"permissions"%' OR CAST(e.details AS text) LIKE '%"status"%"ACTIVE"%')`
}

// admits selects the memberships that match the filter without its search. Lists of values are looked up first, by
// index, and so bound the rest.
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
		list := c.list(texts(f.GrantedBy))
		// A user who has one of the tokens also acted with the access tokens that it received when it rotated others.
		// They count even if they no longer work.
		used := `WITH RECURSIVE used(id) AS (SELECT t.id FROM api_tokens AS t WHERE t.account_id = $1 AND t.id IN (` + list + `)
			UNION SELECT x.api_token_id FROM access_tokens AS x JOIN used AS u ON x.seen_by_token = u.id WHERE x.account_id = $1)
			SELECT id FROM used`
		granted := "SELECT user_id FROM granted_users WHERE account_id = $1 AND token_id IN (" + used + ")"
		for _, g := range grantedUsers {
			granted += " UNION ALL SELECT " + d.asID(g.user) + " FROM audit_events AS e WHERE e.account_id = $1 AND " +
				g.condition() + " AND e.actor_id IN (" + used + ")"
		}
		c.anyOf(d, granted)
	}
	if !f.UpdatedAfter.IsZero() {
		after := d.timestamp(f.UpdatedAfter)
		if f.StoreID == uuid.Nil {
			c.and("m.updated_at > ", after)
		} else {
			c.where.WriteString(
				" AND EXISTS (SELECT 1 FROM account_users AS a WHERE a.account_id = m.account_id AND a.user_id = m.user_id AND a.updated_at > " +
					c.arg(after) + ")")
		}
	}
	if f.WithoutStores {
		c.where.WriteString(
			" AND NOT EXISTS (SELECT 1 FROM store_users AS p WHERE p.account_id = m.account_id AND p.user_id = m.user_id)")
	}
	if f.Standing != "" {
		c.standing(f)
	}
	if f.Role != "" {
		c.role(f)
	}
	c.filters = c.filters || len(c.args) > 1 || f.WithoutStores || f.Standing != ""
	return c
}

// standings are the conditions on a membership in the account, account_users AS a.
var standings = map[user.Standing]string{
	user.StandingActive:      "a.accepted_at IS NOT NULL AND a.deactivated_at IS NULL",
	user.StandingPending:     "a.accepted_at IS NULL AND a.deactivated_at IS NULL",
	user.StandingDeactivated: "a.deactivated_at IS NOT NULL",
}

// standing adds the condition of the filter's standing.
func (c *members) standing(f user.Filter) {
	condition := standings[f.Standing]
	if f.StoreID == uuid.Nil {
		c.where.WriteString(" AND " + strings.ReplaceAll(condition, "a.", "m."))
		return
	}
	c.where.WriteString(" AND EXISTS (SELECT 1 FROM account_users AS a WHERE a.account_id = m.account_id" +
		" AND a.user_id = m.user_id AND " + condition + ")")
}

// role adds the condition of the filter's role. The column permissions is in alphabetical order.
func (c *members) role(f user.Filter) {
	c.where.WriteString(" AND EXISTS (SELECT 1 FROM store_users AS p JOIN stores AS s ON s.account_id = p.account_id" +
		" AND s.id = p.store_id WHERE p.account_id = m.account_id AND p.user_id = m.user_id")
	if f.StoreID != uuid.Nil {
		c.and("p.store_id = ", f.StoreID)
	}
	switch f.Role {
	case user.StoreOwner:
		c.where.WriteString(" AND s.owner_id = p.user_id)")
	case user.Custom:
		sets := []string{""}
		for _, r := range user.Roles() {
			if r != user.StoreOwner && r != user.Custom {
				sets = append(sets, strings.Join(r.Permissions(), " "))
			}
		}
		c.where.WriteString(" AND s.owner_id <> p.user_id AND p.permissions NOT IN (" + c.list(sets) + "))")
	default:
		c.and("s.owner_id <> p.user_id AND p.permissions = ", strings.Join(f.Role.Permissions(), " "))
		c.where.WriteString(")")
	}
}

// among adds the condition that the membership belongs to a user that statement finds. The statement ends in a
// column, which must have one of the values.
func (c *members) among(d dialect, statement string, values []string) {
	c.anyOf(d, statement+" IN ("+c.list(values)+")")
}

// anyOf adds the condition that the membership belongs to one of the users whose ids the statement returns.
func (c *members) anyOf(d dialect, statement string) {
	c.filters = true
	c.where.WriteString(" AND m.user_id " + d.among(statement))
}

// list adds arguments and returns their parameters.
func (c *members) list(values []string) string {
	if len(values) == 0 {
		return "NULL"
	}
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = c.arg(v)
	}
	return strings.Join(list, ", ")
}

// A search reads one user after another: neither database has an index for a part of a text, nor folds a text as
// addresses are folded. It reads batches that double in size until the page is full. So its memory is bounded, and a
// search with many matches reads few users.
const (
	firstSearched = 500
	mostSearched  = 8000
)

// search returns the page of the users that match the filter and its search.
func (u users) search(ctx context.Context, accountID uuid.UUID, f user.Filter, w paging.Window) (paging.Page[user.User],
	error) {
	finds := f.Finder()
	var found []paging.Item[user.User]
	rest := w
	for rest.Size = firstSearched; ; rest.Size = min(2*rest.Size, mostSearched) {
		items, err := u.listed(ctx, accountID, f, rest)
		if err != nil {
			return paging.Page[user.User]{}, err
		}
		for _, item := range items {
			if finds(user.Fold(item.Node.Email), item.Node.FirstName, item.Node.LastName) {
				found = append(found, item)
			}
			if len(found) > w.Size {
				return paging.Cut(w, found), nil
			}
		}
		if len(items) <= rest.Size {
			return paging.Cut(w, found), nil
		}
		last := items[len(items)-1].Key
		if w.Backward {
			rest.Before = &last
		} else {
			rest.After = &last
		}
	}
}

// SortKeys returns users that match the filter and its search, with one query.
func (u users) SortKeys(ctx context.Context, accountID uuid.UUID, f user.Filter, most int) ([]user.SortKey, error) {
	finds := f.Finder()
	c := admits(u.engine.dialect(), accountID, f)
	last := "SELECT max(p.last_login_at) FROM store_users AS p WHERE p.account_id = $1 AND p.user_id = a.user_id"
	if f.StoreID != uuid.Nil {
		last += " AND p.store_id = " + c.arg(f.StoreID)
	}
	sql := "SELECT a.user_id, a.email_folded, a.first_name, a.last_name, (" + last + ") FROM account_users AS a" +
		" WHERE a.account_id = $1 AND a.user_id IN (SELECT m.user_id FROM " + c.from() + ")"
	if f.Search == "" {
		sql += " LIMIT " + strconv.Itoa(most)
	}
	var keys []user.SortKey
	err := u.engine.query(ctx, sql, c.args, func(scan scan) error {
		var k user.SortKey
		var at instant
		if err := scan(&k.ID, &k.FoldedEmail, &k.FirstName, &k.LastName, &at); err != nil {
			return err
		}
		k.LastSignIn = at.Time
		if len(keys) < most && (f.Search == "" || finds(k.FoldedEmail, k.FirstName, k.LastName)) {
			keys = append(keys, k)
		}
		return nil
	})
	return keys, failed(ctx, "list the users to sort", err)
}

// countFound counts the users that match the filter and its search, with one query.
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
