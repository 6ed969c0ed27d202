// Package analytics sends events to a High-Load Analytics server, and asks it questions.
//
// A [Client] takes events with [Client.Track], which doesn't wait for the network, and delivers
// them in batches from a goroutine of its own. Every event is stored exactly once, however often
// it has to be sent: its id and its time are set by Track and kept over every retry and, with
// [Options.QueueDir], over a crash of the process.
//
//	client, err := analytics.New(analytics.Options{URL: "http://localhost:8000"})
//	if err != nil {
//		return err
//	}
//	defer client.Close(ctx)
//
//	err = client.Track(ctx, analytics.Event{UserID: 42, Type: "login", Payload: map[string]any{"plan": "pro"}})
//
// What became of an event is told to [Options.OnOutcome], and counted by [Client.Stats].
//
// # What can get lost
//
// Nothing while the process lives and the queue has room: errors of the network, time-outs and
// answers that say "later" are retried without end. A queue that is full refuses or drops events as
// [Options.OnFull] says, and tells. Events that are queued when the process dies are lost without
// QueueDir. Events that [Client.Close] could not deliver before its deadline are dropped, and told.
//
// # Questions
//
// [Client.Query] and its neighbours ask the server; they are independent of the queue, and their time-out
// is that of their context. Points in time are Unix seconds there, as in the contract.
package analytics
