package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// contract is the document that `make generate` numbers.
const contract = "../../openapi.yaml"

func TestNumber(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ document, want string }{
		"a schema of components": {
			"components: {schemas: {A: {type: object, properties: {b: {type: string}, a: {$ref: '#/b'}}}}}",
			"components: {schemas: {A: {type: object, properties: {b: {type: string, x-order: 1}, a: {$ref: '#/b', x-order: 2}}}}}",
		},
		"each schema counts by itself": {
			"schemas: {A: {properties: {a: {}}}, B: {properties: {z: {}, y: {}}}}",
			"schemas: {A: {properties: {a: {x-order: 1}}}, B: {properties: {z: {x-order: 1}, y: {x-order: 2}}}}",
		},
		"a schema where it is used": {
			"paths: {/a: {get: {responses: {'200': {content: {application/json: {schema: {properties: {b: {}, a: {}}}}}}}}}}",
			"paths: {/a: {get: {responses: {'200': {content: {application/json: {schema: {properties: {b: {x-order: 1}, a: {x-order: 2}}}}}}}}}}",
		},
		"schemas within schemas": {
			"A: {properties: {c: {items: {properties: {z: {}}}}, b: {properties: {y: {}}}}, additionalProperties: {properties: {x: {}}}, anyOf: [{properties: {w: {}}}]}",
			"A: {properties: {c: {items: {properties: {z: {x-order: 1}}}, x-order: 1}, b: {properties: {y: {x-order: 1}}, x-order: 2}}, " +
				"additionalProperties: {properties: {x: {x-order: 1}}}, anyOf: [{properties: {w: {x-order: 1}}}]}",
		},
		"properties with the names of keywords": {
			"A: {properties: {properties: {properties: {b: {}}}, example: {properties: {a: {}}}, x-y: {}}}",
			"A: {properties: {properties: {properties: {b: {x-order: 1}}, x-order: 1}, example: {properties: {a: {x-order: 1}}, x-order: 2}, x-y: {x-order: 3}}}",
		},
		"data is no schema": {
			"A: {example: {properties: {a: {}}}, examples: {one: {properties: {a: {}}}}, x-a: {properties: {a: {}}}}",
			"A: {example: {properties: {a: {}}}, examples: {one: {properties: {a: {}}}}, x-a: {properties: {a: {}}}}",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := number([]byte(test.document))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(decode(t, got), decode(t, []byte(test.want))) {
				t.Errorf("%s\nbecomes\n%s\nwant\n%s", test.document, got, test.want)
			}
		})
	}
}

func TestNumberRefuses(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		"a: {":                                      "line 1",
		"A:\n  properties:\n    a: {x-order: 3}":    "line 3: leave out x-order",
		"A:\n  properties: [a]":                     "line 2: the properties aren't a mapping",
		"A:\n  properties: {a: true}":               "line 2: the property's schema isn't a mapping",
		"x: &x {}\nA: {properties: {a: {}, b: *x}}": "line 2: the property's schema isn't a mapping",
	} {
		if got, err := number([]byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q becomes %q with the error %v, want one that says %q", document, got, err, want)
		}
	}
}

// TestContract: every property of the contract gets its place, and nothing else of
// the document changes.
func TestContract(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	numbered, err := number(document)
	if err != nil {
		t.Fatal(err)
	}
	type schemas struct {
		Components struct {
			Schemas map[string]struct{ Properties yaml.Node }
		}
	}
	var before, after schemas
	if err := yaml.Unmarshal(document, &before); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(numbered, &after); err != nil {
		t.Fatal(err)
	}
	properties := 0
	for name, schema := range before.Components.Schemas {
		var want, got []string
		for i := 0; i < len(schema.Properties.Content); i += 2 {
			want = append(want, fmt.Sprintf("%s %d", schema.Properties.Content[i].Value, i/2+1))
		}
		of := after.Components.Schemas[name].Properties
		for i := 0; i < len(of.Content); i += 2 {
			var property struct {
				Order int `yaml:"x-order"`
			}
			if err := of.Content[i+1].Decode(&property); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %d", of.Content[i].Value, property.Order))
		}
		if !slices.Equal(got, want) {
			t.Errorf("the properties of %s are numbered %q, want %q", name, got, want)
		}
		properties += len(want)
	}
	if properties == 0 {
		t.Error("the contract has no properties")
	}
	if got := withoutOrder(decode(t, numbered)); !reflect.DeepEqual(got, decode(t, document)) {
		t.Error("more than x-order differs from the contract")
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(file, []byte("A: {properties: [a]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{contract}, 0, "x-order: 1\n", ""},
		{nil, 2, "", "usage: number-properties FILE"},
		{[]string{file}, 1, "", file + ": line 1: the properties aren't a mapping"},
		{[]string{file + "x"}, 1, "", "no such file"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(test.args, &stdout, &stderr)
		if code != test.code || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) ||
			(test.stdout == "") != (stdout.Len() == 0) || (test.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("%q: exit code %d, %d bytes of output, error %q; want %d, %q and %q", test.args, code, stdout.Len(), &stderr, test.code, test.stdout, test.stderr)
		}
	}
}

func decode(t *testing.T, document []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(document, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// withoutOrder returns a value without the members named x-order.
func withoutOrder(value any) any {
	switch v := value.(type) {
	case map[string]any:
		delete(v, "x-order")
		for _, member := range v {
			withoutOrder(member)
		}
	case []any:
		for _, item := range v {
			withoutOrder(item)
		}
	}
	return value
}
