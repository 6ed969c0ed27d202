package workload

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"highload.example/analytics/test/torture/history"
)

// types are what the events may have: few, so that all replicas count the same ones,
// and some that differ by case alone or have every character that is allowed.
var types = []string{"login", "Login", "page_view", "shop:cart.add-item_2", "0", strings.Repeat("long.", 25) + "end"}

// source makes a client's events, the same for the same seed.
type source struct {
	rng  *rand.Rand
	base int64 // Unix seconds; no event is later
}

// window is how long before base most events are: as many minutes as a series of
// minutes has buckets.
const window = int64(time.Hour / time.Second)

// oldest is the earliest timestamp that the contract allows.
const oldest = 946684800

// users are few, so that ids and timestamps meet, and have the largest that there is.
const users = 500

func (s *source) userID() int64 {
	if s.rng.IntN(100) == 0 {
		return math.MaxInt64
	}
	return 1 + s.rng.Int64N(users)
}

func (s *source) timestamp() int64 {
	switch n := s.rng.IntN(200); {
	case n == 0:
		return oldest
	case n < 4: // a month that has perhaps no partition yet, its first or last second
		month := time.Date(2019+s.rng.IntN(6), time.Month(1+s.rng.IntN(12)), 1, 0, 0, 0, 0, time.UTC)
		return month.Unix() - s.rng.Int64N(2)
	default:
		return s.base - 1 - s.rng.Int64N(window)
	}
}

func (s *source) id() string {
	a, b := s.rng.Uint64(), s.rng.Uint64()
	version := uint64(4)
	if s.rng.IntN(2) == 0 {
		version = 7
		a = uint64(s.base)*1000<<16 | a&0xffff
	}
	a = a&^0xf000 | version<<12
	b = b&^(3<<62) | 2<<62
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&(1<<48-1))
}

// valid makes an event that the contract allows.
func (s *source) valid() history.Event {
	return history.Event{
		UserID: s.userID(), Type: types[s.rng.IntN(len(types))], Timestamp: s.timestamp(), ID: s.id(), Payload: s.payload(), Valid: true,
	}
}

// sibling makes an event that has another's id, and is another one all the same: an
// id identifies an event only with the user and the time.
func (s *source) sibling(e history.Event) history.Event {
	sibling := s.valid()
	sibling.ID = e.ID
	if sibling.UserID == e.UserID && sibling.Timestamp == e.Timestamp {
		sibling.ID = s.id()
	}
	return sibling
}

// payload makes a payload, or none. Its values are those that a careless server alters.
func (s *source) payload() json.RawMessage {
	n := s.rng.Int64()
	var text string
	switch s.rng.IntN(10) {
	case 0, 1:
		return nil
	case 2:
		text = `{}`
	case 3: // past what a float64 holds
		text = fmt.Sprintf(`{"big":%d,"bigger":1%030d,"negative":-%d}`, n, s.rng.Int64(), n)
	case 4:
		text = fmt.Sprintf(`{ "price" : %d.%02d0 , "rate":1.%de-300, "zero":-0.0 }`, n%1000, n%100, n)
	case 5:
		text = fmt.Sprintf(`{"text":"äöü \u20ac \ud83d\ude00 😀 \" \\ \/ \b\f\n\r\t <&>","":"%d","A":1,"a":2}`, n)
	case 6:
		text = fmt.Sprintf(`{"list":[null,true,false,[],{},[[%d]],"x"],"deep":{"deep":{"deep":{"n":%d}}}}`, n, n)
	case 7:
		text = fmt.Sprintf(`{"long":"%s%d"}`, strings.Repeat("lorem ipsum ", s.rng.IntN(200)), n)
	default:
		text = fmt.Sprintf(`{"path":"/page/%d","millis":%d}`, n%100_000, n%5_000)
	}
	return json.RawMessage(text)
}

// invalid makes an event that is invalid, in one place.
func (s *source) invalid() history.Event {
	e := s.valid()
	e.Valid = false
	switch s.rng.IntN(4) {
	case 0:
		e.UserID = -s.rng.Int64N(2)
	case 1:
		e.Type = one(s.rng, "", "two words", "_login", "größe", "a/b", strings.Repeat("x", 129))
	case 2:
		e.Timestamp = one(s.rng, 0, -1, oldest-1, s.base*1000, s.base+365*24*3600, math.MaxInt64)
	default:
		text := strconv.FormatInt(s.rng.Int64(), 10)
		e.Payload = json.RawMessage(one(
			s.rng,
			`[`+text+`]`, `"`+text+`"`, text,
			`{"nul":"`+text+`\u0000"}`, `{"half":"`+text+`\ud83d"}`, `{"n":1e400,"m":`+text+`}`,
			`{"deep":`+strings.Repeat("[", 32)+text+strings.Repeat("]", 32)+`}`,
			`{"long":"`+strings.Repeat(text+" ", 4000)+`"}`,
			manyNames(text),
		))
	}
	return e
}

// invalidID makes a valid event but for its id, which isn't canonical.
func (s *source) invalidID() history.Event {
	e := s.valid()
	e.Valid = false
	e.ID = "a" + e.ID[1:] // so that upper case is another
	e.ID = one(s.rng, strings.ToUpper(e.ID), "{"+e.ID+"}", "urn:uuid:"+e.ID, strings.ReplaceAll(e.ID, "-", ""), e.ID[:35])
	return e
}

// manyNames is an object with one name more than is allowed.
func manyNames(text string) string {
	var b strings.Builder
	for i := range 257 {
		fmt.Fprintf(&b, `,"n%d":%s`, i, text)
	}
	return "{" + b.String()[1:] + "}"
}

func one[T any](rng *rand.Rand, choices ...T) T { return choices[rng.IntN(len(choices))] }

// appendEvent appends an event as it is sent. Without its id, that is in a header.
func appendEvent(b []byte, e *history.Event, withID bool) []byte {
	b = fmt.Appendf(b, `{"user_id":%d,"event_type":%s,"timestamp":%d`, e.UserID, quoted(e.Type), e.Timestamp)
	if withID {
		b = fmt.Appendf(b, `,"event_id":%s`, quoted(e.ID))
	}
	if e.Payload != nil {
		b = append(append(b, `,"payload":`...), e.Payload...)
	}
	return append(b, '}')
}

func quoted(text string) []byte {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // no string can't be
	}
	return b
}
