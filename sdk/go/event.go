package analytics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Event is one thing that a user did.
type Event struct {
	// UserID says who did it, from 1.
	UserID int64
	// Type says what it was: a letter or digit, then letters, digits and _ . : - (at most 128).
	Type string
	// Payload is whatever else is worth keeping: a map, a struct, or anything else that encoding/json makes an object of, of
	// at most 64 KiB; nil for none. It is encoded before Track returns.
	Payload any
	// Time says when; it is kept in whole seconds. The zero time means now.
	Time time.Time
	// ID is a UUID that identifies the event, with UserID and Time, when it is sent again. Empty: Track makes one (version 7).
	ID string
}

// Record is an event as it was sent or is stored.
type Record struct {
	ID      string
	UserID  int64
	Type    string
	Time    time.Time       // in whole seconds, UTC
	Payload json.RawMessage // nil for none
}

// Cursor returns the record's place among others, for [Selection.Cursor].
func (r Record) Cursor() string {
	return fmt.Sprintf("%d_%s_%d", r.Time.Unix(), r.ID, r.UserID)
}

// item is an event in the queue.
type item struct {
	line      []byte // its JSON, without a line break
	payloadAt int32  // where in line the payload begins; 0 for none
	id        string // if the caller gave one; else it is in line
	userID    int64
	eventType string
	unix      int64         // the event's time
	at        time.Duration // when it was tracked, on the client's clock
	seq       uint64        // its place in the order of tracking
}

// size is what the event adds to a batch.
func (it *item) size() int { return len(it.line) + len("\n") }

// idAt is where an event's id begins in its JSON.
const idAt = len(`{"event_id":"`)

func (it *item) record() Record {
	r := Record{ID: it.id, UserID: it.userID, Type: it.eventType, Time: time.Unix(it.unix, 0).UTC()}
	if r.ID == "" && it.line != nil {
		r.ID = string(it.line[idAt : idAt+uuidLength])
	}
	if it.payloadAt > 0 {
		r.Payload = json.RawMessage(it.line[it.payloadAt : len(it.line)-len("}")])
	}
	return r
}

// encoder is what encoding an event needs beside its result. They are used again.
type encoder struct {
	buffer  bytes.Buffer
	payload *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.payload = json.NewEncoder(&e.buffer)
	e.payload.SetEscapeHTML(false) // it makes payloads longer, and is of use in HTML only
	return e
}}

// newItem encodes an event. The item that comes with an error has no JSON.
func newItem(event *Event, now time.Time) (it item, err error) {
	it = item{id: event.ID, userID: event.UserID, eventType: event.Type, unix: now.Unix()}
	if !event.Time.IsZero() {
		it.unix = event.Time.Unix()
	}
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	e.buffer.Reset()
	// A map that is changed while it is encoded, or a MarshalJSON of the caller's that panics, is an
	// event lost, not an application.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: encoding it panicked: %v", ErrPayload, r)
		}
	}()

	b := append(e.buffer.AvailableBuffer(), `{"event_id":"`...)
	if event.ID == "" {
		b = ids.append(b, now)
		b = append(b, '"')
	} else {
		b = appendString(b[:len(b)-1], event.ID)
	}
	b = append(b, `,"user_id":`...)
	b = strconv.AppendInt(b, event.UserID, 10)
	b = append(b, `,"event_type":`...)
	b = appendString(b, event.Type)
	b = append(b, `,"timestamp":`...)
	b = strconv.AppendInt(b, it.unix, 10)
	e.buffer.Write(b)
	if event.Payload != nil {
		before := e.buffer.Len()
		e.buffer.WriteString(`,"payload":`)
		at := e.buffer.Len()
		if err := e.payload.Encode(event.Payload); err != nil {
			return it, fmt.Errorf("%w: %w", ErrPayload, err)
		}
		e.buffer.Truncate(e.buffer.Len() - len("\n"))
		switch payload := e.buffer.Bytes()[at:]; {
		case string(payload) == "null": // a nil map or pointer
			e.buffer.Truncate(before)
		case payload[0] != '{':
			return it, fmt.Errorf("%w: a %T is not a JSON object", ErrPayload, event.Payload)
		case len(payload) > maxPayloadBytes:
			return it, fmt.Errorf("%w: its payload has %d bytes of JSON, at most %d are allowed", ErrTooLarge, len(payload), maxPayloadBytes)
		default:
			it.payloadAt = int32(at)
		}
	}
	e.buffer.WriteByte('}')
	if e.buffer.Len() > maxEventBytes {
		return it, fmt.Errorf("%w: it has %d bytes of JSON, at most %d are allowed", ErrTooLarge, e.buffer.Len(), maxEventBytes)
	}
	it.line = bytes.Clone(e.buffer.Bytes())
	return it, nil
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return append(b, quote(s)...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func quote(s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return quoted
}

// wireEvent is an event's JSON, ours or the server's.
type wireEvent struct {
	ID      string          `json:"event_id"`
	UserID  int64           `json:"user_id"`
	Type    string          `json:"event_type"`
	Unix    int64           `json:"timestamp"`
	Payload json.RawMessage `json:"payload"`
}

func parseEvent(text []byte) (e wireEvent, err error) {
	if err := json.Unmarshal(text, &e); err != nil {
		return e, err
	}
	if e.ID == "" {
		return e, errors.New("it has no event_id")
	}
	return e, nil
}

// parseRecord reads an event as the server writes it.
func parseRecord(text []byte) (Record, error) {
	e, err := parseEvent(text)
	return Record{ID: e.ID, UserID: e.UserID, Type: e.Type, Time: time.Unix(e.Unix, 0).UTC(), Payload: e.Payload}, err
}

// parseItem reads an event as newItem wrote it, with the payload at its end.
func parseItem(line []byte) (item, error) {
	e, err := parseEvent(line)
	it := item{line: line, id: e.ID, userID: e.UserID, eventType: e.Type, unix: e.Unix}
	if e.Payload != nil {
		it.payloadAt = int32(len(line) - len("}") - len(e.Payload))
	}
	return it, err
}
