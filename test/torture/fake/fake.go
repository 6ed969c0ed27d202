// Package broken imitates the product in memory: right, or broken in one way that a
// real server could be broken in. It is what the checker is tested with.
package fake

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"

	"highload.example/analytics/test/torture/history"
)

// Fault is a way of being broken.
type Fault string

// The faults.
const (
	None               Fault = ""
	LosesOne           Fault = "loses one event in a thousand"
	AnswersTooEarly    Fault = "answers before the commit"
	StoresDuplicates   Fault = "stores a repeat as another event"
	CountsDuplicates   Fault = "counts a repeat"
	AcceptsTwice       Fault = "says that a repeat is new"
	IgnoresUser        Fault = "takes an id for the whole identity"
	AltersPayloads     Fault = "keeps numbers as floats"
	DropsPayloads      Fault = "drops empty payloads"
	AltersTypes        Fault = "stores types in lower case"
	RoundsTimes        Fault = "rounds timestamps to minutes"
	StoresRejected     Fault = "stores what it rejects"
	AcceptsInvalid     Fault = "accepts what breaks the contract and drops it"
	RejectsValid       Fault = "rejects one valid event in a thousand"
	InventsEvents      Fault = "stores events that nobody sent"
	TearsBatches       Fault = "stores half of a batch that asked for all or nothing"
	HidesTorn          Fault = "answers half of a batch that asked for all or nothing"
	NeverTakesSome     Fault = "asks to send some events again, for ever"
	ForgetsAfterFlush  Fault = "counts from zero after Redis lost everything"
	ServesStaleCounts  Fault = "serves counts from a cache"
	CountsRejected     Fault = "counts what it rejects"
	CountsTooEarly     Fault = "counts what it didn't store for want of the database"
	FoldsCase          Fault = "counts types without regard to case"
	ShiftsBuckets      Fault = "takes a range's end in and leaves its beginning out"
	HidesAType         Fault = "leaves a type out of the list of all"
	LeavesRedisWrong   Fault = "leaves another count in Redis"
	AnswersNoQuestions Fault = "answers questions with 503"
	Answers500         Fault = "answers 500, as text"
	OmitsHeader        Fault = "omits a header that the contract demands"
	NamesAnotherEvent  Fault = "names another event in the answer"
	MiscountsReceipts  Fault = "writes receipts that don't add up"
)

// key is an event's identity.
type key struct {
	user, at int64
	id       string
}

// Server is an imitation. It is safe for concurrent use; all its addresses are one
// fleet.
type Server struct {
	fault Fault

	mu          sync.Mutex
	rng         *rand.Rand
	healed      bool
	keys        map[key]bool
	rows        []history.Row    // committed
	uncommitted []history.Row    // lost by a kill
	totals      map[string]int64 // what Redis has; nil: it lost everything
	cache       map[string]int64
	n           int // stored events, for what happens to one in so many
	asked       int
	batches     int // of all or nothing
}

// New returns a server that is broken in a way. The seed decides which requests it
// fails, as every server does under fire: it answers 503, with and without having
// stored the event, or not at all.
func New(fault Fault, seed uint64) *Server {
	return &Server{
		fault: fault, rng: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // the same for the same seed is what it is for
		keys: map[key]bool{}, totals: map[string]int64{}, cache: map[string]int64{},
	}
}

// Kill is kill -9 and a new start: what was only in memory is gone.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.uncommitted {
		delete(s.keys, keyOf(row))
		if s.totals != nil {
			s.totals[row.Type]--
		}
	}
	s.uncommitted = nil
}

// Flush is Redis's FLUSHALL.
func (s *Server) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals = nil
	if s.fault == ForgetsAfterFlush {
		s.totals = map[string]int64{}
	}
}

// Heal ends all failures, but not the fault.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healed = true
}

// Rows returns what is stored. Nobody may send any more.
func (s *Server) Rows() iter.Seq2[history.Row, error] {
	return func(yield func(history.Row, error) bool) {
		for _, rows := range [][]history.Row{s.rows, s.uncommitted} {
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// Redis returns what Redis has, as answers.
func (s *Server) Redis() []history.Operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []history.Operation
	for eventType, n := range s.derived() {
		if s.fault == LeavesRedisWrong && eventType == "login" {
			n++
		}
		all = append(all, history.Operation{
			Kind: history.Count, Target: "redis", EventType: eventType, Counts: []int64{n}, Outcomes: []history.Outcome{history.Answered},
		})
	}
	return all
}

func keyOf(row history.Row) key {
	return key{user: row.UserID, at: row.Timestamp, id: row.ID}
}

// chance is true once in n, until the server is healed.
func (s *Server) chance(n int) bool { return !s.healed && s.rng.IntN(n) == 0 }

// store stores an event, unless it is there. The caller holds the lock.
func (s *Server) store(row history.Row) history.Outcome {
	k := keyOf(row)
	if s.fault == IgnoresUser {
		k.user, k.at = 0, 0
	}
	if s.keys[k] {
		switch s.fault {
		case StoresDuplicates:
			s.rows = append(s.rows, row)
			s.count(row.Type)
		case CountsDuplicates:
			s.count(row.Type)
		case AcceptsTwice:
			return history.Accepted
		default:
		}
		return history.Duplicate
	}
	if s.fault == NeverTakesSome && crc32.ChecksumIEEE([]byte(row.ID))%50 == 0 {
		return history.Retry
	}
	s.n++
	if s.fault == RejectsValid && s.n%1000 == 999 {
		return history.Rejected
	}
	s.keys[k] = true
	s.commit(row)
	return history.Accepted
}

// commit adds a row and counts it.
func (s *Server) commit(row history.Row) {
	switch s.fault {
	case LosesOne:
		if s.n%1000 == 999 {
			return
		}
	case AnswersTooEarly:
		s.count(row.Type)
		if s.uncommitted = append(s.uncommitted, row); len(s.uncommitted) == 50 {
			s.rows = append(s.rows, s.uncommitted...)
			s.uncommitted = nil
		}
		return
	case AltersPayloads:
		if row.Payload != nil {
			row.Payload = asFloats(row.Payload)
		}
	case DropsPayloads:
		if string(row.Payload) == "{}" {
			row.Payload = nil
		}
	case AltersTypes:
		row.Type = strings.ToLower(row.Type)
	case RoundsTimes:
		row.Timestamp -= row.Timestamp % 60
	case InventsEvents:
		if s.n%500 == 499 {
			another := row
			another.UserID = 4711
			s.rows = append(s.rows, another)
			s.count(row.Type)
		}
	default:
	}
	s.rows = append(s.rows, row)
	s.count(row.Type)
}

// asFloats is what a payload becomes on its way through float64.
func asFloats(payload []byte) []byte {
	var value map[string]any
	if err := json.Unmarshal(payload, &value); err != nil {
		return payload
	}
	altered, err := json.Marshal(value)
	if err != nil {
		return payload
	}
	return altered
}

func (s *Server) count(eventType string) {
	if s.totals != nil {
		s.totals[eventType]++
	}
}

// derived returns the totals, made again from the rows where they are gone.
func (s *Server) derived() map[string]int64 {
	if s.totals == nil {
		s.totals = map[string]int64{}
		for row := range s.Rows() { //nolint:errcheck // there are none
			s.totals[row.Type]++
		}
	}
	return s.totals
}

// total answers a question for all events of a type.
func (s *Server) total(eventType string) int64 {
	s.asked++
	switch s.fault {
	case ServesStaleCounts:
		if s.asked%50 == 1 {
			s.cache = maps.Clone(s.derived())
		}
		if !s.healed { // at rest it would be right
			return s.cache[eventType]
		}
	case FoldsCase:
		var sum int64
		for name, n := range s.derived() {
			if strings.EqualFold(name, eventType) {
				sum += n
			}
		}
		return sum
	default:
	}
	return s.derived()[eventType]
}

// between counts the events of a type in ranges of time: count i is from bound i on
// to before bound i+1.
func (s *Server) between(eventType string, bounds []int64) []int64 {
	counts := make([]int64, len(bounds)-1)
	for row := range s.Rows() { //nolint:errcheck // there are none
		at := row.Timestamp
		if s.fault == ShiftsBuckets {
			at--
		}
		if row.Type != eventType || at < bounds[0] || at >= bounds[len(counts)] {
			continue
		}
		i := 0
		for at >= bounds[i+1] {
			i++
		}
		counts[i]++
	}
	return counts
}

// compact is a payload without white space, for comparing.
func compact(payload []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, payload); err != nil {
		return payload
	}
	return b.Bytes()
}
