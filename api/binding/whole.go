package binding

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// piece is a part of a large body of which the length isn't known yet.
type piece [64 << 10]byte

var pieces = sync.Pool{New: func() any { return new(piece) }}

// readWhole appends a body to a buffer. What is longer than a piece is gathered in
// pieces, and put together when its length is known: a buffer that grows by doubling
// holds three times of it on its way, and leaves as much for the collector.
func readWhole(buffer *bytes.Buffer, body io.Reader) error {
	before := buffer.Len()
	// Of the errors of reading, io.EOF is none: no more than a piece came if less did.
	if _, err := buffer.ReadFrom(io.LimitReader(body, int64(len(piece{})))); err != nil || buffer.Len()-before < len(piece{}) {
		return err
	}
	var gathered []*piece
	defer func() {
		for _, p := range gathered {
			pieces.Put(p)
		}
	}()
	last, err := 0, error(nil) // bytes of the last piece
	for err == nil {
		if len(gathered) == 0 || last == len(piece{}) {
			gathered, last = append(gathered, pieces.Get().(*piece)), 0
		}
		var n int
		n, err = body.Read(gathered[len(gathered)-1][last:])
		last += n
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	buffer.Grow((len(gathered)-1)*len(piece{}) + last)
	for i, p := range gathered {
		if i == len(gathered)-1 {
			buffer.Write(p[:last])
		} else {
			buffer.Write(p[:])
		}
	}
	return nil
}
