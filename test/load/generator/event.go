// Package generator makes events, sends them at a server as fast as it can or at a
// fixed rate, measures the responses, and keeps a record of every event's outcome that
// can be compared with what the server stored.
//
// It shares the machine with the server, which its own cost slows down:
// connections are plain sockets, requests are written into reused buffers, and
// nothing is allocated per request.
package generator

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"time"
)

// ID is an event's UUID.
type ID [16]byte

// String returns the canonical form.
func (id ID) String() string { return string(id.append(nil)) }

func (id ID) append(b []byte) []byte {
	b = hex.AppendEncode(b, id[0:4])
	b = hex.AppendEncode(append(b, '-'), id[4:6])
	b = hex.AppendEncode(append(b, '-'), id[6:8])
	b = hex.AppendEncode(append(b, '-'), id[8:10])
	return hex.AppendEncode(append(b, '-'), id[10:16])
}

// Event is what an event with a given number carries.
type Event struct {
	ID         ID
	UserID     int64
	Type       string
	OccurredAt int64 // Unix seconds
	page       uint64
	millis     uint64
	source     string
}

// Config says which events a Source makes.
type Config struct {
	Seed   uint64
	Run    uint16        // tells the ids of one database from those of every other
	Users  int64         // how many there are; each is as likely as the other
	Spread time.Duration // how long before it is sent an event may have happened
	Base   time.Time     // when the first is sent, by the senders' clock
}

// Source makes the events of one run. An event is a function of the source and
// the event's number: what was sent needs no memory. It is safe for
// concurrent use.
type Source struct {
	config  Config
	base    uint64 // Unix milliseconds
	spread  uint64 // seconds
	factor  uint64 // odd: multiplying by it scatters numbers over the ids
	inverse uint64
	types   []string
	chosen  [typeSlots]uint8 // positions in types, each as often as it is popular
}

const (
	typeSlots = 4096
	idBits    = 62 // of the UUID's last 64, behind the variant
	idMask    = 1<<idBits - 1
	checkMask = 1<<12 - 1
	// MaxNumber is the highest number that an event may have.
	MaxNumber  = 1<<numberBits - 1
	numberBits = 40
	runBits    = 16

	// perMillisecond is the power of two of the events in a millisecond of the
	// senders' clock: 32,000 a second, about what the server takes.
	perMillisecond = 5
)

// NewSource returns the source that a configuration describes.
func NewSource(c Config) (*Source, error) {
	seconds := int64(c.Spread / time.Second)
	if c.Users < 1 || seconds < 1 {
		return nil, fmt.Errorf("events need at least one user and a spread of a second, not %d and %s", c.Users, c.Spread)
	}
	s := &Source{config: c, base: uint64(c.Base.UnixMilli()), spread: uint64(seconds), factor: mix(c.Seed) | 1}
	// Newton's iteration for the inverse modulo 2^64; each step doubles the bits.
	s.inverse = s.factor
	for range 6 {
		s.inverse *= 2 - s.factor*s.inverse
	}
	for _, object := range []string{"page", "product", "search", "cart", "article", "video", "order", "message", "profile", "session"} {
		for _, verb := range []string{"viewed", "clicked", "opened", "shared", "closed"} {
			s.types = append(s.types, object+"_"+verb)
		}
	}
	// The k-th type is as frequent as 1/k (Zipf's law).
	var sum float64
	for k := range s.types {
		sum += 1 / float64(k+1)
	}
	var reached float64
	slot := 0
	for k := range s.types {
		reached += 1 / float64(k+1)
		for end := int(reached / sum * typeSlots); slot < end; slot++ {
			s.chosen[slot] = uint8(k)
		}
	}
	for ; slot < typeSlots; slot++ {
		s.chosen[slot] = uint8(len(s.types) - 1)
	}
	return s, nil
}

// Types returns every type that the events may have, the most frequent first.
func (s *Source) Types() []string { return s.types }

// mix is the output function of SplitMix64: Steele, Lea and Flood, "Fast Splittable
// Pseudorandom Number Generators", 2014.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// millis is the senders' clock when they send the event with a number.
func (s *Source) millis(number uint64) uint64 { return s.base + number>>perMillisecond }

// ID returns the id of the event with a number: a UUIDv7, as SDKs make them. Its
// last 62 bits are the run and the number, scattered, and the 12 before the variant
// are a check sum of them.
func (s *Source) ID(number uint64) ID {
	place := (uint64(s.config.Run)<<numberBits | number) * s.factor & idMask
	var id ID
	binary.BigEndian.PutUint64(id[:8], s.millis(number)<<16|7<<12|s.check(place))
	binary.BigEndian.PutUint64(id[8:], 1<<63|place)
	return id
}

func (s *Source) check(place uint64) uint64 {
	return mix(s.config.Seed^bits.RotateLeft64(place, 31)) & checkMask
}

// Number returns the number of the event with an id, and whether the id is one of
// this run's.
func (s *Source) Number(id ID) (number uint64, ours bool) {
	place := binary.BigEndian.Uint64(id[8:]) & idMask
	both := place * s.inverse & idMask
	if both>>(numberBits+runBits) != 0 || uint16(both>>numberBits) != s.config.Run {
		return 0, false
	}
	number = both & MaxNumber
	return number, s.ID(number) == id
}

// sources are where a page's visitor came from, in the payload.
var sources = [...]string{"mail", "search", "partner", "direct"}

// Event returns the event with a number.
func (s *Source) Event(number uint64) Event {
	first := mix(s.config.Seed ^ uint64(s.config.Run)<<48 ^ number)
	second := mix(first)
	return Event{
		ID:         s.ID(number),
		UserID:     1 + int64(first%uint64(s.config.Users)),
		Type:       s.types[s.chosen[second%typeSlots]],
		OccurredAt: int64(s.millis(number)/1000 - second>>20%s.spread),
		page:       first >> 40 % 100_000,
		millis:     second >> 50 % 5_000,
		source:     sources[second>>14%uint64(len(sources))],
	}
}

// AppendJSON appends the event as a client sends it: 150 to 200 bytes.
func (e *Event) AppendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"user_id":`...), e.UserID, 10)
	b = append(append(b, `,"event_type":"`...), e.Type...)
	b = strconv.AppendInt(append(b, `","timestamp":`...), e.OccurredAt, 10)
	b = e.ID.append(append(b, `,"event_id":"`...))
	b = e.AppendPayload(append(b, `","payload":`...))
	return append(b, '}')
}

// AppendPayload appends the event's payload.
func (e *Event) AppendPayload(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"path":"/page/`...), e.page, 10)
	b = strconv.AppendUint(append(b, `","millis":`...), e.millis, 10)
	b = append(append(b, `,"source":"`...), e.source...)
	return append(b, `"}`...)
}
