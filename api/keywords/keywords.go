// Package keywords knows what of a request's schemas is checked by the code that
// api/templates generate and by package binding. Whatever else a contract says of
// a request would be unchecked without a sound, so that `make generate` refuses it.
//
// Who teaches the templates a keyword, adds it here.
package keywords

import (
	"errors"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// handled are the keywords of each kind of schema that are checked. `type` tells
// the kind, and says so for all of them.
var handled = map[string][]string{
	"string":           {"minLength", "maxLength", "pattern", "enum"},
	"string of format": {"format"}, // a format is checked alone
	"integer":          {"format", "minimum", "maximum"},
	"boolean":          {},
	"array":            {"items", "minItems", "maxItems"},
	"object":           {"properties", "required", "additionalProperties"},
	"free object":      {"additionalProperties", "maxProperties"},
	"any":              {"anyOf"}, // any JSON value: one of all the types, of which one is nullable
}

// formats are the formats of each type that are checked.
var formats = map[string][]string{
	"string":  {"uuid"},
	"integer": {"int32", "int64"},
}

// annotations promise nothing of a value.
var annotations = []string{"type", "title", "description", "example", "deprecated", "externalDocs"}

// parameterKeys are the keys of a parameter that are heeded, or promise nothing.
var parameterKeys = []string{"name", "in", "required", "schema", "description", "example", "examples", "deprecated"}

// locations are the places of parameters that are bound.
var locations = []string{"path", "query", "header"}

const (
	bodies     = "api/templates/typedef.tmpl"
	parameters = "api/templates/std-http-middleware.tmpl"
)

// maxProperties is how many properties an object may list: one bit each.
const maxProperties = 64

// maxExact is the largest integer up to which the generator, which reads bounds
// as float64, holds every one exactly.
const maxExact = 1 << 53

// Problem is one thing in a contract that nothing would check.
type Problem struct {
	Line  int    // in the document, from 1
	Place string // the way to it, joined by dots
	What  string // what is wrong, and the way out
}

// Check returns everything that requests may carry by the OpenAPI document, and
// that the generated code wouldn't check. It is an error if the document can't be
// read.
func Check(document []byte) ([]Problem, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(document, &file); err != nil {
		return nil, err
	}
	if err := file.Decode(new(any)); err != nil { // also finds keys given twice
		return nil, err
	}
	if len(file.Content) == 0 || file.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("it is not a YAML mapping")
	}
	c := &checker{root: file.Content[0], seen: map[visit]bool{}}
	for path, item := range entries(get(c.root, "paths")) {
		place := "paths." + path
		c.operation(item, place)
		for method, operation := range entries(item) {
			if slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}, method) {
				c.operation(operation, place+"."+method)
			}
		}
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Line - b.Line })
	return c.problems, nil
}

// role is what a schema is used for.
type role string

const (
	parameter role = "a parameter"
	body      role = "a request body"
	property  role = "a property"
	item      role = "an array's item"
)

// visit is a schema in a role: each is checked once, so that cycles end.
type visit struct {
	node *yaml.Node
	role role
}

type checker struct {
	root     *yaml.Node
	seen     map[visit]bool
	problems []Problem
}

func (c *checker) report(node *yaml.Node, place, format string, args ...any) {
	c.problems = append(c.problems, Problem{Line: node.Line, Place: place, What: fmt.Sprintf(format, args...)})
}

// unhandled reports something that a template would have to be taught.
func (c *checker) unhandled(node *yaml.Node, place, template, format string, args ...any) {
	c.report(node, place, "%s is not handled by %s: teach it there and in api/keywords/keywords.go, or leave it out", fmt.Sprintf(format, args...), template)
}

// operation checks what an operation, or a path for all of its operations, takes.
func (c *checker) operation(node *yaml.Node, place string) {
	if list := get(node, "parameters"); list != nil {
		for i, p := range list.Content {
			name := strconv.Itoa(i)
			if n := get(p, "name"); n != nil {
				name = n.Value
			}
			c.parameter(p, place+".parameters."+name)
		}
	}
	if of := get(node, "x-batch-of"); of != nil {
		// The frame is read by binding.ReadBatch, whatever its schema says; what is in
		// it by the named schema's own decoder.
		c.batch(of, place)
		return
	}
	request, place := c.resolve(get(node, "requestBody"), place+".requestBody")
	if request == nil {
		return
	}
	if required := get(request, "required"); required == nil || required.Value != "true" {
		c.unhandled(request, place, bodies, "a request body that may be absent (required isn't true)")
	}
	for mediaType, content := range entries(get(request, "content")) {
		// Of other media types strict-http.tmpl says itself that it can't read them.
		if name, _, err := mime.ParseMediaType(mediaType); err == nil && (name == "application/json" || strings.HasSuffix(name, "+json")) {
			c.schema(get(content, "schema"), content, place+".content."+mediaType+".schema", body)
		}
	}
}

// batch checks the items of an operation whose body carries many.
func (c *checker) batch(of *yaml.Node, place string) {
	schema := get(get(get(c.root, "components"), "schemas"), of.Value)
	if schema == nil {
		c.report(of, place, "x-batch-of names %q, which is none of components.schemas", of.Value)
		return
	}
	if kind := kindOf(schema); kind != "object" {
		c.unhandled(of, place, bodies, "a batch of type %q", kind)
		return
	}
	c.resolved(schema, "components.schemas."+of.Value, item, true)
}

func (c *checker) parameter(node *yaml.Node, place string) {
	node, place = c.resolve(node, place)
	if node == nil {
		return
	}
	for key, value := range entries(node) {
		switch {
		case key == "in" && !slices.Contains(locations, value.Value):
			c.unhandled(value, place, parameters, "a parameter in %q", value.Value)
		case !slices.Contains(parameterKeys, key) && !strings.HasPrefix(key, "x-"):
			c.unhandled(value, place, parameters, "%q of a parameter", key)
		}
	}
	c.schema(get(node, "schema"), node, place+".schema", parameter)
}

// schema checks a schema in its role. parent is where it should stand.
func (c *checker) schema(node, parent *yaml.Node, place string, as role) {
	if node == nil {
		c.report(parent, place, "%s needs a schema: without one nothing of it is checked", as)
		return
	}
	referred := get(node, "$ref") != nil
	node, place = c.resolve(node, place)
	if node != nil {
		c.resolved(node, place, as, referred)
	}
}

// resolved checks a schema that is no reference; referred says that one led to it.
func (c *checker) resolved(node *yaml.Node, place string, as role, referred bool) {
	if c.seen[visit{node, as}] {
		return
	}
	c.seen[visit{node, as}] = true
	template := bodies
	if as == parameter {
		template = parameters
	}
	kind := kindOf(node)
	keywords, known := handled[kind]
	switch {
	case !known:
		c.unhandled(node, place, template, "a schema of %s", kind)
		return
	case as == parameter && slices.Contains([]string{"array", "object", "free object"}, kind),
		as == body && kind != "object" && kind != "array",
		as == item && kind != "object" && kind != "string",
		as != property && kind == "any":
		c.unhandled(node, place, template, "%s of type %q", as, kind)
	case !referred && (as == body || as == item || as == property && kind == "object"):
		c.unhandled(node, place, template, "%s with a schema of its own, not a $ref to one of components.schemas,", as)
	case referred && kind == "free object":
		c.unhandled(node, place, template, "a $ref to an object without properties")
	}
	for key, value := range entries(node) {
		switch {
		case strings.HasPrefix(key, "x-") || slices.Contains(annotations, key):
		case slices.Contains(keywords, key):
			c.keyword(node, value, key, kind, place, template)
		case kind == "string of format" && slices.Contains(handled["string"], key):
			c.unhandled(value, place, template, "keyword %q beside a format", key)
		default:
			c.unhandled(value, place, template, "keyword %q", key)
		}
	}
	if kind == "object" && get(node, "additionalProperties") == nil {
		c.unhandled(node, place, template, "an object with properties but without additionalProperties: false")
	}
	if items := get(node, "items"); kind == "array" && as != parameter {
		c.schema(items, node, place+".items", item)
	}
}

// keyword checks that the value of a keyword is one that is handled.
func (c *checker) keyword(schema, value *yaml.Node, key, kind, place, template string) {
	switch key {
	case "format":
		name, _, _ := strings.Cut(kind, " ")
		if !slices.Contains(formats[name], value.Value) {
			c.unhandled(value, place, template, "format %q", value.Value)
		}
	case "maxLength", "maxItems", "maxProperties":
		if value.Value == "0" { // means unbounded in package binding
			c.unhandled(value, place, template, "%s of 0", key)
		}
	case "minimum", "maximum":
		if n, err := strconv.ParseInt(value.Value, 0, 64); err != nil || n > maxExact || n < -maxExact {
			c.report(value, place, "%s must be a whole number of at most 2^53 in magnitude: the generator reads bounds as float64 and would round it", key)
		}
	case "pattern":
		if _, err := regexp.Compile(value.Value); err != nil {
			c.report(value, place, "the pattern is none that package regexp can compile: %v", err)
		}
	case "enum":
		for _, v := range value.Content {
			if v.Tag != "!!str" {
				c.report(v, place, "the value %s of a string's enum is not a string: quote it", v.Value)
			}
		}
	case "required":
		for _, name := range value.Content {
			if get(get(schema, "properties"), name.Value) == nil {
				c.report(name, place, "%q is required but not one of the properties", name.Value)
			}
		}
	case "additionalProperties":
		if want := strconv.FormatBool(kind == "free object"); value.Value != want {
			c.unhandled(value, place, template, "additionalProperties other than %s here", want)
		}
	case "properties":
		count := 0
		for name, p := range entries(value) {
			c.schema(p, value, place+".properties."+name, property)
			count++
		}
		if count > maxProperties {
			c.unhandled(value, place, template, "an object of more than %d properties", maxProperties)
		}
	}
}

// kindOf returns the key of handled that a schema belongs to, or what it is.
func kindOf(schema *yaml.Node) string {
	typ := get(schema, "type")
	switch {
	case typ == nil && isAny(schema):
		return "any"
	case typ == nil:
		return "no type"
	case typ.Kind != yaml.ScalarNode:
		return "several types"
	case typ.Value == "string" && get(schema, "format") != nil:
		return "string of format"
	case typ.Value == "object" && get(schema, "properties") == nil:
		return "free object"
	case slices.Contains([]string{"string", "integer", "boolean", "array", "object"}, typ.Value):
		return typ.Value
	}
	return "type " + strconv.Quote(typ.Value)
}

// isAny reports whether a schema says that every value is welcome, which takes many words
// in OpenAPI 3.0 if null is to be one of them.
func isAny(schema *yaml.Node) bool {
	list := get(schema, "anyOf")
	if list == nil {
		return false
	}
	var types []string
	null := false
	for _, alternative := range list.Content {
		for key, value := range entries(alternative) {
			switch {
			case key == "type":
				types = append(types, value.Value)
			case key == "nullable" && value.Value == "true":
				null = true
			case key == "items" && isItself(value), key == "additionalProperties" && value.Value == "true":
			default:
				return false
			}
		}
	}
	slices.Sort(types)
	return null && slices.Equal(types, []string{"array", "boolean", "number", "object", "string"})
}

// isItself reports whether the items of any value's arrays are any values, too.
func isItself(items *yaml.Node) bool {
	ref := get(items, "$ref")
	return ref != nil && ref.Value == "#/components/schemas/JSONValue"
}

// resolve follows references within the document. It returns nil for a node that
// isn't there, and after reporting a reference that leads nowhere.
func (c *checker) resolve(node *yaml.Node, place string) (*yaml.Node, string) {
	for range 100 { // references to references; a longer chain is a circle
		ref := get(node, "$ref")
		if ref == nil {
			return node, place
		}
		for key, value := range entries(node) {
			if key != "$ref" && key != "description" && key != "summary" && !strings.HasPrefix(key, "x-") {
				c.report(value, place, "%q beside a $ref has no meaning in OpenAPI 3.0: put it into what is referred to", key)
			}
		}
		way, local := strings.CutPrefix(ref.Value, "#/")
		if !local {
			c.report(ref, place, "the $ref %q leads out of this document", ref.Value)
			return nil, ""
		}
		node = c.root
		steps := strings.Split(way, "/")
		for i, step := range steps {
			steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
			node = get(node, steps[i])
		}
		if node == nil {
			c.report(ref, place, "the $ref %q leads nowhere", ref.Value)
			return nil, ""
		}
		place = strings.Join(steps, ".")
	}
	c.report(node, place, "the $ref goes round in a circle")
	return nil, ""
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
func entries(mapping *yaml.Node) func(yield func(string, *yaml.Node) bool) {
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
