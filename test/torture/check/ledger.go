package check

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"highload.example/analytics/test/torture/history"
)

// identity is what makes an event the same event.
type identity struct {
	user, at int64
	id       [16]byte
}

// newIdentity returns an event's identity. An id that is no UUID, as invalid
// events have, stands for itself by its hash.
func newIdentity(user, at int64, id string) identity {
	i := identity{user: user, at: at}
	text := strings.ReplaceAll(id, "-", "")
	if n, err := hex.Decode(i.id[:], []byte(text[:min(len(text), 32)])); err != nil || n != 16 || len(text) != 32 {
		sum := sha256.Sum256([]byte(id))
		copy(i.id[:], sum[:])
	}
	return i
}

func (i identity) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x of user %d at %d", i.id[:4], i.id[4:6], i.id[6:8], i.id[8:10], i.id[10:], i.user, i.at)
}

// fate is what is known of an event.
type fate struct {
	content   uint64 // the payload's fingerprint
	at        int64  // the timestamp
	tried     int64  // when it was first sent
	sure      int64  // when it was first known to be stored; never: it wasn't
	eventType int32  // in ledger.types
	marks     mark
}

// never is later than every run.
const never = math.MaxInt64

// mark is a set of things that happened to an event.
type mark uint16

const (
	valid         mark = 1 << iota
	accepted           // an answer says so
	acceptedAgain      // a second one does
	rejected
	open     // an answer was none, or not clear
	repeated // sent more than once
	settling // sent when everything was healed
	stored
	storedAgain
	retyped // stored as another type
)

func (f *fate) is(m mark) bool { return f.marks&m != 0 }

// read is one answered question.
type read struct {
	position   int64 // of the operation in the history
	start, end int64
	eventType  int32
	series     bool
	interval   string
	from, to   int64
	counts     []int64
}

// bounds are worked out when they are needed: held, they would take as much as the
// counts.
func (r *read) bounds() []int64 {
	o := history.Operation{From: r.from, To: r.to, Interval: r.interval}
	if r.series {
		o.Kind = history.Series
	}
	return o.Bounds()
}

// ledger is a check at work.
type ledger struct {
	in       Input
	result   Report
	events   map[identity]int32 // where in fates
	fates    []fate
	types    map[string]int32
	names    []string // of types
	reads    []read
	unclear  [][]int32     // the events of batches of all or nothing that got no clear answer
	tallies  []*tally      // by type
	more     []history.Row // rows that are no event's first one
	findings []*finding
}

func newLedger(in Input) *ledger {
	return &ledger{
		in: in, events: map[identity]int32{}, types: map[string]int32{},
		result: Report{Outcomes: map[history.Outcome]int64{}, Found: map[Rule]int64{}},
	}
}

// finding is a violation whose operations are still to be cut out of the history.
type finding struct {
	Violation
	position int64 // of an operation that belongs to it as a whole, or -1
	count    int   // if not -1, the one of the operation's counts that matters
	events   []int32
	// keep says which of the operations with these events belong to it; nil: all.
	keep func(*history.Operation, history.Outcome) bool
}

// certain keeps the operations after which an event was sure.
func certain(_ *history.Operation, outcome history.Outcome) bool {
	return outcome == history.Accepted || outcome == history.Duplicate
}

// told keeps the operations with an outcome.
func told(want history.Outcome) func(*history.Operation, history.Outcome) bool {
	return func(_ *history.Operation, outcome history.Outcome) bool { return outcome == want }
}

// find notes that a rule was broken. Only the first few are kept.
func (l *ledger) find(rule Rule, detail func() *finding) {
	l.result.Found[rule]++
	if l.result.Found[rule] > ExamplesPerRule {
		return
	}
	f := detail()
	f.Rule = rule
	l.findings = append(l.findings, f)
}

// ofEvent is a finding about one event.
func (l *ledger) ofEvent(index int32, keep func(*history.Operation, history.Outcome) bool, format string, args ...any) func() *finding {
	return func() *finding {
		return &finding{
			Violation: Violation{Detail: fmt.Sprintf("the %s event %s ", l.names[l.fates[index].eventType], l.identity(index)) + fmt.Sprintf(format, args...)},
			position:  -1, count: -1, events: []int32{index}, keep: keep,
		}
	}
}

// identity looks for an event's identity, which is kept in one place only. It is
// slow, and called for the few that are shown.
func (l *ledger) identity(index int32) identity {
	for id, i := range l.events {
		if i == index {
			return id
		}
	}
	return identity{}
}

func (l *ledger) typeIndex(name string) int32 {
	index, ok := l.types[name]
	if !ok {
		index = int32(len(l.names))
		l.types[name] = index
		l.names = append(l.names, name)
	}
	return index
}

// readHistory learns every event's fate and keeps the answered questions.
func (l *ledger) readHistory() error {
	position := int64(-1)
	for o, err := range l.in.History {
		if err != nil {
			return err
		}
		position++
		l.result.Operations++
		l.judgeAnswer(position, &o)
		switch o.Kind {
		case history.Send, history.Batch:
			if err := l.noteEvents(position, &o); err != nil {
				return fmt.Errorf("operation %d of the history: %w", position+1, err)
			}
		default:
			if err := l.noteRead(position, &o); err != nil {
				return fmt.Errorf("operation %d of the history: %w", position+1, err)
			}
		}
	}
	return nil
}

// judgeAnswer looks at the answer itself.
func (l *ledger) judgeAnswer(position int64, o *history.Operation) {
	whole := func(detail string) func() *finding {
		return func() *finding {
			return &finding{Violation: Violation{Detail: detail}, position: position, count: -1}
		}
	}
	if o.Status >= 500 && o.Status != 503 {
		l.find(ForbiddenStatus, whole(fmt.Sprintf("%s answered a %s with %d", o.Target, o.Kind, o.Status)))
	}
	if o.Problem != "" {
		l.find(Contract, whole(fmt.Sprintf("%s answered a %s with %d: %s", o.Target, o.Kind, o.Status, o.Problem)))
	}
}

func (l *ledger) noteEvents(position int64, o *history.Operation) error {
	if len(o.Events) != len(o.Outcomes) {
		return fmt.Errorf("it has %d events and %d outcomes", len(o.Events), len(o.Outcomes))
	}
	var indices []int32
	taken := 0
	for i := range o.Events {
		index, err := l.noteEvent(o, &o.Events[i], o.Outcomes[i])
		if err != nil {
			return err
		}
		indices = append(indices, index)
		if certain(o, o.Outcomes[i]) {
			taken++
		}
	}
	switch {
	case !o.Atomic:
	case taken == 0:
		l.unclear = append(l.unclear, indices)
	case taken < len(o.Events):
		l.find(Torn, func() *finding {
			return &finding{
				Violation: Violation{Detail: fmt.Sprintf("%s stored %d of the %d events of a batch that asked for all or nothing", o.Target, taken, len(o.Events))},
				position:  position, count: -1,
			}
		})
	}
	return nil
}

func (l *ledger) noteEvent(o *history.Operation, e *history.Event, outcome history.Outcome) (index int32, err error) {
	l.result.Sent++
	l.result.Outcomes[outcome]++
	content, err := fingerprint(e.Payload)
	if err != nil {
		return 0, err
	}
	id := newIdentity(e.UserID, e.Timestamp, e.ID)
	index, known := l.events[id]
	if !known {
		index = int32(len(l.fates))
		l.events[id] = index
		f := fate{content: content, at: e.Timestamp, tried: o.Start, sure: never, eventType: l.typeIndex(e.Type)}
		if e.Valid {
			f.marks = valid
		}
		l.fates = append(l.fates, f)
	}
	f := &l.fates[index]
	if known {
		if f.content != content || l.names[f.eventType] != e.Type || f.is(valid) != e.Valid {
			return 0, fmt.Errorf("the event %s was sent with another content before: nothing could be said of it", id)
		}
		f.marks |= repeated
		f.tried = min(f.tried, o.Start)
	}
	if l.in.Settling > 0 && o.Start >= l.in.Settling {
		f.marks |= settling
	}
	switch outcome {
	case history.Accepted:
		if f.is(accepted) {
			f.marks |= acceptedAgain
		}
		f.marks |= accepted
		f.sure = min(f.sure, o.End)
	case history.Duplicate:
		f.sure = min(f.sure, o.End)
	case history.Rejected:
		f.marks |= rejected
	case history.Retry, history.Refused, history.Unknown:
		f.marks |= open
	default:
		return 0, fmt.Errorf("no event can have the outcome %q", outcome)
	}
	return index, nil
}

func (l *ledger) noteRead(position int64, o *history.Operation) error {
	if len(o.Outcomes) != 1 {
		return fmt.Errorf("a question has %d outcomes", len(o.Outcomes))
	}
	if o.Outcomes[0] != history.Answered {
		return nil
	}
	if ranges := len(o.Bounds()) - 1; ranges != len(o.Counts) {
		return fmt.Errorf("a question about %d ranges has %d counts", ranges, len(o.Counts))
	}
	l.result.Reads++
	l.result.ReadCounts += int64(len(o.Counts))
	l.reads = append(l.reads, read{
		position: position, start: o.Start, end: o.End, eventType: l.typeIndex(o.EventType),
		series: o.Kind == history.Series, interval: o.Interval, from: o.From, to: o.To, counts: o.Counts,
	})
	return nil
}

// readRows notes what is stored.
func (l *ledger) readRows() error {
	for row, err := range l.in.Rows {
		if err != nil {
			return err
		}
		l.result.Rows++
		index, known := l.events[newIdentity(row.UserID, row.Timestamp, row.ID)]
		if !known {
			l.more = append(l.more, history.Row{UserID: row.UserID, Type: row.Type, Timestamp: row.Timestamp, ID: row.ID})
			l.find(NeverSent, func() *finding {
				return &finding{
					Violation: Violation{Detail: fmt.Sprintf("a %s event %s is stored, and nobody sent it", row.Type, newIdentity(row.UserID, row.Timestamp, row.ID)), Row: &row},
					position:  -1, count: -1,
				}
			})
			continue
		}
		l.holdAgainst(index, row)
	}
	return nil
}

// holdAgainst compares a row with what was sent.
func (l *ledger) holdAgainst(index int32, row history.Row) {
	f := &l.fates[index]
	if f.is(stored) {
		if !f.is(storedAgain) {
			l.find(Doubled, l.ofEvent(index, nil, "is stored more than once"))
		}
		f.marks |= storedAgain
	}
	content, err := fingerprint(row.Payload)
	sent := l.names[f.eventType]
	switch {
	case row.Type != sent:
		l.find(Altered, l.ofEvent(index, nil, "is stored as one of type %s", row.Type))
	case err != nil:
		l.find(Altered, l.ofEvent(index, nil, "is stored with a payload that isn't JSON: %v", err))
	case content != f.content:
		l.find(Altered, l.ofEvent(index, nil, "is stored with another payload: %.200s", row.Payload))
	}
	switch {
	case f.is(stored):
		l.more = append(l.more, history.Row{Type: row.Type, Timestamp: row.Timestamp})
	case row.Type != sent:
		l.more = append(l.more, history.Row{Type: row.Type, Timestamp: row.Timestamp})
		f.marks |= stored | retyped
	default:
		f.marks |= stored
	}
}

// judgeFates finds what was answered one way and stored another.
func (l *ledger) judgeFates() {
	for i := range l.fates {
		f, index := &l.fates[i], int32(i)
		l.result.Events++
		if f.is(repeated) {
			l.result.Repeated++
		}
		known := f.sure != never
		switch {
		case !f.is(valid) && known:
			l.find(InvalidAccepted, l.ofEvent(index, certain, "is invalid and was accepted"))
		case f.is(valid) && f.is(rejected):
			l.find(ValidRejected, l.ofEvent(index, told(history.Rejected), "is valid and was rejected"))
		}
		switch there := f.is(stored); {
		case known && !there:
			l.find(Lost, l.ofEvent(index, certain, "was accepted and isn't stored"))
		case there && !f.is(valid):
			l.find(RejectedStored, l.ofEvent(index, nil, "is invalid and is stored"))
		case there && !known && !f.is(open):
			l.find(RejectedStored, l.ofEvent(index, nil, "was rejected and is stored"))
		case f.is(valid) && !known && there:
			l.result.OpenStored++
		case f.is(valid) && !known:
			l.result.OpenUnstored++
		}
		if f.is(acceptedAgain) {
			l.find(AcceptedTwice, l.ofEvent(index, told(history.Accepted), "was stored by more than one request, say the answers"))
		}
		if f.is(valid) && f.is(settling) && !known && !f.is(rejected) {
			l.find(NotConverged, l.ofEvent(index, nil, "was sent after everything was healed, and got no clear answer"))
		}
	}
	for _, batch := range l.unclear {
		l.judgeBatch(batch)
	}
}

// judgeBatch looks at a batch of all or nothing that got no clear answer. Events
// that were also sent otherwise say nothing about it.
func (l *ledger) judgeBatch(batch []int32) {
	var there, missing []int32
	for _, index := range batch {
		switch f := &l.fates[index]; {
		case f.is(repeated):
		case f.is(stored):
			there = append(there, index)
		default:
			missing = append(missing, index)
		}
	}
	if len(there) > 0 && len(missing) > 0 {
		l.find(Torn, func() *finding {
			return &finding{
				Violation: Violation{Detail: fmt.Sprintf(
					"of a batch that asked for all or nothing the event %s is stored, %s isn't", l.identity(there[0]), l.identity(missing[0]),
				)},
				position: -1, count: -1, events: []int32{there[0], missing[0]},
			}
		})
	}
}
