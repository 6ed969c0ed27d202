// Package impl holds the handwritten product. This is the way of an event
// through it:
//
//  1. cmd/analytics hands over to app, which built the parts below and
//     listens. net/http bounds the header's size and the time for it.
//  2. httpapi/middleware.go measures the request and catches panics;
//     httpapi/clients.go finds out who sent it; ratelimit decides, before
//     anything of the body is read, mostly from tokens leased earlier.
//  3. httpapi/router.go finds the operation. gen/api, generated from
//     api/openapi.yaml, binds the parameters; httpapi/bodies.go bounds and
//     decompresses the body; api/binding decodes it strictly and lists every
//     violation of the schema.
//     A body of many events is read by api/binding/batch.go, each event for itself.
//     httpapi/admission.go bounds the memory of bodies as they come, and lets the
//     request in once its body is there.
//  4. ingest/rules.go and ingest/payload.go add what a schema can't say.
//     httpapi/convert.go turns the contract's event into event.Event.
//  5. ingest/service.go and ingest/queue.go take it on, if it can be answered in
//     time. The request waits.
//  6. ingest/writer.go takes whatever waits and has the backend store it:
//     backend/postgres or backend/sqlite, one transaction that inserts what is
//     new and counts what it inserted. ingest/breaker.go refuses events while the
//     database is away.
//  7. ingest/publisher.go brings the new totals, by way of stats, to backend/redis or
//     backend/memory, so that the next question is answered without the database;
//     the reconciler of stats puts right what got lost on the way.
//  8. Then it releases the request with the event's outcome, and httpapi/events.go
//     or httpapi/batch.go answers 202. Whatever failed, httpapi/problem.go answers.
//
// Beside it, upkeep makes partitions ahead of time and folds counts of minutes into
// those of days (daycounts).
//
// A question goes the same way to httpapi/questions.go. Package query checks it, chooses
// the plan, and puts the answer together; a backend reads counts or events for it:
// PostgreSQL by SQL that backend/postgres/compile.go puts together, SQLite by walking
// the events and having query.Aggregator do the rest.
//
// Packages may import only in this direction, which architecture_test.go holds
// them to: cmd → app → {httpapi, backend/*} → {ingest, stats, query, ratelimit, upkeep} → event.
package impl
