package binding

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parse reads a JSON number as an integer within the rule's bounds; a non-empty
// code says why it can't.
func (r *Integer) parse(number []byte) (n int64, code, detail string) {
	n, err := strconv.ParseInt(string(number), 10, 64)
	switch {
	case err == nil && n >= r.Min && n <= r.Max:
		return n, "", ""
	case err != nil && !digits(number): // ParseInt finds digits out of range before an exponent
		return 0, "type", "must be an integer, written without fraction and exponent"
	case err == nil && n < r.Min, err != nil && number[0] == '-':
		return 0, "minimum", fmt.Sprintf("must be at least %d", r.Min)
	}
	return 0, "maximum", fmt.Sprintf("must be at most %d", r.Max)
}

// digits reports whether a number is nothing but digits after its sign.
func digits(number []byte) bool {
	if len(number) > 0 && (number[0] == '-' || number[0] == '+') {
		number = number[1:]
	}
	for _, c := range number {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(number) > 0
}

// String is the rule of a string schema.
type String struct {
	MinLength int // in characters
	MaxLength int // in characters; 0 means unbounded
	Pattern   *Pattern
	Enum      []string // empty means any
}

// fault is one rule that a value breaks.
type fault struct {
	code, detail string
}

// check returns every rule that the text breaks.
func (r *String) check(text []byte) (faults []fault) {
	if r.MinLength > 0 || r.MaxLength > 0 {
		switch n := utf8.RuneCount(text); {
		case n < r.MinLength:
			faults = append(faults, fault{"min_length", fmt.Sprintf("must have at least %d %s", r.MinLength, plural(r.MinLength, "character"))})
		case r.MaxLength > 0 && n > r.MaxLength:
			faults = append(faults, fault{"max_length", fmt.Sprintf("must have at most %d %s", r.MaxLength, plural(r.MaxLength, "character"))})
		}
	}
	if r.Pattern != nil && !r.Pattern.match(text) {
		faults = append(faults, fault{"pattern", "must match " + r.Pattern.source})
	}
	if len(r.Enum) > 0 && !r.listed(text) {
		faults = append(faults, fault{"enum", "must be one of " + strings.Join(r.Enum, ", ")})
	}
	return faults
}

// listed reports whether the text is one of the rule's values.
func (r *String) listed(text []byte) bool {
	for _, e := range r.Enum {
		if string(text) == e {
			return true
		}
	}
	return false
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// Object is the rule of an object schema whose content is free.
type Object struct {
	MaxProperties int // 0 means unbounded
}

// Array is the rule of an array schema.
type Array struct {
	MinItems int
	MaxItems int // 0 means unbounded
}

// Pattern is a regular expression of a schema. The commonest form, one class of
// ASCII characters followed by any number of another, is matched by table: about
// twenty times faster than package regexp.
type Pattern struct {
	source string
	first  *[256]bool // with rest, the table form
	rest   *[256]bool
	re     *regexp.Regexp // otherwise
}

// MustPattern compiles a schema's pattern, and panics where it isn't one.
// Schemas are compiled in, so that this shows at once.
func MustPattern(source string) *Pattern {
	p := &Pattern{source: source, re: regexp.MustCompile(source)}
	tree, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		panic(err)
	}
	if tree.Op == syntax.OpConcat && len(tree.Sub) == 4 &&
		tree.Sub[0].Op == syntax.OpBeginText && tree.Sub[3].Op == syntax.OpEndText &&
		tree.Sub[2].Op == syntax.OpStar {
		p.first, p.rest = asciiTable(tree.Sub[1]), asciiTable(tree.Sub[2].Sub[0])
	}
	return p
}

// asciiTable returns the set of a character class, or nil if it isn't one or
// goes beyond ASCII.
func asciiTable(class *syntax.Regexp) *[256]bool {
	if class.Op != syntax.OpCharClass || class.Flags&syntax.FoldCase != 0 {
		return nil
	}
	var table [256]bool
	for i := 0; i < len(class.Rune); i += 2 {
		lo, hi := class.Rune[i], class.Rune[i+1]
		if hi >= utf8.RuneSelf {
			return nil
		}
		for c := lo; c <= hi; c++ {
			table[c] = true
		}
	}
	return &table
}

func (p *Pattern) match(text []byte) bool {
	if p.first == nil || p.rest == nil {
		return p.re.Match(text)
	}
	if len(text) == 0 || !p.first[text[0]] {
		return false
	}
	for _, c := range text[1:] {
		if !p.rest[c] {
			return false
		}
	}
	return true
}

// parseUUID reads a UUID in the canonical form of RFC 9562: lower case, with
// hyphens, nothing around it, not the nil UUID. detail says what is wrong.
func parseUUID(text []byte) (id [16]byte, detail string) {
	const form = "must be a UUID in canonical form: 36 characters, lower case, like 01890a5d-ac96-774b-bcce-b302099a8057"
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return [16]byte{}, form
	}
	var digits [32]byte
	copy(digits[0:8], text[0:8])
	copy(digits[8:12], text[9:13])
	copy(digits[12:16], text[14:18])
	copy(digits[16:20], text[19:23])
	copy(digits[20:32], text[24:36])
	for _, c := range digits {
		if c >= 'A' && c <= 'F' {
			return [16]byte{}, form
		}
	}
	if _, err := hex.Decode(id[:], digits[:]); err != nil {
		return [16]byte{}, form
	}
	if id == ([16]byte{}) {
		return [16]byte{}, "must not be the nil UUID"
	}
	return id, ""
}
