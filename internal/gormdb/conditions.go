package gormdb

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/paging"
)

// conditions builds what follows WHERE in a hand-written statement for a list of billing.
type conditions struct {
	where strings.Builder
	args  []any
}

// ofSide begins with the condition that a row of the table is the account's ($1) on a side.
func ofSide(d dialect, table string, accountID uuid.UUID, side billing.Side) *conditions {
	c := &conditions{}
	account := c.arg(d.id(accountID))
	switch {
	case side.Partner && side.Merchant:
		c.where.WriteString("(" + table + ".account_id = " + account + " OR " + table + ".partner_id = " +
			account + ")")
	case side.Partner:
		c.where.WriteString(table + ".partner_id = " + account)
	case side.Merchant:
		c.where.WriteString(table + ".account_id = " + account)
	default:
		c.where.WriteString(table + ".account_id = " + account + " AND 1 = 0")
	}
	return c
}

// arg adds an argument and returns its parameter.
func (c *conditions) arg(v any) string {
	c.args = append(c.args, v)
	return "$" + strconv.Itoa(len(c.args))
}

// ids adds arguments and returns the list of their parameters.
func (c *conditions) ids(d dialect, ids []uuid.UUID) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = c.arg(d.id(id))
	}
	return cmp.Or(strings.Join(list, ", "), "NULL")
}

// and adds a condition that ends in an argument.
func (c *conditions) and(condition string, v any) {
	c.where.WriteString(" AND " + condition + c.arg(v))
}

// page returns the conditions, the order and the limit of the rows of w and one more. The limit is part of the text, so
// that PostgreSQL can reuse the plan.
func (c *conditions) page(d dialect, table string, w paging.Window) string {
	if w.After != nil {
		c.and(table+".id < ", d.id(*w.After))
	}
	if w.Before != nil {
		c.and(table+".id > ", d.id(*w.Before))
	}
	return c.where.String() + " ORDER BY " + table + ".id " + direction(w) + " LIMIT " + strconv.Itoa(w.Size+1)
}

// holds adds the condition, without AND, that one of the columns contains a text. The letters A to Z match in any case.
func (c *conditions) holds(d dialect, text string, columns ...string) {
	part := c.arg(lowered(text))
	for i, column := range columns {
		if i > 0 {
			c.where.WriteString(" OR ")
		}
		c.where.WriteString(d.find + "(" + d.lower(column) + ", " + part + ") > 0")
	}
}
