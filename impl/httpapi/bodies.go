package httpapi

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"highload.example/analytics/api/binding"
)

// bodies opens the bodies of requests.
type bodies struct {
	maxBatchEvents int
	maxBatchBytes  int64
}

// openBody refuses a body of another media type, of an unknown encoding or of
// more than MaxEventBytes, and returns a reader of at most that many plain bytes.
func (b *bodies) openBody(w http.ResponseWriter, r *http.Request, mediaType string) (io.ReadCloser, error) {
	if !hasMediaType(r, mediaType) {
		return nil, &mediaTypeError{detail: "Send Content-Type: " + mediaType + " in UTF-8."}
	}
	return open(w, r, MaxEventBytes)
}

// linesType is the media type of one JSON text per line (github.com/ndjson/ndjson-spec).
const linesType = "application/x-ndjson"

// openBatch is openBody for a body of many events, and says how they are framed.
func (b *bodies) openBatch(w http.ResponseWriter, r *http.Request) (io.ReadCloser, binding.Frame, error) {
	frame := binding.Frame{Member: "events", MaxItems: b.maxBatchEvents, MaxItemBytes: MaxEventBytes}
	switch {
	case hasMediaType(r, "application/json"):
	case hasMediaType(r, linesType):
		frame.Lines = true
	default:
		return nil, frame, &mediaTypeError{detail: "Send Content-Type: application/json or " + linesType + ", in UTF-8."}
	}
	body, err := open(w, r, b.maxBatchBytes)
	return body, frame, err
}

// hasMediaType says whether the body is declared to be of the type, in UTF-8.
func hasMediaType(r *http.Request, mediaType string) bool {
	given := r.Header.Get("Content-Type")
	if given == mediaType {
		return true
	}
	parsed, params, err := mime.ParseMediaType(given)
	charset, hasCharset := params["charset"]
	return err == nil && parsed == mediaType && (!hasCharset || strings.EqualFold(charset, "utf-8"))
}

// open returns a reader of at most limit plain bytes of the body. Neither what is
// sent nor what comes out of it may be longer.
func open(w http.ResponseWriter, r *http.Request, limit int64) (io.ReadCloser, error) {
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	ticket := ticketOf(w)
	ticket.hush(r)
	body := &limitedBody{source: r.Body, ticket: ticket, limit: limit}
	switch encoding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header["Content-Encoding"], ","))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		g := gunzips.Get().(*gunzip)
		g.reset(http.MaxBytesReader(w, r.Body, limit))
		body.source = g
	default:
		return nil, &mediaTypeError{detail: "Send Content-Encoding: gzip, or none."}
	}
	return body, nil
}

// gunzip decompresses one gzip member. Who reads from it stops in time: a small
// body can become a large one.
type gunzip struct {
	source *bufio.Reader // over body; kept so that what follows the member shows
	body   io.ReadCloser
	reader gzip.Reader
	opened bool
}

var gunzips = sync.Pool{New: func() any { return &gunzip{source: bufio.NewReader(nil)} }}

func (g *gunzip) reset(body io.ReadCloser) {
	g.body, g.opened = body, false
	g.source.Reset(body)
}

// Read returns decompressed bytes. Errors are those of the body beneath, or an
// *encodingError.
func (g *gunzip) Read(p []byte) (int, error) {
	if !g.opened {
		if err := g.reader.Reset(g.source); err != nil {
			return 0, g.translate(err)
		}
		g.reader.Multistream(false)
		g.opened = true
	}
	n, err := g.reader.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, g.translate(err)
	}
	// Members can be strung together; what we would then accept is not what the
	// client believes it sent.
	switch _, err := g.source.Peek(1); {
	case err == nil:
		return n, &encodingError{err: errors.New("more data after the gzip member")}
	case !errors.Is(err, io.EOF):
		return n, g.translate(err)
	}
	return n, io.EOF
}

// translate tells a damaged encoding from a body that couldn't be read.
func (g *gunzip) translate(err error) error {
	var tooLarge *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge), errors.As(err, &timeout):
		return err
	case errors.Is(err, io.EOF): // not even a header
		return &encodingError{err: fmt.Errorf("empty: %w", io.ErrUnexpectedEOF)}
	}
	return &encodingError{err: err}
}

// Close closes the body beneath and gives g back for reuse.
func (g *gunzip) Close() error {
	body := g.body
	g.body = nil
	g.source.Reset(nil)
	gunzips.Put(g)
	return body.Close()
}
