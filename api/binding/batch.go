package binding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Batch is the values of a body that carries many, each read and checked for
// itself, so that a bad one never harms its neighbours.
type Batch[T any] struct {
	Items  []T
	Faults []Fault // in the order of their index

	// Prefix leads from the body to the items: empty, or "/events".
	Prefix string
}

// Fault is what is wrong with one item. What could be read of it is in Items.
type Fault struct {
	Index      int
	Violations []Violation
}

// Frame is how a body holds its items together.
type Frame struct {
	// Lines: an item per line. Otherwise the body is an array, or an object with an
	// array as its only member, named Member.
	Lines  bool
	Member string

	MaxItems     int // a body with more is refused
	MaxItemBytes int // an item with more is a violation
}

// TooManyError says that a body has more items than the frame allows.
type TooManyError struct{ Limit int }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("the body has more than %d items", e.Limit)
}

// How many violations are listed: this many of an item, until there are this many
// in all, and from then on one of each item. A small body can break many rules, and
// what it makes us hold and send is bounded.
const (
	maxItemViolations  = 10
	maxBatchViolations = 10_000
)

// itemOf is a pointer to an item that can read itself.
type itemOf[T any] interface {
	*T
	Value
}

// ReadBatch reads a body of many items. check adds to an item's violations those of
// rules that its schema can't state; it may be nil.
//
// Errors are a *ValidationError when the frame itself breaks the contract, a
// *SyntaxError when the body isn't JSON (of lines each is a body of its own, and a
// bad one only a fault), a *TooManyError, or what reading the body returned.
// Lines are read as they come; an array is held whole while it is read, for half of
// one says nothing.
func ReadBatch[T any, P itemOf[T]](body io.Reader, frame Frame, check func(item P, violations []Violation) []Violation) (*Batch[T], error) {
	d := decoders.Get().(*Decoder)
	defer d.release()
	d.keepChunk = keptChunk
	r := &batchReader[T, P]{frame: frame, check: check}
	var err error
	if frame.Lines {
		err = r.readLines(d, body)
	} else {
		err = r.readArray(d, body)
	}
	if err != nil {
		return nil, err
	}
	if len(r.batch.Items) == 0 {
		return nil, &ValidationError{Violations: []Violation{{
			Pointer: r.batch.Prefix, Code: "min_items", Detail: "must have at least 1 item",
		}}}
	}
	return &r.batch, nil
}

// batchReader reads one batch.
type batchReader[T any, P itemOf[T]] struct {
	frame  Frame
	check  func(P, []Violation) []Violation
	batch  Batch[T]
	listed int // violations in all faults
}

// add appends the item that read makes and its violations.
func (r *batchReader[T, P]) add(read func(P) []Violation) {
	var empty T
	r.batch.Items = append(r.batch.Items, empty)
	index := len(r.batch.Items) - 1
	item := P(&r.batch.Items[index])
	violations := read(item)
	if r.check != nil {
		violations = r.check(item, violations)
	}
	if len(violations) == 0 {
		return
	}
	limit := maxItemViolations
	if r.listed >= maxBatchViolations {
		limit = 1
	}
	violations = violations[:min(len(violations), limit)]
	r.listed += len(violations)
	r.batch.Faults = append(r.batch.Faults, Fault{Index: index, Violations: violations})
}

func (r *batchReader[T, P]) tooLarge() Violation {
	return Violation{Code: "too_large", Detail: fmt.Sprintf("must be at most %d bytes long, as sent", r.frame.MaxItemBytes)}
}

// readArray reads an array, bare or as the member of an object.
func (r *batchReader[T, P]) readArray(d *Decoder, body io.Reader) error {
	if err := readWhole(&d.input, body); err != nil {
		return err
	}
	violations, err := d.decode(d.input.Bytes(), r)
	switch {
	case err != nil:
		return err
	case len(violations) > 0:
		return &ValidationError{Violations: violations}
	}
	return nil
}

// DecodeJSON reads the frame. It is called a second time when the first reading met
// what only the lenient one gets past.
func (r *batchReader[T, P]) DecodeJSON(d *Decoder) {
	// The memory of the first reading is used again.
	clear(r.batch.Items)
	r.batch = Batch[T]{Items: r.batch.Items[:0]}
	r.listed = 0
	switch {
	case d.err != nil:
	case d.tokens.PeekKind() == '[':
		r.decodeItems(d)
	case d.tokens.PeekKind() == '{':
		r.decodeEnvelope(d)
	default:
		d.mismatch(`an array, or an object with an array in "` + r.frame.Member + `"`)
	}
}

func (r *batchReader[T, P]) decodeEnvelope(d *Decoder) {
	if !d.BeginObject() {
		return
	}
	var seen uint64
	names := []string{r.frame.Member}
	for {
		name, more := d.NextMember()
		if !more {
			break
		}
		switch {
		case string(name) != r.frame.Member:
			d.Unknown(name, names)
		case d.Member(&seen, 1, r.frame.Member):
			r.decodeItems(d)
			r.batch.Prefix = "/" + escapePointer(r.frame.Member)
		}
	}
	d.EndObject(seen, 1, names)
}

func (r *batchReader[T, P]) decodeItems(d *Decoder) {
	var unbounded Array // the bound has an answer of its own
	if !d.BeginArray(&unbounded) {
		return
	}
	of := d.violations // those of the frame; the items' are kept apart
	for d.NextItem() {
		if len(r.batch.Items) == r.frame.MaxItems {
			d.err = &TooManyError{Limit: r.frame.MaxItems}
			break
		}
		r.add(func(item P) []Violation {
			d.violations, d.root = nil, len(d.path)
			start := d.tokens.InputOffset()
			item.DecodeJSON(d)
			d.root = 0
			if size := d.tokens.InputOffset() - start; size > int64(r.frame.MaxItemBytes) {
				// Between the last token and this one only a comma and space count too much.
				return append(d.violations, r.tooLarge())
			}
			return d.violations
		})
	}
	d.violations = of
	d.found = d.found || len(r.batch.Faults) > 0
}

// readLines reads an item per line, and keeps no more of the body than one line.
func (r *batchReader[T, P]) readLines(d *Decoder, body io.Reader) error {
	lines := lineReader{source: body, limit: r.frame.MaxItemBytes, buffer: d.lines}
	defer func() { d.lines = lines.buffer }()
	for {
		line, whole, err := lines.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		ended := err != nil
		if blank := whole && len(bytes.TrimSpace(line)) == 0; !blank {
			if len(r.batch.Items) == r.frame.MaxItems {
				return &TooManyError{Limit: r.frame.MaxItems}
			}
			r.add(func(item P) []Violation {
				if !whole {
					return []Violation{r.tooLarge()}
				}
				violations, err := d.decode(line, item)
				if err != nil {
					*item = *new(T)
					return []Violation{notJSON(err)}
				}
				return violations
			})
		}
		if ended {
			return nil
		}
	}
}

// notJSON says why a line can't be read.
func notJSON(err error) Violation {
	detail := "is not JSON"
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		detail = fmt.Sprintf("is not JSON: %s at byte %d", syntax.Reason, syntax.Offset)
	}
	return Violation{Code: "invalid_json", Detail: detail}
}

// lineReader cuts a stream into lines. It holds one line, and whatever was read of
// the next.
type lineReader struct {
	source  io.Reader
	limit   int // bytes of the longest line that is held
	buffer  []byte
	pending []byte // of buffer: read, not yet returned
	err     error  // what the source returned last
}

// next returns the next line, without its end. A line over the limit is passed
// over; then whole is false. The error comes with the last line, which is empty if
// the text ends with a line's end.
func (l *lineReader) next() (line []byte, whole bool, err error) {
	whole = true
	searched := 0
	for {
		if end := bytes.IndexByte(l.pending[searched:], '\n'); end >= 0 {
			end += searched
			line, l.pending = l.pending[:end], l.pending[end+1:]
			if len(line) > l.limit {
				whole = false
			}
			return line, whole, nil
		}
		if l.err != nil {
			line, l.pending = l.pending, nil
			return line, whole && len(line) <= l.limit, l.err
		}
		if len(l.pending) > l.limit {
			whole, l.pending = false, l.pending[:0] // too long in any case
		}
		searched = len(l.pending)
		l.fill()
	}
}

// fill reads more behind what is pending.
func (l *lineReader) fill() {
	const least = 16 << 10
	if cap(l.buffer) == 0 {
		l.buffer = make([]byte, 0, 2*least)
	}
	n := copy(l.buffer[:cap(l.buffer)], l.pending)
	if cap(l.buffer)-n < least {
		grown := make([]byte, n, 2*cap(l.buffer))
		copy(grown, l.buffer[:n])
		l.buffer = grown
	}
	read, err := l.source.Read(l.buffer[n:cap(l.buffer)])
	l.pending = l.buffer[:n+read]
	l.err = err
}
