package httpapi

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"highload.example/analytics/impl/event"
)

// router is http.ServeMux with answers of ours where it would write text of its
// own, or redirect: unknown paths, wrong methods, paths that aren't clean.
type router struct {
	mux      *http.ServeMux
	problems *problems
	methods  map[string][]string // by path pattern
}

func newRouter(problems *problems) *router {
	return &router{mux: http.NewServeMux(), problems: problems, methods: map[string][]string{}}
}

// HandleFunc registers a pattern, "METHOD /path".
func (t *router) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	method, path, _ := strings.Cut(pattern, " ")
	route := routeOf(path)
	t.methods[route] = append(t.methods[route], method)
	if method == http.MethodGet {
		t.methods[route] = append(t.methods[route], http.MethodHead) // the mux answers HEAD by GET
	}
	t.mux.HandleFunc(method+" "+route, handler)
}

// routeOf returns the mux's pattern for a path of the contract.
func routeOf(path string) string {
	if path == "/" {
		return "/{$}" // the contract's / is one path, not all of them
	}
	return path
}

// route returns the pattern of the path that the request is for, which must have a
// method that none of the contract's operations has. "" or "/": there is no such path.
func (t *router) route(r *http.Request) string {
	if !isClean(r.URL.EscapedPath()) {
		return ""
	}
	_, pattern := t.mux.Handler(r)
	return pattern
}

// complete registers the answers for everything else. Nothing is registered
// after it.
func (t *router) complete() {
	for route, methods := range t.methods {
		slices.Sort(methods)
		allow := strings.Join(slices.Compact(methods), ", ")
		t.mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			r.Pattern = "" // for metrics: no operation matched
			w.Header().Set("Allow", allow)
			t.problems.write(w, r, &methodError{allow: allow})
		})
	}
	t.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		r.Pattern = ""
		t.problems.write(w, r, event.ErrNotFound)
	})
}

// ServeHTTP routes the request. A path that the mux would clean, and redirect to
// the result, is not one of ours: /stats/../event must not become /event.
func (t *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.EscapedPath(); !isClean(p) {
		t.problems.write(w, r, event.ErrNotFound)
		return
	}
	t.mux.ServeHTTP(w, r)
}

func isClean(p string) bool {
	if p == "" || p[0] != '/' {
		return false // OPTIONS * and the authority form of CONNECT
	}
	if !strings.Contains(p, "//") && !strings.Contains(p, "/.") {
		return true
	}
	clean := path.Clean(p)
	if p[len(p)-1] == '/' && clean != "/" {
		clean += "/"
	}
	return clean == p
}
