package analytics

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const uuidLength = 36

// NewID returns a new event id, for Event.ID: to know an event's id before its outcome is told.
func NewID() string { return string(ids.append(nil, time.Now())) }

// ids is shared by all clients of the process, so that ids grow over all of them.
var ids idSource

// idSource makes UUIDs of version 7 (RFC 9562, section 5.7) that grow with every call: the server
// orders events of the same second by their ids. Milliseconds are followed by 12 bits of their fraction (section
// 6.2, method 3); two ids of the same quarter of a microsecond differ by one there.
type idSource struct{ last atomic.Uint64 }

// append appends the next id's text.
func (s *idSource) append(b []byte, now time.Time) []byte {
	nanos := now.UnixNano()
	ticks := uint64(nanos/1e6)<<12 | uint64(nanos%1e6)<<12/1e6
	for {
		last := s.last.Load()
		ticks = max(ticks, last+1)
		if s.last.CompareAndSwap(last, ticks) {
			break
		}
	}
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], ticks>>12<<16|0x7000|ticks&0xfff)
	// ChaCha8, seeded by the system: nobody has to be unable to guess an event's id, but no two are alike.
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&^(0b11<<62)|0b10<<62) //nolint:gosec // see above
	b = hex.AppendEncode(b, id[:4])
	for _, part := range [][]byte{id[4:6], id[6:8], id[8:10], id[10:]} {
		b = append(b, '-')
		b = hex.AppendEncode(b, part)
	}
	return b
}
