package analytics

import (
	"testing"
	"time"
)

// What a server, or something that claims to be one, says must not confuse the client: either the receipt is about exactly
// the events that were sent, or it isn't believed.
func FuzzReceipt(f *testing.F) {
	f.Add([]byte(`{"received":1,"duplicate":1,"rejected":1,"retry":0,"results":[{"index":1,"status":"duplicate"},{"index":2,"status":"rejected","errors":[{"pointer":"/user_id","code":"minimum","detail":"x"}]}]}`))
	f.Add([]byte(`{"received":3}`))
	f.Add([]byte(`{"received":-1,"duplicate":4,"results":[{"index":-1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		const events = 3
		a, err := readReceipt(text, events)
		if err != nil {
			return
		}
		again := 0
		for i := range events {
			switch v := a.verdict(i); v.result {
			case "":
				again++
			case Accepted, Duplicate, Rejected:
			default:
				t.Errorf("event %d is %q", i, v.result)
			}
		}
		if a.again != (again > 0) || len(a.some) > events {
			t.Errorf("again: %t with %d events, %d verdicts", a.again, again, len(a.some))
		}
	})
}

// What is read from the disk either is an event that can be sent, or is skipped.
func FuzzJournalLine(f *testing.F) {
	it, err := newItem(&Event{UserID: 1, Type: "a", Payload: map[string]any{"a": 1}}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte("+1 "), it.line...))
	f.Add([]byte("-1 2"))
	f.Fuzz(func(t *testing.T, line []byte) {
		pending := map[uint64]item{}
		if _, err := apply(line, pending); err != nil && len(pending) > 0 {
			t.Errorf("%v, but taken", err)
		}
		for _, it := range pending {
			if it.record().ID == "" || it.size() > len(line) {
				t.Errorf("%q became %+v", line, it.record())
			}
		}
	})
}
