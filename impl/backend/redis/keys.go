package redis

import (
	"strconv"
	"strings"
	"time"
)

// Every key, with its type and its life. <ns> is the namespace: the identity of
// the database whose derived data this is, so that two databases can share one
// Redis, and a new database under an old name never meets the old one's counts.
// What is in braces decides the slot in a cluster (the hash tag); there no script
// call touches more than one key.
//
//	analytics:<ns>:limit:{<client>}   string, "<seconds> <nanoseconds>" of the Unix
//	                                  time at which the client's bucket is full
//	                                  again. Expires at that moment.
//	analytics:<ns>:count:{<type>}     hash: slot -> total of the type's events in that
//	                                  slot, both decimal; and the field "complete",
//	                                  there when all slots were filled in since the
//	                                  key was made. Marker and totals are one key:
//	                                  whatever takes one takes both. Expires
//	                                  countLife after it was made, filled, or got
//	                                  another slot.
//
// Nothing here is the only copy of anything: every key may go at any time.

// completeField marks a hash that holds all of its type's slots. It is no number,
// so no slot has that name.
const completeField = "complete"

// countLife is for types that nobody sends any more, and namespaces of databases
// that are gone. A type that is in use expires too, now and then: the next question
// fills it in again, which costs less than to prolong its life with every total.
const countLife = 7 * 24 * time.Hour

// keys makes keys.
type keys struct{ prefix string }

func newKeys(namespace string) keys { return keys{prefix: "analytics:" + namespace + ":"} }

func (k keys) limit(client string) string { return k.prefix + "limit:{" + client + "}" }

func (k keys) count(eventType string) string { return k.prefix + "count:{" + eventType + "}" }

// validNamespace: braces would move the hash tag, spaces and control characters
// make keys that people can't type.
func validNamespace(namespace string) bool {
	return namespace != "" && !strings.ContainsFunc(namespace, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '{' || r == '}'
	})
}

// slotField is a slot as a field's name; parseSlot is its inverse and refuses what
// slotField doesn't make.
func slotField(slot int32) string { return strconv.FormatInt(int64(slot), 10) }

func parseSlot(field string) (slot int32, ok bool) {
	n, err := strconv.ParseInt(field, 10, 32)
	slot = int32(n)
	return slot, err == nil && slotField(slot) == field
}
