package main

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What the templates render, or leave to the server on purpose. Everything else in
// a part of the contract that the client has is refused, with its place: a client
// that misses something in silence would be worse than none.
//
// Who teaches the templates something, adds it here.
var (
	documentKeys  = []string{"openapi", "info", "servers", "tags", "paths", "components"}
	componentKeys = []string{"parameters", "schemas", "headers", "responses"}
	operationKeys = []string{"operationId", "tags", "summary", "description", "parameters", "requestBody", "responses"}
	parameterKeys = []string{"name", "in", "required", "schema", "description", "example", "examples"}
	bodyKeys      = []string{"required", "description", "content"}
	responseKeys  = []string{"description", "headers", "content"}
	contentKeys   = []string{"schema", "example", "examples"}
	methods       = []string{"get", "post"}

	// tags are those of the operations, and whether the client has these.
	tags = map[string]bool{"events": true, "stats": true, "questions": true, "operations": false, "documentation": false}

	// annotations promise nothing of a value.
	annotations = []string{"type", "title", "description", "example"}

	// keywords are those that each kind of schema may have. The bounds among them
	// are the server's to check: it answers with all violations at once.
	keywords = map[kind][]string{
		text:     {"minLength", "maxLength", "pattern", "enum", "format"},
		integer:  {"format", "minimum", "maximum", "nullable"},
		number:   {"format", "minimum", "maximum", "nullable"},
		boolean:  {},
		array:    {"items", "minItems", "maxItems"},
		object:   {"properties", "required", "additionalProperties"},
		free:     {"additionalProperties", "maxProperties"},
		anything: {"anyOf"},
		union:    {"oneOf"},
	}
	formats = map[kind][]string{
		text:    {"uuid", "date-time", "uri-reference"}, // all of them str
		integer: {"int32", "int64"},
		number:  {"double"}, // float; without a format all digits are kept
	}

	// transportHeaders are parameters that are the transport's business.
	transportHeaders = []string{"Accept-Encoding"}

	// responseHeaders are those that calls don't return: the transport heeds
	// Retry-After and Content-Encoding, the others say how, not what.
	responseHeaders = []string{"Retry-After", "Content-Encoding", "Content-Disposition", "RateLimit", "RateLimit-Policy", "Query-Plan", "Event-Id", "Event-Status"}

	streamed = []string{"application/x-ndjson", "text/csv"}
)

const (
	jsonType    = "application/json"
	linesType   = "application/x-ndjson"
	problemType = "application/problem+json"
)

// kind is what a schema describes.
type kind string

const (
	text     kind = "string"
	integer  kind = "integer"
	number   kind = "number"
	boolean  kind = "boolean"
	array    kind = "array"
	object   kind = "object"
	free     kind = "object without properties"
	anything kind = "any JSON value"
	union    kind = "oneOf"
	absent   kind = ""
)

// contract is what the templates render.
type contract struct {
	Title, Version string
	Schemas        []*schema // the client's, in the order of the document
	Operations     []*operation
}

// schema is a schema, or a reference to one of components.schemas.
type schema struct {
	Name        string // of a component; empty for one that stands where it is used
	Kind        kind
	Description string
	Enum        []string
	Double      bool // a number that a float holds
	Nullable    bool
	Items       *schema
	Of          []*schema // the members of a union
	Properties  []property

	asked, answered bool // whether requests and answers have it
	line            int
}

type property struct {
	Name     string
	Required bool
	Schema   *schema
}

type operation struct {
	ID, Method, Path     string
	Summary, Description string
	Parameters           []parameter
	Body                 *schema // of the JSON body; nil if there is none
	BodyDescription      string
	Lines                bool    // the body may be lines of JSON instead
	Answer               *schema // nil if it is a stream
}

type parameter struct {
	Name, In, Description string
	Required              bool
	Schema                *schema
}

// problem is one thing in a contract that the client would lack.
type problem struct {
	line        int
	place, what string
}

type reader struct {
	root     *yaml.Node
	schemas  map[string]*schema
	problems []problem
}

// read makes a contract of an OpenAPI document. The problems are all that is
// in the way; the error is for a document that can't be read at all.
func read(document []byte) (*contract, []problem, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(document, &file); err != nil {
		return nil, nil, err
	}
	if err := file.Decode(new(any)); err != nil { // also finds keys given twice
		return nil, nil, err
	}
	if len(file.Content) == 0 || file.Content[0].Kind != yaml.MappingNode {
		return nil, nil, errors.New("it is not a YAML mapping")
	}
	r := &reader{root: file.Content[0], schemas: map[string]*schema{}}
	c := &contract{Title: value(get(get(r.root, "info"), "title")), Version: value(get(get(r.root, "info"), "version"))}

	r.keys(r.root, "the document", documentKeys)
	if v := get(r.root, "openapi"); !strings.HasPrefix(value(v), "3.0.") {
		r.report(r.root, "openapi", "only OpenAPI 3.0 is known, not %q", value(v))
	}
	r.keys(get(r.root, "components"), "components", componentKeys)
	for path, item := range entries(get(r.root, "paths")) {
		r.keys(item, "paths."+path, methods)
		for method, node := range entries(item) {
			if o := r.operation(node, "paths."+path+"."+method); o != nil {
				o.Method, o.Path = strings.ToUpper(method), path
				c.Operations = append(c.Operations, o)
			}
		}
	}
	for name := range entries(get(get(r.root, "components"), "schemas")) {
		s := r.schemas[name]
		if s == nil {
			continue // only operations have it that the client leaves out
		}
		c.Schemas = append(c.Schemas, s)
	}
	for _, o := range c.Operations {
		mark(o.Body, func(s *schema) *bool { return &s.asked })
		mark(o.Answer, func(s *schema) *bool { return &s.answered })
	}
	mark(r.schemas["Problem"], func(s *schema) *bool { return &s.answered })
	for _, s := range c.Schemas {
		if s.Kind == object && s.asked && s.answered {
			r.problems = append(r.problems, problem{s.line, "components.schemas." + s.Name, "an object that both requests and answers have is not known: one is rendered as a TypedDict, the other as a dataclass"})
		}
	}
	slices.SortStableFunc(r.problems, func(a, b problem) int { return a.line - b.line })
	return c, r.problems, nil
}

// mark sets a flag of a schema and of everything in it.
func mark(s *schema, flag func(*schema) *bool) {
	if s == nil || *flag(s) {
		return
	}
	*flag(s) = true
	mark(s.Items, flag)
	for _, member := range s.Of {
		mark(member, flag)
	}
	for _, p := range s.Properties {
		mark(p.Schema, flag)
	}
}

func (r *reader) report(node *yaml.Node, place, format string, args ...any) {
	r.problems = append(r.problems, problem{node.Line, place, fmt.Sprintf(format, args...)})
}

// unknown reports something that the templates would have to be taught.
func (r *reader) unknown(node *yaml.Node, place, format string, args ...any) {
	r.report(node, place, "%s is not known: teach it in sdk/python/generate", fmt.Sprintf(format, args...))
}

// keys reports the keys of a mapping that aren't among those known.
func (r *reader) keys(mapping *yaml.Node, place string, known []string) {
	for key, v := range entries(mapping) {
		if !slices.Contains(known, key) && !strings.HasPrefix(key, "x-") {
			r.unknown(v, place, "%q", key)
		}
	}
}

func (r *reader) operation(node *yaml.Node, place string) *operation {
	has := false
	for _, tag := range items(get(node, "tags")) {
		wanted, known := tags[tag.Value]
		if !known {
			r.unknown(tag, place, "the tag %q", tag.Value)
		}
		has = has || wanted
	}
	if !has {
		return nil
	}
	r.keys(node, place, operationKeys)
	o := &operation{ID: value(get(node, "operationId")), Summary: value(get(node, "summary")), Description: value(get(node, "description"))}
	if !identifier.MatchString(o.ID) {
		r.report(node, place, "the operationId %q makes no name of a method", o.ID)
	}
	for i, p := range items(get(node, "parameters")) {
		if p := r.parameter(p, place+".parameters."+strconv.Itoa(i)); p != nil {
			o.Parameters = append(o.Parameters, *p)
		}
	}
	r.body(get(node, "requestBody"), place+".requestBody", o)
	r.responses(get(node, "responses"), place+".responses", o)
	return o
}

func (r *reader) parameter(node *yaml.Node, place string) *parameter {
	node, place, _ = r.resolve(node, place)
	if node == nil {
		return nil
	}
	p := &parameter{Name: value(get(node, "name")), In: value(get(node, "in")), Description: value(get(node, "description")), Required: value(get(node, "required")) == "true"}
	if p.In == "header" && slices.Contains(transportHeaders, p.Name) {
		return nil
	}
	r.keys(node, place, parameterKeys)
	if !slices.Contains([]string{"path", "query", "header"}, p.In) {
		r.unknown(node, place, "a parameter in %q", p.In)
	}
	if !identifier.MatchString(strings.ReplaceAll(p.Name, "-", "_")) {
		r.report(node, place, "the name %q makes no name of an argument", p.Name)
	}
	if p.Schema = r.schema(get(node, "schema"), node, place+".schema"); p.Schema == nil {
		return nil
	}
	if !slices.Contains([]kind{text, integer, boolean}, p.Schema.Kind) || p.Schema.Nullable {
		r.unknown(node, place, "a parameter that is %s", p.Schema.Kind)
	}
	return p
}

func (r *reader) body(node *yaml.Node, place string, o *operation) {
	if node == nil {
		return
	}
	if node, place, _ = r.resolve(node, place); node == nil {
		return
	}
	r.keys(node, place, bodyKeys)
	if value(get(node, "required")) != "true" {
		r.unknown(node, place, "a body that may be absent")
	}
	o.BodyDescription = value(get(node, "description"))
	for mediaType, content := range entries(get(node, "content")) {
		at := place + ".content." + mediaType
		r.keys(content, at, contentKeys)
		switch mediaType {
		case jsonType:
			o.Body = r.schema(get(content, "schema"), content, at+".schema")
		case linesType:
			o.Lines = true
		default:
			r.unknown(content, at, "a body of this type")
		}
	}
	if o.Body == nil {
		r.unknown(node, place, "a body that can't be %s", jsonType)
	}
}

func (r *reader) responses(node *yaml.Node, place string, o *operation) {
	successes := 0
	for status, response := range entries(node) {
		at := place + "." + status
		response, at, _ = r.resolve(response, at)
		if response == nil {
			continue
		}
		r.keys(response, at, responseKeys)
		for name, header := range entries(get(response, "headers")) {
			if !slices.Contains(responseHeaders, name) {
				r.unknown(header, at, "the header %q", name)
			}
		}
		content := get(response, "content")
		switch {
		case status == "200" || status == "202":
			successes++
			r.success(content, response, at, o)
		case len(status) == 3 && (status[0] == '4' || status[0] == '5'):
			for mediaType, c := range entries(content) {
				r.keys(c, at, contentKeys)
				if s := r.schema(get(c, "schema"), c, at+".schema"); mediaType != problemType || s == nil || s.Name != "Problem" {
					r.unknown(c, at, "an error that is no Problem")
				}
			}
		default:
			r.unknown(response, at, "the status %q", status)
		}
	}
	if successes != 1 {
		r.unknown(node, place, "an operation with %d successful answers", successes)
	}
}

// success reads what a call returns: one JSON document, or a stream of lines.
func (r *reader) success(content, parent *yaml.Node, place string, o *operation) {
	for mediaType, c := range entries(content) {
		at := place + ".content." + mediaType
		r.keys(c, at, contentKeys)
		switch {
		case mediaType == jsonType && len(content.Content) == 2:
			if o.Answer = r.schema(get(c, "schema"), c, at+".schema"); o.Answer != nil && (o.Answer.Name == "" || o.Answer.Kind != object) {
				r.unknown(c, at, "an answer that is no object among components.schemas")
			}
		case slices.Contains(streamed, mediaType):
		default:
			r.unknown(c, at, "an answer of this type, or beside others,")
		}
	}
	if content == nil {
		r.unknown(parent, place, "an answer without content")
	}
}

// schema reads a schema. parent is where it should stand.
func (r *reader) schema(node, parent *yaml.Node, place string) *schema {
	if node == nil {
		r.report(parent, place, "there is no schema")
		return nil
	}
	node, place, name := r.resolve(node, place)
	if node == nil {
		return nil
	}
	if known := r.schemas[name]; known != nil {
		return known
	}
	s := &schema{Name: name, Kind: kindOf(node), Description: value(get(node, "description")), line: node.Line}
	if name != "" {
		if !identifier.MatchString(name) {
			r.report(node, place, "the name makes none of a class")
		}
		r.schemas[name] = s // before its parts, which may lead back here
	}
	known, ok := keywords[s.Kind]
	if !ok {
		r.unknown(node, place, "a schema of %s", s.Kind)
		return nil
	}
	if s.Kind == object && name == "" {
		r.unknown(node, place, "an object that isn't among components.schemas")
	}
	for key, v := range entries(node) {
		switch {
		case strings.HasPrefix(key, "x-") || slices.Contains(annotations, key):
		case slices.Contains(known, key):
			r.keyword(s, key, v, place)
		default:
			r.unknown(v, place, "the keyword %q of a schema of %s", key, s.Kind)
		}
	}
	r.shape(s, node, place)
	return s
}

// shape reads what a keyword can't be read without.
func (r *reader) shape(s *schema, node *yaml.Node, place string) {
	switch s.Kind {
	case array:
		s.Items = r.schema(get(node, "items"), node, place+".items")
	case object:
		required := items(get(node, "required"))
		for name, p := range entries(get(node, "properties")) {
			if !identifier.MatchString(name) {
				r.report(p, place+".properties."+name, "the name makes none of an attribute")
			}
			if ps := r.schema(p, node, place+".properties."+name); ps != nil {
				isRequired := slices.ContainsFunc(required, func(n *yaml.Node) bool { return n.Value == name })
				s.Properties = append(s.Properties, property{name, isRequired, ps})
			}
		}
		for _, n := range required {
			if get(get(node, "properties"), n.Value) == nil {
				r.report(n, place, "%q is required but not one of the properties", n.Value)
			}
		}
		if get(node, "additionalProperties") == nil {
			r.unknown(node, place, "an object with properties but without additionalProperties: false")
		}
	case free:
		if get(node, "additionalProperties") == nil {
			r.unknown(node, place, "an object without properties and without additionalProperties: true")
		}
	}
}

// keyword reads the value of a keyword, and refuses those that aren't known.
func (r *reader) keyword(s *schema, key string, v *yaml.Node, place string) {
	switch key {
	case "format":
		if !slices.Contains(formats[s.Kind], v.Value) {
			r.unknown(v, place, "the format %q of a schema of %s", v.Value, s.Kind)
		}
		s.Double = v.Value == "double"
	case "nullable":
		s.Nullable = v.Value == "true"
	case "enum":
		for _, member := range items(v) {
			if member.Tag != "!!str" {
				r.unknown(member, place, "the value %s, no string, of an enum", member.Value)
			}
			s.Enum = append(s.Enum, member.Value)
		}
	case "oneOf":
		for i, member := range items(v) {
			m := r.schema(member, v, place+".oneOf."+strconv.Itoa(i))
			if m == nil {
				continue
			}
			if m.Name == "" {
				r.unknown(member, place, "a member of oneOf that isn't among components.schemas")
			}
			s.Of = append(s.Of, m)
		}
	case "additionalProperties":
		if want := strconv.FormatBool(s.Kind == free); v.Value != want {
			r.unknown(v, place, "additionalProperties other than %s of an %s", want, s.Kind)
		}
	}
}

// kindOf returns the kind of a schema, or what it is instead.
func kindOf(node *yaml.Node) kind {
	typ := get(node, "type")
	switch {
	case typ == nil && isAny(node):
		return anything
	case typ == nil && get(node, "oneOf") != nil:
		return union
	case typ == nil:
		return "no type"
	case typ.Kind != yaml.ScalarNode:
		return "several types"
	case typ.Value == "object" && get(node, "properties") == nil:
		return free
	}
	return kind(typ.Value)
}

// isAny reports whether a schema's anyOf lists every type there is, null among them.
func isAny(node *yaml.Node) bool {
	var types []string
	null := false
	for _, alternative := range items(get(node, "anyOf")) {
		for key, v := range entries(alternative) {
			switch {
			case key == "type":
				types = append(types, v.Value)
			case key == "nullable" && v.Value == "true":
				null = true
			case key == "items" && value(get(v, "$ref")) == "#/components/schemas/JSONValue":
			case key == "additionalProperties" && v.Value == "true":
			default:
				return false
			}
		}
	}
	slices.Sort(types)
	return null && slices.Equal(types, []string{"array", "boolean", "number", "object", "string"})
}

// resolve follows references within the document, to a node, its place, and
// its name if it is one of components.schemas. It reports one that leads nowhere.
func (r *reader) resolve(node *yaml.Node, place string) (target *yaml.Node, at, schemaName string) {
	for range 100 { // references to references; a longer chain is a circle
		ref := get(node, "$ref")
		if ref == nil {
			return node, place, schemaName
		}
		for key, v := range entries(node) {
			if key != "$ref" {
				r.unknown(v, place, "%q beside a $ref", key)
			}
		}
		way, local := strings.CutPrefix(ref.Value, "#/components/")
		section, name, _ := strings.Cut(way, "/")
		if node = get(get(get(r.root, "components"), section), name); !local || node == nil {
			r.report(ref, place, "the $ref %q leads to none of the document's components", ref.Value)
			return nil, "", ""
		}
		place = "components." + section + "." + name
		if section == "schemas" {
			schemaName = name
		}
	}
	r.report(node, place, "the $ref goes round in a circle")
	return nil, "", ""
}

var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// value returns the text of a scalar, or "".
func value(node *yaml.Node) string {
	if node == nil {
		return ""
	}
	return node.Value
}

// items returns the nodes of a sequence.
func items(node *yaml.Node) []*yaml.Node {
	if node = dealias(node); node == nil || node.Kind != yaml.SequenceNode {
		return nil
	}
	return node.Content
}

// get returns a mapping's value, or nil.
func get(mapping *yaml.Node, key string) *yaml.Node {
	for k, v := range entries(mapping) {
		if k == key {
			return v
		}
	}
	return nil
}

// entries walks a mapping in its order.
func entries(mapping *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		mapping := dealias(mapping)
		if mapping == nil || mapping.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(mapping.Content); i += 2 {
			if !yield(mapping.Content[i].Value, dealias(mapping.Content[i+1])) {
				return
			}
		}
	}
}

// dealias returns what a YAML alias stands for, or the node itself.
func dealias(node *yaml.Node) *yaml.Node {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}
