package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"

	"go.yaml.in/yaml/v3"

	contract "highload.example/analytics/api"
	"highload.example/analytics/gen/api"
)

// problemKinds reads the kinds of problems from the contract, in its order. Every
// code of the enum is explained, and nothing else is.
func problemKinds() ([]api.ProblemKind, error) {
	var document struct {
		Components struct {
			Schemas struct {
				ProblemCode struct {
					Enum     []api.ProblemCode                    `yaml:"enum"`
					Problems map[api.ProblemCode]problemExplained `yaml:"x-problems"`
				} `yaml:"ProblemCode"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(contract.YAML, &document); err != nil {
		return nil, fmt.Errorf("reading the contract: %w", err)
	}
	codes := document.Components.Schemas.ProblemCode
	kinds := make([]api.ProblemKind, 0, len(codes.Enum))
	for _, code := range codes.Enum {
		e, ok := codes.Problems[code]
		if !ok || e.Title == "" || e.Cause == "" || e.Remedy == "" || e.Status == 0 {
			return nil, fmt.Errorf("api/openapi.yaml: x-problems of ProblemCode doesn't explain %s", code)
		}
		kinds = append(kinds, api.ProblemKind{Code: code, Status: e.Status, Title: e.Title, Cause: e.Cause, Remedy: e.Remedy})
	}
	if len(codes.Problems) != len(kinds) {
		return nil, fmt.Errorf("api/openapi.yaml: x-problems of ProblemCode explains %d codes, the enum has %d", len(codes.Problems), len(kinds))
	}
	return kinds, nil
}

// problemExplained is an entry of the contract's x-problems.
type problemExplained struct {
	Status int32  `yaml:"status"`
	Title  string `yaml:"title"`
	Cause  string `yaml:"cause"`
	Remedy string `yaml:"remedy"`
}

// pages are those that are made from the contract, each in two forms.
type pages struct {
	index    negotiated
	problems negotiated
	problem  map[string]negotiated // by code
}

func newPages(version string, kinds []api.ProblemKind) (*pages, error) {
	templates, err := template.ParseFS(docsPage, "docs/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("reading the pages: %w", err)
	}
	render := func(name string, data any) (negotiated, error) {
		var html bytes.Buffer
		if err := templates.ExecuteTemplate(&html, name, data); err != nil {
			return negotiated{}, fmt.Errorf("making a page: %w", err)
		}
		document, err := json.Marshal(data)
		if err != nil {
			return negotiated{}, fmt.Errorf("making a page: %w", err)
		}
		return negotiated{html: newPage(html.Bytes()), json: newFile("application/json", document)}, nil
	}
	p := &pages{problem: map[string]negotiated{}}
	p.index, err = render("root.tmpl", api.Index{
		Name: "High-Load Analytics API", Version: version,
		Links: api.IndexLinks{Docs: "/docs", Openapi: "/openapi.yaml", Metrics: "/metrics", Health: "/readyz", Problems: "/problems"},
	})
	if err != nil {
		return nil, err
	}
	if p.problems, err = render("problems.tmpl", api.ProblemKindList{Problems: kinds}); err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		page, err := render("problem.tmpl", kind)
		if err != nil {
			return nil, err
		}
		p.problem[string(kind.Code)] = page
	}
	return p, nil
}
