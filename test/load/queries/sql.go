package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// statement is a hand-written query.
type statement struct {
	name string
	// loose takes 1 for "1", by the text of a value: less work, and another query.
	loose bool
	sql   string
	args  []any
	read  func(r result, row scanner) error
}

// execute runs the statement.
func (b *statement) execute(ctx context.Context, s session) (result, error) {
	r := result{}
	err := s.query(ctx, b.sql, b.args, func(row scanner) error { return b.read(r, row) })
	return r, err
}

// strict leaves out those that are loose.
func strict(all []statement) []statement {
	var some []statement
	for _, b := range all {
		if !b.loose {
			some = append(some, b)
		}
	}
	return some
}

// readCell reads a row of bucket, group and number.
func readCell(r result, row scanner) error {
	var at *int64
	var group *string
	var number int64
	if err := row(&at, &group, &number); err != nil {
		return err
	}
	c := cell{"null", whole}
	if at != nil {
		c.at = *at
	}
	if group != nil {
		c.group = *group
	}
	r[c] = strconv.FormatInt(number, 10)
	return nil
}

// readCounts reads such a row, and adds it to its group's sum: a client does that no slower than
// a database.
func readCounts(r result, row scanner) error {
	one := result{}
	if err := readCell(one, row); err != nil {
		return err
	}
	for c, text := range one {
		r[c] = text
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		sum, err := strconv.ParseInt("0"+r[cell{c.group, whole}], 10, 64)
		if err != nil {
			return err
		}
		r[cell{c.group, whole}] = strconv.FormatInt(sum+n, 10)
	}
	return nil
}

// readSteps reads the only row of a funnel.
func readSteps(r result, row scanner) error {
	var users [3]int64
	var medians [3]*int64
	if err := row(&users[0], &users[1], &users[2], &medians[1], &medians[2]); err != nil {
		return err
	}
	for i := range users {
		r.step(i, users[i], medians[i])
	}
	return nil
}

// dialect is the hand-written SQL for a database. Of several ways the quickest counts.
type dialect struct {
	counts func(property string, p period) []statement
	users  func(property string, p period) []statement
	funnel func(p period) []statement
}

// fill puts texts in the place of names like {key}, and brings the statement into one line.
func fill(sql string, pairs ...string) string {
	return strings.Join(strings.Fields(strings.NewReplacer(pairs...).Replace(sql)), " ")
}

// variant is an expression of something, with a name for the report.
type variant struct {
	name, sql string
	loose     bool
}

var postgresSQL = dialect{counts: postgresCounts, users: postgresUsers, funnel: postgresFunnel}

// postgresKeys are the ways to a property: null when there is none.
func postgresKeys(property string) []variant {
	return []variant{
		{name: "->", sql: "coalesce(e.payload -> '" + property + "', 'null')"},
		{name: "(->)::text", sql: "coalesce((e.payload -> '" + property + "')::text, 'null')"},
		{name: "->>", sql: "e.payload ->> '" + property + "'", loose: true},
	}
}

// postgresBuckets are the ways to a day; start brings each to Unix seconds, a few times.
var postgresBuckets = []struct{ name, bucket, start string }{
	{"width_bucket", "width_bucket(e.occurred_at, $4::timestamptz[])", "($4::timestamptz[])[b]"},
	{"date_trunc", "date_trunc('day', e.occurred_at, 'UTC')", "b"},
}

// postgresGrouped makes a statement for each key and bucket.
func postgresGrouped(sql, note, property string, p period, read func(result, scanner) error) []statement {
	var all []statement
	for _, bucket := range postgresBuckets {
		for _, key := range postgresKeys(property) {
			b := statement{
				name: strings.TrimSpace(bucket.name + ", " + key.name + " " + note), loose: key.loose, read: read,
				sql:  fill(sql, "{bucket}", bucket.bucket, "{start}", bucket.start, "{key}", key.sql),
				args: []any{sliceType, time.Unix(p.from, 0), time.Unix(p.to, 0)},
			}
			if strings.Contains(b.sql, "$4") {
				b.args = append(b.args, p.starts())
			}
			all = append(all, b)
		}
	}
	return all
}

const postgresSlice = `FROM events e WHERE e.event_type = $1 AND e.occurred_at >= $2 AND e.occurred_at < $3`

func postgresCounts(property string, p period) []statement {
	return postgresGrouped(`
		SELECT extract(epoch FROM {start})::bigint, k::text, n
		FROM (SELECT {bucket} AS b, {key} AS k, count(*) AS n `+postgresSlice+` GROUP BY 1, 2) s`, "", property, p, readCounts)
}

func postgresUsers(property string, p period) []statement {
	return append(
		postgresGrouped(`
			SELECT extract(epoch FROM {start})::bigint, k::text, n FROM (
				SELECT b, k, count(DISTINCT user_id) AS n
				FROM (SELECT {bucket} AS b, {key} AS k, e.user_id `+postgresSlice+`) e
				GROUP BY GROUPING SETS ((k, b), (k))
			) s`, "(grouping sets)", property, p, readCell),
		postgresGrouped(`
			WITH seen AS MATERIALIZED (SELECT DISTINCT {bucket} AS b, {key} AS k, e.user_id `+postgresSlice+`)
			SELECT extract(epoch FROM {start})::bigint, k::text, n FROM (
				SELECT b, k, count(*) AS n FROM seen GROUP BY 1, 2
				UNION ALL SELECT NULL, k, count(DISTINCT user_id) FROM seen GROUP BY 2
			) s`, "(distinct first)", property, p, readCell)...)
}

// funnelWays finds a user's ways, from every beginning. Backwards in time, the least time of
// the later steps that have been passed is that of the next one, and the least of their own next
// steps' that of the next one's next: two windows in one order, and one sort.
const funnelWays = `
	WITH steps AS (
		SELECT user_id, occurred_at AS at, event_id AS id, event_type AS t,
			min(occurred_at) FILTER (WHERE event_type = {third}) OVER later AS third
		FROM events e WHERE event_type IN ({first}, {second}, {third}) AND occurred_at >= {from} AND occurred_at < {to}
		WINDOW later AS (PARTITION BY user_id ORDER BY occurred_at DESC, event_id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
	), followed AS (
		SELECT user_id, at, id, t,
			min(at) FILTER (WHERE t = {second}) OVER later AS second,
			min(third) FILTER (WHERE t = {second}) OVER later AS third
		FROM steps
		WINDOW later AS (PARTITION BY user_id ORDER BY at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
	), ways AS (
		SELECT user_id, at, id,
			CASE WHEN second <= at + {window} THEN second END AS second,
			CASE WHEN third <= at + {window} THEN third END AS third
		FROM followed WHERE t = {first}
	)`

func postgresFunnel(p period) []statement {
	return []statement{{
		name: "two windows, medians by percentile_disc", read: readSteps,
		sql: fill(funnelWays+`, best AS (
				SELECT DISTINCT ON (user_id) at, second, third FROM ways ORDER BY user_id, third IS NULL, second IS NULL, at, id
			)
			SELECT count(*), count(second), count(third),
				extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY second - at))::bigint,
				extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY third - second))::bigint
			FROM best`,
			"{first}", "$1", "{second}", "$2", "{third}", "$3", "{from}", "$4", "{to}", "$5", "{window}", fmt.Sprintf("interval '%d hours'", funnelHours)),
		args: []any{funnelTypes[0], funnelTypes[1], funnelTypes[2], time.Unix(p.from, 0), time.Unix(p.to, 0)},
	}}
}

var sqliteSQL = dialect{counts: sqliteCounts, users: sqliteUsers, funnel: sqliteFunnel}

// sqliteGrouped makes a statement for each way to a property. json_extract keeps the types of
// numbers and strings, and json_quote brings them back, a few times.
func sqliteGrouped(sql, note, property string, p period, read func(result, scanner) error) []statement {
	var all []statement
	for _, key := range []struct {
		variant
		text string
	}{
		{variant{name: "->", sql: "coalesce(payload -> '$." + property + "', 'null')"}, "k"},
		{variant{name: "json_extract", sql: "json_extract(payload, '$." + property + "')"}, "json_quote(k)"},
		{variant{name: "->> as text", sql: "CAST(payload ->> '$." + property + "' AS TEXT)", loose: true}, "k"},
	} {
		all = append(all, statement{
			name: strings.TrimSpace(key.name + " " + note), loose: key.loose, read: read,
			sql: fill(sql, "{key}", key.sql, "{text}", key.text,
				"{bucket}", "(occurred_at - ?2) / 86400 * 86400 + ?2", "{slice}", "FROM events WHERE event_type = ?1 AND occurred_at >= ?2 AND occurred_at < ?3"),
			args: []any{sliceType, p.from, p.to},
		})
	}
	return all
}

func sqliteCounts(property string, p period) []statement {
	return sqliteGrouped(`
		SELECT b, {text}, n FROM (SELECT {bucket} AS b, {key} AS k, count(*) AS n {slice} GROUP BY 1, 2)`, "", property, p, readCounts)
}

func sqliteUsers(property string, p period) []statement {
	const both = ` SELECT b, {text}, n FROM (
		SELECT b, k, {count} AS n FROM seen GROUP BY 1, 2
		UNION ALL SELECT NULL, k, count(DISTINCT user_id) FROM seen GROUP BY 2)`
	return append(
		sqliteGrouped(`WITH seen AS MATERIALIZED (SELECT DISTINCT {bucket} AS b, {key} AS k, user_id {slice})`+
			strings.ReplaceAll(both, "{count}", "count(*)"), "(distinct first)", property, p, readCell),
		sqliteGrouped(`WITH seen AS MATERIALIZED (SELECT {bucket} AS b, {key} AS k, user_id {slice})`+
			strings.ReplaceAll(both, "{count}", "count(DISTINCT user_id)"), "(distinct last)", property, p, readCell)...)
}

func sqliteFunnel(p period) []statement {
	median := func(what string) string {
		return fill(`(SELECT {what} FROM best WHERE {what} IS NOT NULL ORDER BY 1 LIMIT 1 OFFSET (SELECT max(count({what}) - 1, 0) / 2 FROM best))`, "{what}", what)
	}
	return []statement{{
		name: "two windows, medians by place", read: readSteps,
		sql: fill(funnelWays+`, best AS MATERIALIZED (
				SELECT at, second, third FROM (
					SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY third IS NULL, second IS NULL, at, id) AS place FROM ways
				) WHERE place = 1
			)
			SELECT count(*), count(second), count(third), `+median("second - at")+`, `+median("third - second")+` FROM best`,
			"{first}", "?1", "{second}", "?2", "{third}", "?3", "{from}", "?4", "{to}", "?5", "{window}", strconv.Itoa(funnelHours*3600)),
		args: []any{funnelTypes[0], funnelTypes[1], funnelTypes[2], p.from, p.to},
	}}
}
