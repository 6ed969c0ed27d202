package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/testkit"
)

// The schema must stay one that a distributed PostgreSQL (Citus and its like) can
// take as it is: DESIGN.md, section 6. There a table's rows live on many servers,
// each found by a hash of one column, and a constraint can be held only where all
// the rows that it compares are on one of them.
//
// distribution says for each table by which column its rows would be spread. The
// empty string stands for a table that is small and whole on every server. A new
// table fails the test until somebody decided.
var distribution = map[string]string{
	"events":       "user_id",
	"event_counts": "event_type",
	"event_totals": "event_type",
	"event_days":   "event_type",
	"writer_slots": "",
	"installation": "",
}

// migrationTable is goose's own, which only migrations touch, on one server.
const migrationTable = "goose_db_version"

// ours lists the product's tables, with the column that spreads them: a partition
// has its parent's. $1 and $2 are distribution's keys and values.
const ours = `
WITH decided AS (SELECT unnest($1::text[]) AS name, unnest($2::text[]) AS spread_by),
ours AS (
	SELECT c.oid, c.relname AS name, c.relkind, c.relpersistence, d.name IS NOT NULL AS decided,
		coalesce(d.spread_by, '') AS spread_by, coalesce(parent.relname, c.relname) AS root
	FROM pg_class c
	LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
	LEFT JOIN pg_class parent ON parent.oid = i.inhparent
	LEFT JOIN decided d ON d.name = coalesce(parent.relname, c.relname)
	WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
		AND c.relkind IN ('r', 'p', 'f', 'm') AND c.relname <> '` + migrationTable + `'
)
`

// schemaRule is a query that names what breaks the rule, and statements that do.
type schemaRule struct {
	name   string
	query  string // after ours
	breaks []string
}

var schemaRules = []schemaRule{
	{
		name:   "somebody decided how each table is spread",
		query:  `SELECT name FROM ours WHERE NOT decided`,
		breaks: []string{`CREATE TABLE sessions (user_id bigint PRIMARY KEY)`},
	},
	{
		name:  "no sequences: every server would have its own, or all would wait for one",
		query: `SELECT relname FROM pg_class WHERE relkind = 'S' AND relname !~ '^` + migrationTable + `'`,
		breaks: []string{
			`ALTER TABLE events ADD COLUMN number bigserial`,
			`ALTER TABLE event_totals ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY`,
			`CREATE SEQUENCE event_numbers`,
		},
	},
	{
		name: "no foreign keys: the row that is meant may be on another server",
		query: `SELECT ours.name || '.' || conname FROM pg_constraint JOIN ours ON conrelid = ours.oid
			WHERE contype = 'f' AND conparentid = 0`,
		breaks: []string{
			`CREATE TABLE kinds (event_type text COLLATE "C" PRIMARY KEY);
				ALTER TABLE event_totals ADD CONSTRAINT known_kind FOREIGN KEY (event_type) REFERENCES kinds NOT VALID`,
		},
	},
	{
		name: "every unique key holds the column that spreads the table",
		query: `SELECT pg_get_indexdef(i.indexrelid) FROM ours JOIN pg_index i ON i.indrelid = ours.oid
			WHERE (i.indisunique OR i.indisexclusion) AND ours.spread_by <> '' AND NOT EXISTS (
				SELECT FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k
				JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k WHERE a.attname = ours.spread_by)`,
		breaks: []string{
			`CREATE UNIQUE INDEX once_a_day ON event_days (day, count)`,
			`CREATE UNIQUE INDEX one_id ON events (event_id, occurred_at)`,
			`CREATE UNIQUE INDEX covered ON events (event_id, occurred_at) INCLUDE (user_id)`, // carried, not compared
			`CREATE UNIQUE INDEX hashed ON events ((user_id % 8), occurred_at)`,
			`ALTER TABLE event_counts ADD CONSTRAINT one_bucket EXCLUDE (bucket WITH =)`,
		},
	},
	{
		name: "every unique key of events and its partitions holds occurred_at and user_id",
		query: `SELECT pg_get_indexdef(i.indexrelid) FROM ours JOIN pg_index i ON i.indrelid = ours.oid
			WHERE (i.indisunique OR i.indisexclusion) AND ours.root = 'events' AND (
				SELECT count(*) FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k
				JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k WHERE a.attname IN ('occurred_at', 'user_id')) < 2`,
		breaks: []string{
			`CREATE UNIQUE INDEX one_id ON events (event_id, occurred_at)`,
			// PostgreSQL lets a partition be stricter than the whole.
			`CREATE UNIQUE INDEX one_id_of_a_user ON events_2023_07 (user_id, event_id)`,
		},
	},
	{
		name: "events and what is spread have a primary key, which tells rows apart when they move",
		query: `SELECT name FROM ours WHERE spread_by <> ''
			AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = ours.oid AND contype = 'p')`,
		breaks: []string{`ALTER TABLE event_totals DROP CONSTRAINT event_totals_pkey`},
	},
	{
		name: "the column that spreads a table is there and never null",
		query: `SELECT name || '.' || spread_by FROM ours WHERE spread_by <> '' AND NOT EXISTS (
				SELECT FROM pg_attribute WHERE attrelid = ours.oid AND attname = ours.spread_by AND attnotnull AND NOT attisdropped)`,
		breaks: []string{
			`ALTER TABLE event_days RENAME COLUMN event_type TO kind`,
			`ALTER TABLE event_totals DROP CONSTRAINT event_totals_pkey; ALTER TABLE event_totals ALTER COLUMN event_type DROP NOT NULL`,
		},
	},
	{
		name: "events is partitioned by ranges of occurred_at, and nothing else is partitioned",
		query: `SELECT name FROM ours WHERE (relkind = 'p' OR name = 'events') AND NOT (
				name = 'events' AND relkind = 'p' AND coalesce(pg_get_partkeydef(oid) = 'RANGE (occurred_at)', false))`,
		breaks: []string{
			`DROP TABLE events; CREATE TABLE events (user_id bigint, occurred_at timestamptz, PRIMARY KEY (user_id, occurred_at)) PARTITION BY HASH (user_id)`,
			`DROP TABLE event_totals; CREATE TABLE event_totals (event_type text, slot integer, PRIMARY KEY (event_type, slot)) PARTITION BY LIST (event_type)`,
		},
	},
	{
		name: "no inheritance but of partitions",
		query: `SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid JOIN ours ON ours.oid = child.oid
			WHERE NOT child.relispartition`,
		breaks: []string{`CREATE TABLE event_days_of_today () INHERITS (event_days)`},
	},
	{
		name:   "no triggers: what they do on one server knows nothing of the others",
		query:  `SELECT ours.name || '.' || tgname FROM pg_trigger JOIN ours ON tgrelid = ours.oid WHERE NOT tgisinternal AND tgparentid = 0`,
		breaks: []string{`CREATE TRIGGER keep BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`},
	},
	{
		name:   "no rewrite rules",
		query:  `SELECT ours.name || '.' || rulename FROM pg_rewrite JOIN ours ON ev_class = ours.oid AND relkind <> 'm'`,
		breaks: []string{`CREATE RULE keep AS ON DELETE TO event_totals DO INSTEAD NOTHING`},
	},
	{
		name:  "tables are logged, and tables: a copy that is refreshed belongs to one server",
		query: `SELECT name FROM ours WHERE relpersistence <> 'p' OR relkind IN ('m', 'f')`,
		breaks: []string{
			`ALTER TABLE event_counts SET UNLOGGED`,
			`CREATE MATERIALIZED VIEW types AS SELECT DISTINCT event_type FROM event_totals`,
		},
	},
	{
		name: "no types or extensions that every server would have to be given first",
		query: `SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd', 'r', 'm')
			UNION ALL SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'`,
		breaks: []string{`CREATE TYPE outcome AS ENUM ('accepted')`, `CREATE DOMAIN user_number AS bigint`},
	},
}

// catalogOf returns what breaks which rule.
func catalogOf(t *testing.T, tx pgx.Tx) map[string][]string {
	t.Helper()
	var tables, columns []string
	for table, column := range distribution {
		tables, columns = append(tables, table), append(columns, column)
	}
	broken := map[string][]string{}
	for _, r := range schemaRules {
		// A rule that asks nothing of the decisions still gets them.
		rows, err := tx.Query(t.Context(), ours+`SELECT found FROM (`+r.query+`) AS broken(found) WHERE $1::text[] IS NOT NULL AND $2::text[] IS NOT NULL`, tables, columns)
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		if len(names) > 0 {
			broken[r.name] = names
		}
	}
	return broken
}

func TestSchemaIsReadyToBeDistributed(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	// With partitions, made as the product makes them.
	mustWrite(t, openWriter(t, s), login(0))

	tx := begin(t, s)
	for rule, names := range catalogOf(t, tx) {
		t.Errorf("%s: broken by %q", rule, names)
	}
	for table := range distribution {
		var there bool
		if err := tx.QueryRow(t.Context(), `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&there); err != nil || !there {
			t.Errorf("%s is decided upon, and there is no such table (%v)", table, err)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}

	// A rule that nothing breaks is none. One after the other: they lock tables.
	for _, r := range schemaRules {
		if len(r.breaks) == 0 {
			t.Errorf("%s: nothing shows that it bites", r.name)
		}
		for _, statement := range r.breaks {
			tx := begin(t, s)
			if _, err := tx.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
			if broken := catalogOf(t, tx); broken[r.name] == nil {
				t.Errorf("%s: not caught: %s\n(caught by other rules: %v)", r.name, statement, broken)
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// begin begins a transaction that is undone at the end of the test, if not before.
func begin(t *testing.T, s testStore) pgx.Tx {
	t.Helper()
	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // it was only to be looked at
	return tx
}
