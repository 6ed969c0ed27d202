package httpapi

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"

	"github.com/swaggest/swgui/v5/static"
	"go.yaml.in/yaml/v3"

	contract "highload.example/analytics/api"
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
	html, err := docsPage.ReadFile("docs/index.html")
	if err != nil {
		return fmt.Errorf("reading the documentation page: %w", err)
	}
	assets, err := docsAssets()
	if err != nil {
		return err
	}
	pages, err := newPages(version, problems.kinds)
	if err != nil {
		return err
	}
	routes.HandleFunc("GET /", pages.index.ServeHTTP)
	routes.HandleFunc("GET /problems", pages.problems.ServeHTTP)
	routes.HandleFunc("GET /problems/{code}", func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages.problem[r.PathValue("code")]
		if !ok {
			problems.write(w, r, event.ErrNotFound)
			return
		}
		page.ServeHTTP(w, r)
	})
	routes.HandleFunc("GET /openapi.yaml", newFile("application/yaml", contract.YAML).ServeHTTP)
	routes.HandleFunc("GET /openapi.json", newFile("application/json", asJSON).ServeHTTP)
	routes.HandleFunc("GET /docs", newPage(html).ServeHTTP)
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

// newPage returns a page that may load from this server alone.
func newPage(html []byte) *file {
	page := newFile("text/html; charset=utf-8", html)
	page.policy = docsPolicy
	return page
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
