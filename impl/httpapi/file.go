package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// file is content that doesn't change while the process runs.
type file struct {
	contentType string
	content     []byte
	gzipped     []byte // the same, compressed; may be nil
	etag        string
	policy      string // Content-Security-Policy; may be empty
}

func newFile(contentType string, content []byte) *file {
	hash := sha256.Sum256(content)
	return &file{contentType: contentType, content: content, etag: `"` + hex.EncodeToString(hash[:12]) + `"`}
}

// ServeHTTP serves the file, or 304 to who has it.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	content, etag := f.content, f.etag
	if f.gzipped != nil {
		header.Add("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			// Other bytes, so another tag (RFC 9110, section 8.8.3.3).
			content, etag = f.gzipped, strings.TrimSuffix(f.etag, `"`)+`-gzip"`
		}
	}
	header.Set("ETag", etag)
	header.Set("Cache-Control", "no-cache") // ask again, and mostly get a 304
	header.Set("X-Content-Type-Options", "nosniff")
	if f.policy != "" {
		header.Set("Content-Security-Policy", f.policy)
	}
	if matchesETag(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", f.contentType)
	if etag != f.etag {
		header.Set("Content-Encoding", "gzip")
	}
	// An error here is the client's going away: there is nobody to tell.
	_, _ = w.Write(content) //nolint:gosec // the content is embedded; nothing of the request is in it
}

// matchesETag compares as RFC 9110, section 13.1.2, asks for: weakly.
func matchesETag(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == "*" || candidate == etag {
			return true
		}
	}
	return false
}

// negotiated is a page for browsers and a document for programs, of one resource.
type negotiated struct {
	html *file
	json *file
}

// ServeHTTP serves the page to who asks for HTML, as browsers do, and the
// document to everyone else.
func (n negotiated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		n.html.ServeHTTP(w, r)
		return
	}
	n.json.ServeHTTP(w, r)
}
