package gormdb

import (
	"context"
	"strconv"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/directory"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scim"
	"latchkey/internal/user"
)

// groupRow is a store as a group of a directory. It is read from stores AS s.
type groupRow struct {
	Store       storeRow `gorm:"embedded" sql:"s"`
	External    string   `sql:"coalesce(s.external_id, '')"`
	DefaultRole string   `sql:"s"`
	Revision    int64    `sql:"s.members_revision"`
}

var groupColumns = columnsOf[groupRow](nil)

func (r groupRow) group() membership.Group {
	return membership.Group{Store: r.Store.store(), ExternalID: r.External, DefaultRole: user.Role(r.DefaultRole),
		Revision: r.Revision}
}

// groupFields are the fields of groups. Names are folded in Go.
var groupFields = map[scim.Field]filterField{
	scim.ID:           {column: "s.id", kind: asID},
	scim.ExternalID:   {column: "s.external_id", kind: asText, nullable: true},
	scim.Created:      {column: "s.created_at", kind: asTime},
	scim.LastModified: {kind: absent},
	scim.MemberID:     {column: "m.user_id", kind: asID},
}

// membersOfGroup begins a subquery for the members of a group, stores AS s.
const membersOfGroup = "SELECT 1 FROM store_users AS m WHERE m.account_id = s.account_id AND m.store_id = s.id"

// CountGroups returns the number of stores of the account.
func (r directories) CountGroups(ctx context.Context, accountID uuid.UUID) (n int64, err error) {
	f := r.filter(accountID, "s", nil, "")
	err = r.engine.query(ctx, "SELECT count(*) FROM stores AS s WHERE "+f.where.String(), f.args,
		func(scan scan) error { return scan(&n) })
	return n, failed(ctx, "count the groups of a directory", err)
}

// Groups returns a page of groups.
func (r directories) Groups(ctx context.Context, accountID uuid.UUID,
	q directory.Query) (directory.Page[scim.Group], error) {
	var page directory.Page[scim.Group]
	var row groupRow
	f := r.filter(accountID, "s", groupFields, membersOfGroup)
	l := directoryList[scim.Group]{
		engine: r.engine, f: f, q: q, from: "stores AS s", key: "s.id", columns: groupColumns.list(),
		to:     groupColumns.scanInto(&row),
		item:   func() scim.Group { return directory.GroupOf(row.group()) },
		values: func() scim.Values { return directory.GroupOf(row.group()).Values() },
		count:  func(ctx context.Context) (int64, error) { return r.CountGroups(ctx, accountID) },
	}
	err := l.read(ctx, &page)
	return page, failed(ctx, "list the groups of a directory", err)
}

// maxMembers is the most members that the groups of one AddMembers can have.
const maxMembers = 50_000

// memberOfGroup is a member of a group. It is read from store_users AS m and the table that memberOfPlace joins.
type memberOfGroup struct {
	StoreID   uuid.UUID `sql:"m"`
	UserID    uuid.UUID `sql:"m"`
	Email     string    `sql:"a"`
	FirstName string    `sql:"a"`
	LastName  string    `sql:"a"`
}

var memberOfGroupColumns = columnsOf[memberOfGroup](nil)

// memberOfPlace joins the membership, account_users AS a, of a place, store_users AS m.
const memberOfPlace = "JOIN account_users AS a ON a.account_id = m.account_id AND a.user_id = m.user_id"

// membersOf returns the filter of the memberships, store_users AS m, in the groups. There must be at least one group.
func (r directories) membersOf(accountID uuid.UUID, groups []scim.Group) filter {
	ids := make([]uuid.UUID, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	f := r.filter(accountID, "m", nil, "")
	f.where.WriteString(" AND m.store_id IN (" + f.ids(f.d, ids) + ")")
	return f
}

// CountMembers returns the number of members of the groups.
func (r directories) CountMembers(ctx context.Context, accountID uuid.UUID, groups []scim.Group) (n int64, err error) {
	if len(groups) == 0 {
		return 0, nil
	}
	f := r.membersOf(accountID, groups)
	err = r.engine.query(ctx, "SELECT count(*) FROM store_users AS m WHERE "+f.where.String(), f.args,
		func(scan scan) error { return scan(&n) })
	return n, failed(ctx, "count the members of groups", err)
}

// AddMembers adds the members of the groups.
func (r directories) AddMembers(ctx context.Context, accountID uuid.UUID, list []scim.Group) error {
	if len(list) == 0 {
		return nil
	}
	at := make(map[uuid.UUID]int, len(list))
	for i, g := range list {
		at[g.ID] = i
	}
	f := r.membersOf(accountID, list)
	sql := "SELECT " + memberOfGroupColumns.list() + " FROM store_users AS m " + memberOfPlace + " WHERE " +
		f.where.String() + " ORDER BY m.store_id, m.user_id LIMIT " + strconv.Itoa(maxMembers+1)
	var row memberOfGroup
	to := memberOfGroupColumns.scanInto(&row)
	n := 0
	err := r.engine.query(ctx, sql, f.args, func(scan scan) error {
		if err := scan(to...); err != nil {
			return err
		}
		n++
		shown := scim.User{UserName: row.Email, GivenName: row.FirstName, FamilyName: row.LastName}
		g := &list[at[row.StoreID]]
		g.Members = append(g.Members, scim.Member{ID: row.UserID, Display: shown.DisplayName()})
		return nil
	})
	if err == nil && n > maxMembers {
		err = fault.Errorf(
			fault.ComplexityLimit,
			"The groups have more than %d members. Read fewer groups, or add excludedAttributes=members to the address.",
			maxMembers,
		)
	}
	return failed(ctx, "list the members of groups", err)
}

// Group returns a store of the account as a group.
func (c userChange) Group(ctx context.Context, storeID uuid.UUID) (membership.Group, error) {
	row, err := one[groupRow](c.tx.WithContext(ctx).Table("stores AS s").Select(groupColumns.list()).Where(
		"s.account_id = ? AND s.id = ?", c.accountID, storeID), account.ErrNoStore())
	return row.group(), failed(ctx, "read a group", err)
}

// SaveGroup changes what the store has as a group.
func (c userChange) SaveGroup(ctx context.Context, g membership.Group) error {
	q := c.writing(ctx).Table("stores").Where("account_id = ? AND id = ?", c.accountID, g.ID)
	err := q.Updates(map[string]any{"external_id": optionalText(g.ExternalID),
		"default_role": string(g.DefaultRole)}).Error
	if isDuplicate(err) {
		return fault.Wrap(err, fault.Conflict, "Another group of this account has this external id.").On("externalId")
	}
	return failed(ctx, "save a group", err)
}

// UsersInStore returns the users with a membership in the store.
func (c userChange) UsersInStore(ctx context.Context, storeID uuid.UUID, ids []uuid.UUID) ([]uuid.UUID, error) {
	q := c.tx.WithContext(ctx).Table("store_users").Where("store_users.account_id = ? AND store_users.store_id = ?",
		c.accountID, storeID)
	var found []uuid.UUID
	if ids == nil {
		return found, failed(ctx, "read the users of a store", q.Pluck("user_id", &found).Error)
	}
	d := c.engine.dialect()
	from := d.each("store_users", "store_users",
		"store_users.account_id = ? AND store_users.store_id = ? AND store_users.user_id = "+d.asID("wanted.value"))
	for list, err := range lists(texts(ids)) {
		if err != nil {
			return nil, err
		}
		var some []uuid.UUID
		err := c.tx.WithContext(ctx).Table(from, list, c.accountID, storeID).Pluck("store_users.user_id", &some).Error
		if err != nil {
			return nil, failed(ctx, "find users in a store", err)
		}
		found = append(found, some...)
	}
	return found, nil
}
