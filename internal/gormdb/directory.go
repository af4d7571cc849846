package gormdb

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/directory"
	"latchkey/internal/scim"
	"latchkey/internal/user"
)

// directories implements directory.Repository.
type directories struct{ *DB }

var _ directory.Repository = directories{}

// Directory returns the repository of the directories of accounts.
func Directory(db *DB) directory.Repository { return directories{db} }

// directoryUser is a user of a directory. It is read from account_users AS a alone, so that a search reads few pages of
// the database, however many users there are.
type directoryUser struct {
	ID            uuid.UUID `sql:"a.user_id"`
	Email         string    `sql:"a"`
	ExternalID    string    `sql:"coalesce(a.external_id, '')"`
	FirstName     string    `sql:"a"`
	LastName      string    `sql:"a"`
	Locale        string    `sql:"a"`
	CreatedAt     instant   `sql:"a"`
	UpdatedAt     instant   `sql:"a"`
	DeactivatedAt instant   `sql:"a"`
}

var directoryUserColumns = columnsOf[directoryUser](nil)

func (r directoryUser) user() scim.User {
	return scim.User{
		ID: r.ID, UserName: r.Email, ExternalID: r.ExternalID, GivenName: r.FirstName, FamilyName: r.LastName,
		Locale: r.Locale, Active: r.DeactivatedAt.IsZero(), Created: r.CreatedAt.Time, LastModified: r.UpdatedAt.Time,
	}
}

// userFields are the fields of users. account_users.email_folded is what scim.UserName compares.
var userFields = map[scim.Field]filterField{
	scim.ID:           {column: "a.user_id", kind: asID},
	scim.UserName:     {column: "a.email_folded", kind: asText},
	scim.ExternalID:   {column: "a.external_id", kind: asText, nullable: true},
	scim.Active:       {column: "a.deactivated_at IS NULL", kind: asCondition},
	scim.Created:      {column: "a.created_at", kind: asTime},
	scim.LastModified: {column: "a.updated_at", kind: asTime},
}

// CountUsers returns the number of users of the account, which is a stored counter.
func (r directories) CountUsers(ctx context.Context, accountID uuid.UUID) (int64, error) {
	return users(r).CountUsers(ctx, accountID, user.Filter{})
}

// Users returns a page of users.
func (r directories) Users(ctx context.Context, accountID uuid.UUID, q directory.Query) (directory.Page[scim.User],
	error) {
	var page directory.Page[scim.User]
	var row directoryUser
	f := r.filter(accountID, "a", userFields, "")
	l := directoryList[scim.User]{
		engine: r.engine, f: f, q: q, from: "account_users AS a", key: "a.user_id",
		columns: directoryUserColumns.list(),
		to:      directoryUserColumns.scanInto(&row),
		item:    func() scim.User { return row.user() },
		values:  func() scim.Values { return row.user().Values() },
		count:   func(ctx context.Context) (int64, error) { return r.CountUsers(ctx, accountID) },
	}
	err := l.read(ctx, &page)
	if err == nil && q.Details {
		err = r.addRoles(ctx, accountID, page.Items)
	}
	return page, failed(ctx, "list the users of a directory", err)
}

// filter returns an empty filter of the rows of a table that belong to the account.
func (r directories) filter(accountID uuid.UUID, table string, fields map[scim.Field]filterField,
	members string) filter {
	f := filter{conditions: &conditions{}, d: r.engine.dialect(), fields: fields, members: members}
	f.where.WriteString(table + ".account_id = " + f.arg(f.d.id(accountID)))
	return f
}

// directoryList reads a page of users or groups, in the order of their IDs.
type directoryList[T any] struct {
	engine engine
	f      filter
	q      directory.Query
	// from is the table, whose column key is the ID. columns are those of the result.
	from, key, columns string
	// to are the destinations of a row, and item and values return its resource and the values of the resource.
	to     []any
	item   func() T
	values func() scim.Values
	// count returns the number of all resources.
	count func(context.Context) (int64, error)
}

func (l directoryList[T]) read(ctx context.Context, page *directory.Page[T]) error {
	where, exact := l.f.compile(l.q.Where)
	if where != "" {
		l.f.where.WriteString(" AND (" + where + ")")
	}
	_, unique := scim.Key(l.q.Where)
	switch {
	case !exact:
		return l.walk(ctx, page)
	case unique:
		return l.lookUp(ctx, page)
	}
	return l.list(ctx, page, where != "")
}

// rows runs a statement and calls row for each row of its result.
func (l directoryList[T]) rows(ctx context.Context, sql string, to []any, row func()) error {
	return l.engine.query(ctx, sql, l.f.args, func(scan scan) error {
		err := scan(to...)
		if err == nil {
			row()
		}
		return err
	})
}

// lookUp reads the only resource with a unique value. It counts it, too.
func (l directoryList[T]) lookUp(ctx context.Context, page *directory.Page[T]) error {
	sql := "SELECT " + l.columns + " FROM " + l.from + " WHERE " + l.f.where.String()
	return l.rows(ctx, sql, l.to, func() {
		page.Total++
		if int(page.Total) > l.q.Skip && len(page.Items) < l.q.Count {
			page.Items = append(page.Items, l.item())
		}
	})
}

// list reads a page, and counts in the database. A subquery selects the IDs of the page first, so that every plan joins
// only as many rows as the page has.
func (l directoryList[T]) list(ctx context.Context, page *directory.Page[T], filtered bool) (err error) {
	if filtered {
		err = l.rows(ctx, "SELECT count(*) FROM "+l.from+" WHERE "+l.f.where.String(), []any{&page.Total}, func() {})
	} else {
		page.Total, err = l.count(ctx)
	}
	if err != nil || l.q.Count == 0 || int64(l.q.Skip) >= page.Total {
		return err
	}
	table, column, _ := strings.Cut(l.key, ".")
	sql := "SELECT " + l.columns + " FROM " + l.from +
		" WHERE " + table + ".account_id = $1 AND " + l.key + " " +
		l.f.d.among(
			"SELECT "+l.key+" AS "+column+" FROM "+l.from+" WHERE "+l.f.where.String()+" ORDER BY "+l.key+
				" LIMIT "+strconv.Itoa(l.q.Count)+" OFFSET "+strconv.Itoa(l.q.Skip),
		) + " ORDER BY " + l.key
	return l.rows(ctx, sql, l.to, func() { page.Items = append(page.Items, l.item()) })
}

// walk reads all resources that SQL does not exclude, one by one, and decides in Go which meet the condition.
func (l directoryList[T]) walk(ctx context.Context, page *directory.Page[T]) error {
	condition, flags, set := l.f.flags(l.q.Where)
	columns, to := l.columns, l.to
	for i, sql := range flags {
		columns += ", CASE WHEN " + sql + " THEN 1 ELSE 0 END AS flag" + strconv.Itoa(i)
	}
	numbers := make([]int64, len(flags))
	for i := range numbers {
		to = append(to, &numbers[i])
	}
	sql := "SELECT " + columns + " FROM " + l.from + " WHERE " + l.f.where.String() + " ORDER BY " + l.key
	return l.rows(ctx, sql, to, func() {
		for i, n := range numbers {
			*set[i] = n == 1
		}
		if !condition.Matches(l.values()) {
			return
		}
		page.Total++
		if page.Total > int64(l.q.Skip) && len(page.Items) < l.q.Count {
			page.Items = append(page.Items, l.item())
		}
	})
}

// roleRow is a user's role in a store. It is read from store_users AS m and stores AS s.
type roleRow struct {
	UserID      uuid.UUID `sql:"m"`
	Hash        string    `sql:"s"`
	Name        string    `sql:"s"`
	Permissions string    `sql:"m"`
	Owner       bool      `sql:"(s.owner_id = m.user_id)"`
}

var roleColumns = columnsOf[roleRow](nil)

// addRoles adds the users' roles in stores, in the order of the stores' hashes.
func (r directories) addRoles(ctx context.Context, accountID uuid.UUID, list []scim.User) error {
	if len(list) == 0 {
		return nil
	}
	at, ids := make(map[uuid.UUID]int, len(list)), make([]uuid.UUID, len(list))
	for i, u := range list {
		at[u.ID], ids[i] = i, u.ID
	}
	f := r.filter(accountID, "m", nil, "")
	sql := "SELECT " + roleColumns.list() + " FROM store_users AS m " + storeOfPlace + " WHERE " + f.where.String() +
		" AND m.user_id IN (" + f.ids(f.d, ids) + ")"
	var row roleRow
	to := roleColumns.scanInto(&row)
	err := r.engine.query(ctx, sql, f.args, func(scan scan) error {
		if err := scan(to...); err != nil {
			return err
		}
		role := user.RoleOf(split[string](row.Permissions), row.Owner)
		u := &list[at[row.UserID]]
		u.Roles = append(u.Roles, scim.StoreRole{Hash: row.Hash, Name: row.Name, Role: role})
		return nil
	})
	for i := range list {
		slices.SortFunc(list[i].Roles, scim.ByHash)
	}
	return err
}
