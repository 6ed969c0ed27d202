package api_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"highload.example/analytics/api/keywords"
)

// spec uses everything that the templates handle.
const spec = "testdata/templates/openapi.yaml"

// goTool runs the go command at the module's root, as the Makefile does.
func goTool(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	// What the command reads, `go test` can't see: without this it would go on
	// showing a cached result after a template has changed.
	for _, pattern := range []string{"templates/*", "testdata/templates/*", "binding/*.go", "keywords/*.go", "cmd/check-keywords/*.go", "../tools/go.mod", "../go.mod"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if _, err := os.Stat(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = ".."
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	out, err := command.CombinedOutput()
	return string(out), err
}

// generate runs the generator on a document with the server's own configuration,
// but for what names the server's operations.
func generate(t *testing.T, document string) (file, output string, err error) {
	t.Helper()
	var config map[string]any
	text, err := os.ReadFile("server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file = filepath.Join(dir, "api.gen.go")
	config["package"], config["output"] = "templates", file
	options := config["output-options"].(map[string]any)
	for _, own := range []string{"overlay", "exclude-tags", "exclude-operation-ids"} {
		delete(options, own)
	}
	text, err = yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	configFile := filepath.Join(dir, "server.yaml")
	if err := os.WriteFile(configFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	output, err = goTool(t, "tool", "-modfile=tools/go.mod", "oapi-codegen", "-config", configFile, document)
	return file, output, err
}

// TestTemplates generates code from a document that uses everything that the
// templates handle, and runs the tests of that code in testdata/templates.
func TestTemplates(t *testing.T) {
	t.Parallel()
	file, out, err := generate(t, filepath.Join("api", spec))
	if err != nil {
		t.Fatalf("generating: %v\n%s", err, out)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// The generated file is laid over the tree, not written into it.
	const dir = "api/testdata/templates"
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, dir, "api.gen.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := goTool(t, "test", "-overlay", overlayFile, "./"+dir); err != nil {
		t.Errorf("the generated code: %v\n%s", err, out)
	}
}

// edits are changes to the document after which something in it would be
// unchecked: each with the place, and what has to be said.
var edits = map[string]struct {
	old, new    string
	place, what string
}{
	"multipleOf":                   {`minimum: 0, maximum: 9}`, `minimum: 0, maximum: 9, multipleOf: 3}`, "components.schemas.Level", `keyword "multipleOf"`},
	"exclusiveMinimum":             {`minimum: 0, maximum: 9}`, `minimum: 0, exclusiveMinimum: true}`, "components.schemas.Level", `keyword "exclusiveMinimum"`},
	"nullable":                     {`flag: {type: boolean}`, `flag: {type: boolean, nullable: true}`, "components.schemas.Thing.properties.flag", `keyword "nullable"`},
	"default":                      {`flag: {type: boolean}`, `flag: {type: boolean, default: true}`, "components.schemas.Thing.properties.flag", `keyword "default"`},
	"readOnly":                     {`flag: {type: boolean}`, `flag: {type: boolean, readOnly: true}`, "components.schemas.Thing.properties.flag", `keyword "readOnly"`},
	"number":                       {`flag: {type: boolean}`, `flag: {type: number}`, "components.schemas.Thing.properties.flag", `a schema of type "number"`},
	"no type":                      {`flag: {type: boolean}`, `flag: {}`, "components.schemas.Thing.properties.flag", `a schema of no type`},
	"oneOf":                        {`flag: {type: boolean}`, `flag: {oneOf: [{type: boolean}, {type: string}]}`, "components.schemas.Thing.properties.flag", `a schema of no type`},
	"allOf":                        {`minimum: 0, maximum: 9}`, `minimum: 0, maximum: 9, allOf: [{type: integer}]}`, "components.schemas.Level", `keyword "allOf"`},
	"not":                          {`minimum: 0, maximum: 9}`, `minimum: 0, maximum: 9, not: {enum: [5]}}`, "components.schemas.Level", `keyword "not"`},
	"enum of integers":             {`minimum: 0, maximum: 9}`, `minimum: 0, maximum: 9, enum: [1, 2]}`, "components.schemas.Level", `keyword "enum"`},
	"uniqueItems":                  {`minItems: 1, maxItems: 3`, `minItems: 1, uniqueItems: true`, "components.schemas.Batch.properties.things", `keyword "uniqueItems"`},
	"maxItems of 0":                {`minItems: 1, maxItems: 3`, `maxItems: 0`, "components.schemas.Batch.properties.things", `maxItems of 0`},
	"minProperties":                {`maxProperties: 2`, `minProperties: 2`, "components.schemas.Thing.properties.more", `keyword "minProperties"`},
	"maxProperties, closed":        {`required: [name, flag]`, `maxProperties: 2`, "components.schemas.Thing", `keyword "maxProperties"`},
	"additionalProperties, schema": {`additionalProperties: true`, `additionalProperties: {type: string}`, "components.schemas.Thing.properties.more", `additionalProperties other than true here`},
	"additionalProperties, open":   {"required: [name, flag]\n      additionalProperties: false", "required: [name, flag]\n      additionalProperties: true", "components.schemas.Thing", `additionalProperties other than false here`},
	"additionalProperties, absent": {"required: [name, flag]\n      additionalProperties: false", "required: [name, flag]", "components.schemas.Thing", `an object with properties but without additionalProperties: false`},
	"required but no property":     {`required: [name, flag]`, `required: [name, flags]`, "components.schemas.Thing", `"flags" is required but not one of the properties`},
	"format: email":                {`minLength: 1, maxLength: 3`, `format: email`, "components.schemas.Name", `format "email"`},
	"format of an integer":         {`any_level: {type: integer, format: int32}`, `any_level: {type: integer, format: uint8}`, "components.schemas.Thing.properties.any_level", `format "uint8"`},
	"keyword beside a format":      {`own_id: {type: string, format: uuid}`, `own_id: {type: string, format: uuid, maxLength: 40}`, "components.schemas.Thing.properties.own_id", `keyword "maxLength" beside a format`},
	"an inexact bound":             {`minimum: 0, maximum: 9}`, `maximum: 9007199254740993}`, "components.schemas.Level", `maximum must be a whole number of at most 2^53`},
	"a fractional bound":           {`minimum: 0, maximum: 9}`, `minimum: 0.5}`, "components.schemas.Level", `minimum must be a whole number`},
	"a pattern of another dialect": {`'^[a-z]*$'`, `'^(?!x)'`, "paths./things/{kind}/{number}.get.parameters.text.schema", `the pattern is none that package regexp can compile`},
	"an enum of no strings":        {`enum: [up, down]`, `enum: [up, 7]`, "components.schemas.Order", `the value 7 of a string's enum is not a string`},
	"an object of its own":         {`flag: {type: boolean}`, `flag: {type: object, additionalProperties: false, properties: {a: {type: boolean}}}`, "components.schemas.Thing.properties.flag", `a property with a schema of its own`},
	"a sibling of $ref":            {`order: {$ref: '#/components/schemas/Order'}`, `order: {$ref: '#/components/schemas/Order', maxLength: 2}`, "components.schemas.Thing.properties.order", `"maxLength" beside a $ref has no meaning`},
	"a $ref that leads nowhere":    {`order: {$ref: '#/components/schemas/Order'}`, `order: {$ref: '#/components/schemas/Orders'}`, "components.schemas.Thing.properties.order", `leads nowhere`},
	"a $ref that leads out":        {`order: {$ref: '#/components/schemas/Order'}`, `order: {$ref: 'other.yaml#/Order'}`, "components.schemas.Thing.properties.order", `leads out of this document`},
	"a circle":                     {`Flag: {type: boolean}`, `Flag: {$ref: '#/components/schemas/Flag'}`, "components.schemas.Flag", `goes round in a circle`},
	"a parameter in a cookie":      {`name: small, in: query`, `name: small, in: cookie`, "paths./things/{kind}/{number}.get.parameters.small", `a parameter in "cookie"`},
	"a parameter that is a list":   {`name: small, in: query, schema: {type: integer, format: int32}`, `name: small, in: query, schema: {type: array, items: {type: string}}`, "paths./things/{kind}/{number}.get.parameters.small.schema", `a parameter of type "array"`},
	"a parameter's style":          {`name: small, in: query`, `style: deepObject, name: small, in: query`, "paths./things/{kind}/{number}.get.parameters.small", `"style" of a parameter`},
	"a parameter's content":        {`schema: {type: boolean}}`, `content: {application/json: {}}}`, "paths./things/{kind}/{number}.get.parameters.deep", `"content" of a parameter`},
	"a path item's parameter":      {`schema: {type: integer, format: int64, minimum: 1}`, `schema: {type: integer, minimum: 1, multipleOf: 2}`, "paths./things/{kind}/{number}.parameters.number.schema", `keyword "multipleOf"`},
	"a body of a kind of its own":  {`schema: {$ref: '#/components/schemas/Batch'}`, `schema: {type: array, items: {$ref: '#/components/schemas/Thing'}}`, "paths./batch.post.requestBody.content.application/json.schema", `a request body with a schema of its own`},
	"a body that is a string":      {`schema: {$ref: '#/components/schemas/Batch'}`, `schema: {$ref: '#/components/schemas/Name'}`, "components.schemas.Name", `a request body of type "string"`},
	"a body that may be absent":    {"required: true\n        content:\n          application/json:\n            schema: {$ref: '#/components/schemas/Batch'}", "content:\n          application/json:\n            schema: {$ref: '#/components/schemas/Batch'}", "paths./batch.post.requestBody", `a request body that may be absent`},
	"a body without a schema":      {`schema: {$ref: '#/components/schemas/Batch'}`, `example: 1`, "paths./batch.post.requestBody.content.application/json.schema", `needs a schema`},
}

func TestGenerationNamesWhatWouldBeUnchecked(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := keywords.Check(text); err != nil || len(problems) > 0 {
		t.Fatalf("the document as it is has problems %v, error %v", problems, err)
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(string(text), edit.old) {
				t.Fatalf("%q is not in %s", edit.old, spec)
			}
			problems, err := keywords.Check([]byte(strings.Replace(string(text), edit.old, edit.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				if p.Place == edit.place && strings.Contains(p.What, edit.what) {
					return
				}
			}
			t.Errorf("nothing says %q of %s; said is %+v", edit.what, edit.place, problems)
		})
	}
}

func TestCheckRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for _, document := range []string{"", "a: {", "[]", "paths: 1\npaths: 2"} {
		if problems, err := keywords.Check([]byte(document)); err == nil {
			t.Errorf("%q is read, with problems %v", document, problems)
		}
	}
}

func TestGenerationListsEveryProblem(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	broken := string(text)
	for _, name := range []string{"multipleOf", "nullable", "uniqueItems", "minProperties", "format: email", "a parameter's style"} {
		broken = strings.Replace(broken, edits[name].old, edits[name].new, 1)
	}
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := goTool(t, "run", "./api/cmd/check-keywords", file)
	if err == nil || !strings.Contains(out, "exit status 1") {
		t.Errorf("the command ends with %v, want exit status 1", err)
	}
	const wayOut = "is not handled by api/templates/%s: teach it there and in api/keywords/keywords.go, or leave it out"
	for _, want := range []string{
		fmt.Sprintf(`%s:14: paths./things/{kind}/{number}.get.parameters.small: "style" of a parameter `+wayOut, file, "std-http-middleware.tmpl"),
		fmt.Sprintf(`%s:53: components.schemas.Name: format "email" `+wayOut, file, "typedef.tmpl"),
		fmt.Sprintf(`%s:54: components.schemas.Level: keyword "multipleOf" `+wayOut, file, "typedef.tmpl"),
		fmt.Sprintf(`%s:64: components.schemas.Thing.properties.flag: keyword "nullable" `+wayOut, file, "typedef.tmpl"),
		fmt.Sprintf(`%s:72: components.schemas.Thing.properties.more: keyword "minProperties" `+wayOut, file, "typedef.tmpl"),
		fmt.Sprintf(`%s:79: components.schemas.Batch.properties.things: keyword "uniqueItems" `+wayOut, file, "typedef.tmpl"),
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("it doesn't print\n%s\nbut\n%s", want, out)
		}
	}
}

// TestGenerationStopsAtOtherKinds: should a schema get past the check, the
// generator itself stops.
func TestGenerationStopsAtOtherKinds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"number", "an object of its own", "format: email", "a parameter in a cookie", "a parameter that is a list"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "openapi.yaml")
			if err := os.WriteFile(file, []byte(strings.Replace(string(text), edits[name].old, edits[name].new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, out, err := generate(t, file); err == nil || !strings.Contains(out, "error formatting Go code") {
				t.Errorf("the generator ends with %v, and prints\n%s", err, out)
			}
		})
	}
}

func TestMakeGenerateChecksFirst(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("../Makefile"); err != nil { // see goTool
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-n", "generate") // make test is a make around it
	command.Dir = ".."
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if first, _, _ := strings.Cut(string(out), "\n"); first != "go run ./api/cmd/check-keywords api/openapi.yaml" {
		t.Errorf("make generate begins with %q", first)
	}
}
