package generator

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestResponsesAreReadAsTheStandardSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       response
		body       string
		next       bool // another response can follow on the connection
	}{
		{"the usual", "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nEvent-Status: accepted\r\nContent-Length: 5\r\n\r\nhello", response{status: 202}, "hello", true},
		{"duplicate", "HTTP/1.1 202 Accepted\r\nevent-STATUS:  duplicate \r\nContent-Length: 0\r\n\r\n", response{status: 202, duplicate: true}, "", true},
		{"no reason", "HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", response{status: 202}, "", true},
		{"empty reason", "HTTP/1.1 202 \r\ncontent-length:0\r\n\r\n", response{status: 202}, "", true},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", response{status: 200}, "ok", true},
		{"interim responses first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok", response{status: 202}, "ok", true},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", response{status: 204}, "", true},
		{"not modified says the length it would have", "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", response{status: 304}, "", true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\nA;name=\"x\"\r\n0123456789\r\n0\r\n\r\n", response{status: 200}, "Wiki0123456789", true},
		{"chunked with trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0002 \r\nok\r\n000\r\nX: 1\r\nY: 2\r\n\r\n", response{status: 200}, "ok", true},
		{"chunked outweighs a length after it", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\n\r\n", response{status: 200}, "ok", true},
		{"chunked outweighs a length before it", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", response{status: 200}, "ok", true},
		{"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", response{status: 200}, "ok", true},
		{"closing", "HTTP/1.1 503 Service Unavailable\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nno", response{status: 503, closes: true}, "no", true},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", response{status: 200, closes: true}, "ok", true},
		{"HTTP/1.0 that stays", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", response{status: 200}, "ok", true},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nall that comes", response{status: 200, closes: true}, "all that comes", false},
		{"folded header", "HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\nContent-Length: 2\r\n\r\nok", response{status: 200}, "ok", true},
	} {
		for _, keep := range []bool{true, false} {
			text := c.text
			if c.next {
				text += "HTTP/1.1 418 Next\r\nContent-Length: 0\r\n\r\n"
			}
			reader := bufio.NewReader(strings.NewReader(text))
			var kept []byte
			if keep {
				kept = []byte{}
			}
			got, err := readResponse(reader, kept)
			if err != nil || got.status != c.want.status || got.duplicate != c.want.duplicate || got.closes != c.want.closes {
				t.Errorf("%s: %+v, %v", c.name, got, err)
				continue
			}
			if keep && string(got.body) != c.body {
				t.Errorf("%s: the body is %q", c.name, got.body)
			}
			if c.next {
				if next, err := readResponse(reader, nil); err != nil || next.status != 418 {
					t.Errorf("%s: what follows is read as %+v, %v", c.name, next, err)
				}
			}
		}
	}
}

func TestBrokenResponsesAreErrors(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":                 "",
		"half a status line":      "HTTP/1.1 20",
		"no HTTP":                 "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"HTTP/2":                  "HTTP/2.0 200 OK\r\n\r\n",
		"no status":               "HTTP/1.1 abc OK\r\n\r\n",
		"status of four digits":   "HTTP/1.1 2000 OK\r\n\r\n",
		"head that ends":          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
		"header without colon":    "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\nok",
		"negative length":         "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
		"two lengths":             "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
		"body that ends":          "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"chunk without size":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"chunk that is longer":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
		"chunks without an end":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
		"trailers without an end": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n",
		"endless header":          "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 10_000) + "\r\n\r\n",
	} {
		if got, err := readResponse(bufio.NewReader(strings.NewReader(text)), []byte{}); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	_, err := readResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok")), nil)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that ends: %v", err)
	}
}

func TestReadingAResponseAllocatesNothing(t *testing.T) {
	text := "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nEvent-Status: accepted\r\nContent-Length: 21\r\n\r\n" + `{"status":"received"}`
	source := strings.NewReader(text)
	reader := bufio.NewReader(source)
	if n := testing.AllocsPerRun(100, func() {
		source.Reset(text)
		reader.Reset(source)
		if _, err := readResponse(reader, nil); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
