package generator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// response is what the generator wants to know of an HTTP/1.x response.
type response struct {
	status    int
	duplicate bool   // the header Event-Status says so
	closes    bool   // the connection can't be used again
	body      []byte // only when kept
}

// maxBody bounds a body that is kept.
const maxBody = 16 << 20

// readResponse reads one response to a request that wasn't HEAD, as RFC 9112 says,
// over any interim ones. The body is appended to kept, or dropped when kept is
// nil. After an error the connection is unusable.
func readResponse(r *bufio.Reader, kept []byte) (response, error) {
	for {
		answer, length, err := readHead(r)
		if err != nil {
			return response{}, err
		}
		if answer.status >= 100 && answer.status < 200 {
			continue // interim; the final one follows
		}
		b := body{reader: r, kept: kept}
		switch {
		case answer.status == 204 || answer.status == 304:
		case length == lengthChunked:
			err = b.chunks()
		case length == lengthToTheEnd:
			answer.closes = true
			err = b.rest()
		default:
			err = b.take(length)
		}
		answer.body = b.kept
		return answer, err
	}
}

// Lengths of bodies that don't say theirs.
const (
	lengthToTheEnd = -1
	lengthChunked  = -2
)

func readHead(r *bufio.Reader) (answer response, length int64, err error) {
	line, err := readLine(r)
	if err != nil {
		return answer, 0, err
	}
	// HTTP/1.1 202 Accepted; the reason may be missing, with its space.
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return answer, 0, fmt.Errorf("not a status line: %.40q", line)
	}
	status, ok := number(line[9:12], 10)
	if !ok || status < 100 {
		return answer, 0, fmt.Errorf("not a status line: %.40q", line)
	}
	answer.status = int(status)
	answer.closes = line[7] == '0' // unless it says keep-alive
	length = lengthToTheEnd
	coded := false // a transfer coding outweighs any Content-Length
	for {
		line, err = readLine(r)
		if err != nil {
			return answer, 0, err
		}
		if len(line) == 0 {
			return answer, length, nil
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found {
			if line[0] == ' ' || line[0] == '\t' {
				continue // a folded line: none that we look at has one
			}
			return answer, 0, fmt.Errorf("not a header: %.40q", line)
		}
		value = bytes.Trim(value, " \t")
		switch {
		case is(name, "content-length"):
			n, ok := number(value, 10)
			if !ok || !coded && length >= 0 && n != length {
				return answer, 0, fmt.Errorf("not a length: %.40q", line)
			}
			if !coded {
				length = n
			}
		case is(name, "transfer-encoding"):
			coded = true
			length = lengthToTheEnd
			if last := value[bytes.LastIndexByte(value, ',')+1:]; is(bytes.Trim(last, " \t"), "chunked") {
				length = lengthChunked
			}
		case is(name, "connection"):
			switch {
			case is(value, "close"):
				answer.closes = true
			case is(value, "keep-alive"):
				answer.closes = false
			}
		case is(name, "event-status"):
			answer.duplicate = is(value, "duplicate")
		}
	}
}

func is(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}

// readLine returns a line without its end; it is valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("a header line is longer than %d bytes", r.Size())
	case err != nil && len(line) > 0:
		return nil, unexpected(err)
	case err != nil:
		return nil, err
	}
	line = line[:len(line)-1]
	return bytes.TrimSuffix(line, []byte{'\r'}), nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// number reads digits and nothing else.
func number(b []byte, base int64) (int64, bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		digit := int64(99)
		switch {
		case c >= '0' && c <= '9':
			digit = int64(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			digit = int64(c|0x20-'a') + 10
		}
		if digit >= base {
			return 0, false
		}
		n = n*base + digit
	}
	return n, true
}

// body reads a response's body.
type body struct {
	reader *bufio.Reader
	kept   []byte // nil: dropped
}

func (b *body) take(n int64) error {
	if b.kept == nil {
		_, err := b.reader.Discard(int(n))
		return unexpected(err)
	}
	if int64(len(b.kept))+n > maxBody {
		return fmt.Errorf("a body of more than %d bytes", maxBody)
	}
	old := len(b.kept)
	b.kept = slices.Grow(b.kept, int(n))[:old+int(n)]
	_, err := io.ReadFull(b.reader, b.kept[old:])
	return unexpected(err)
}

func (b *body) chunks() error {
	for {
		line, err := readLine(b.reader)
		if err != nil {
			return unexpected(err)
		}
		size, _, _ := bytes.Cut(line, []byte{';'}) // extensions follow
		n, ok := number(bytes.TrimRight(size, " \t"), 16)
		if !ok {
			return fmt.Errorf("not a chunk's size: %.40q", line)
		}
		if n == 0 {
			break
		}
		if err := b.take(n); err != nil {
			return err
		}
		if line, err = readLine(b.reader); err != nil || len(line) != 0 {
			return fmt.Errorf("a chunk doesn't end where it should: %.40q: %w", line, unexpected(err))
		}
	}
	for { // trailers
		line, err := readLine(b.reader)
		if err != nil || len(line) == 0 {
			return unexpected(err)
		}
	}
}

func (b *body) rest() error {
	if b.kept == nil {
		_, err := io.Copy(io.Discard, b.reader)
		return err
	}
	more, err := io.ReadAll(io.LimitReader(b.reader, maxBody))
	b.kept = append(b.kept, more...)
	return err
}
