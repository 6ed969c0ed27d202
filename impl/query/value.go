package query

import (
	"cmp"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Kind is the type of a JSON value. Values of different kinds are in the order of these
// constants.
type Kind uint8

// The kinds. A field that isn't there is Null.
const (
	KindNull Kind = iota
	KindFalse
	KindTrue
	KindNumber
	KindString
	KindArray
	KindObject
)

// Value is a JSON value in a form that is the same for equal values: == tells whether
// two are equal. Numbers are equal when they are the same number, however written, and
// objects when they have equal members, in whatever order.
type Value struct {
	Kind Kind
	Text string // a number's digits, a string's characters, an array's or object's JSON; see ParseValue
}

// StringValue returns the value of a text.
func StringValue(text string) Value { return Value{KindString, text} }

// IntValue returns the value of a whole number.
func IntValue(n int64) Value { return Value{KindNumber, strconv.FormatInt(n, 10)} }

// Compare orders values: null, false, true, numbers, strings by their bytes, arrays and
// objects by the bytes of their text.
func (v Value) Compare(w Value) int {
	if v.Kind != w.Kind {
		return cmp.Compare(v.Kind, w.Kind)
	}
	if v.Kind == KindNumber {
		return Number(v.Text).Compare(Number(w.Text))
	}
	return strings.Compare(v.Text, w.Text)
}

// AppendJSON appends the value as JSON.
func (v Value) AppendJSON(text []byte) []byte {
	switch v.Kind {
	case KindNull:
		return append(text, "null"...)
	case KindFalse:
		return append(text, "false"...)
	case KindTrue:
		return append(text, "true"...)
	case KindString:
		return appendQuoted(text, v.Text)
	default:
		return append(text, v.Text...)
	}
}

// compareKeys orders the keys of groups, which are of equal length.
func compareKeys(a, b []Value) int {
	return slices.CompareFunc(a, b, Value.Compare)
}

// Number is a decimal number, exact, in the one form that PostgreSQL's
// trim_scale(numeric) prints: no exponent, no zeros that say nothing, no -0. The
// empty one is no number.
type Number string

// None is what a metric of nothing is.
const None Number = ""

// Compare orders numbers. Both must be some.
func (n Number) Compare(m Number) int {
	a, aNegative := strings.CutPrefix(string(n), "-")
	b, bNegative := strings.CutPrefix(string(m), "-")
	switch {
	case aNegative && !bNegative:
		return -1
	case bNegative && !aNegative:
		return 1
	case aNegative:
		a, b = b, a
	}
	aWhole, aFraction, _ := strings.Cut(a, ".")
	bWhole, bFraction, _ := strings.Cut(b, ".")
	if len(aWhole) != len(bWhole) {
		return cmp.Compare(len(aWhole), len(bWhole))
	}
	if c := strings.Compare(aWhole, bWhole); c != 0 {
		return c
	}
	return strings.Compare(aFraction, bFraction)
}

// Bounds of the numbers that events may have; see ingest.
const (
	maxNumberLength = 1024
	maxExponent     = 308
)

var errNumber = errors.New("a number is out of range")

// ParseNumber brings a JSON number into its one form.
func ParseNumber(text string) (Number, error) {
	if len(text) <= 18 && plainInteger(text) {
		return Number(text), nil
	}
	if len(text) > maxNumberLength {
		return None, errNumber
	}
	unsigned, negative := strings.CutPrefix(text, "-")
	mantissa, exponent := unsigned, 0
	if i := strings.IndexAny(unsigned, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(strings.TrimPrefix(unsigned[i+1:], "+")); err != nil {
			return None, errNumber
		}
		mantissa = unsigned[:i]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	point := len(whole) + exponent // where the point stands in digits
	trimmed := strings.TrimLeft(digits, "0")
	point -= len(digits) - len(trimmed)
	digits = strings.TrimRight(trimmed, "0")
	if digits == "" {
		return "0", nil
	}
	if point > maxExponent || point < -maxExponent {
		return None, errNumber
	}
	return number(negative, digits, point), nil
}

// number puts digits, of which neither the first nor the last is 0, around a point.
func number(negative bool, digits string, point int) Number {
	var b strings.Builder
	if negative {
		b.WriteByte('-')
	}
	switch {
	case point <= 0:
		b.WriteString("0.")
		b.WriteString(strings.Repeat("0", -point))
		b.WriteString(digits)
	case point >= len(digits):
		b.WriteString(digits)
		b.WriteString(strings.Repeat("0", point-len(digits)))
	default:
		b.WriteString(digits[:point])
		b.WriteByte('.')
		b.WriteString(digits[point:])
	}
	return Number(b.String())
}

// plainInteger reports whether a JSON number is in its one form already, for having
// nothing but digits.
func plainInteger(text string) bool {
	digits, negative := strings.CutPrefix(text, "-")
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return !negative || digits != "0"
}

// scaled returns the number times 10^scale, where scale is how many digits it has behind
// the point.
func (n Number) scaled() (unscaled *big.Int, scale int) {
	whole, fraction, _ := strings.Cut(string(n), ".")
	unscaled, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return new(big.Int), 0 // not one of ParseNumber's
	}
	return unscaled, len(fraction)
}

// fromScaled is the way back.
func fromScaled(unscaled *big.Int, scale int) Number {
	text, negative := strings.CutPrefix(unscaled.String(), "-")
	point := len(text) - scale
	digits := strings.TrimRight(text, "0")
	if digits == "" {
		return "0"
	}
	return number(negative, digits, point)
}

// Quotient is sum / n, rounded once, to the nearest double.
func Quotient(sum Number, n int64) Number {
	if n == 0 || sum == None {
		return None
	}
	nearest, _ := ratio(sum, n).Float64()
	rounded, err := ParseNumber(strconv.FormatFloat(nearest, 'g', -1, 64))
	if err != nil { // beyond a double: it has as many digits as the sum
		return None
	}
	return rounded
}

// ratio is sum / n, exactly.
func ratio(sum Number, n int64) *big.Rat {
	unscaled, scale := sum.scaled()
	divisor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	return new(big.Rat).SetFrac(unscaled, divisor.Mul(divisor, big.NewInt(n)))
}

// ParseValue reads a JSON value, which must be well-formed, into its one form. Arrays
// and objects become the text that PostgreSQL's jsonb would have, with numbers in their one form.
func ParseValue(raw []byte) (Value, error) {
	if len(raw) == 0 {
		return Value{}, errors.New("there is no value")
	}
	switch raw[0] {
	case 'n':
		return Value{Kind: KindNull}, nil
	case 'f':
		return Value{Kind: KindFalse}, nil
	case 't':
		return Value{Kind: KindTrue}, nil
	case '"':
		text, err := unquote(raw)
		return Value{KindString, text}, err
	case '[', '{':
		text, err := appendCanonical(nil, raw)
		kind := KindArray
		if raw[0] == '{' {
			kind = KindObject
		}
		return Value{kind, string(text)}, err
	}
	n, err := ParseNumber(string(raw))
	return Value{KindNumber, string(n)}, err
}

// unquote returns a JSON string's characters.
func unquote(raw []byte) (string, error) {
	for _, c := range raw {
		if c == '\\' {
			var text string
			err := json.Unmarshal(raw, &text)
			return text, err
		}
	}
	if len(raw) < 2 {
		return "", errors.New("half a string")
	}
	return string(raw[1 : len(raw)-1]), nil
}

// appendCanonical appends the one form of any value. Members are in the order of
// jsonb's: shorter names first, then by bytes.
func appendCanonical(text, raw []byte) ([]byte, error) {
	switch raw[0] {
	case '[':
		text = append(text, '[')
		var err error
		eachItem(raw, func(i int, item []byte) bool {
			if i > 0 {
				text = append(text, ", "...)
			}
			text, err = appendCanonical(text, item)
			return err == nil
		})
		return append(text, ']'), err
	case '{':
		type member struct {
			name  string
			value []byte
		}
		var members []member
		var err error
		eachMember(raw, func(name, value []byte) bool {
			var m member
			m.value = value
			m.name, err = unquote(name)
			members = append(members, m)
			return err == nil
		})
		slices.SortFunc(members, func(a, b member) int {
			return cmp.Or(cmp.Compare(len(a.name), len(b.name)), strings.Compare(a.name, b.name))
		})
		text = append(text, '{')
		for i, m := range members {
			if err != nil {
				break
			}
			if i > 0 {
				text = append(text, ", "...)
			}
			text = append(appendQuoted(text, m.name), ": "...)
			text, err = appendCanonical(text, m.value)
		}
		return append(text, '}'), err
	}
	v, err := ParseValue(raw)
	return v.AppendJSON(text), err
}

// appendQuoted writes a string as jsonb does: only what has to be is escaped.
func appendQuoted(text []byte, s string) []byte {
	const hex = "0123456789abcdef"
	text = append(text, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			text = append(text, '\\', c)
		case '\b':
			text = append(text, `\b`...)
		case '\f':
			text = append(text, `\f`...)
		case '\n':
			text = append(text, `\n`...)
		case '\r':
			text = append(text, `\r`...)
		case '\t':
			text = append(text, `\t`...)
		default:
			if c < ' ' {
				text = append(text, `\u00`...)
				text = append(text, hex[c>>4], hex[c&15])
			} else {
				text = append(text, c)
			}
		}
	}
	return append(text, '"')
}

// NumberOfNone is a metric's number when there is no event at all.
func NumberOfNone(m Metric) Number {
	if m.Numeric() {
		return None
	}
	return "0"
}
