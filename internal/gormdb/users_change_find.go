package gormdb

import (
	"context"
	"encoding/json"
	"iter"
	"slices"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/user"
)

// members is a query for the members of the account.
func (c userChange) members() *gorm.DB {
	return c.tx.Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").Where("a.account_id = ?",
		c.accountID)
}

// MembersByEmail returns the members with the folded addresses.
func (c userChange) MembersByEmail(ctx context.Context, folded []string) ([]user.Person, error) {
	return c.membersWhere(ctx, "a.email_folded = wanted.value", folded)
}

// Members returns the members with the ids.
func (c userChange) Members(ctx context.Context, ids []uuid.UUID) ([]user.Person, error) {
	return c.membersWhere(ctx, "a.user_id = "+c.engine.dialect().asID("wanted.value"), texts(ids))
}

// MembersByExternalID returns the members with the external ids.
func (c userChange) MembersByExternalID(ctx context.Context, externalIDs []string) ([]user.Person, error) {
	return c.membersWhere(ctx, "a.external_id = wanted.value", externalIDs)
}

func (c userChange) membersWhere(ctx context.Context, condition string, values []string) ([]user.Person, error) {
	from := c.engine.dialect().each("account_users", "a", "a.account_id = ? AND "+condition)
	return among(ctx, c, values, func(list string) *gorm.DB {
		return c.tx.Table(from, list, c.accountID).Joins("JOIN users AS u ON u.id = a.user_id")
	})
}

// OtherMembers returns up to most members of the account that are not in except. It filters in Go and not in SQL,
// because except may be longer than a statement's arguments allow.
func (c userChange) OtherMembers(ctx context.Context, except []uuid.UUID, most int) ([]user.Person, error) {
	left := make(map[uuid.UUID]bool, len(except))
	for _, id := range except {
		left[id] = true
	}
	q := c.members().Order("a.user_id DESC").Limit(most + len(left))
	found, err := c.find(ctx, q)
	found = slices.DeleteFunc(found, func(p user.Person) bool { return left[p.ID] })
	return found[:min(most, len(found))], err
}

// among runs the query for the values, in JSON lists of limited size, and returns all users found. Duplicate values
// count once.
func among(ctx context.Context, c userChange, values []string, q func(list string) *gorm.DB) ([]user.Person, error) {
	var all []user.Person
	for list, err := range lists(values) {
		if err != nil {
			return nil, err
		}
		found, err := c.find(ctx, q(list))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// lists yields the distinct values as JSON arrays of up to usersPerStatement elements. Each array is one argument.
func lists(values []string) iter.Seq2[string, error] {
	once := slices.Compact(slices.Sorted(slices.Values(values)))
	return func(yield func(string, error) bool) {
		for chunk := range slices.Chunk(once, usersPerStatement) {
			list, err := json.Marshal(chunk)
			if !yield(string(list), err) {
				return
			}
		}
	}
}

func texts(ids []uuid.UUID) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.String()
	}
	return all
}

// find runs a query for members and adds their places.
func (c userChange) find(ctx context.Context, q *gorm.DB) ([]user.Person, error) {
	var rows []personRow
	if err := q.Select(personColumns).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read users", err)
	}
	found := make([]user.Person, len(rows))
	at := make(map[uuid.UUID]int, len(rows))
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		found[i], ids[i] = r.person(), r.Record.ID
		at[r.Record.ID] = i
	}
	d := c.engine.dialect()
	from := d.each("store_users", "store_users",
		"store_users.account_id = ? AND store_users.user_id = "+d.asID("wanted.value"))
	for list, err := range lists(texts(ids)) {
		if err != nil {
			return nil, err
		}
		var places []storeUserRow
		if err := c.tx.Table(from, list, c.accountID).Order("store_users.id").Find(&places).Error; err != nil {
			return nil, failed(ctx, "read the users' places", err)
		}
		for _, p := range places {
			person := &found[at[p.UserID]]
			person.Places = append(person.Places, p.place())
		}
	}
	return found, nil
}
