package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
)

// A column is one of a table, as it is created or as the catalog has it.
type column struct {
	name    string
	kind    string // its type
	notNull bool
	unique  bool   // no two rows have the same value
	preset  string // its default; "" for none
}

func stateColumns() []column {
	return []column{
		{name: "account", kind: "text", unique: true},
		{name: "record", kind: "json", notNull: true},
		{name: "updated_at", kind: "timestamptz", notNull: true, preset: "now()"},
	}
}

func accessColumns() []column {
	return []column{
		{name: "account", kind: "text", unique: true},
		{name: "generation", kind: "bigint", notNull: true},
		{name: "record", kind: "json", notNull: true},
		{name: "refused", kind: "bigint", notNull: true, preset: "0"},
		{name: "updated_at", kind: "timestamptz", notNull: true, preset: "now()"},
	}
}

// definition returns the column in SQL.
func (c column) definition() string {
	text := c.name + " " + c.kind
	switch {
	case c.unique:
		text += " PRIMARY KEY"
	case c.notNull:
		text += " NOT NULL"
	}
	if c.preset != "" {
		text += " DEFAULT " + c.preset
	}
	return text
}

// checkShape returns an error when the table has not the columns that it is created with. Its
// hint has the SQL that mends it.
func (t tables) checkShape(ctx context.Context, conn *pgconn.PgConn, one table) error {
	if !one.exists() {
		return nil
	}
	rows, err := query(ctx, conn, `SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
		a.atthasdef OR a.attidentity <> '', EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid
			AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
			AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum),
		c.relkind
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
	WHERE c.oid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, one.id)
	if err != nil {
		return err
	}
	var found []column
	for _, row := range rows {
		if row[5] != "r" && row[5] != "p" {
			return hint.With(fmt.Errorf("%s is not a table", one.full), runs(t.replace(one)))
		}
		c := column{name: row[0], kind: row[1], notNull: row[2] == "t", unique: row[4] == "t"}
		if c.kind == "timestamp with time zone" {
			c.kind = "timestamptz"
		}
		if row[3] == "t" {
			c.preset = "some"
		}
		found = append(found, c)
	}
	flaws, changes := one.differences(found)
	if len(flaws) == 0 {
		return nil
	}
	sql := "ALTER TABLE " + one.full + " " + strings.Join(changes, ", ")
	if len(changes) == 0 {
		sql = t.replace(one)
	}
	err = fmt.Errorf("table %s is not as ticketproxy needs it: %s", one.full, strings.Join(flaws, "; "))
	return hint.With(err, runs(sql))
}

// differences says how the columns of a table differ from those that it is created with, and
// returns the actions of ALTER TABLE that mend it. It returns no actions for a table that
// cannot have been made for records.
func (t table) differences(found []column) (flaws, actions []string) {
	foreign := false
	for _, want := range t.columns {
		i := slices.IndexFunc(found, func(c column) bool { return c.name == want.name })
		if i < 0 {
			flaws = append(flaws, "it has no column "+want.name)
			foreign = foreign || want.name == "account" || want.name == "record"
			if want.notNull && want.preset == "" {
				want.preset = "0" // for the rows that are there: a generation
			}
			actions = append(actions, "ADD COLUMN "+want.definition())
			continue
		}
		f, a := want.differences(found[i])
		flaws, actions = append(flaws, f...), append(actions, a...)
	}
	for _, c := range found {
		own := slices.ContainsFunc(t.columns, func(want column) bool { return want.name == c.name })
		if !own && c.notNull && c.preset == "" {
			flaws = append(flaws, "its column "+quoted(c.name)+" needs a value, which ticketproxy does not write")
			actions = append(actions, "ALTER COLUMN "+quoted(c.name)+" DROP NOT NULL")
		}
	}
	if foreign {
		actions = nil
	}
	return flaws, actions
}

// differences says how a column differs from the one that is wanted.
func (c column) differences(found column) (flaws, actions []string) {
	alter := "ALTER COLUMN " + c.name + " "
	wrongType, noPreset := found.kind != c.kind, c.preset != "" && found.preset == ""
	if wrongType {
		flaws = append(flaws, fmt.Sprintf("its column %s is of type %s, not %s", c.name, found.kind, c.kind))
		if found.preset != "" { // which may be of no use to the new type
			actions = append(actions, alter+"DROP DEFAULT")
		}
	}
	if noPreset {
		flaws = append(flaws, "its column "+c.name+" has no default")
	}
	switch {
	case (wrongType || noPreset) && c.preset != "": // rows may be there without a value
		actions = append(actions, fmt.Sprintf("%[1]sTYPE %[2]s USING COALESCE(%[3]s::%[2]s, %[4]s), %[1]sSET DEFAULT %[4]s",
			alter, c.kind, c.name, c.preset))
	case wrongType:
		actions = append(actions, fmt.Sprintf("%sTYPE %s USING %s::%[2]s", alter, c.kind, c.name))
	}
	if c.unique && !found.unique {
		flaws = append(flaws, "its column "+c.name+" is not unique")
		actions = append(actions, "ADD UNIQUE ("+c.name+")")
	}
	return flaws, actions
}
