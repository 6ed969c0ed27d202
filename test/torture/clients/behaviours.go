package clients

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// behaviour is one way to misbehave. be is called with a fresh connection, again and again.
type behaviour struct {
	name        string
	connections int
	be          func(*visit) error
}

func behaviours(c Config) []behaviour {
	part := func(n int) int { return max(1, c.Connections/n) } // of the connections, fewer where each costs more
	return []behaviour{
		{"slow headers", part(8), slowHeaders},
		{"slow bodies", part(8), slowBodies},
		{"never reading", part(40), neverReading},
		{"idle connections", part(1), idle},
		{"resets in the middle of a body", part(80), resets},
		{"hanging up before the answer", part(80), hangingUp},
		{"requests behind an error", part(200), behindAnError},
		{sendingBombs, part(500), gzipBombs},
		{"header floods", part(200), headerFloods},
	}
}

// sendingBombs is the behaviour for which bombs are made.
const sendingBombs = "gzip bombs"

// visit is one connection of a client that misbehaves.
type visit struct {
	ctx    context.Context //nolint:containedctx // of the turn; the visit is a call's argument
	crowd  *crowd
	conn   *net.TCPConn
	number int // of the client
	rng    *rand.Rand
	reader *bufio.Reader
}

// answer reads one answer and notes its status, or how the connection ended.
func (v *visit) answer() (status int, err error) {
	if v.reader == nil {
		v.reader = bufio.NewReader(v.conn)
	}
	response, err := http.ReadResponse(v.reader, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		err = errors.Join(err, response.Body.Close())
	}
	switch {
	case v.ctx.Err() != nil: // the turn is over: whatever it was, we ended it
		return 0, v.ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		v.crowd.note("no answer in time")
	case err != nil:
		v.crowd.note("closed")
	default:
		v.crowd.note(response.Status[:3])
		// 501 is what net/http says to a transfer coding that it doesn't know, as RFC
		// 9112, section 6.1, wants; no request of ours comes about.
		if code := response.StatusCode; code >= 500 && code != http.StatusServiceUnavailable && code != http.StatusNotImplemented {
			return code, wrongError("answered " + response.Status)
		}
		return response.StatusCode, nil
	}
	return 0, err
}

// refused reads an answer that must not be a success.
func (v *visit) refused(what string) error {
	status, err := v.answer()
	if err == nil && status < 400 {
		return wrongError(fmt.Sprintf("%s was answered %d", what, status))
	}
	return err
}

// wait waits unless the turn ends.
func (v *visit) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-v.ctx.Done():
		return false
	}
}

const (
	drip = 200 * time.Millisecond // between two bytes
	// answerTimeout is how long an answer that must come may take.
	answerTimeout = 10 * time.Second
)

// dribble sends byte by byte until the server has had enough, which must be within
// a time.
func (v *visit) dribble(what, text string, most time.Duration) error {
	begin := time.Now()
	most += v.crowd.runner.config.Patience
	v.reader = bufio.NewReader(v.conn)
	for i := 0; v.ctx.Err() == nil; i = (i + 1) % len(text) {
		if time.Since(begin) > most {
			return wrongError(fmt.Sprintf("%s that came byte by byte was awaited for more than %s", what, most))
		}
		if _, err := v.conn.Write([]byte{text[i]}); err != nil {
			break // it has had enough; what it said may still be there
		}
		// An answer, or the end, is noticed by reading while nothing is due.
		if err := v.conn.SetReadDeadline(time.Now().Add(drip)); err != nil {
			return err
		}
		if _, err := v.reader.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	if v.ctx.Err() != nil {
		return v.ctx.Err() // the turn is over, and no answer is due
	}
	if err := v.conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	return v.refused(what + " that never ended")
}

func slowHeaders(v *visit) error {
	if _, err := io.WriteString(v.conn, "POST /event HTTP/1.1\r\nHost: slow\r\n"); err != nil {
		return err
	}
	return v.dribble("a header", "X-Slow: 1\r\n", v.crowd.runner.config.HeaderTimeout)
}

func slowBodies(v *visit) error {
	path, length := "/event", "Content-Length: 60000"
	if v.number%2 == 1 {
		path, length = "/events", "Transfer-Encoding: chunked"
	}
	if _, err := fmt.Fprintf(v.conn, "POST %s HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\n%s\r\n\r\n", path, length); err != nil {
		return err
	}
	text := " "
	if v.number%2 == 1 {
		text = "1\r\n \r\n"
	}
	return v.dribble("a body", text, v.crowd.runner.config.BodyTimeout)
}

// neverReading asks for large pages, and takes nothing of them.
func neverReading(v *visit) error {
	if err := v.conn.SetReadBuffer(4 << 10); err != nil {
		return err
	}
	request := []byte("GET /openapi.json HTTP/1.1\r\nHost: unread\r\n\r\n")
	for v.ctx.Err() == nil {
		if err := v.conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		switch _, err := v.conn.Write(request); {
		case errors.Is(err, os.ErrDeadlineExceeded): // the server waits for us: let it
		case err != nil:
			v.crowd.note("closed")
			return err
		}
		if !v.wait(10 * time.Millisecond) {
			break
		}
	}
	return nil
}

// idle says nothing at all, or nothing any more.
func idle(v *visit) error {
	if v.number%2 == 0 {
		if _, err := io.WriteString(v.conn, "GET /healthz HTTP/1.1\r\nHost: idle\r\n\r\n"); err != nil {
			return err
		}
		if _, err := v.answer(); err != nil {
			return err
		}
	}
	_, err := v.answer() // waits until the server closes it, or the turn ends
	return err
}

const event = `{"user_id":1,"event_type":"torn","timestamp":1700000000,"payload":{"a":"%s"}}`

// post returns a request with a body of a length that may not be its own.
func post(path, headers, body string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: rude\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", path, headers, length, body)
}

func resets(v *visit) error {
	body := fmt.Sprintf(event, strings.Repeat("x", v.rng.IntN(50_000)))
	cut := v.rng.IntN(len(body))
	if _, err := io.WriteString(v.conn, post("/event", "", body[:cut], len(body))); err != nil {
		return err
	}
	v.crowd.note("we reset")
	return errors.Join(v.conn.SetLinger(0), v.conn.Close())
}

func hangingUp(v *visit) error {
	body := strings.Replace(fmt.Sprintf(event, "x"), "torn", "left", 1)
	if _, err := io.WriteString(v.conn, post("/event", "", body, len(body))); err != nil {
		return err
	}
	v.crowd.note("we reset")
	return errors.Join(v.conn.SetLinger(0), v.conn.Close())
}

// behindAnError sends a request that is refused, with a body that looks like
// another request, and one more behind it. What is in a body is never a request, and
// what is behind it gets its answer, or the connection ends.
func behindAnError(v *visit) error {
	event := `{"user_id":1,"event_type":"smuggled","timestamp":1700000000}`
	smuggled := "\r\n\r\n" + post("/event", "", event, len(event))
	padded := smuggled + strings.Repeat(" ", 70_000)
	chunked := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	const head = "POST /event HTTP/1.1\r\nHost: rude\r\nContent-Type: application/json\r\n"
	bad := []string{
		post("/event", "", smuggled, len(smuggled)),                                                // not JSON
		post("/event", "", padded, len(padded)),                                                    // too large
		post("/nowhere", "", smuggled, len(smuggled)),                                              // unknown
		post("/event", "Content-Encoding: br\r\n", smuggled, len(smuggled)),                        // not to be read
		post("/event", "Content-Encoding: gzip\r\n", smuggled, len(smuggled)),                      // not what it says
		head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(padded),                              // too large, in chunks
		head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(smuggled),       // two lengths
		head + "Content-Length: 4\r\nContent-Length: 5\r\n\r\n" + smuggled,                         // two lengths that differ
		head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + smuggled,                               // no chunk
		strings.Replace(post("/event", "", smuggled, len(smuggled)), "POST", "PUT", 1),             // another method
		post("/events", "", "["+strings.Repeat("[", 100)+smuggled, len("[")+100+len(smuggled)),     // too deep
		head + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunked(smuggled),                  // a coding that isn't
		head + "Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n" + smuggled[len("\r\n"):], // a space before the colon
	}
	request := bad[v.rng.IntN(len(bad))] + "GET /healthz HTTP/1.1\r\nHost: rude\r\nConnection: close\r\n\r\n"
	if err := v.conn.SetDeadline(time.Now().Add(v.crowd.runner.config.BodyTimeout + answerTimeout)); err != nil {
		return err
	}
	return v.write(request, func() error { return v.answersOf(request) })
}

// write writes while read reads: the server may answer, and stop to read, before it
// has everything.
func (v *visit) write(request string, read func() error) error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(v.conn, request) // what is read says how that went
	}()
	err := read()
	_ = v.conn.Close() // ends the writer
	<-written
	return err
}

// answersOf reads the answers to a bad request and one behind it.
func (v *visit) answersOf(request string) error {
	first, err := v.answer()
	if err == nil && first < 400 {
		err = wrongError(fmt.Sprintf("%.60q was answered %d", request, first))
	}
	for n := 2; err == nil; n++ {
		var status int
		status, err = v.answer()
		switch {
		case err != nil: // the end, which is what may come
		case status == http.StatusAccepted:
			err = wrongError(fmt.Sprintf("what was in the body of %.60q was taken for a request and accepted", request))
		case n > 2 && status != http.StatusBadRequest:
			err = wrongError(fmt.Sprintf("two requests, %.60q and another, got %d answers", request, n))
		}
	}
	return err
}

// bombs are small, and large when they are unpacked.
type bombs struct{ spaces, brackets []byte }

// bombSize is what a bomb unpacks to.
const bombSize = 256 << 20

func makeBombs() (b bombs, err error) {
	pack := func(fill byte, size int) ([]byte, error) {
		var out bytes.Buffer
		w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		if err != nil {
			return nil, fmt.Errorf("packing a bomb: %w", err)
		}
		piece := bytes.Repeat([]byte{fill}, 1<<20)
		piece[0] = '['
		for range size / len(piece) {
			if _, err := w.Write(piece); err != nil {
				return nil, fmt.Errorf("packing a bomb: %w", err)
			}
			piece[0] = fill
		}
		return out.Bytes(), w.Close()
	}
	if b.spaces, err = pack(' ', bombSize); err != nil {
		return b, err
	}
	b.brackets, err = pack('[', 8<<20)
	return b, err
}

func gzipBombs(v *visit) error {
	bomb, path := v.crowd.runner.bombs.spaces, "/events"
	switch v.rng.IntN(3) {
	case 0:
		path = "/event"
	case 1:
		bomb = v.crowd.runner.bombs.brackets
	}
	if err := v.conn.SetDeadline(time.Now().Add(v.crowd.runner.config.BodyTimeout + answerTimeout)); err != nil {
		return err
	}
	return v.write(post(path, "Content-Encoding: gzip\r\n", string(bomb), len(bomb)), func() error { return v.refused("a gzip bomb") })
}

// headerFloods sends headers without end, one that is too long, or very many.
func headerFloods(v *visit) error {
	if err := v.conn.SetDeadline(time.Now().Add(v.crowd.runner.config.HeaderTimeout + answerTimeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(v.conn, "GET /stats/flood HTTP/1.1\r\nHost: flood\r\n"); err != nil {
		return err
	}
	var piece string
	switch v.rng.IntN(3) {
	case 0:
		piece = "X-Flood: " + strings.Repeat("x", 1000) + "\r\n"
	case 1:
		piece = strings.Repeat("x", 1000) // one name
	default:
		piece = strings.Repeat("A:b\r\n", 200)
	}
	const enough = 1 << 20 // thirty times what is allowed
	for range enough / len(piece) {
		if _, err := io.WriteString(v.conn, piece); err != nil {
			break // which is right; the answer may still be there
		}
	}
	return v.refused("a flood of headers")
}
