package binding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Value is a generated type that can read itself from a Decoder.
type Value interface {
	// DecodeJSON reads the next value. It reports what it doesn't like to the
	// decoder and leaves the fields in question unset.
	DecodeJSON(d *Decoder)
}

// Body reads a whole request body into v, which must be empty, and returns every
// violation of the schema that it finds.
//
// The error is a *SyntaxError when the body isn't JSON, and otherwise what
// reading the body returned: the caller bounds its size and its time.
func Body(body io.Reader, v Value) ([]Violation, error) {
	d := decoders.Get().(*Decoder)
	defer d.release()
	if _, err := d.input.ReadFrom(body); err != nil {
		return nil, err
	}
	d.keepChunk = 0
	return d.decode(d.input.Bytes(), v)
}

// Decoder reads one JSON text and collects violations on the way. Its methods
// are called by generated code; after a syntax error they all return at once.
type Decoder struct {
	input      bytes.Buffer // a body that is read whole
	lines      []byte       // room for one that is read line by line
	text       []byte       // what is being decoded: the body, or a line
	reader     bytes.Buffer // what tokens reads; a view of text
	tokens     jsontext.Decoder
	scratch    []byte
	kept       []byte // what was read and outlives the decoder; see keep
	keepChunk  int    // the least that keep allocates
	path       []segment
	root       int // segments of path that pointers leave out
	violations []Violation
	found      bool  // a violation was found, whoever keeps it
	err        error // the first syntax error
	lenient    bool  // second pass: tokens accepts what the first pass could not get past
}

// segment is one step of the path to the value being read.
type segment struct {
	name  string // of a member
	named bool   // in an object: a member was entered, maybe with an empty name
	index int    // of an array's item, or -1 in an object and before the first item
	array *Array // the rule of an array that BeginArray entered
}

// maxPooled is the size in bytes of the largest buffer that is kept for reuse.
const maxPooled = 1 << 20

var decoders = sync.Pool{New: func() any { return new(Decoder) }}

func (d *Decoder) release() {
	if d.input.Cap() > maxPooled || cap(d.scratch) > maxPooled || cap(d.lines) > maxPooled {
		return
	}
	d.input.Reset()
	d.reader, d.text = bytes.Buffer{}, nil
	d.violations, d.kept = nil, nil // handed out
	decoders.Put(d)
}

// decode reads text, which is one value, into v.
func (d *Decoder) decode(text []byte, v Value) ([]Violation, error) {
	d.text = text
	if len(bytes.TrimSpace(text)) == 0 {
		return []Violation{{Code: "required", Detail: "a body is required"}}, nil
	}
	d.run(v, false)
	if d.err == nil {
		return d.violations, nil
	}
	// A name given twice or half a surrogate pair is a violation, but the
	// tokenizer stops there. Read once more with a tokenizer that goes on: if
	// that succeeds, the JSON is well-formed and the violations are complete.
	strict := d.err
	if at := invalidUTF8(text); at >= 0 {
		return nil, &SyntaxError{Offset: int64(at), Reason: "invalid UTF-8"}
	}
	d.run(v, true)
	switch {
	case d.err != nil:
		if deep := tooDeep(d.err); deep != nil {
			return []Violation{*deep}, nil
		}
		return nil, syntaxError(d.err)
	case !d.found:
		return nil, syntaxError(strict)
	}
	return d.violations, nil
}

// invalidUTF8 returns the offset of the first byte that isn't UTF-8, or -1.
func invalidUTF8(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// run makes one pass over the input.
func (d *Decoder) run(v Value, lenient bool) {
	d.violations, d.found, d.err, d.path, d.root, d.lenient = nil, false, nil, d.path[:0], 0, lenient
	d.reader = *bytes.NewBuffer(d.text)
	if lenient {
		d.tokens.Reset(&d.reader, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	} else {
		d.tokens.Reset(&d.reader)
	}
	v.DecodeJSON(d)
	if d.err != nil {
		return
	}
	switch _, err := d.tokens.ReadToken(); {
	case err == nil:
		d.err = &SyntaxError{Offset: d.tokens.InputOffset(), Reason: "more data after the value"}
	case !errors.Is(err, io.EOF):
		d.err = err
	}
}

// syntaxError translates the tokenizer's error.
func syntaxError(err error) error {
	var own *SyntaxError
	var tooMany *TooManyError
	if errors.As(err, &own) || errors.As(err, &tooMany) {
		return err
	}
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntactic):
		return &SyntaxError{Offset: syntactic.ByteOffset, Reason: strings.TrimPrefix(syntactic.Err.Error(), "jsontext: ")}
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return &SyntaxError{Reason: "the text ends too early"}
	}
	return err
}

// tooDeep recognises the tokenizer's own bound on nesting, which is far beyond
// what any schema here allows.
func tooDeep(err error) *Violation {
	if !strings.Contains(err.Error(), "exceeded max depth") {
		return nil
	}
	return &Violation{Code: "too_deep", Detail: "is nested too deeply"}
}

// Violate records a violation at the value being read.
func (d *Decoder) Violate(code, detail string) {
	d.found = true
	if len(d.violations) < MaxViolations {
		d.violations = append(d.violations, Violation{Pointer: d.pointer(), Code: code, Detail: detail})
	}
}

// violateMember records a violation at a member of the object being read.
func (d *Decoder) violateMember(name, code, detail string) {
	top := &d.path[len(d.path)-1]
	saved := *top
	top.name, top.named = name, true
	d.Violate(code, detail)
	*top = saved
}

// pointer returns the JSON Pointer to the value being read.
func (d *Decoder) pointer() string {
	var b strings.Builder
	for _, s := range d.path[d.root:] {
		if s.index < 0 && !s.named {
			continue
		}
		b.WriteByte('/')
		if s.index >= 0 {
			b.WriteString(strconv.Itoa(s.index))
		} else {
			b.WriteString(escapePointer(s.name))
		}
	}
	return b.String()
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// escapePointer makes a name a reference token of RFC 6901, cut to a length
// that is safe to send back.
func escapePointer(name string) string {
	const longest = 64
	if len(name) > longest {
		cut := longest
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "…"
	}
	return pointerEscaper.Replace(name)
}

// mismatch records that the next value has the wrong type, and skips it.
func (d *Decoder) mismatch(want string) {
	kind := d.tokens.PeekKind()
	if err := d.tokens.SkipValue(); err != nil {
		d.err = err
		return
	}
	if kind == 'n' {
		want += ", not null"
	}
	d.Violate("type", "must be "+want)
}

// raw reads the next value of the kind, or records that it is of another.
func (d *Decoder) raw(kind jsontext.Kind, want string) (jsontext.Value, bool) {
	if d.err != nil {
		return nil, false
	}
	if d.tokens.PeekKind() != kind {
		d.mismatch(want)
		return nil, false
	}
	v, err := d.tokens.ReadValue()
	if err != nil {
		d.err = err
		return nil, false
	}
	return v, true
}

// BeginObject enters an object. False: the value is something else; it has been
// reported and skipped.
func (d *Decoder) BeginObject() bool {
	if d.err != nil {
		return false
	}
	if d.tokens.PeekKind() != '{' {
		d.mismatch("an object")
		return false
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		d.err = err
		return false
	}
	d.path = append(d.path, segment{index: -1})
	return true
}

// NextMember reads the next member's name, which is valid until the value is
// read. False: the object has ended, or a syntax error was met.
func (d *Decoder) NextMember() (name []byte, more bool) {
	if d.err != nil {
		return nil, false
	}
	d.path[len(d.path)-1].named = false
	if d.tokens.PeekKind() == '}' {
		if _, err := d.tokens.ReadToken(); err != nil {
			d.err = err
		}
		return nil, false
	}
	quoted, err := d.tokens.ReadValue()
	if err != nil {
		d.err = err
		return nil, false
	}
	return d.unquote(quoted), true
}

// unquote returns the text of a JSON string. It is valid until the next read.
func (d *Decoder) unquote(quoted jsontext.Value) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	// Only the lenient pass lets through what AppendUnquote complains of, and
	// there Raw and String look for it themselves.
	d.scratch, _ = jsontext.AppendUnquote(d.scratch[:0], quoted)
	return d.scratch
}

// BeginArray enters an array. False: the value is something else; it has been
// reported and skipped.
func (d *Decoder) BeginArray(rule *Array) bool {
	if d.err != nil {
		return false
	}
	if d.tokens.PeekKind() != '[' {
		d.mismatch("an array")
		return false
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		d.err = err
		return false
	}
	d.path = append(d.path, segment{index: -1, array: rule})
	return true
}

// NextItem goes to the array's next item, which the caller reads. False: the
// array has ended and was left, or a syntax error was met.
//
// Items beyond the rule's maximum are skipped unseen, so that what a body can
// make the caller hold is bounded by the contract.
func (d *Decoder) NextItem() bool {
	if d.err != nil {
		return false
	}
	top := &d.path[len(d.path)-1]
	top.index++
	read, rule := top.index, top.array
	if d.tokens.PeekKind() != ']' {
		if rule.MaxItems == 0 || read < rule.MaxItems {
			return true
		}
		for d.err == nil && d.tokens.PeekKind() != ']' {
			d.skip()
		}
		read++ // at least one more than allowed
	}
	if d.err != nil {
		return false
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		d.err = err
		return false
	}
	d.path = d.path[:len(d.path)-1]
	switch {
	case read < rule.MinItems:
		d.Violate("min_items", fmt.Sprintf("must have at least %d %s", rule.MinItems, plural(rule.MinItems, "item")))
	case rule.MaxItems > 0 && read > rule.MaxItems:
		d.Violate("max_items", fmt.Sprintf("must have at most %d %s", rule.MaxItems, plural(rule.MaxItems, "item")))
	}
	return false
}

// Member enters the named member unless it was there before, which is reported.
// bit is the member's own in seen.
func (d *Decoder) Member(seen *uint64, bit uint64, name string) bool {
	if *seen&bit != 0 {
		d.violateMember(name, "duplicate_field", "is given twice")
		d.skip()
		return false
	}
	*seen |= bit
	top := &d.path[len(d.path)-1]
	top.name, top.named = name, true
	return true
}

// Unknown reports a name that the schema doesn't have, and skips its value.
func (d *Decoder) Unknown(name []byte, known []string) {
	detail := "is not a field of this object"
	for _, k := range known {
		if strings.EqualFold(k, string(name)) {
			detail = "is not a field of this object; names are case-sensitive: write " + k
		}
	}
	d.violateMember(string(name), "unknown_field", detail)
	d.skip()
}

func (d *Decoder) skip() {
	if err := d.tokens.SkipValue(); err != nil {
		d.err = err
	}
}

// EndObject leaves an object and reports the members of names whose bit is in
// required but not in seen; bit i is names[i].
func (d *Decoder) EndObject(seen, required uint64, names []string) {
	if d.err != nil {
		return
	}
	if missing := required &^ seen; missing != 0 {
		for i, name := range names {
			if missing&(1<<i) != 0 {
				d.violateMember(name, "required", "is required")
			}
		}
	}
	d.path = d.path[:len(d.path)-1]
}

// Int64 reads an integer. JSON's 1.0 and 1e3 are integers to JSON Schema; here
// they are refused, for who writes them means something else.
func (d *Decoder) Int64(rule *Integer) (int64, bool) {
	v, ok := d.raw('0', "an integer")
	if !ok {
		return 0, false
	}
	n, code, detail := rule.parse(v)
	if code != "" {
		d.Violate(code, detail)
		return 0, false
	}
	return n, true
}

// String reads a string.
func (d *Decoder) String(rule *String) (string, bool) {
	v, ok := d.raw('"', "a string")
	if !ok {
		return "", false
	}
	if d.lenient && hasLoneSurrogate(v) {
		d.Violate("lone_surrogate", loneSurrogate)
		return "", false
	}
	text := d.unquote(v)
	if faults := rule.check(text); len(faults) > 0 {
		for _, f := range faults {
			d.Violate(f.code, f.detail)
		}
		return "", false
	}
	return string(text), true
}

// Bool reads a boolean.
func (d *Decoder) Bool() (value, ok bool) {
	if d.err != nil {
		return false, false
	}
	kind := d.tokens.PeekKind()
	if kind != 't' && kind != 'f' {
		d.mismatch("true or false")
		return false, false
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		d.err = err
		return false, false
	}
	return kind == 't', true
}

// UUID reads a string of the format uuid, in canonical form.
func (d *Decoder) UUID() ([16]byte, bool) {
	v, ok := d.raw('"', "a string")
	if !ok {
		return [16]byte{}, false
	}
	id, detail := parseUUID(d.unquote(v))
	if detail != "" {
		d.Violate("format", detail)
		return [16]byte{}, false
	}
	return id, true
}

// Raw reads an object of any content and returns a copy of its text as sent.
func (d *Decoder) Raw(rule *Object) (RawObject, bool) {
	v, ok := d.raw('{', "an object")
	if !ok {
		return nil, false
	}
	n, sound := members(v), true
	if d.lenient {
		n, sound = d.inspect(v)
	}
	if d.err != nil {
		return nil, false
	}
	if rule.MaxProperties > 0 && n > rule.MaxProperties {
		d.Violate("max_properties", "must have at most "+strconv.Itoa(rule.MaxProperties)+" names at the top")
		sound = false
	}
	if !sound {
		return nil, false
	}
	return d.keep(v), true
}

// Any reads a value of any kind and returns a copy of its text as sent.
func (d *Decoder) Any() (RawValue, bool) {
	if d.err != nil {
		return nil, false
	}
	v, err := d.tokens.ReadValue()
	if err != nil {
		d.err = err
		return nil, false
	}
	if d.lenient {
		if _, sound := d.inspect(v); !sound {
			return nil, false
		}
	}
	return RawValue(d.keep(v)), true
}

// keptChunk is how many bytes of a body's values are copied into one piece of
// memory: enough to take many small ones, few enough for one value to hold on to
// all of it.
const keptChunk = 4 << 10

// keep returns a copy of the text that the next read leaves alone. In a body of
// many values it costs less than an allocation each.
func (d *Decoder) keep(text []byte) []byte {
	if cap(d.kept)-len(d.kept) < len(text) {
		rest := len(d.text) - int(d.tokens.InputOffset())
		d.kept = make([]byte, 0, max(len(text), min(len(text)+rest, keptChunk), d.keepChunk))
	}
	start := len(d.kept)
	d.kept = append(d.kept, text...)
	return d.kept[start:len(d.kept):len(d.kept)]
}

// members counts the members of a well-formed object, its own, not its values'.
func members(object jsontext.Value) int {
	n, depth, inString, empty := 0, 0, false, true
	for i := 0; i < len(object); i++ {
		c := object[i]
		if inString {
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
			continue
		}
		switch c {
		case '"':
			inString, empty = true, false
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 1 {
				n++
			}
		}
	}
	if empty {
		return 0 // names are strings: without one there is no member
	}
	return n + 1
}

// Integer is the rule of an integer schema.
type Integer struct {
	Min, Max int64 // inclusive
}
