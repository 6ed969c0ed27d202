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
)

// openBody refuses a body of another media type, of an unknown encoding or of
// more than MaxBodyBytes, and returns a reader of at most that many plain bytes.
func openBody(w http.ResponseWriter, r *http.Request, mediaType string) (io.ReadCloser, error) {
	const limit = MaxBodyBytes
	if given := r.Header.Get("Content-Type"); given != mediaType {
		parsed, params, err := mime.ParseMediaType(given)
		charset, hasCharset := params["charset"]
		if err != nil || parsed != mediaType || hasCharset && !strings.EqualFold(charset, "utf-8") {
			return nil, &mediaTypeError{detail: "Send Content-Type: " + mediaType + " in UTF-8."}
		}
	}
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	switch encoding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ","))); encoding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		g := gunzips.Get().(*gunzip)
		g.reset(body, limit)
		return g, nil
	default:
		return nil, &mediaTypeError{detail: "Send Content-Encoding: gzip, or none."}
	}
}

// gunzip decompresses one gzip member and bounds what comes out, so that a
// small body can't become a large one.
type gunzip struct {
	source *bufio.Reader // over body; kept so that what follows the member shows
	body   io.ReadCloser
	reader gzip.Reader
	opened bool
	left   int64
	limit  int64
}

var gunzips = sync.Pool{New: func() any { return &gunzip{source: bufio.NewReader(nil)} }}

func (g *gunzip) reset(body io.ReadCloser, limit int64) {
	g.body, g.opened, g.left, g.limit = body, false, limit, limit
	g.source.Reset(body)
}

// Read returns decompressed bytes. Errors are those of the body beneath, a
// *http.MaxBytesError past the limit, or an *encodingError.
func (g *gunzip) Read(p []byte) (int, error) {
	if !g.opened {
		if err := g.reader.Reset(g.source); err != nil {
			return 0, g.translate(err)
		}
		g.reader.Multistream(false)
		g.opened = true
	}
	n, err := g.reader.Read(p)
	if g.left -= int64(n); g.left < 0 {
		return 0, &http.MaxBytesError{Limit: g.limit}
	}
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
