package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// FieldKind says what of an event a field is.
type FieldKind uint8

// The kinds of fields. The zero value is none.
const (
	PayloadField FieldKind = iota + 1
	TypeField
	UserField
)

// Field is a part of an event that questions are asked about. The zero value is none.
type Field struct {
	Kind FieldKind
	Path []Segment // into the payload, at least one
}

// Segment is a step into an object or an array. An index never means an object's member
// whose name is a number, nor the other way round.
type Segment struct {
	Name    string
	Index   int
	IsIndex bool
}

// maxPath is how deep a path may lead: payloads are no deeper.
const maxPath = 32

// ParseField reads a field as the contract writes it: event_type, user_id,
// payload.name, payload["any name"], payload.items[0].name. The error is meant for who wrote it.
func ParseField(text string) (Field, error) {
	switch text {
	case "event_type":
		return Field{Kind: TypeField}, nil
	case "user_id":
		return Field{Kind: UserField}, nil
	}
	rest, ok := strings.CutPrefix(text, "payload")
	if !ok || rest == "" {
		return Field{}, errors.New("must be event_type, user_id or a place in the payload, like payload.plan")
	}
	f := Field{Kind: PayloadField}
	for rest != "" {
		if len(f.Path) == maxPath {
			return Field{}, fmt.Errorf("must be at most %d levels deep", maxPath)
		}
		segment, length, err := parseSegment(rest)
		if err != nil {
			return Field{}, err
		}
		f.Path = append(f.Path, segment)
		rest = rest[length:]
	}
	return f, nil
}

func parseSegment(rest string) (s Segment, length int, err error) {
	const malformed = `must go on with .name, [0] or ["any name"]`
	switch {
	case strings.HasPrefix(rest, `["`):
		end := skipString([]byte(rest), 1)
		if end >= len(rest) || rest[end] != ']' {
			return Segment{}, 0, errors.New(malformed)
		}
		quoted := rest[1:end]
		if json.Unmarshal([]byte(quoted), &s.Name) != nil {
			return Segment{}, 0, errors.New("must have a JSON string in its brackets")
		}
		length = end + 1
		if strings.ContainsRune(s.Name, utf8.RuneError) && !strings.ContainsRune(quoted, utf8.RuneError) {
			return Segment{}, 0, errors.New("must not contain half of a surrogate pair")
		}
	case rest[0] == '[':
		digits, _, closed := strings.Cut(rest[1:], "]")
		index, err := strconv.ParseUint(digits, 10, 20)
		if err != nil || !closed || len(digits) > 1 && digits[0] == '0' {
			return Segment{}, 0, errors.New("must have a number in its brackets, from 0, without zeros before it")
		}
		return Segment{Index: int(index), IsIndex: true}, len(digits) + 2, nil
	case rest[0] == '.':
		length = 1 + strings.IndexAny(rest[1:]+".", `.["]`)
		s.Name = rest[1:length]
	default:
		return Segment{}, 0, errors.New(malformed)
	}
	switch {
	case s.Name == "":
		return Segment{}, 0, errors.New(malformed)
	case strings.ContainsRune(s.Name, 0):
		return Segment{}, 0, errors.New("must not contain the NUL character")
	case !utf8.ValidString(s.Name):
		return Segment{}, 0, errors.New("must be UTF-8")
	}
	return s, length, nil
}

// String returns the field as ParseField reads it.
func (f Field) String() string {
	switch f.Kind {
	case TypeField:
		return "event_type"
	case UserField:
		return "user_id"
	case PayloadField:
		text := []byte("payload")
		for _, s := range f.Path {
			switch {
			case s.IsIndex:
				text = fmt.Appendf(text, "[%d]", s.Index)
			case strings.ContainsAny(s.Name, `.[]"\`) || s.Name == "":
				text = append(appendQuoted(append(text, '['), s.Name), ']')
			default:
				text = append(append(text, '.'), s.Name...)
			}
		}
		return string(text)
	}
	return ""
}
