package ingest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"highload.example/analytics/impl/event"
)

// What a payload may hold, beyond being a JSON object of bounded size.
const (
	maxDepth        = 32   // levels of objects and arrays; the payload itself is the first
	maxNumberLength = 1024 // characters
	maxExponent     = 308  // of a number's leading digit, either way
)

// checkPayload appends what keeps a payload from being stored as it is. The
// payload is well-formed JSON (the decoder saw to that), so one pass over its
// bytes is enough; where a violation is gets worked out only when there is one.
func checkPayload(payload []byte, violations []event.Violation) []event.Violation {
	depth := 0
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; c {
		case '{', '[':
			if depth++; depth > maxDepth {
				// Everything below is too deep as well: say it once.
				return append(violations, event.Violation{
					Pointer: pointerAt(payload, i), Code: "too_deep",
					Detail: fmt.Sprintf("must be at most %d levels deep", maxDepth),
				})
			}
		case '}', ']':
			depth--
		case '"':
			end := stringEnd(payload, i)
			if hasNUL(payload[i:end]) {
				violations = append(violations, event.Violation{
					Pointer: pointerAt(payload, i), Code: "nul_character",
					Detail: `contains the NUL character (\u0000), which can't be kept`,
				})
			}
			i = end - 1
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			end := numberEnd(payload, i)
			if detail := checkNumber(payload[i:end]); detail != "" {
				violations = append(violations, event.Violation{
					Pointer: pointerAt(payload, i), Code: "number_out_of_range", Detail: detail,
				})
			}
			i = end - 1
		}
		if len(violations) >= maxViolations {
			return violations
		}
	}
	return violations
}

// maxViolations bounds the list for one event.
const maxViolations = 100

// stringEnd returns the index after the string that starts at i.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// numberEnd returns the index after the number that starts at i.
func numberEnd(text []byte, i int) int {
	for i < len(text) {
		switch text[i] {
		case '-', '+', '.', 'e', 'E', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			i++
		default:
			return i
		}
	}
	return i
}

// hasNUL reports whether a quoted string contains an escaped NUL. (A bare one is
// not JSON.)
func hasNUL(quoted []byte) bool {
	for i := bytes.IndexByte(quoted, '\\'); i >= 0 && i+1 < len(quoted); {
		if quoted[i+1] == 'u' && bytes.HasPrefix(quoted[i+2:], []byte("0000")) {
			return true
		}
		next := bytes.IndexByte(quoted[i+2:], '\\')
		if next < 0 {
			return false
		}
		i += 2 + next
	}
	return false
}

// checkNumber says why a number can't be kept in full, if so. PostgreSQL keeps
// decimals of 131,072 digits before the point and 16,383 after it, and writes
// out exponents: 1e131071 would cost 128 KiB. Readers mostly have doubles. So
// the magnitude is that of a double, and the digits are as many as anyone needs.
func checkNumber(number []byte) string {
	if len(number) > maxNumberLength {
		return fmt.Sprintf("must be written with at most %d characters", maxNumberLength)
	}
	if len(number) < maxExponent && bytes.IndexByte(number, 'e') < 0 && bytes.IndexByte(number, 'E') < 0 {
		return ""
	}
	mantissa, exponentText, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(string(number), "-")), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent := 0
	if exponentText != "" {
		var err error
		if exponent, err = strconv.Atoi(exponentText); err != nil {
			return outOfRange
		}
	}
	// From the exponent as written to that of the leading digit. Zero has no
	// leading digit, but PostgreSQL refuses 0e999999 all the same.
	if digits := strings.TrimLeft(whole+fraction, "0"); digits != "" {
		exponent += len(whole) - 1 - (len(whole+fraction) - len(digits))
	}
	if exponent > maxExponent-1 || exponent < -maxExponent {
		return outOfRange
	}
	return ""
}

const outOfRange = "must be 0 or between 1e-308 and 1e308 in magnitude"

// pointerAt returns the JSON Pointer, from the event, to the value (or the
// member, if it is a name) at offset in the payload.
func pointerAt(payload []byte, offset int) string {
	type level struct {
		array bool
		index int
		name  string
	}
	var levels []level
	for i := 0; i < offset; i++ {
		switch payload[i] {
		case '{':
			levels = append(levels, level{})
		case '[':
			levels = append(levels, level{array: true})
		case '}', ']':
			levels = levels[:len(levels)-1]
		case ',':
			if top := &levels[len(levels)-1]; top.array {
				top.index++
			} else {
				top.name = ""
			}
		case '"':
			end := stringEnd(payload, i)
			if top := &levels[len(levels)-1]; !top.array && top.name == "" {
				top.name, _ = strconv.Unquote(string(payload[i:end]))
				if top.name == "" {
					top.name = string(payload[i+1 : end-1]) // not a Go string: show it as sent
				}
			}
			i = end - 1
		}
	}
	var b strings.Builder
	b.WriteString("/payload")
	for _, l := range levels {
		switch {
		case l.array:
			b.WriteByte('/')
			b.WriteString(strconv.Itoa(l.index))
		case l.name != "":
			b.WriteByte('/')
			b.WriteString(pointerEscaper.Replace(l.name))
		}
	}
	return b.String()
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")
