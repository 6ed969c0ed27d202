// Generated from api/openapi.yaml by scripts/generate.js: change the contract and run "make generate".

export interface paths {
    "/event": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Send one event
         * @description Stores one event and counts it. The answer comes after the commit: what
         *     was answered `202` survives any crash.
         *
         *     Repeat the request after a time-out, a `5xx` or a broken connection: with
         *     an `event_id` in the body or an `Idempotency-Key` header the event is
         *     stored once, however often it is sent, and every repeat is answered
         *     `202` too. The `Event-Status` header tells the first from the repeats.
         *
         *     The body may be sent with `Content-Encoding: gzip`; the size limit of
         *     128 KiB holds before and after decompression.
         */
        post: operations["sendEvent"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The latest events
         * @description Events, the newest first: by `timestamp`, then by `event_id` and `user_id`. Follow `next_cursor` for older ones. Pages
         *     are stable while events arrive: nothing is listed twice, and nothing is left out but events that arrive later than
         *     their place in the order was passed.
         */
        get: operations["listEvents"];
        put?: never;
        /**
         * Send many events
         * @description Stores up to 5,000 events and counts them. Each event is taken, found to be a
         *     repeat, or refused for itself: a bad one never harms its neighbours. The answer
         *     comes after the commit, as with `POST /event`.
         *
         *     Send a JSON array, an object with the array in `events`, or
         *     `application/x-ndjson`: one event per line; blank lines don't count. The body may be
         *     sent with `Content-Encoding: gzip`. It is at most 8 MiB, before and after
         *     decompression, each event in it at most 128 KiB; `GET /limits` tells what this
         *     server takes, which may be less.
         *
         *     `results` lists what was not plainly received: duplicates, events that break the
         *     contract (`rejected`, with `errors`; sending them again is of no use), and events
         *     whose fate isn't known (`retry`: the database didn't answer in time; send those again,
         *     and nothing else). When nothing at all could be stored the answer is a problem:
         *     `422` when every event was rejected, `503` when every one should be sent again.
         *     Repeats are recognised by the events' ids: give each an `event_id`, or the request
         *     an `Idempotency-Key`.
         */
        post: operations["sendEvents"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/events/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Download events
         * @description All events that fit, the oldest first, as JSON lines that `POST /events` takes, or as CSV. The
         *     answer is streamed, and compressed when asked for (`Accept-Encoding: gzip`). However many there are, neither side needs to hold them.
         *
         *     If the connection breaks, go on from the last whole line: pass its `timestamp`, `event_id` and `user_id`,
         *     joined by `_`, as `cursor`. An answer that breaks off has no end of the chunked
         *     body: HTTP clients report it as an error.
         */
        get: operations["exportEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/users/{user_id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What a user did
         * @description The events of one user, the newest first. Pages are stable while events arrive, as those of `GET /events`.
         */
        get: operations["listUserEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/limits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How much may be sent at once
         * @description The bounds in force on this server, for clients that cut their batches to size. They
         *     change only when the server is restarted with other settings.
         */
        get: operations["getLimits"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Count every event type
         * @description Every event type that was ever sent with the number of its events, the most frequent
         *     first; types with equal counts in the order of their bytes. Follow `next_cursor` for more:
         *     while events arrive a type may move to a page that was read already.
         */
        get: operations["listEventTypeStats"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/{event_type}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Count the events of a type
         * @description The number of events of one type since the beginning, including every
         *     event that was accepted before the question. A type that no event has
         *     had yet is counted as 0, not an error.
         *
         *     With `from` or `to` only the events in that range count, exact to the second.
         */
        get: operations["getEventTypeStats"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/{event_type}/series": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Count the events of a type over time
         * @description The number of events of one type in every minute, hour, day, week or month of a range. Nothing
         *     is left out: a bucket without events has the count 0. Buckets follow the calendar of `tz`, so that a day
         *     may have 23 or 25 hours; weeks begin on Monday (ISO 8601).
         *
         *     Without `from` and `to` it is the last 30 buckets, the current one included. With them only events in the range count,
         *     so that the first and the last bucket may be cut; such a bucket, and one that isn't
         *     over yet, is marked `partial`.
         */
        get: operations["getEventTypeSeries"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/query": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Count, sum or rank by any property
         * @description One number per group, or per group and bucket of time: how many events or users, or the
         *     sum, mean, extreme or percentile of a number in the payload. Nothing has to be declared beforehand:
         *     any place in the payload can be grouped by, filtered by and summed.
         *
         *     Groups are ranked by their number over the whole range; `limit` of them are listed, and
         *     with `include_other` all others together as one more. An event without a value at a place
         *     belongs to the group `null`, which is another than the string `"null"`. Types are kept: `1` is not
         *     `"1"`, but it is `1.0`.
         *
         *     Numbers are exact. A `sum` is that of the decimals as sent, `avg` is the exact quotient rounded once,
         *     percentiles are values that occur (nearest rank). Only JSON numbers are summed; events
         *     with anything else at `value` are left out of the number, and a group without any has `null`.
         */
        post: operations["queryEvents"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/query/funnel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * How many users go all the way
         * @description How many users took the first step, how many of them the second after it, and so on, within
         *     `window` seconds of the first. Of a user's possible ways the one that gets furthest counts, and of
         *     those the one that begins first; each further step is the earliest event that fits.
         *
         *     Events are in the order of `timestamp`, then of `event_id`: a step is taken by an event after that of the
         *     step before, perhaps in the same second. With the order `strict`, none of the user's events between two steps may be
         *     one of the funnel's: whoever goes back and forth has to begin again.
         */
        post: operations["queryFunnel"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/query/retention": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * How many users come back
         * @description Users are put into cohorts by the day, week or month of their first event of one kind within the
         *     range; then each later period tells how many of the cohort had an event of
         *     another kind (or of the same) in it. Period 0 is the cohort's own: there an event counts that comes after the
         *     first one. A user whose earlier events lie before `from` begins anew: choose a first
         *     event that happens once, such as a sign-up, or a range that has all.
         */
        post: operations["queryRetention"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Is the process alive?
         * @description Answers `200` for as long as the process can answer at all. It asks nobody else.
         */
        get: operations["getLiveness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Should it get traffic?
         * @description `200` when events can be stored; `503` while starting, while stopping, and
         *     while the database doesn't answer. Redis is reported but is no reason
         *     for a `503`: without it the service works, only slower.
         */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Metrics for Prometheus
         * @description The process's metrics in the Prometheus text format. No event type, user or address is a label.
         */
        get: operations["getMetrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Where to find what
         * @description The addresses of the interface, its documentation and its contract, and the running version:
         *     as a page to a browser (`Accept: text/html`), as JSON to everyone else.
         */
        get: operations["getIndex"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/problems": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Every kind of problem
         * @description What can go wrong, why, and the way out: as a page to a browser (`Accept: text/html`), as JSON
         *     to everyone else.
         */
        get: operations["listProblems"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/problems/{code}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * One kind of problem
         * @description What the `type` of a problem points to: what it means, its cause and the way out, as a page to a
         *     browser (`Accept: text/html`), as JSON to everyone else.
         */
        get: operations["getProblem"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.yaml": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This contract, as YAML
         * @description The document that the server, its validation and the clients are generated from, byte for byte.
         */
        get: operations["getOpenAPIYAML"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This contract, as JSON
         * @description The same document as `/openapi.yaml`, for tools that want JSON.
         */
        get: operations["getOpenAPIJSON"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/docs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This contract, in the browser
         * @description Swagger UI, served by the product itself. It works without access to the internet.
         */
        get: operations["getDocs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/docs/{asset}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * A file that the documentation page needs
         * @description Scripts, styles and pictures of `/docs`.
         */
        get: operations["getDocsAsset"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * @description One thing that a user did.
         * @example {
         *       "user_id": 123,
         *       "event_type": "purchase",
         *       "timestamp": 1690000000,
         *       "payload": {
         *         "item": "book"
         *       }
         *     }
         */
        Event: {
            /**
             * Format: int64
             * @description Who did it.
             * @example 123
             */
            user_id: number;
            event_type: components["schemas"]["EventType"];
            /**
             * Format: int64
             * @description When, in Unix seconds: from 2000-01-01 to an hour from now. Milliseconds
             *     are refused.
             * @example 1690000000
             */
            timestamp: number;
            event_id?: components["schemas"]["EventId"];
            /**
             * @description Whatever else is worth keeping: any JSON object of at most 64 KiB,
             *     at most 32 levels deep, with at most 256 names at the top. Numbers keep
             *     every digit; they are at most 1,024 characters long and between
             *     1e-308 and 1e308 in magnitude, or 0. NUL characters (`\u0000`) can't be kept.
             * @example {
             *       "item": "book"
             *     }
             */
            payload?: {
                [key: string]: unknown;
            };
        };
        /**
         * @description What kind of event: a letter or digit, then letters, digits and `_ . : -`.
         * @example purchase
         */
        EventType: string;
        /**
         * Format: uuid
         * @description A UUID of any version in canonical form (36 characters, lower case), not the nil UUID.
         *     Together with `user_id` and `timestamp` it identifies the event. Without one
         *     the server makes a UUIDv7.
         * @example 01890a5d-ac96-774b-bcce-b302099a8057
         */
        EventId: string;
        /**
         * @description `accepted` when the request stored the event, `duplicate` when it was there.
         * @example accepted
         * @enum {string}
         */
        EventStatus: "accepted" | "duplicate";
        /**
         * @description The event was taken.
         * @example {
         *       "status": "received"
         *     }
         */
        Receipt: {
            /**
             * @description Always `received`.
             * @example received
             * @enum {string}
             */
            status: "received";
        };
        /**
         * @description Up to 5,000 events, as an array or in an object.
         * @example [
         *       {
         *         "user_id": 42,
         *         "event_type": "login",
         *         "timestamp": 1690000000
         *       }
         *     ]
         */
        EventBatch: components["schemas"]["EventList"] | components["schemas"]["EventEnvelope"];
        /**
         * @description Events, in any order.
         * @example [
         *       {
         *         "user_id": 42,
         *         "event_type": "login",
         *         "timestamp": 1690000000
         *       }
         *     ]
         */
        EventList: components["schemas"]["Event"][];
        /**
         * @description An object around the events.
         * @example {
         *       "events": [
         *         {
         *           "user_id": 42,
         *           "event_type": "login",
         *           "timestamp": 1690000000
         *         }
         *       ]
         *     }
         */
        EventEnvelope: {
            events: components["schemas"]["EventList"];
        };
        /**
         * @description What became of the events of a batch. The four numbers add up to the events sent.
         * @example {
         *       "received": 999,
         *       "duplicate": 1,
         *       "rejected": 0,
         *       "retry": 0,
         *       "results": [
         *         {
         *           "index": 17,
         *           "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
         *           "status": "duplicate"
         *         }
         *       ]
         *     }
         */
        BatchReceipt: {
            /**
             * Format: int32
             * @description Events that this request stored.
             * @example 998
             */
            received: number;
            /**
             * Format: int32
             * @description Events that were stored before, or stood in the batch before.
             * @example 1
             */
            duplicate: number;
            /**
             * Format: int32
             * @description Events that break the contract.
             * @example 1
             */
            rejected: number;
            /**
             * Format: int32
             * @description Events whose fate isn't known, because the database didn't answer in time.
             * @example 0
             */
            retry: number;
            /**
             * @description The events that were not plainly received, in the order of the batch; with `verbose=true` all of them.
             * @example [
             *       {
             *         "index": 17,
             *         "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
             *         "status": "duplicate"
             *       }
             *     ]
             */
            results: components["schemas"]["EventResult"][];
        };
        /**
         * @description What became of one event of a batch.
         * @example {
         *       "index": 17,
         *       "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
         *       "status": "duplicate"
         *     }
         */
        EventResult: {
            /**
             * Format: int32
             * @description The event's place in the batch, from 0.
             * @example 17
             */
            index: number;
            event_id?: components["schemas"]["EventId"];
            status: components["schemas"]["EventResultStatus"];
            /**
             * @description Why it was rejected; pointers start at the event. At most 10 are listed.
             * @example [
             *       {
             *         "pointer": "/user_id",
             *         "code": "minimum",
             *         "detail": "must be at least 1"
             *       }
             *     ]
             */
            errors?: components["schemas"]["Violation"][];
        };
        /**
         * @description `received`: stored now; `duplicate`: stored before; `rejected`: breaks the contract, sending it
         *     again is of no use; `retry`: send it again.
         * @example duplicate
         * @enum {string}
         */
        EventResultStatus: "received" | "duplicate" | "rejected" | "retry";
        /**
         * @description Bounds on what may be sent.
         * @example {
         *       "max_event_bytes": 131072,
         *       "max_payload_bytes": 65536,
         *       "max_batch_events": 5000,
         *       "max_batch_bytes": 8388608,
         *       "max_future_skew_seconds": 3600,
         *       "requests_per_minute": 1500
         *     }
         */
        Limits: {
            /**
             * Format: int64
             * @description The size of one event as JSON, alone or in a batch, in bytes.
             * @example 131072
             */
            max_event_bytes: number;
            /**
             * Format: int64
             * @description The size of an event's `payload` as JSON, in bytes.
             * @example 65536
             */
            max_payload_bytes: number;
            /**
             * Format: int32
             * @description Events in one request to `POST /events`.
             * @example 5000
             */
            max_batch_events: number;
            /**
             * Format: int64
             * @description The size of the body of `POST /events`, before and after decompression, in bytes.
             * @example 8388608
             */
            max_batch_bytes: number;
            /**
             * Format: int64
             * @description How far ahead of the server's clock a `timestamp` may be, in seconds.
             * @example 3600
             */
            max_future_skew_seconds: number;
            /**
             * Format: int32
             * @description Requests of any size that one address may send in a minute; 0 means no limit.
             * @example 1500
             */
            requests_per_minute: number;
        };
        /**
         * @description How many events of a type there are.
         * @example {
         *       "event_type": "login",
         *       "count": 15
         *     }
         */
        EventTypeStats: {
            event_type: components["schemas"]["EventType"];
            /**
             * Format: int64
             * @description The number of events.
             * @example 15
             */
            count: number;
        };
        /**
         * @description Event types and their counts.
         * @example {
         *       "event_types": [
         *         {
         *           "event_type": "login",
         *           "count": 15
         *         }
         *       ]
         *     }
         */
        EventTypeStatsPage: {
            /**
             * @description The most frequent first.
             * @example [
             *       {
             *         "event_type": "login",
             *         "count": 15
             *       }
             *     ]
             */
            event_types: components["schemas"]["EventTypeStats"][];
            /**
             * @description Where the next page begins; absent on the last.
             * @example 15_login
             */
            next_cursor?: string;
        };
        /**
         * @description The length of a bucket. Days, weeks (from Monday) and months are those of the calendar of a time zone.
         * @example day
         * @enum {string}
         */
        Interval: "minute" | "hour" | "day" | "week" | "month";
        /**
         * @description A name of the IANA time zone database.
         * @example Europe/Berlin
         */
        TimeZone: string;
        /**
         * @description What to compare with: `previous`, the period before.
         * @example previous
         * @enum {string}
         */
        Comparison: "previous";
        /**
         * @description `ndjson`: one event per line as JSON; `csv`: with a header line, and the payload as JSON text.
         * @example ndjson
         * @enum {string}
         */
        ExportFormat: "ndjson" | "csv";
        /**
         * @description The counts of a type over time.
         * @example {
         *       "event_type": "login",
         *       "interval": "day",
         *       "tz": "UTC",
         *       "from": 1690070400,
         *       "to": 1690156800,
         *       "count": 5,
         *       "points": [
         *         {
         *           "start": 1690070400,
         *           "time": "2023-07-23T00:00:00Z",
         *           "count": 5,
         *           "partial": false
         *         }
         *       ]
         *     }
         */
        EventTypeSeries: {
            event_type: components["schemas"]["EventType"];
            interval: components["schemas"]["Interval"];
            tz: components["schemas"]["TimeZone"];
            from: components["schemas"]["Moment"];
            to: components["schemas"]["Moment"];
            /**
             * Format: int64
             * @description The number of events in the whole range.
             * @example 5
             */
            count: number;
            /**
             * @description Every bucket that the range touches, the oldest first.
             * @example [
             *       {
             *         "start": 1690070400,
             *         "time": "2023-07-23T00:00:00Z",
             *         "count": 5,
             *         "partial": false
             *       }
             *     ]
             */
            points: components["schemas"]["Point"][];
            previous?: components["schemas"]["PreviousPeriod"];
        };
        /**
         * @description The same for the period before, as many buckets long.
         * @example {
         *       "from": 1689984000,
         *       "to": 1690070400,
         *       "count": 7,
         *       "points": [
         *         {
         *           "start": 1689984000,
         *           "time": "2023-07-22T00:00:00Z",
         *           "count": 7,
         *           "partial": false
         *         }
         *       ]
         *     }
         */
        PreviousPeriod: {
            from: components["schemas"]["Moment"];
            to: components["schemas"]["Moment"];
            /**
             * Format: int64
             * @description The number of events in the period.
             * @example 7
             */
            count: number;
            /**
             * @description Its buckets, one for each of the range's.
             * @example [
             *       {
             *         "start": 1689984000,
             *         "time": "2023-07-22T00:00:00Z",
             *         "count": 7,
             *         "partial": false
             *       }
             *     ]
             */
            points: components["schemas"]["Point"][];
        };
        /**
         * @description A bucket of time and how many events fell into it.
         * @example {
         *       "start": 1690070400,
         *       "time": "2023-07-23T00:00:00Z",
         *       "count": 5,
         *       "partial": false
         *     }
         */
        Point: {
            start: components["schemas"]["Moment"];
            time: components["schemas"]["LocalTime"];
            /**
             * Format: int64
             * @description The number of events.
             * @example 5
             */
            count: number;
            /**
             * @description Whether the count is not that of the whole bucket, because it isn't over yet or the range cuts it.
             * @example false
             */
            partial: boolean;
        };
        /**
         * Format: int64
         * @description A point in time, in Unix seconds; up to the year 9998.
         * @example 1690070400
         */
        Instant: number;
        /**
         * Format: int64
         * @description A point in time, in Unix seconds; before 1970 it is negative.
         * @example 1690070400
         */
        Moment: number;
        /**
         * Format: date-time
         * @description The start in the time zone of the question (RFC 3339).
         * @example 2023-07-23T00:00:00Z
         */
        LocalTime: string;
        /**
         * @description What of an event is meant: `event_type`, `user_id`, or a place in the payload: `payload.plan`, nested as
         *     `payload.address.city`, the n-th item of an array from 0 as `payload.items[0]`. A name with dots, brackets or quotation
         *     marks is written as a JSON string in brackets: `payload["a.b"]`.
         * @example payload.plan
         */
        Field: string;
        /**
         * @description Event types; empty means all.
         * @example [
         *       "login",
         *       "logout"
         *     ]
         */
        EventTypeList: components["schemas"]["EventType"][];
        /**
         * @description Up to three fields.
         * @example [
         *       "payload.plan"
         *     ]
         */
        FieldList: components["schemas"]["Field"][];
        /**
         * @description Conditions on an event.
         * @example [
         *       {
         *         "field": "payload.plan",
         *         "op": "eq",
         *         "value": "pro"
         *       }
         *     ]
         */
        FilterList: components["schemas"]["Filter"][];
        /**
         * @description A condition on an event. `null` stands for a field that isn't there; one that is there and null is no different.
         *
         *     * `eq`, `neq`: equal to `value`, a string, number, boolean, or null; types are kept.
         *     * `in`, `not_in`: equal to one, or none, of the list `value`.
         *     * `exists`: there and not null; with the `value` false, the opposite.
         *     * `gt`, `gte`, `lt`, `lte`: compared with `value`, a number or a string; strings by their bytes. A field of another
         *       type never fits.
         *     * `contains`: a string that has the string `value` in it, or an array that has an item equal to `value`.
         *     * `starts_with`: a string that begins with the string `value`.
         * @example {
         *       "field": "payload.plan",
         *       "op": "eq",
         *       "value": "pro"
         *     }
         */
        Filter: {
            field: components["schemas"]["Field"];
            op: components["schemas"]["FilterOperator"];
            value?: components["schemas"]["JSONValue"];
        };
        /**
         * @description Any JSON value.
         * @example pro
         */
        JSONValue: unknown;
        /**
         * @description How to compare.
         * @example eq
         * @enum {string}
         */
        FilterOperator: "eq" | "neq" | "in" | "not_in" | "exists" | "gt" | "gte" | "lt" | "lte" | "contains" | "starts_with";
        /**
         * @description How many of the filters have to fit: `all`, or `any`, at least one.
         * @example all
         * @enum {string}
         */
        Match: "all" | "any";
        /**
         * @description What to work out. `count` counts events and `unique_users` users; the others need `value`: sum, mean, least and greatest number, and
         *     percentiles.
         * @example count
         * @enum {string}
         */
        Metric: "count" | "unique_users" | "sum" | "avg" | "min" | "max" | "p50" | "p90" | "p95" | "p99";
        /**
         * @description The order of groups: by their number, or by their key. Groups of equal number follow in the order of their keys: null, false, true,
         *     numbers, strings by their bytes, arrays, objects. Groups without a number come last.
         * @example value_desc
         * @enum {string}
         */
        Order: "value_desc" | "value_asc" | "key_asc" | "key_desc";
        /**
         * @description A question about events.
         * @example {
         *       "metric": "count",
         *       "from": 1690000000,
         *       "to": 1690003600,
         *       "group_by": [
         *         "payload.plan"
         *       ]
         *     }
         */
        Query: {
            event_types?: components["schemas"]["EventTypeList"];
            metric: components["schemas"]["Metric"];
            value?: components["schemas"]["Field"];
            from: components["schemas"]["Instant"];
            to: components["schemas"]["Instant"];
            interval?: components["schemas"]["Interval"];
            tz?: components["schemas"]["TimeZone"];
            group_by?: components["schemas"]["FieldList"];
            filters?: components["schemas"]["FilterList"];
            match?: components["schemas"]["Match"];
            order?: components["schemas"]["Order"];
            /**
             * Format: int32
             * @description How many groups to list at most; without it 100.
             * @example 10
             */
            limit?: number;
            /**
             * @description Whether the groups beyond `limit` are put together in `other`.
             * @example true
             */
            include_other?: boolean;
        };
        /**
         * @description The answer to a question.
         * @example {
         *       "metric": "count",
         *       "from": 1690000000,
         *       "to": 1690003600,
         *       "group_by": [
         *         "payload.plan"
         *       ],
         *       "groups": [
         *         {
         *           "key": [
         *             "pro"
         *           ],
         *           "value": 12
         *         }
         *       ]
         *     }
         */
        QueryResult: {
            metric: components["schemas"]["Metric"];
            from: components["schemas"]["Instant"];
            to: components["schemas"]["Instant"];
            interval?: components["schemas"]["Interval"];
            tz?: components["schemas"]["TimeZone"];
            group_by: components["schemas"]["FieldList"];
            /**
             * @description With an `interval`, every bucket that the range touches, the oldest first.
             * @example [
             *       {
             *         "start": 1690070400,
             *         "time": "2023-07-23T00:00:00Z",
             *         "partial": false
             *       }
             *     ]
             */
            buckets?: components["schemas"]["Bucket"][];
            /**
             * @description The groups, in the order asked for. Without `group_by` there is one, with an empty key.
             * @example [
             *       {
             *         "key": [
             *           "pro"
             *         ],
             *         "value": 12
             *       }
             *     ]
             */
            groups: components["schemas"]["Group"][];
            other?: components["schemas"]["OtherGroups"];
        };
        /**
         * @description A bucket of time.
         * @example {
         *       "start": 1690070400,
         *       "time": "2023-07-23T00:00:00Z",
         *       "partial": false
         *     }
         */
        Bucket: {
            start: components["schemas"]["Moment"];
            time: components["schemas"]["LocalTime"];
            /**
             * @description Whether the bucket isn't over yet, or the range cuts it.
             * @example false
             */
            partial: boolean;
        };
        /**
         * @description The events that are alike in what was grouped by.
         * @example {
         *       "key": [
         *         "pro"
         *       ],
         *       "value": 12
         *     }
         */
        Group: {
            key: components["schemas"]["GroupKey"];
            value: components["schemas"]["Number"];
            values?: components["schemas"]["NumberList"];
        };
        /**
         * @description The value of each field of `group_by`, as it stands in the payload; null when there is none.
         * @example [
         *       "pro"
         *     ]
         */
        GroupKey: components["schemas"]["JSONValue"][];
        /**
         * @description The number over the whole range; null when there is none, as the mean of nothing. It may have more digits than a double can hold.
         * @example 12
         */
        Number: number | null;
        /**
         * @description With an `interval`, the number of each bucket.
         * @example [
         *       12,
         *       0
         *     ]
         */
        NumberList: components["schemas"]["Number"][];
        /**
         * @description All groups beyond the limit, together. Absent when there are none.
         * @example {
         *       "groups": 3,
         *       "value": 7
         *     }
         */
        OtherGroups: {
            /**
             * Format: int64
             * @description How many groups they are.
             * @example 3
             */
            groups: number;
            value: components["schemas"]["Number"];
            values?: components["schemas"]["NumberList"];
        };
        /**
         * @description A kind of event.
         * @example {
         *       "event_type": "purchase"
         *     }
         */
        Step: {
            event_type: components["schemas"]["EventType"];
            filters?: components["schemas"]["FilterList"];
            match?: components["schemas"]["Match"];
        };
        /**
         * @description `loose`: other events may happen between two steps; `strict`: none of the funnel's steps may.
         * @example loose
         * @enum {string}
         */
        StepOrder: "loose" | "strict";
        /**
         * @description Two to ten steps.
         * @example [
         *       {
         *         "event_type": "signup"
         *       },
         *       {
         *         "event_type": "purchase"
         *       }
         *     ]
         */
        StepList: components["schemas"]["Step"][];
        /**
         * @description A question about a way that users go.
         * @example {
         *       "steps": [
         *         {
         *           "event_type": "signup"
         *         },
         *         {
         *           "event_type": "purchase"
         *         }
         *       ],
         *       "window": 86400,
         *       "from": 1689976800,
         *       "to": 1690581600
         *     }
         */
        Funnel: {
            steps: components["schemas"]["StepList"];
            /**
             * Format: int64
             * @description How many seconds after the first step the last may be taken.
             * @example 86400
             */
            window: number;
            order?: components["schemas"]["StepOrder"];
            from: components["schemas"]["Instant"];
            to: components["schemas"]["Instant"];
            group_by?: components["schemas"]["FieldList"];
            /**
             * Format: int32
             * @description How many groups to list at most, those with the most users at the first step; without it 100.
             * @example 10
             */
            limit?: number;
        };
        /**
         * @description The users at each step.
         * @example {
         *       "steps": [
         *         {
         *           "users": 200,
         *           "conversion": 1,
         *           "median_seconds": null
         *         },
         *         {
         *           "users": 50,
         *           "conversion": 0.25,
         *           "median_seconds": 41
         *         }
         *       ]
         *     }
         */
        FunnelResult: {
            steps: components["schemas"]["FunnelStepList"];
            /**
             * @description With `group_by`, the same for each group. A user belongs to that of their first step.
             * @example [
             *       {
             *         "key": [
             *           "pro"
             *         ],
             *         "steps": [
             *           {
             *             "users": 20,
             *             "conversion": 1,
             *             "median_seconds": null
             *           },
             *           {
             *             "users": 5,
             *             "conversion": 0.25,
             *             "median_seconds": 41
             *           }
             *         ]
             *       }
             *     ]
             */
            groups?: components["schemas"]["FunnelGroup"][];
        };
        /**
         * @description One entry for each step.
         * @example [
         *       {
         *         "users": 200,
         *         "conversion": 1,
         *         "median_seconds": null
         *       }
         *     ]
         */
        FunnelStepList: components["schemas"]["FunnelStep"][];
        /**
         * @description The users who took a step.
         * @example {
         *       "users": 50,
         *       "conversion": 0.25,
         *       "median_seconds": 41
         *     }
         */
        FunnelStep: {
            /**
             * Format: int64
             * @description How many users took it.
             * @example 50
             */
            users: number;
            /**
             * Format: double
             * @description Their share of the users who took the first step; 0 when nobody did.
             * @example 0.25
             */
            conversion: number;
            /**
             * Format: int64
             * @description The median time since the step before, in seconds, of those who took this one (nearest rank); null for the first step, and when nobody took it.
             * @example 41
             */
            median_seconds: number | null;
        };
        /**
         * @description The funnel of one group.
         * @example {
         *       "key": [
         *         "pro"
         *       ],
         *       "steps": [
         *         {
         *           "users": 20,
         *           "conversion": 1,
         *           "median_seconds": null
         *         }
         *       ]
         *     }
         */
        FunnelGroup: {
            key: components["schemas"]["GroupKey"];
            steps: components["schemas"]["FunnelStepList"];
        };
        /**
         * @description The length of a period.
         * @example week
         * @enum {string}
         */
        CohortInterval: "day" | "week" | "month";
        /**
         * @description A question about who comes back.
         * @example {
         *       "first": {
         *         "event_type": "signup"
         *       },
         *       "returning": {
         *         "event_type": "login"
         *       },
         *       "interval": "week",
         *       "from": 1688342400,
         *       "to": 1690761600
         *     }
         */
        Retention: {
            first: components["schemas"]["Step"];
            returning: components["schemas"]["Step"];
            interval: components["schemas"]["CohortInterval"];
            tz?: components["schemas"]["TimeZone"];
            from: components["schemas"]["Instant"];
            to: components["schemas"]["Instant"];
            /**
             * Format: int32
             * @description How many periods to follow a cohort, its own included; without it 12.
             * @example 12
             */
            periods?: number;
        };
        /**
         * @description Who came back.
         * @example {
         *       "interval": "week",
         *       "tz": "UTC",
         *       "cohorts": [
         *         {
         *           "start": 1688342400,
         *           "time": "2023-07-03T00:00:00Z",
         *           "users": 40,
         *           "returned": [
         *             10,
         *             20
         *           ],
         *           "shares": [
         *             0.25,
         *             0.5
         *           ]
         *         }
         *       ]
         *     }
         */
        RetentionResult: {
            interval: components["schemas"]["CohortInterval"];
            tz: components["schemas"]["TimeZone"];
            /**
             * @description One for each period that the range touches, the oldest first.
             * @example [
             *       {
             *         "start": 1688342400,
             *         "time": "2023-07-03T00:00:00Z",
             *         "users": 40,
             *         "returned": [
             *           10,
             *           20
             *         ],
             *         "shares": [
             *           0.25,
             *           0.5
             *         ]
             *       }
             *     ]
             */
            cohorts: components["schemas"]["Cohort"][];
        };
        /**
         * @description The users who began in one period.
         * @example {
         *       "start": 1688342400,
         *       "time": "2023-07-03T00:00:00Z",
         *       "users": 40,
         *       "returned": [
         *         10,
         *         20
         *       ],
         *       "shares": [
         *         0.25,
         *         0.5
         *       ]
         *     }
         */
        Cohort: {
            start: components["schemas"]["Moment"];
            time: components["schemas"]["LocalTime"];
            /**
             * Format: int64
             * @description How many users it has.
             * @example 40
             */
            users: number;
            /**
             * @description How many of them came back in the period itself, the next one, and so on, as far as the range goes.
             * @example [
             *       10,
             *       20
             *     ]
             */
            returned: number[];
            /**
             * @description The same as shares of `users`; 0 in an empty cohort.
             * @example [
             *       0.25,
             *       0.5
             *     ]
             */
            shares: number[];
        };
        /**
         * @description An event as it is kept.
         * @example {
         *       "user_id": 123,
         *       "event_type": "purchase",
         *       "timestamp": 1690000000,
         *       "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
         *       "payload": {
         *         "item": "book"
         *       }
         *     }
         */
        StoredEvent: {
            /**
             * Format: int64
             * @description Who did it.
             * @example 123
             */
            user_id: number;
            event_type: components["schemas"]["EventType"];
            /**
             * Format: int64
             * @description When, in Unix seconds.
             * @example 1690000000
             */
            timestamp: number;
            event_id: components["schemas"]["EventId"];
            /**
             * @description Equal to what was sent; the order of names may differ. Absent when there was none.
             * @example {
             *       "item": "book"
             *     }
             */
            payload?: {
                [key: string]: unknown;
            };
        };
        /**
         * @description A page of events.
         * @example {
         *       "events": [
         *         {
         *           "user_id": 123,
         *           "event_type": "purchase",
         *           "timestamp": 1690000000,
         *           "event_id": "01890a5d-ac96-774b-bcce-b302099a8057"
         *         }
         *       ]
         *     }
         */
        EventPage: {
            /**
             * @description The newest first.
             * @example [
             *       {
             *         "user_id": 123,
             *         "event_type": "purchase",
             *         "timestamp": 1690000000,
             *         "event_id": "01890a5d-ac96-774b-bcce-b302099a8057"
             *       }
             *     ]
             */
            events: components["schemas"]["StoredEvent"][];
            /**
             * @description Where the next page begins; absent on the last.
             * @example 1690000000_01890a5d-ac96-774b-bcce-b302099a8057_123
             */
            next_cursor?: string;
        };
        /**
         * @description What works.
         * @example {
         *       "status": "ok",
         *       "checks": {
         *         "database": "ok",
         *         "redis": "ok"
         *       }
         *     }
         */
        Health: {
            status: components["schemas"]["HealthStatus"];
            checks?: components["schemas"]["HealthChecks"];
        };
        /**
         * @description What each dependency answered; a dependency that isn't used isn't listed.
         * @example {
         *       "database": "ok",
         *       "redis": "ok"
         *     }
         */
        HealthChecks: {
            database?: components["schemas"]["HealthStatus"];
            redis?: components["schemas"]["HealthStatus"];
        };
        /**
         * @description `ok`, or why not.
         * @example ok
         * @enum {string}
         */
        HealthStatus: "ok" | "unavailable" | "starting" | "stopping";
        /**
         * @description Where to find what.
         * @example {
         *       "name": "High-Load Analytics API",
         *       "version": "0.1.0",
         *       "links": {
         *         "docs": "/docs",
         *         "openapi": "/openapi.yaml",
         *         "metrics": "/metrics",
         *         "health": "/readyz",
         *         "problems": "/problems"
         *       }
         *     }
         */
        Index: {
            /**
             * @description The product's name.
             * @example High-Load Analytics API
             */
            name: string;
            /**
             * @description The running version.
             * @example 0.1.0
             */
            version: string;
            links: components["schemas"]["IndexLinks"];
        };
        /**
         * @description Paths on this server.
         * @example {
         *       "docs": "/docs",
         *       "openapi": "/openapi.yaml",
         *       "metrics": "/metrics",
         *       "health": "/readyz",
         *       "problems": "/problems"
         *     }
         */
        IndexLinks: {
            /**
             * @description Documentation for people.
             * @example /docs
             */
            docs: string;
            /**
             * @description The contract.
             * @example /openapi.yaml
             */
            openapi: string;
            /**
             * @description Metrics for Prometheus.
             * @example /metrics
             */
            metrics: string;
            /**
             * @description Readiness.
             * @example /readyz
             */
            health: string;
            /**
             * @description Every kind of problem.
             * @example /problems
             */
            problems: string;
        };
        /**
         * @description Why a request failed (RFC 9457).
         * @example {
         *       "type": "/problems/validation_failed",
         *       "title": "The request breaks the contract",
         *       "status": 422,
         *       "code": "validation_failed",
         *       "detail": "1 value breaks the contract; see errors.",
         *       "errors": [
         *         {
         *           "pointer": "/user_id",
         *           "code": "minimum",
         *           "detail": "must be at least 1"
         *         }
         *       ]
         *     }
         */
        Problem: {
            /**
             * Format: uri-reference
             * @description Identifies the kind of problem; ends in `code`.
             * @example /problems/validation_failed
             */
            type: string;
            /**
             * @description The kind of problem in words; the same for every problem of this type.
             * @example The request breaks the contract
             */
            title: string;
            /**
             * Format: int32
             * @description The HTTP status code.
             * @example 422
             */
            status: number;
            code: components["schemas"]["ProblemCode"];
            /**
             * @description What went wrong this time, and what to do about it.
             * @example 1 value breaks the contract; see errors.
             */
            detail?: string;
            /**
             * @description Every violation, when `code` is `validation_failed`.
             * @example [
             *       {
             *         "pointer": "/user_id",
             *         "code": "minimum",
             *         "detail": "must be at least 1"
             *       }
             *     ]
             */
            errors?: components["schemas"]["Violation"][];
        };
        /**
         * @description A kind of problem, explained.
         * @example {
         *       "code": "not_found",
         *       "status": 404,
         *       "title": "There is nothing here",
         *       "cause": "No operation of the contract has this path.",
         *       "remedy": "See / for what is here."
         *     }
         */
        ProblemKind: {
            code: components["schemas"]["ProblemCode"];
            /**
             * Format: int32
             * @description The HTTP status code that it comes with.
             * @example 404
             */
            status: number;
            /**
             * @description The kind of problem in words.
             * @example There is nothing here
             */
            title: string;
            /**
             * @description Why it happens.
             * @example No operation of the contract has this path.
             */
            cause: string;
            /**
             * @description The way out.
             * @example See / for what is here.
             */
            remedy: string;
        };
        /**
         * @description Every kind of problem.
         * @example {
         *       "problems": [
         *         {
         *           "code": "not_found",
         *           "status": 404,
         *           "title": "There is nothing here",
         *           "cause": "No operation of the contract has this path.",
         *           "remedy": "See / for what is here."
         *         }
         *       ]
         *     }
         */
        ProblemKindList: {
            /**
             * @description In the order of the contract.
             * @example [
             *       {
             *         "code": "not_found",
             *         "status": 404,
             *         "title": "There is nothing here",
             *         "cause": "No operation of the contract has this path.",
             *         "remedy": "See / for what is here."
             *       }
             *     ]
             */
            problems: components["schemas"]["ProblemKind"][];
        };
        /**
         * @description The stable name of a kind of problem. `/problems` explains each. New versions may add some: a client
         *     goes by `status` where it doesn't know the code.
         * @example validation_failed
         * @enum {string}
         */
        ProblemCode: "invalid_json" | "invalid_encoding" | "not_found" | "method_not_allowed" | "request_timeout" | "content_too_large" | "unsupported_media_type" | "validation_failed" | "query_too_expensive" | "rate_limited" | "internal" | "overloaded" | "unavailable";
        /**
         * @description One value that breaks the contract.
         * @example {
         *       "pointer": "/user_id",
         *       "code": "minimum",
         *       "detail": "must be at least 1"
         *     }
         */
        Violation: {
            /**
             * @description Where: a JSON Pointer (RFC 6901) into the body, or `#path/name`, `#query/name`,
             *     `#header/name` for a parameter.
             * @example /user_id
             */
            pointer: string;
            code: components["schemas"]["ViolationCode"];
            /**
             * @description The rule, in words.
             * @example must be at least 1
             */
            detail: string;
        };
        /**
         * @description The stable name of a broken rule. New versions may add some. Named after the schema's keyword where there is one
         *     (`required`, `type`, `enum`, `minimum`, `maximum`, `min_length`, `max_length`, `pattern`, `format`,
         *     `max_properties`, `min_items`, `max_items`); the others are:
         *
         *     * `unknown_field`: the schema has no such name; names are case-sensitive
         *     * `duplicate_field`: the same name twice in one object
         *     * `invalid_json`: an event of a batch isn't JSON
         *     * `too_large`: more bytes than allowed
         *     * `too_deep`: nested deeper than allowed
         *     * `nul_character`: text contains `\u0000`
         *     * `lone_surrogate`: text contains half of a surrogate pair
         *     * `number_out_of_range`: a number that can't be kept in full
         *     * `timestamp_in_future`: later than the clock allows
         *     * `timestamp_in_milliseconds`: looks like milliseconds; seconds are due
         *     * `duplicate_item`: the same item twice in one list
         *     * `not_applicable`: has no meaning beside the other values
         *     * `empty_range`: the end is before the beginning
         *     * `too_many_buckets`: the range has too many buckets of this interval
         *     * `unknown_time_zone`: no such time zone is known
         *     * `not_storable`: the database can't hold it, for a reason that no other code names
         * @example minimum
         * @enum {string}
         */
        ViolationCode: "required" | "type" | "enum" | "minimum" | "maximum" | "min_length" | "max_length" | "pattern" | "format" | "max_properties" | "min_items" | "max_items" | "unknown_field" | "duplicate_field" | "invalid_json" | "too_large" | "too_deep" | "nul_character" | "lone_surrogate" | "number_out_of_range" | "timestamp_in_future" | "timestamp_in_milliseconds" | "duplicate_item" | "not_applicable" | "empty_range" | "too_many_buckets" | "unknown_time_zone" | "not_storable";
    };
    responses: {
        /** @description The body can't be read. */
        BadRequest: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/invalid_json",
                 *       "title": "The body is not JSON",
                 *       "status": 400,
                 *       "code": "invalid_json",
                 *       "detail": "The body is not JSON: unexpected character at byte 12."
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description There is nothing at this path. */
        NotFound: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/not_found",
                 *       "title": "There is nothing here",
                 *       "status": 404,
                 *       "code": "not_found"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The path doesn't take this method. Any path can answer this. */
        MethodNotAllowed: {
            headers: {
                Allow: components["headers"]["Allow"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/method_not_allowed",
                 *       "title": "The path doesn't take this method",
                 *       "status": 405,
                 *       "code": "method_not_allowed",
                 *       "detail": "Use POST."
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /**
         * @description What a page of an origin in `CORS_ORIGINS` may send to the path. Any path can answer this, to `OPTIONS` with `Origin` and
         *     `Access-Control-Request-Method`.
         */
        Preflight: {
            headers: {
                "Access-Control-Allow-Origin": components["headers"]["AccessControlAllowOrigin"];
                "Access-Control-Allow-Methods": components["headers"]["AccessControlAllowMethods"];
                "Access-Control-Allow-Headers": components["headers"]["AccessControlAllowHeaders"];
                "Access-Control-Max-Age": components["headers"]["AccessControlMaxAge"];
                [name: string]: unknown;
            };
            content?: never;
        };
        /** @description The body came too slowly. The connection is closed. */
        RequestTimeout: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/request_timeout",
                 *       "title": "The body came too slowly",
                 *       "status": 408,
                 *       "code": "request_timeout"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The body is over the limit, compressed or not. The connection may be closed. */
        ContentTooLarge: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/content_too_large",
                 *       "title": "The body is too large",
                 *       "status": 413,
                 *       "code": "content_too_large",
                 *       "detail": "The body is over 131072 bytes."
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The Content-Type or Content-Encoding isn't one that the operation takes. */
        UnsupportedMediaType: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/unsupported_media_type",
                 *       "title": "The media type is not supported",
                 *       "status": 415,
                 *       "code": "unsupported_media_type",
                 *       "detail": "Send application/json."
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The input is readable but breaks the contract; every violation is listed. */
        Invalid: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/validation_failed",
                 *       "title": "The request breaks the contract",
                 *       "status": 422,
                 *       "code": "validation_failed",
                 *       "detail": "1 value breaks the contract; see errors.",
                 *       "errors": [
                 *         {
                 *           "pointer": "/user_id",
                 *           "code": "minimum",
                 *           "detail": "must be at least 1"
                 *         }
                 *       ]
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The question is readable but breaks the contract, and every violation is listed; or it is too expensive. */
        InvalidQuestion: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/validation_failed",
                 *       "title": "The request breaks the contract",
                 *       "status": 422,
                 *       "code": "validation_failed",
                 *       "detail": "1 value breaks the contract; see errors.",
                 *       "errors": [
                 *         {
                 *           "pointer": "#query/tz",
                 *           "code": "unknown_time_zone",
                 *           "detail": "is not the name of a time zone"
                 *         }
                 *       ]
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Too many requests from this address. */
        RateLimited: {
            headers: {
                "Retry-After": components["headers"]["RetryAfter"];
                "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/rate_limited",
                 *       "title": "Too many requests",
                 *       "status": 429,
                 *       "code": "rate_limited",
                 *       "detail": "Try again in 1 second."
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description A defect of ours. */
        Internal: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/internal",
                 *       "title": "Internal error",
                 *       "status": 500,
                 *       "code": "internal"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The service can't take the request now. Nothing is known to be stored; send it again. */
        Unavailable: {
            headers: {
                "Retry-After": components["headers"]["RetryAfter"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/unavailable",
                 *       "title": "The service is unavailable",
                 *       "status": 503,
                 *       "code": "unavailable",
                 *       "detail": "The database doesn't answer. Try again in 1 second."
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: {
        /**
         * @description The beginning of the range, in Unix seconds, included.
         * @example 1690000000
         */
        From: components["schemas"]["Instant"];
        /**
         * @description The end of the range, in Unix seconds, not included.
         * @example 1690003600
         */
        To: components["schemas"]["Instant"];
        /**
         * @description Only events of this type.
         * @example login
         */
        EventTypeFilter: components["schemas"]["EventType"];
        /**
         * @description Only events of this user.
         * @example 123
         */
        UserIdFilter: number;
        /**
         * @description Only events that fit: a JSON array of filters, as `POST /query` takes them.
         * @example [{"field":"payload.plan","op":"eq","value":"pro"}]
         */
        Filters: string;
        /**
         * @description How many of the filters have to fit: `all` (without it), or `any`.
         * @example all
         */
        FilterMatch: components["schemas"]["Match"];
        /**
         * @description How many to list at most; without it 100.
         * @example 100
         */
        Limit: number;
        /**
         * @description Where to go on: the `next_cursor` of the page before, or the `timestamp`, `event_id` and `user_id` of the
         *     last event seen, joined by `_`.
         * @example 1690000000_01890a5d-ac96-774b-bcce-b302099a8057_123
         */
        Cursor: string;
    };
    requestBodies: never;
    headers: {
        /**
         * @description How the answer was found: from `totals` or `counts` alone, from `counts+rows`, where the rows are those at the edges of the
         *     range, or from `rows`, the events themselves.
         * @example counts
         */
        QueryPlan: "totals" | "counts" | "counts+rows" | "rows";
        /**
         * @description The limit in force (IETF draft "RateLimit header fields for HTTP"): `q` requests in a window
         *     of `w` seconds. Absent when there is no limit.
         * @example "default";q=1500;w=60
         */
        RateLimitPolicy: string;
        /**
         * @description What is left of the limit: `r` requests; the limit is whole again in `t` seconds if nothing more is sent.
         * @example "default";r=1499;t=1
         */
        RateLimit: string;
        /**
         * @description Seconds to wait before the next try.
         * @example 1
         */
        RetryAfter: number;
        /**
         * @description The methods that the path takes.
         * @example GET, HEAD
         */
        Allow: string;
        /**
         * @description The page's origin, or `*`.
         * @example https://shop.example
         */
        AccessControlAllowOrigin: string;
        /**
         * @description The methods that the path takes.
         * @example GET, HEAD, POST
         */
        AccessControlAllowMethods: string;
        /**
         * @description The request headers that the path takes; absent when it takes none.
         * @example Content-Encoding, Content-Type, Idempotency-Key
         */
        AccessControlAllowHeaders: string;
        /**
         * @description For how many seconds the browser needn't ask again.
         * @example 7200
         */
        AccessControlMaxAge: number;
        /**
         * @description Changes when the content does.
         * @example "5f2b9c"
         */
        ETag: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    sendEvent: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description Used as `event_id` when the body has none. A load balancer that sets
                 *     it makes its own retries safe.
                 */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        /** @description The event. */
        requestBody: {
            content: {
                "application/json": components["schemas"]["Event"];
            };
        };
        responses: {
            /** @description The event is stored and counted, now or by an earlier request. */
            202: {
                headers: {
                    /**
                     * @description The event's id, the client's or the one that the server made (a UUIDv7).
                     * @example 01890a5d-ac96-774b-bcce-b302099a8057
                     */
                    "Event-Id": components["schemas"]["EventId"];
                    /**
                     * @description `accepted` when this request stored the event, `duplicate` when it was there.
                     * @example accepted
                     */
                    "Event-Status": components["schemas"]["EventStatus"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "received"
                     *     }
                     */
                    "application/json": components["schemas"]["Receipt"];
                };
            };
            400: components["responses"]["BadRequest"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["ContentTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    listEvents: {
        parameters: {
            query?: {
                /**
                 * @description Only events of this type.
                 * @example login
                 */
                event_type?: components["parameters"]["EventTypeFilter"];
                /**
                 * @description Only events of this user.
                 * @example 123
                 */
                user_id?: components["parameters"]["UserIdFilter"];
                /**
                 * @description The beginning of the range, in Unix seconds, included.
                 * @example 1690000000
                 */
                from?: components["parameters"]["From"];
                /**
                 * @description The end of the range, in Unix seconds, not included.
                 * @example 1690003600
                 */
                to?: components["parameters"]["To"];
                /**
                 * @description Only events that fit: a JSON array of filters, as `POST /query` takes them.
                 * @example [{"field":"payload.plan","op":"eq","value":"pro"}]
                 */
                filters?: components["parameters"]["Filters"];
                /**
                 * @description How many of the filters have to fit: `all` (without it), or `any`.
                 * @example all
                 */
                match?: components["parameters"]["FilterMatch"];
                /**
                 * @description How many to list at most; without it 100.
                 * @example 100
                 */
                limit?: components["parameters"]["Limit"];
                /**
                 * @description Where to go on: the `next_cursor` of the page before, or the `timestamp`, `event_id` and `user_id` of the
                 *     last event seen, joined by `_`.
                 * @example 1690000000_01890a5d-ac96-774b-bcce-b302099a8057_123
                 */
                cursor?: components["parameters"]["Cursor"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of events. */
            200: {
                headers: {
                    "Query-Plan": components["headers"]["QueryPlan"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "events": [
                     *         {
                     *           "user_id": 123,
                     *           "event_type": "purchase",
                     *           "timestamp": 1690000000,
                     *           "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *           "payload": {
                     *             "item": "book"
                     *           }
                     *         }
                     *       ],
                     *       "next_cursor": "1690000000_01890a5d-ac96-774b-bcce-b302099a8057_123"
                     *     }
                     */
                    "application/json": components["schemas"]["EventPage"];
                };
            };
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    sendEvents: {
        parameters: {
            query?: {
                /**
                 * @description `true`: `results` lists every event, with the ids that the server made.
                 * @example false
                 */
                verbose?: boolean;
                /**
                 * @description `true`: all events are stored, in one transaction, or none. One that breaks the contract
                 *     then makes the answer `422`. Duplicates harm nobody.
                 * @example false
                 */
                atomic?: boolean;
            };
            header?: {
                /**
                 * @description Events without an `event_id` get one that follows from this key and their place in the
                 *     batch, so that the same body sent again with the same key is recognised. A load balancer
                 *     that sets it makes its own retries safe.
                 */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        /** @description The events. */
        requestBody: {
            content: {
                "application/json": components["schemas"]["EventBatch"];
                "application/x-ndjson": string;
            };
        };
        responses: {
            /** @description At least one event is stored, now or by an earlier request. What became of the others is in `results`. */
            202: {
                headers: {
                    /**
                     * @description Seconds to wait before the events with the status `retry` are sent again. Absent when there are none.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "received": 998,
                     *       "duplicate": 1,
                     *       "rejected": 1,
                     *       "retry": 0,
                     *       "results": [
                     *         {
                     *           "index": 17,
                     *           "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *           "status": "duplicate"
                     *         },
                     *         {
                     *           "index": 400,
                     *           "status": "rejected",
                     *           "errors": [
                     *             {
                     *               "pointer": "/user_id",
                     *               "code": "minimum",
                     *               "detail": "must be at least 1"
                     *             }
                     *           ]
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["BatchReceipt"];
                };
            };
            400: components["responses"]["BadRequest"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["ContentTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    exportEvents: {
        parameters: {
            query?: {
                /**
                 * @description What to send; without it `ndjson`.
                 * @example ndjson
                 */
                format?: components["schemas"]["ExportFormat"];
                /**
                 * @description Only events of this type.
                 * @example login
                 */
                event_type?: components["parameters"]["EventTypeFilter"];
                /**
                 * @description Only events of this user.
                 * @example 123
                 */
                user_id?: components["parameters"]["UserIdFilter"];
                /**
                 * @description The beginning of the range, in Unix seconds, included.
                 * @example 1690000000
                 */
                from?: components["parameters"]["From"];
                /**
                 * @description The end of the range, in Unix seconds, not included.
                 * @example 1690003600
                 */
                to?: components["parameters"]["To"];
                /**
                 * @description Only events that fit: a JSON array of filters, as `POST /query` takes them.
                 * @example [{"field":"payload.plan","op":"eq","value":"pro"}]
                 */
                filters?: components["parameters"]["Filters"];
                /**
                 * @description How many of the filters have to fit: `all` (without it), or `any`.
                 * @example all
                 */
                match?: components["parameters"]["FilterMatch"];
                /**
                 * @description Where to go on: the `next_cursor` of the page before, or the `timestamp`, `event_id` and `user_id` of the
                 *     last event seen, joined by `_`.
                 * @example 1690000000_01890a5d-ac96-774b-bcce-b302099a8057_123
                 */
                cursor?: components["parameters"]["Cursor"];
            };
            header?: {
                /**
                 * @description With `gzip` in it the answer is compressed.
                 * @example gzip
                 */
                "Accept-Encoding"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The events. */
            200: {
                headers: {
                    /**
                     * @description `gzip`, when the answer is compressed.
                     * @example gzip
                     */
                    "Content-Encoding"?: string;
                    /**
                     * @description A name for the file.
                     * @example attachment; filename="events.ndjson"
                     */
                    "Content-Disposition": string;
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /** @example {"user_id":42,"event_type":"login","timestamp":1690000000,"event_id":"01890a5d-ac96-774b-bcce-b302099a8057"} */
                    "application/x-ndjson": string;
                    /**
                     * @example user_id,event_type,timestamp,event_id,payload
                     *     42,login,1690000000,01890a5d-ac96-774b-bcce-b302099a8057,
                     */
                    "text/csv": string;
                };
            };
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    listUserEvents: {
        parameters: {
            query?: {
                /**
                 * @description Only events of this type.
                 * @example login
                 */
                event_type?: components["parameters"]["EventTypeFilter"];
                /**
                 * @description The beginning of the range, in Unix seconds, included.
                 * @example 1690000000
                 */
                from?: components["parameters"]["From"];
                /**
                 * @description The end of the range, in Unix seconds, not included.
                 * @example 1690003600
                 */
                to?: components["parameters"]["To"];
                /**
                 * @description Only events that fit: a JSON array of filters, as `POST /query` takes them.
                 * @example [{"field":"payload.plan","op":"eq","value":"pro"}]
                 */
                filters?: components["parameters"]["Filters"];
                /**
                 * @description How many of the filters have to fit: `all` (without it), or `any`.
                 * @example all
                 */
                match?: components["parameters"]["FilterMatch"];
                /**
                 * @description How many to list at most; without it 100.
                 * @example 100
                 */
                limit?: components["parameters"]["Limit"];
                /**
                 * @description Where to go on: the `next_cursor` of the page before, or the `timestamp`, `event_id` and `user_id` of the
                 *     last event seen, joined by `_`.
                 * @example 1690000000_01890a5d-ac96-774b-bcce-b302099a8057_123
                 */
                cursor?: components["parameters"]["Cursor"];
            };
            header?: never;
            path: {
                /**
                 * @description Who.
                 * @example 123
                 */
                user_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of events. */
            200: {
                headers: {
                    "Query-Plan": components["headers"]["QueryPlan"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "events": [
                     *         {
                     *           "user_id": 123,
                     *           "event_type": "purchase",
                     *           "timestamp": 1690000000,
                     *           "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *           "payload": {
                     *             "item": "book"
                     *           }
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["EventPage"];
                };
            };
            404: components["responses"]["NotFound"];
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    getLimits: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The limits. */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "max_event_bytes": 131072,
                     *       "max_payload_bytes": 65536,
                     *       "max_batch_events": 5000,
                     *       "max_batch_bytes": 8388608,
                     *       "max_future_skew_seconds": 3600,
                     *       "requests_per_minute": 1500
                     *     }
                     */
                    "application/json": components["schemas"]["Limits"];
                };
            };
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    listEventTypeStats: {
        parameters: {
            query?: {
                /**
                 * @description Only the types that begin so.
                 * @example shop.
                 */
                prefix?: string;
                /**
                 * @description How many to list at most; without it 100.
                 * @example 100
                 */
                limit?: components["parameters"]["Limit"];
                /**
                 * @description Where to go on, the `next_cursor` of the page before.
                 * @example 15_login
                 */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The types. */
            200: {
                headers: {
                    "Query-Plan": components["headers"]["QueryPlan"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "event_types": [
                     *         {
                     *           "event_type": "page_view",
                     *           "count": 4711
                     *         },
                     *         {
                     *           "event_type": "login",
                     *           "count": 15
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["EventTypeStatsPage"];
                };
            };
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    getEventTypeStats: {
        parameters: {
            query?: {
                /**
                 * @description The beginning of the range, in Unix seconds, included.
                 * @example 1690000000
                 */
                from?: components["parameters"]["From"];
                /**
                 * @description The end of the range, in Unix seconds, not included.
                 * @example 1690003600
                 */
                to?: components["parameters"]["To"];
            };
            header?: never;
            path: {
                /**
                 * @description The type to count; upper and lower case differ.
                 * @example login
                 */
                event_type: components["schemas"]["EventType"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The count. */
            200: {
                headers: {
                    "Query-Plan": components["headers"]["QueryPlan"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "event_type": "login",
                     *       "count": 15
                     *     }
                     */
                    "application/json": components["schemas"]["EventTypeStats"];
                };
            };
            404: components["responses"]["NotFound"];
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    getEventTypeSeries: {
        parameters: {
            query?: {
                /**
                 * @description How long a bucket is; without it a day.
                 * @example day
                 */
                interval?: components["schemas"]["Interval"];
                /**
                 * @description The time zone whose calendar the buckets follow; without it UTC.
                 * @example Europe/Berlin
                 */
                tz?: components["schemas"]["TimeZone"];
                /**
                 * @description The beginning of the range, in Unix seconds, included.
                 * @example 1690000000
                 */
                from?: components["parameters"]["From"];
                /**
                 * @description The end of the range, in Unix seconds, not included.
                 * @example 1690003600
                 */
                to?: components["parameters"]["To"];
                /**
                 * @description `previous`: the answer has the same number of buckets before the range, too, in `previous`.
                 * @example previous
                 */
                compare?: components["schemas"]["Comparison"];
            };
            header?: never;
            path: {
                /**
                 * @description The type to count; upper and lower case differ.
                 * @example login
                 */
                event_type: components["schemas"]["EventType"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The series. */
            200: {
                headers: {
                    "Query-Plan": components["headers"]["QueryPlan"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "event_type": "login",
                     *       "interval": "day",
                     *       "tz": "UTC",
                     *       "from": 1690070400,
                     *       "to": 1690243200,
                     *       "count": 5,
                     *       "points": [
                     *         {
                     *           "start": 1690070400,
                     *           "time": "2023-07-23T00:00:00Z",
                     *           "count": 5,
                     *           "partial": false
                     *         },
                     *         {
                     *           "start": 1690156800,
                     *           "time": "2023-07-24T00:00:00Z",
                     *           "count": 0,
                     *           "partial": false
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["EventTypeSeries"];
                };
            };
            404: components["responses"]["NotFound"];
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    queryEvents: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description The question. */
        requestBody: {
            content: {
                "application/json": components["schemas"]["Query"];
            };
        };
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    "Query-Plan": components["headers"]["QueryPlan"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "metric": "count",
                     *       "from": 1690000000,
                     *       "to": 1690003600,
                     *       "group_by": [
                     *         "payload.plan"
                     *       ],
                     *       "groups": [
                     *         {
                     *           "key": [
                     *             "pro"
                     *           ],
                     *           "value": 12
                     *         },
                     *         {
                     *           "key": [
                     *             null
                     *           ],
                     *           "value": 3
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["QueryResult"];
                };
            };
            400: components["responses"]["BadRequest"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["ContentTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    queryFunnel: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description The funnel. */
        requestBody: {
            content: {
                "application/json": components["schemas"]["Funnel"];
            };
        };
        responses: {
            /** @description The users at each step. */
            200: {
                headers: {
                    "Query-Plan": components["headers"]["QueryPlan"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "steps": [
                     *         {
                     *           "users": 200,
                     *           "conversion": 1,
                     *           "median_seconds": null
                     *         },
                     *         {
                     *           "users": 50,
                     *           "conversion": 0.25,
                     *           "median_seconds": 41
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["FunnelResult"];
                };
            };
            400: components["responses"]["BadRequest"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["ContentTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    queryRetention: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description The two kinds of events, and the range. */
        requestBody: {
            content: {
                "application/json": components["schemas"]["Retention"];
            };
        };
        responses: {
            /** @description The cohorts, the oldest first. */
            200: {
                headers: {
                    "Query-Plan": components["headers"]["QueryPlan"];
                    "RateLimit-Policy": components["headers"]["RateLimitPolicy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "interval": "week",
                     *       "tz": "UTC",
                     *       "cohorts": [
                     *         {
                     *           "start": 1688342400,
                     *           "time": "2023-07-03T00:00:00Z",
                     *           "users": 40,
                     *           "returned": [
                     *             10,
                     *             20
                     *           ],
                     *           "shares": [
                     *             0.25,
                     *             0.5
                     *           ]
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["RetentionResult"];
                };
            };
            400: components["responses"]["BadRequest"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["ContentTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["InvalidQuestion"];
            429: components["responses"]["RateLimited"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    getLiveness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Alive. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok"
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            500: components["responses"]["Internal"];
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Ready. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok",
                     *       "checks": {
                     *         "database": "ok",
                     *         "redis": "ok"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            500: components["responses"]["Internal"];
            /** @description Not ready; try another replica, or later. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["RetryAfter"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "unavailable",
                     *       "checks": {
                     *         "database": "unavailable",
                     *         "redis": "ok"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
        };
    };
    getMetrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The metrics. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example # HELP analytics_events_total Events by outcome.
                     *     # TYPE analytics_events_total counter
                     *     analytics_events_total{outcome="accepted"} 15
                     */
                    "text/plain": string;
                };
            };
            500: components["responses"]["Internal"];
        };
    };
    getIndex: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The addresses. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "name": "High-Load Analytics API",
                     *       "version": "0.1.0",
                     *       "links": {
                     *         "docs": "/docs",
                     *         "openapi": "/openapi.yaml",
                     *         "metrics": "/metrics",
                     *         "health": "/readyz",
                     *         "problems": "/problems"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Index"];
                    /** @example <!doctype html> */
                    "text/html": string;
                };
            };
            /** @description You have it already (`If-None-Match`). */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            500: components["responses"]["Internal"];
        };
    };
    listProblems: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The kinds of problems. */
            200: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "problems": [
                     *         {
                     *           "code": "not_found",
                     *           "status": 404,
                     *           "title": "There is nothing here",
                     *           "cause": "No operation of the contract has this path.",
                     *           "remedy": "See / for what is here."
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["ProblemKindList"];
                    /** @example <!doctype html> */
                    "text/html": string;
                };
            };
            /** @description You have it already (`If-None-Match`). */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            500: components["responses"]["Internal"];
        };
    };
    getProblem: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The problem's `code`.
                 * @example validation_failed
                 */
                code: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The kind of problem. */
            200: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "code": "not_found",
                     *       "status": 404,
                     *       "title": "There is nothing here",
                     *       "cause": "No operation of the contract has this path.",
                     *       "remedy": "See / for what is here."
                     *     }
                     */
                    "application/json": components["schemas"]["ProblemKind"];
                    /** @example <!doctype html> */
                    "text/html": string;
                };
            };
            /** @description You have it already (`If-None-Match`). */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            404: components["responses"]["NotFound"];
            500: components["responses"]["Internal"];
        };
    };
    getOpenAPIYAML: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The contract. */
            200: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /** @example openapi: 3.0.3 */
                    "application/yaml": string;
                };
            };
            /** @description You have it already (`If-None-Match`). */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            500: components["responses"]["Internal"];
        };
    };
    getOpenAPIJSON: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The contract. */
            200: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "openapi": "3.0.3"
                     *     }
                     */
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            /** @description You have it already (`If-None-Match`). */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            500: components["responses"]["Internal"];
        };
    };
    getDocs: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The page. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /** @example <!doctype html> */
                    "text/html": string;
                };
            };
            /** @description You have it already (`If-None-Match`). */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            500: components["responses"]["Internal"];
        };
    };
    getDocsAsset: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The file's name.
                 * @example swagger-ui.css
                 */
                asset: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The file. */
            200: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /** @example body { margin: 0 } */
                    "text/css": string;
                    /** @example "use strict"; */
                    "text/javascript": string;
                    /** @example PNG */
                    "image/png": string;
                };
            };
            /** @description You have it already (`If-None-Match`). */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            404: components["responses"]["NotFound"];
            500: components["responses"]["Internal"];
        };
    };
}
