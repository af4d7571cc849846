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

// personRow is what the account records of a person.
type personRow struct {
	Person     recordRow `gorm:"embedded"`
	ExternalID string
	JoinedAt   instant
	UpdatedAt  instant
}

// personColumns are the columns of a personRow, of users AS u and
// account_users AS a.
const personColumns = recordColumns + ", coalesce(a.external_id, '') AS external_id, a.created_at AS joined_at, a.updated_at"

func (r personRow) person() user.Person {
	return user.Person{User: r.Person.user(), Member: true, ExternalID: r.ExternalID, JoinedAt: r.JoinedAt.Time, UpdatedAt: r.UpdatedAt.Time}
}

// members is a query for people in the account.
func (c peopleChange) members() *gorm.DB {
	return c.tx.Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").Where("a.account_id = ?", c.accountID)
}

// MembersByEmail returns people of the account.
func (c peopleChange) MembersByEmail(ctx context.Context, folded []string) ([]user.Person, error) {
	return c.membersWhere(ctx, "a.email_folded = wanted.value", folded)
}

// Members returns people of the account.
func (c peopleChange) Members(ctx context.Context, ids []uuid.UUID) ([]user.Person, error) {
	return c.membersWhere(ctx, "a.user_id = "+c.engine.dialect().asID("wanted.value"), texts(ids))
}

// MembersByExternalID returns people of the account.
func (c peopleChange) MembersByExternalID(ctx context.Context, externalIDs []string) ([]user.Person, error) {
	return c.membersWhere(ctx, "a.external_id = wanted.value", externalIDs)
}

func (c peopleChange) membersWhere(ctx context.Context, condition string, values []string) ([]user.Person, error) {
	from := c.engine.dialect().each("account_users", "a", "a.account_id = ? AND "+condition)
	return among(ctx, c, values, func(list string) *gorm.DB {
		return c.tx.Table(from, list, c.accountID).Joins("JOIN users AS u ON u.id = a.user_id")
	})
}

// OtherMembers returns the people of the account but for some. Those are left
// out here and not by the statement: there may be more of them than it could
// name.
func (c peopleChange) OtherMembers(ctx context.Context, except []uuid.UUID, most int) ([]user.Person, error) {
	left := make(map[uuid.UUID]bool, len(except))
	for _, id := range except {
		left[id] = true
	}
	q := c.members().Order("a.user_id DESC").Limit(most + len(left))
	found, err := c.people(ctx, q)
	found = slices.DeleteFunc(found, func(p user.Person) bool { return left[p.ID] })
	return found[:min(most, len(found))], err
}

// among reads the people of a query that is given the values in lists. Each
// value counts once.
func among(ctx context.Context, c peopleChange, values []string, q func(list string) *gorm.DB) ([]user.Person, error) {
	var all []user.Person
	for list, err := range lists(values) {
		if err != nil {
			return nil, err
		}
		found, err := c.people(ctx, q(list))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// lists are the values, each once, as JSON: one argument for as many as one
// statement is about.
func lists(values []string) iter.Seq2[string, error] {
	once := slices.Compact(slices.Sorted(slices.Values(values)))
	return func(yield func(string, error) bool) {
		for chunk := range slices.Chunk(once, peoplePerStatement) {
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

// people reads the people of a query, with their places.
func (c peopleChange) people(ctx context.Context, q *gorm.DB) ([]user.Person, error) {
	var rows []personRow
	if err := q.Select(personColumns).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read people", err)
	}
	people := make([]user.Person, len(rows))
	at := make(map[uuid.UUID]int, len(rows))
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		people[i], ids[i] = r.person(), r.Person.ID
		at[r.Person.ID] = i
	}
	d := c.engine.dialect()
	from := d.each("store_users", "store_users", "store_users.account_id = ? AND store_users.user_id = "+d.asID("wanted.value"))
	for list, err := range lists(texts(ids)) {
		if err != nil {
			return nil, err
		}
		var places []storeUserRow
		if err := c.tx.Table(from, list, c.accountID).Order("store_users.id").Find(&places).Error; err != nil {
			return nil, failed(ctx, "read people's places", err)
		}
		for _, p := range places {
			person := &people[at[p.UserID]]
			person.Places = append(person.Places, p.place())
		}
	}
	return people, nil
}
