package gormdb

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"gorm.io/gorm/schema"
)

// columns are the columns of a struct R in hand-written statements: in the text of an insert, its arguments, the list
// of a select, and the destinations of its results, always in the order of R's fields.
//
// R is a model, which declares a table (token_rows.go and the other files named rows), or what a statement reads from
// several tables. gorm parses both, so a column is declared once: gorm: tags say whether it is inserted and read. In a
// struct of several tables a tag sql: says where to read a field or an embedded model: the alias of a table, or an
// expression.
//
// Columns are made when the program starts, and so are the texts that they are part of.
type columns[R any] struct {
	table    string
	inserted []column
	read     []column
	// changeable are the names of the columns that are inserted and may be updated.
	changeable []string
}

// column is a field of a struct.
type column struct {
	name  string
	index []int
	// sql is the expression to read, and alias the name of the result, if it is not that of the column.
	sql, alias string
	// value is the expression to insert instead of an argument.
	value string
}

// naming makes the names of columns from those of fields, as gorm does by default. models caches what gorm parses.
var (
	naming = schema.NamingStrategy{IdentifierMaxLength: 64}
	models sync.Map
)

// columnsOf returns the columns of R. The expressions, by column, are those that are too long for a tag.
func columnsOf[R any](expressions map[string]string) columns[R] {
	parsed, err := schema.Parse(new(R), &models, naming)
	if err != nil {
		panic(fmt.Sprintf("the columns of %T: %v", *new(R), err))
	}
	c := columns[R]{table: parsed.Table}
	row := reflect.ValueOf(new(R)).Elem()
	for _, field := range parsed.Fields {
		if field.DBName == "" {
			continue // a relation
		}
		_ = target(row.FieldByIndex(field.StructField.Index)) // panics on a type that it does not know
		f := newColumn(parsed, field, expressions)
		if field.Creatable {
			c.inserted = append(c.inserted, f)
		}
		if field.Creatable && field.Updatable {
			c.changeable = append(c.changeable, f.name)
		}
		if field.Readable {
			c.read = append(c.read, f)
		}
	}
	return c
}

func newColumn(parsed *schema.Schema, field *schema.Field, expressions map[string]string) column {
	c := column{name: field.DBName, index: field.StructField.Index, sql: expressions[field.DBName]}
	for depth := len(c.index); depth > 0 && c.sql == ""; depth-- { // the field, or what it is embedded in
		c.sql = parsed.ModelType.FieldByIndex(c.index[:depth]).Tag.Get("sql")
	}
	if c.sql == "" {
		c.sql = parsed.Table
	}
	if !strings.ContainsAny(c.sql, ". (") {
		c.sql += "." + naming.ColumnName("", field.Name) // without the prefix of an embedded model
	}
	if _, read, _ := strings.Cut(c.sql, "."); read != c.name {
		c.alias = c.name
	}
	return c
}

// insertInto returns the beginning of an insert, up to its values.
func (c columns[R]) insertInto() string {
	names := make([]string, len(c.inserted))
	for i, f := range c.inserted {
		names[i] = f.name
	}
	return "INSERT INTO " + c.table + " (" + strings.Join(names, ", ") + ") "
}

// values returns the values of an insert: parameters from the number first on, and the number after the last one.
func (c columns[R]) values(first int) (list string, next int) {
	values := make([]string, len(c.inserted))
	for i, f := range c.inserted {
		values[i] = f.value
		if f.value == "" {
			values[i] = "$" + strconv.Itoa(first)
			first++
		}
	}
	return strings.Join(values, ", "), first
}

// arguments appends the arguments of an insert to args, in the order of the parameters.
func (c columns[R]) arguments(args []any, to dialect, row *R) []any {
	v := reflect.ValueOf(row).Elem()
	args = slices.Grow(args, len(c.inserted))
	for _, f := range c.inserted {
		if f.value == "" {
			args = append(args, to.argument(v.FieldByIndex(f.index)))
		}
	}
	return args
}

// with returns the columns with expressions that an insert has instead of arguments.
func (c columns[R]) with(expressions map[string]string) columns[R] {
	missing := maps.Clone(expressions)
	inserted := make([]column, len(c.inserted))
	for i, f := range c.inserted {
		inserted[i] = f
		inserted[i].value = expressions[f.name]
		delete(missing, f.name)
	}
	if len(missing) > 0 {
		panic(fmt.Sprintf("%s has no columns %v", c.table, missing))
	}
	return columns[R]{c.table, inserted, c.read, c.changeable}
}

// recordset returns an item of a FROM clause on PostgreSQL that yields the rows which records encoded, without the
// columns that have an expression in c.
func (c columns[R]) recordset(alias, parameter string) string {
	var list []string
	for _, f := range c.inserted {
		if f.value == "" {
			list = append(list, f.name+" "+recordType(reflect.TypeFor[R]().FieldByIndex(f.index).Type))
		}
	}
	return "json_to_recordset(" + parameter + "::text::json) AS " + alias + " (" + strings.Join(list, ", ") + ")"
}

func recordType(kind reflect.Type) string {
	switch kind {
	case reflect.TypeFor[uuid.UUID](), reflect.TypeFor[uuid.NullUUID]():
		return "uuid"
	case reflect.TypeFor[instant]():
		return "timestamptz"
	case reflect.TypeFor[int64](), reflect.TypeFor[*int64]():
		return "bigint"
	case reflect.TypeFor[bool]():
		return "boolean"
	case reflect.TypeFor[[]byte]():
		return "bytea"
	default:
		return "text"
	}
}

// records encodes the columns of rows that have no expression in c, as a JSON list of objects.
func (c columns[R]) records(to dialect, rows []R) (string, error) {
	list := make([]map[string]any, len(rows))
	for i := range rows {
		v := reflect.ValueOf(&rows[i]).Elem()
		list[i] = make(map[string]any, len(c.inserted))
		for _, f := range c.inserted {
			if f.value == "" {
				list[i][f.name] = to.inRecord(to.argument(v.FieldByIndex(f.index)))
			}
		}
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// inRecord returns an argument in the form of a record: bytes are hexadecimal, which SQLite decodes with unhex.
func (d dialect) inRecord(argument any) any {
	bytes, is := argument.([]byte)
	switch {
	case !is:
		return argument
	case bytes == nil:
		return nil
	case d.name == sqliteDialect.name:
		return hex.EncodeToString(bytes)
	default:
		return `\x` + hex.EncodeToString(bytes)
	}
}

// parameter returns the parameter of a column in an insert whose parameters begin with the number first.
func (c columns[R]) parameter(name string, first int) string {
	for _, f := range c.inserted {
		if f.name == name {
			return "$" + strconv.Itoa(first)
		}
		if f.value == "" {
			first++
		}
	}
	panic(c.table + " has no column " + name)
}

// list returns the list of a select.
func (c columns[R]) list() string {
	list := make([]string, len(c.read))
	for i, f := range c.read {
		list[i] = f.sql
		if f.alias != "" {
			list[i] += " AS " + f.alias
		}
	}
	return strings.Join(list, ", ")
}

// scanInto returns the destinations of a result with the columns of list.
func (c columns[R]) scanInto(row *R) []any {
	v := reflect.ValueOf(row).Elem()
	to := make([]any, len(c.read))
	for i, f := range c.read {
		to[i] = target(v.FieldByIndex(f.index))
	}
	return to
}

// reader returns a function that reads one row and converts it.
func reader[R, T any](c columns[R], convert func(*R) (T, error)) func(scan) (T, error) {
	return func(scan scan) (T, error) {
		row := new(R)
		if err := scan(c.scanInto(row)...); err != nil {
			return *new(T), err
		}
		return convert(row)
	}
}

// target returns the destination to scan a field. Null is the zero value.
func target(field reflect.Value) any {
	switch p := field.Addr().Interface().(type) {
	case *uuid.UUID:
		return (*key)(p)
	case *uuid.NullUUID:
		return (*optionalKey)(p)
	case *instant, *string, **string, *[]byte, *int64, **int64, *bool, *position:
		return p
	default:
		panic(fmt.Sprintf("a column cannot be a %s", field.Type()))
	}
}

// argument returns a field as an argument. Zero times and UUIDs are null.
func (d dialect) argument(field reflect.Value) any {
	switch p := field.Addr().Interface().(type) {
	case *uuid.UUID:
		return d.id(*p)
	case *uuid.NullUUID:
		return d.id(p.UUID)
	case *instant:
		return d.timestamp(p.Time)
	default:
		return field.Interface()
	}
}
