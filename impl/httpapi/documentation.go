package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/swaggest/swgui/v5/static"
	"go.yaml.in/yaml/v3"

	contract "highload.example/analytics/api"
	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/event"
)

//go:embed docs
var docsPage embed.FS

// docsPolicy lets the page load from this server alone. Swagger UI draws its
// icons from data: URLs in its style sheet; scripts and styles are files.
const docsPolicy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"

// registerDocumentation registers the operations of the tag documentation. They
// are files, so the generated handlers would be in the way.
func registerDocumentation(routes *router, version string, problems *problems) error {
	asJSON, err := contractJSON()
	if err != nil {
		return err
	}
	page, err := docsPage.ReadFile("docs/index.html")
	if err != nil {
		return fmt.Errorf("reading the documentation page: %w", err)
	}
	assets, err := docsAssets()
	if err != nil {
		return err
	}
	index, err := json.Marshal(api.Index{
		Name: "High-Load Analytics API", Version: version,
		Links: api.IndexLinks{Docs: "/docs", Openapi: "/openapi.yaml", Metrics: "/metrics", Health: "/readyz"},
	})
	if err != nil {
		return fmt.Errorf("writing the index: %w", err)
	}
	routes.HandleFunc("GET /", newFile("application/json", index).ServeHTTP)
	routes.HandleFunc("GET /openapi.yaml", newFile("application/yaml", contract.YAML).ServeHTTP)
	routes.HandleFunc("GET /openapi.json", newFile("application/json", asJSON).ServeHTTP)
	html := newFile("text/html; charset=utf-8", page)
	html.policy = docsPolicy
	routes.HandleFunc("GET /docs", html.ServeHTTP)
	routes.HandleFunc("GET /docs/{asset}", func(w http.ResponseWriter, r *http.Request) {
		asset, ok := assets[r.PathValue("asset")]
		if !ok {
			problems.write(w, r, event.ErrNotFound)
			return
		}
		asset.ServeHTTP(w, r)
	})
	return nil
}

// contractJSON turns the contract into JSON, with its names in byte order: the
// same bytes at every start.
func contractJSON() ([]byte, error) {
	var document map[string]any
	if err := yaml.Unmarshal(contract.YAML, &document); err != nil {
		return nil, fmt.Errorf("reading the contract: %w", err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("writing the contract as JSON: %w", err)
	}
	return asJSON, nil
}

// docsAssets are the files of the documentation page: Swagger UI's, which come
// compressed from a Go module, and ours.
func docsAssets() (map[string]*file, error) {
	assets := map[string]*file{}
	for _, name := range []string{"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"} {
		compressed, plain, err := readAsset(static.FS, name)
		if err != nil {
			return nil, fmt.Errorf("reading Swagger UI: %w", err)
		}
		assets[name] = newFile(assetType(name), plain)
		assets[name].gzipped = compressed
	}
	for _, name := range []string{"initializer.js", "page.css"} {
		content, err := docsPage.ReadFile("docs/" + name)
		if err != nil {
			return nil, fmt.Errorf("reading the documentation page: %w", err)
		}
		assets[name] = newFile(assetType(name), content)
	}
	return assets, nil
}

// readAsset reads a file, or else the same file with .gz, in both forms.
func readAsset(files fs.FS, name string) (compressed, plain []byte, err error) {
	if plain, err = fs.ReadFile(files, name); err == nil {
		return nil, plain, nil
	}
	if compressed, err = fs.ReadFile(files, name+".gz"); err != nil {
		return nil, nil, err
	}
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, nil, err
	}
	plain, err = io.ReadAll(reader)
	return compressed, plain, err
}

func assetType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	}
	return "image/png"
}

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
		header.Set("Vary", "Accept-Encoding")
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
