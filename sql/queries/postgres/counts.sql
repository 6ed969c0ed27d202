-- name: TotalsOfTypes :many
SELECT event_type, slot, count FROM event_totals WHERE event_type = ANY(@event_types::text[]) ORDER BY event_type, slot;

-- name: TypesAfter :many
-- Pages through the event types in order.
SELECT DISTINCT event_type FROM event_totals WHERE event_type > @after ORDER BY event_type LIMIT @page_size;

-- name: RankedTypes :many
-- Types by their counts, the most frequent first, behind a count and type.
SELECT t.event_type, sum(t.count)::bigint AS count FROM event_totals t
WHERE starts_with(t.event_type, @prefix::text)
GROUP BY t.event_type
HAVING sum(t.count) < @after_count::bigint OR (sum(t.count) = @after_count::bigint AND t.event_type > @after_type::text)
ORDER BY 2 DESC, 1 LIMIT @page_size;

-- name: CountsOfTypes :many
-- What was counted of some types: new minutes in their buckets, from 1 on, and whole days; quarter
-- hours and minutes only of the days that need them. It is one statement, so that it
-- sees a minute before or after it was folded into its day, never neither or both.
SELECT c.event_type::text AS event_type, width_bucket(c.bucket, @edges::timestamptz[])::integer AS bucket,
    'epoch'::date AS day, sum(c.count)::bigint AS count, ''::bytea AS quarters, ''::bytea AS minutes
FROM event_counts c
WHERE c.event_type = ANY(@event_types::text[]) AND c.bucket >= @first_edge::timestamptz AND c.bucket < @last_edge::timestamptz
GROUP BY 1, 2
UNION ALL
SELECT d.event_type, 0, d.day, d.count,
    CASE WHEN d.day = ANY(@quarter_days::date[]) THEN d.quarters ELSE '' END,
    CASE WHEN d.day = ANY(@minute_days::date[]) THEN d.minutes ELSE '' END
FROM event_days d
WHERE d.event_type = ANY(@event_types::text[]) AND d.day BETWEEN @first_day::date AND @last_day::date;

-- name: CountsOfAll :many
-- The same of all types.
SELECT c.event_type::text AS event_type, width_bucket(c.bucket, @edges::timestamptz[])::integer AS bucket,
    'epoch'::date AS day, sum(c.count)::bigint AS count, ''::bytea AS quarters, ''::bytea AS minutes
FROM event_counts c
WHERE c.bucket >= @first_edge::timestamptz AND c.bucket < @last_edge::timestamptz
GROUP BY 1, 2
UNION ALL
SELECT d.event_type, 0, d.day, d.count,
    CASE WHEN d.day = ANY(@quarter_days::date[]) THEN d.quarters ELSE '' END,
    CASE WHEN d.day = ANY(@minute_days::date[]) THEN d.minutes ELSE '' END
FROM event_days d
WHERE d.day BETWEEN @first_day::date AND @last_day::date;

-- name: EventSpan :one
-- From which instant to which there are events, rounded to days or minutes; infinity when there are none.
SELECT
    least(
        coalesce((SELECT min(c.bucket) FROM event_counts c), 'infinity'),
        coalesce((SELECT min(d.day) FROM event_days d)::timestamp AT TIME ZONE 'UTC', 'infinity')
    )::timestamptz AS first,
    greatest(
        coalesce((SELECT max(c.bucket) FROM event_counts c) + interval '1 minute', '-infinity'),
        coalesce(((SELECT max(d.day) FROM event_days d) + 1)::timestamp AT TIME ZONE 'UTC', '-infinity')
    )::timestamptz AS last;
