package binding

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestReadWhole(t *testing.T) {
	t.Parallel()
	const size = len(piece{})
	all := make([]byte, 5*size)
	for i := range all {
		all[i] = byte(i * i >> 8)
	}
	broken := errors.New("broken")
	for _, n := range []int{0, 1, size - 1, size, size + 1, 2*size - 1, 2 * size, 2*size + 1, 5 * size} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "last with EOF": iotest.DataErrReader,
		} {
			buffer := bytes.NewBufferString("before")
			err := readWhole(buffer, wrap(bytes.NewReader(all[:n])))
			if err != nil || !bytes.Equal(buffer.Bytes(), append([]byte("before"), all[:n]...)) {
				t.Errorf("%s, %d bytes: %d read, %v", name, n, buffer.Len(), err)
			}
			if most := 2*n + size + 1024; buffer.Cap() > most {
				t.Errorf("%d bytes are held in %d", n, buffer.Cap())
			}
			for _, err := range []error{broken, io.ErrUnexpectedEOF} {
				var buffer bytes.Buffer
				if got := readWhole(&buffer, io.MultiReader(wrap(bytes.NewReader(all[:n])), iotest.ErrReader(err))); !errors.Is(got, err) {
					t.Errorf("%s, %d bytes and then %v: %v", name, n, err, got)
				}
			}
		}
	}
}
