package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const contractFile = "../../../api/openapi.yaml"

// TestGenerated holds the committed files to the contract and the templates.
func TestGenerated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stderr bytes.Buffer
	if code := run([]string{contractFile, dir}, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	for _, name := range []string{"models.py", "operations.py"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile(filepath.Join("..", "analytics_client", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, committed) {
			t.Errorf("%s is out of date: run make -C sdk/python generate", name)
		}
	}
}

// TestUnknown puts something that the templates don't know into each kind of place
// of the real contract, and wants to be told where.
func TestUnknown(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(contractFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ old, replacement, place, what string }{
		"keyword of an integer":        {"minimum: 1\n          description: Who did it.", "minimum: 1\n          multipleOf: 2\n          description: Who did it.", "components.schemas.Event.properties.user_id", `the keyword "multipleOf" of a schema of integer`},
		"keyword of a string":          {"maxLength: 128\n      pattern", "maxLength: 128\n      writeOnly: true\n      pattern", "components.schemas.EventType", `the keyword "writeOnly" of a schema of string`},
		"keyword of an array":          {"maxItems: 3\n", "maxItems: 3\n      uniqueItems: true\n", "components.schemas.FieldList", `the keyword "uniqueItems" of a schema of array`},
		"keyword of an object":         {"required: [metric, from, to]\n", "required: [metric, from, to]\n      minProperties: 3\n", "components.schemas.Query", `the keyword "minProperties" of a schema of object`},
		"default":                      {"maximum: 1000\n          description: How many groups to list at most; without it 100.", "maximum: 1000\n          default: 100\n          description: How many groups to list at most; without it 100.", "components.schemas.Query.properties.limit", `the keyword "default"`},
		"format of an integer":         {"format: int64\n      minimum: 0\n      maximum: 253370764800", "format: uint64\n      minimum: 0\n      maximum: 253370764800", "components.schemas.Instant", `the format "uint64"`},
		"format of a number":           {"type: number\n          format: double\n          minimum: 0\n          maximum: 1\n          description: Their share", "type: number\n          format: float\n          minimum: 0\n          maximum: 1\n          description: Their share", "components.schemas.FunnelStep.properties.conversion", `the format "float"`},
		"format of a string":           {"format: date-time", "format: byte", "components.schemas.LocalTime", `the format "byte"`},
		"enum of numbers":              {"enum: [all, any]", "enum: [all, 1]", "components.schemas.Match", "the value 1, no string, of an enum"},
		"allOf":                        {"    Step:\n      type: object", "    Step:\n      allOf: []\n      x-type: object", "components.schemas.Step", "a schema of no type"},
		"anyOf with less than all":     {"        - type: boolean\n        - type: array", "        - type: array", "components.schemas.JSONValue", "a schema of no type"},
		"several types":                {"    Match:\n      type: string", "    Match:\n      type: [string]", "components.schemas.Match", "a schema of several types"},
		"unknown type":                 {"    Match:\n      type: string", "    Match:\n      type: file", "components.schemas.Match", "a schema of file"},
		"oneOf of an inline schema":    {"        - $ref: '#/components/schemas/EventEnvelope'", "        - type: string", "components.schemas.EventBatch", "a member of oneOf that isn't among components.schemas"},
		"open object":                  {"required: [field, op]\n      additionalProperties: false", "required: [field, op]\n      additionalProperties: true", "components.schemas.Filter", "additionalProperties other than false"},
		"object of unsaid openness":    {"required: [field, op]\n      additionalProperties: false\n", "required: [field, op]\n", "components.schemas.Filter", "without additionalProperties: false"},
		"map":                          {"maxProperties: 256\n          additionalProperties: true", "maxProperties: 256\n          additionalProperties: {type: string}", "components.schemas.Event.properties.payload", "additionalProperties other than true"},
		"inline object":                {"        interval:\n          $ref: '#/components/schemas/CohortInterval'\n        tz:", "        interval:\n          type: object\n          properties: {}\n        tz:", "components.schemas.Retention.properties.interval", "an object that isn't among components.schemas"},
		"required but not there":       {"required: [field, op]", "required: [field, op, values]", "components.schemas.Filter", `"values" is required but not one of the properties`},
		"sibling of a reference":       {"        match:\n          $ref: '#/components/schemas/Match'\n        order:", "        match:\n          $ref: '#/components/schemas/Match'\n          nullable: true\n        order:", "components.schemas.Query.properties.match", `"nullable" beside a $ref`},
		"reference elsewhere":          {"        match:\n          $ref: '#/components/schemas/Match'\n        order:", "        match:\n          $ref: 'other.yaml#/Match'\n        order:", "components.schemas.Query.properties.match", "leads to none of the document's components"},
		"object asked and answered":    {"$ref: '#/components/schemas/EventPage'\n              example: {events: [{user_id: 123, event_type: purchase, timestamp: 1690000000, event_id: 01890a5d-ac96-774b-bcce-b302099a8057, payload: {item: book}}], next", "$ref: '#/components/schemas/Event'\n              example: {events: [{user_id: 123, event_type: purchase, timestamp: 1690000000, event_id: 01890a5d-ac96-774b-bcce-b302099a8057, payload: {item: book}}], next", "components.schemas.Event", "an object that both requests and answers have"},
		"name of an attribute":         {"        include_other:\n", "        include other:\n", "components.schemas.Query.properties.include other", "makes none of an attribute"},
		"tag":                          {"tags: [questions]", "tags: [answers]", "paths./query.post", `the tag "answers"`},
		"method":                       {"  /limits:\n    get:", "  /limits:\n    put:", "paths./limits", `"put"`},
		"key of an operation":          {"operationId: getLimits\n", "operationId: getLimits\n      security: []\n", "paths./limits.get", `"security"`},
		"key of a path":                {"  /limits:\n", "  /limits:\n    parameters: []\n", "paths./limits", `"parameters"`},
		"key of the document":          {"servers:\n", "security: []\nservers:\n", "the document", `"security"`},
		"key of components":            {"components:\n", "components:\n  securitySchemes: {}\n", "components", `"securitySchemes"`},
		"OpenAPI 3.1":                  {"openapi: 3.0.3", "openapi: 3.1.0", "openapi", `not "3.1.0"`},
		"parameter's place":            {"name: cursor\n      in: query", "name: cursor\n      in: cookie", "components.parameters.Cursor", `a parameter in "cookie"`},
		"parameter's style":            {"name: cursor\n      in: query\n", "name: cursor\n      in: query\n      style: form\n", "components.parameters.Cursor", `"style"`},
		"parameter of several values":  {"        - name: prefix\n          in: query\n          required: false\n          description: Only the types that begin so.\n          schema:\n            type: string\n", "        - name: prefix\n          in: query\n          required: false\n          description: Only the types that begin so.\n          schema:\n            type: array\n            items: {type: string}\n", "paths./stats.get.parameters.0", "a parameter that is array"},
		"body of another type":         {"          application/x-ndjson:\n            schema:\n              type: string\n              description: Events, one per line.", "          application/xml:\n            schema:\n              type: string\n              description: Events, one per line.", "paths./events.post.requestBody.content.application/xml", "a body of this type"},
		"body that may be absent":      {"required: true\n        description: The funnel.", "required: false\n        description: The funnel.", "paths./query/funnel.post.requestBody", "a body that may be absent"},
		"status":                       {"        '200':\n          description: The limits.", "        '304':\n          description: Not new.\n        '200':\n          description: The limits.", "paths./limits.get.responses.304", `the status "304"`},
		"two successes":                {"        '200':\n          description: The limits.", "        '202':\n          description: Later.\n          content:\n            application/json:\n              schema:\n                $ref: '#/components/schemas/Limits'\n        '200':\n          description: The limits.", "paths./limits.get.responses", "an operation with 2 successful answers"},
		"error that is no problem":     {"description: The body can't be read.\n      content:\n        application/problem+json:", "description: The body can't be read.\n      content:\n        application/json:", "components.responses.BadRequest", "an error that is no Problem"},
		"header of an answer":          {"            Event-Status:\n", "            Event-State:\n", "paths./event.post.responses.202", `the header "Event-State"`},
		"answer of another type":       {"            text/csv:\n              schema:\n                type: string\n              example: |\n                user_id", "            text/tab-separated-values:\n              schema:\n                type: string\n              example: |\n                user_id", "paths./events/export.get.responses.200.content.text/tab-separated-values", "an answer of this type"},
		"answer that is JSON or lines": {"            application/x-ndjson:\n              schema:\n                type: string\n              example", "            application/json:\n              schema:\n                $ref: '#/components/schemas/EventPage'\n              example", "paths./events/export.get.responses.200.content.application/json", "beside others"},
		"links":                        {"          description: The limits.\n", "          description: The limits.\n          links: {}\n", "paths./limits.get.responses.200", `"links"`},
		"operationId that is no name":  {"operationId: getLimits", "operationId: get-limits", "paths./limits.get", "makes no name of a method"},
		"key of a body":                {"        description: The funnel.\n        content:", "        description: The funnel.\n        x-known: 1\n        encoding: {}\n        content:", "paths./query/funnel.post.requestBody", `"encoding"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !bytes.Contains(document, []byte(tc.old)) {
				t.Fatalf("the contract has no %q", tc.old)
			}
			file := filepath.Join(t.TempDir(), "openapi.yaml")
			if err := os.WriteFile(file, bytes.Replace(document, []byte(tc.old), []byte(tc.replacement), 1), 0o600); err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			out := t.TempDir()
			if code := run([]string{file, out}, &stderr); code != 1 {
				t.Errorf("exit code %d", code)
			}
			found := false
			for line := range strings.Lines(stderr.String()) {
				found = found || strings.HasPrefix(line, file+":") && strings.Contains(line, ": "+tc.place+": ") && strings.Contains(line, tc.what)
			}
			if !found {
				t.Errorf("said:\n%s\nwant %q at %s", stderr.String(), tc.what, tc.place)
			}
			if files, err := os.ReadDir(out); err != nil || len(files) > 0 {
				t.Errorf("wrote %v, %v", files, err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for of, want := range map[string]string{"sendEvents": "send_events", "Idempotency-Key": "idempotency_key", "from": "from_", "event_type": "event_type", "getOpenAPIJSON": "get_open_apijson"} {
		if got := snake(of); got != want {
			t.Errorf("snake(%q) = %q, want %q", of, got, want)
		}
	}
}

// TestExitCodes tells files that can't be read or written from contracts that aren't known.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage.yaml")
	if err := os.WriteFile(garbage, []byte("a: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"no arguments": {},
		"no file":      {filepath.Join(t.TempDir(), "none.yaml"), t.TempDir()},
		"no YAML":      {garbage, t.TempDir()},
		"no folder":    {contractFile, filepath.Join(t.TempDir(), "none")},
	} {
		var stderr bytes.Buffer
		if code := run(args, &stderr); code != 2 || stderr.Len() == 0 {
			t.Errorf("%s: exit code %d, said %q", name, code, stderr.String())
		}
	}
}
